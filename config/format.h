/* Numbers as dispatcher.cnf writes them: the way back from common/parse.h. */
#ifndef CONFIG_FORMAT_H
#define CONFIG_FORMAT_H

#include "config/schema.h"

#define FORMAT_BYTES 32

const char *format_time(uint64_t ms, char ret_text[FORMAT_BYTES]); /* "500ms", "90s", "10m", "1d" */
const char *format_size(uint64_t bytes, char ret_text[FORMAT_BYTES]); /* "1000", "64K", "2M" */

/* A value of any type that is one number. */
const char *format_number(enum schema_type type, uint64_t value, char ret_text[FORMAT_BYTES]);

#endif
