/* Signals that end a program, by name and number. */
#ifndef CONFIG_SIGNALS_H
#define CONFIG_SIGNALS_H

#include <stdint.h>

/* "TERM", "SIGTERM" in any case, "15". 0 or -EINVAL, also of signals that stop a program or merely tell
 * it something, and of unknown ones. */
int signal_parse(const char *text, uint32_t *ret_number);

/* "TERM"; NULL: it has none. */
const char *signal_name(uint32_t number);

#endif
