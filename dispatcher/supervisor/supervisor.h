/* The supervisor: binds, spawns, reaps, and keeps every descriptor that must survive a crash. */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

enum supervisor_exit {
	SUPERVISOR_DONE = 0,
	SUPERVISOR_FAILED = 1,
	SUPERVISOR_CONFIGURATION = 78, /* as EX_CONFIG of sysexits.h */
};

struct supervisor_options {
	const char *config;		       /* path */
	const char *acceptor_image;	       /* NULL: our own, in its role */
	const char *const *acceptor_arguments; /* behind argv[0]; used with acceptor_image */
};

/* Runs until it is told to stop. Returns an enum supervisor_exit. */
int supervisor_main(const struct supervisor_options *options);

#endif
