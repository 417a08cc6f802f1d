/* What kind of program a file is, so far as it matters for adapting it: a look at its head.
 *
 * A preloaded library reaches programs that are linked to this system's C library at run time, call
 * the kernel through it, and do not run with more rights than who starts them. Everything else that
 * runs on this machine is reached by user notification. */
#ifndef CONFIG_PROGRAM_H
#define CONFIG_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum program_kind {
	PROGRAM_UNKNOWN, /* neither ELF nor script */
	PROGRAM_SCRIPT,  /* see interpreter; never told of a file that was looked at */
	PROGRAM_DYNAMIC,
	PROGRAM_STATIC,
	PROGRAM_GO,     /* linked either way: it calls the kernel by itself */
	PROGRAM_LIBC,   /* linked to another C library */
	PROGRAM_FOREIGN /* for another machine, or of 32 bits on one of 64 */
};

/* Bytes of a file, wherever they are. */
struct program_bytes {
	bool (*read)(void *arg, uint64_t at, void *ret_buf, size_t len); /* all or false */
	void *arg;
};

struct program {
	enum program_kind kind;
	bool has_more_rights;       /* set-user-ID, set-group-ID or file capabilities */
	char interpreter[PATH_MAX]; /* of a script, or the linker of a dynamic program */
};

/* Judges the bytes alone: kind and interpreter. */
void program_judge(const struct program_bytes *bytes, struct program *ret_program);

/* Looks at a file; of a script at its interpreter, one level deep (the rights are then the
 * interpreter's, as the kernel has it). 0, or -errno when it cannot be read. */
int program_look(const char *path, struct program *ret_program);

/* How it can be adapted: METHOD_PRELOAD or METHOD_NOTIFY of enum settings_method, or METHOD_NONE.
 */
unsigned program_method(const struct program *program);

/* Why a method does not fit, for people, as what follows the name of the program; NULL: it fits. */
const char *program_objection(const struct program *program, unsigned method);

#endif
