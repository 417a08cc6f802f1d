/* dispatcherctl: what an operator types, from the command line to the exit status. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdio.h>

/* Runs one command. Returns its exit status (enum request_status). silence_ms: how long the dispatcher
 * may stay silent. */
int ctl_run(int argc, char **argv, unsigned silence_ms, FILE *out, FILE *err);

#endif
