/* Checks a configuration file for whoever asks: dispatcher -t and dispatcherctl check. */
#ifndef CONFIG_VERIFY_H
#define CONFIG_VERIFY_H

#include <stdio.h>

/* Prints what would be in force, with the numbers that follow from it, to out; every mistake and
 * warning to err. 0, or 1: the file is refused. */
int verify_file(const char *path, FILE *out, FILE *err);

#endif
