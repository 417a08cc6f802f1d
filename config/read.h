/* Reads files into a source, over inih. */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "config/source.h"

/* Reads path and what it includes; everything wrong with its form goes to report. 0,
 * FILE_REFUSED (there is no main file to read; told) or -errno; source_deinit it in any case. */
int read_source(struct source *src, const char *path, bool as_root, struct report *report);

#endif
