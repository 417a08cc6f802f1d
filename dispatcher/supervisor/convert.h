/* Settings that an image before this one has left, in our own layout. */
#ifndef SUPERVISOR_CONVERT_H
#define SUPERVISOR_CONVERT_H

#include "dispatcher/supervisor/reader.h"

#include <jansson.h>

/* As they are, or, where the layout is another, as the probe has left them; a probe itself reads them
 * from the text that travels along. 0 or -EBADMSG. */
int convert_settings(json_t *saved, struct reader_result *ret_config);

/* The settings as they were read from the file; where these are of another layout, a copy of config. 0 or
 * -errno. */
int convert_file(json_t *saved, const struct reader_result *config, struct reader_result *ret_file);

#endif
