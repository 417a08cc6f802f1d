/* Certificates and keys as dispatcher -t looks at them. */
#ifndef SUPERVISOR_KEYCHECK_H
#define SUPERVISOR_KEYCHECK_H

#include <stdio.h>

struct settings;

/* Has all of them read and tells what is wrong. 0, or 1: something is. */
int keycheck(const struct settings *s, FILE *err);

#endif
