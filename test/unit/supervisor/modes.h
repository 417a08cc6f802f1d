/* What a worker of the tests does: the word in its environment variable MODE says. */
#ifndef TEST_SUPERVISOR_MODES_H
#define TEST_SUPERVISOR_MODES_H

int modes_main(void);

#endif
