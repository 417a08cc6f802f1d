/* Words that could come next on a command line, for a shell. */
#ifndef CTL_COMPLETE_H
#define CTL_COMPLETE_H

#include "dispatcher/ctl/command.h"

/* words: what stands behind dispatcherctl so far, without the word that is being typed. Prints one word
 * to a line; "FILES" alone stands for the names of files. Always 0. */
int complete_run(struct command *c, int count, char *const *words);

#endif
