/* A supervisor under test: it runs in a child process, with an acceptor that hands its link to the test
 * and does nothing else, so that the test itself plays the acceptor. */
#ifndef TEST_SUPERVISOR_RIG_H
#define TEST_SUPERVISOR_RIG_H

#include "dispatcher/link.h"

#include <sys/types.h>

struct rig {
	char dir[64];	 /* a temporary directory; RUN_DIR is dir/run */
	char config[96]; /* path */
	char output[96]; /* path of what the supervisor and its logger wrote to stderr */
	int rendezvous;	 /* where acceptors bring their links */
	pid_t pid;	 /* the supervisor */
	int link;	 /* of the present acceptor */
	pid_t acceptor;
};

struct rig_news {
	struct link_record r;
	int fds[16];
	unsigned fd_count;
};

/* Call first in main: serves the roles of the image; argv[0] tells a worker. Returns -1 for the test. */
int rig_role(int argc, char **argv);

/* services: the sections of the configuration; our own image is the IMAGE of a service that says
 * IMAGE=@SELF@, with what it shall do in ENVIRONMENT=MODE=... */
void rig_write(struct rig *rig, const char *services);
void rig_start(struct rig *rig, const char *services); /* writes, starts; no acceptor is taken yet */
void rig_rewrite(struct rig *rig, const char *services); /* the file of one that runs */
void rig_restart_with(struct rig *rig, const char *services); /* as rig_start, after rig_write */
int rig_start_again(struct rig *rig); /* a second supervisor on the same file; its wait status */
void rig_take_acceptor(struct rig *rig);	       /* waits for one and takes its link */
void rig_begin(struct rig *rig, const char *services); /* start, take an acceptor, skip to LINK_GO */

/* The next record, whatever it is; fails the test after 5 s. */
void rig_next(struct rig *rig, struct rig_news *ret_news);
void rig_patient_next(struct rig *rig, struct rig_news *ret_news); /* 10 s */
/* The next of this type; others before it are dropped. */
void rig_await(struct rig *rig, enum link_type type, struct rig_news *ret_news);
void rig_drop(struct rig_news *news); /* closes its descriptors */
void rig_order(struct rig *rig, struct link_record order);
void rig_run(struct rig *rig, uint32_t slot, struct rig_news *ret_worker); /* LINK_RUN, LINK_WORKER */
void rig_lose_acceptor(struct rig *rig); /* kills it */

int rig_end(struct rig *rig); /* waits for the supervisor's end, removes all; returns the wait status */
void rig_stop(struct rig *rig); /* SIGINT, and rig_end with status 0 */

/* Waits until the output contains text (5 s). */
void rig_await_output(const struct rig *rig, const char *text);
char *rig_read(const char *path); /* the whole file, for free(); "" when it is not there */
unsigned rig_count_fds(pid_t pid);
unsigned rig_settled_fds(const struct rig *rig, unsigned wanted); /* once they are, or after 5 s */
unsigned rig_zombies(const struct rig *rig);			  /* children of the supervisor */
pid_t rig_child(const struct rig *rig, const char *title);	  /* by a word of its title */
int rig_listen(unsigned port);
int rig_connect(unsigned port); /* a connected socket to 127.0.0.1, or -errno; 2 s at most */
void rig_await_refusal(unsigned port); /* until nobody listens there, 5 s at most */
unsigned rig_free_port(void);

#endif
