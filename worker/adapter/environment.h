/* Our variables in environments: taken out of the program's, put into those of its own programs. */
#ifndef WORKER_ADAPTER_ENVIRONMENT_H
#define WORKER_ADAPTER_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

/* Takes our variables out of this process's environment, and keeps their text in `shim`. False:
 * this is no adapted server. */
bool environment_take(void);

/* Takes over what an executed program inherited from the one before it. */
void environment_inherit(void);

struct environment {
	char *const *envp; /* for the executed program */
	void *memory;      /* NULL: envp is the caller's own */
	size_t bytes;
	bool is_part; /* the program is a part of the worker */
};

/* The environment of a program that is to be executed with envp, in the place of this process or in
 * a new one. 0 or -errno. */
int environment_make(char *const *envp, bool in_place, struct environment *ret);
void environment_free(struct environment *e);

#endif
