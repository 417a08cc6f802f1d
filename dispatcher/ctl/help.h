/* Usage, and the help of each verb, from the table. */
#ifndef CTL_HELP_H
#define CTL_HELP_H

#include <stdio.h>

struct verb;

/* Of one verb, or with NULL of everything. */
void help_print(const struct verb *verb, FILE *out);

#endif
