/* How the reading of a configuration speaks to whoever asked for it. */
#ifndef CONFIG_TELL_H
#define CONFIG_TELL_H

enum load_severity { LOAD_NOT_ENFORCED, LOAD_WARNING, LOAD_ERROR };

/* Takes one message, complete with "file:line: " where there is one. */
typedef void load_tell(void *user, enum load_severity severity, const char *text);

#endif
