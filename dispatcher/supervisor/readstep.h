/* The role "reader": reads a configuration file into sealed memory, compares it, and ends. */
#ifndef SUPERVISOR_READSTEP_H
#define SUPERVISOR_READSTEP_H

/* Descriptors of a reader. READ_OLD is there only when there is something to compare with. */
enum { READ_MESSAGES = 3, READ_SETTINGS, READ_DIFF, READ_OLD };

/* None is what a sanitizer or a library would exit with. */
enum readstep_exit { READSTEP_DONE, READSTEP_REFUSED = 78, READSTEP_FAILED };

#define READSTEP_LIFE_S 65 /* then SIGALRM ends it, even when nobody waits for it any more */

/* A message is a severity byte (enum load_severity), a text and NUL. argv[2] is the file. */
int readstep_main(int argc, char **argv);

#endif
