/* Checks a configuration file for whoever asks: dispatcher -t and dispatcherctl check. */
#ifndef CONFIG_VERIFY_H
#define CONFIG_VERIFY_H

#include <stdio.h>

struct settings;

/* Looks at what the file names and reading it does not show, and tells. 0, or 1: it cannot be used. */
typedef int verify_more(const struct settings *s, FILE *err);

/* Prints what would be in force, with the numbers that follow from it, to out; every mistake and
 * warning to err. more: asked of a file that is good so far; NULL: nothing. 0, or 1: the file is refused. */
int verify_file(const char *path, FILE *out, FILE *err, verify_more *more);

#endif
