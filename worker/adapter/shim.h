/* The state of the preloaded library in one process of an adapted server. */
#ifndef WORKER_ADAPTER_SHIM_H
#define WORKER_ADAPTER_SHIM_H

#include "common/adapter.h"
#include "common/tally.h"
#include "worker/adapter/fds.h"

#include <limits.h>
#include <sys/stat.h>

#define SHIM_INHERITED                                                                             \
	"DISPATCHER_INHERITED" /* what an executed program inherits: see environment.c */

enum shim_own { OWN_CHANNEL, OWN_PAGE, OWN_BELL, OWN_DOORBELL, OWN_SILENCE, OWN_COUNT };

/* A place in the file system, as the service names it and by its directory: a program in a chroot,
 * or with a symbolic link, names it in another way. */
struct shim_place {
	const char *path; /* in `config` */
	const char *base;
	dev_t dev;
	ino_t ino;
	bool has_dir;
};

struct shim {
	struct fds fds;
	struct adapter config;
	struct tally tally;
	uint64_t every;             /* listeners of the service */
	uint64_t unix_listeners;    /* of them, those with a path */
	_Atomic int own[OWN_COUNT]; /* descriptors of ours, -1: none */
	_Atomic int room_until;     /* descriptors below this number may be taken without a look */
	_Atomic int last_received;  /* the descriptor of the last connection */
	_Atomic int state;
	_Atomic bool names_stranger; /* the page names an address that is no PORT */
	struct shim_place places[ADAPTER_MAX_LISTENERS];
	char preload[PATH_MAX];        /* our own file */
	char text[ADAPTER_TEXT_BYTES]; /* of ADAPTER_ENV */
};

extern struct shim shim; /* all that this library remembers */

/* True in a process of an adapted server; joins it at the first call. */
bool shim_is_on(void);

/* Moves one of our own descriptors to another number, out of the program's way. False: there is no
 * other; errno says why. */
bool shim_move_own(int fd);

/* Puts a line into the page, of which the dispatcher tells when the worker does not become ready.
 */
void shim_say(const char *text);

#endif
