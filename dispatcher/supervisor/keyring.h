/* Has dispatcher-keys read and check the certificates and keys of every service. Key bytes are in the
 * memory that it leaves, which nobody here looks into. */
#ifndef SUPERVISOR_KEYRING_H
#define SUPERVISOR_KEYRING_H

#include "config/load.h"

struct children;
struct keyring_reader;
struct uv_loop_s;

struct keyring_cert {
	char *file, *names; /* names: parted by blanks */
	uint64_t not_after_s;
	struct settings_stamp stamp;
	bool is_newer; /* the file on disk is another than the one that was read; see certs.c */
	uint64_t warned_wall_ms; /* that it ends; 0: not */
};

struct keyring_service {
	char *name;
	int bundle_fd; /* -1: the service has no TLS */
	uint64_t digest; /* of the bundle */
	uint32_t cert_count;
	struct keyring_cert *certs;
};

/* Of all services of the settings, in their order. */
struct keyring {
	uint32_t count;
	struct keyring_service *services;
};

struct keyring_request {
	const struct settings *settings;
	int settings_fd; /* sealed memory with them, borrowed */
	load_tell *tell; /* called for every message, before the end is told */
	/* Whether the service uses just this now: then a date that has passed is only worth a warning.
	 * NULL: nothing is in use, and what has expired is still better than nothing. */
	bool (*is_in_force)(void *user, const char *service, uint64_t digest);
	void *user;
};

enum keyring_answer {
	KEYRING_REFUSED = 1, /* told why */
	KEYRING_CRASHED = 2, /* the process died; status is as of waitpid(2) */
};

/* Waits for the end: for the time before there is a loop. 0, an answer above or -errno. */
int keyring_read(const struct keyring_request *request, struct keyring *ret_ring, int *ret_status);

/* answer: as of keyring_read. With 0 the ring is the callee's. The reader is freed already. */
typedef void keyring_done(void *user, int answer, int status, struct keyring *ring);

/* Begins; done is called once, never from here. 0 or -errno. */
int keyring_start(struct uv_loop_s *loop, struct children *children,
	const struct keyring_request *request, keyring_done *done, struct keyring_reader **ret_reader);
struct keyring_reader *keyring_cancel(struct keyring_reader *r); /* kills it; returns NULL */

void keyring_free(struct keyring *ring); /* closes everything; one that was never filled is fine */
void keyring_service_free(struct keyring_service *svc);

#endif
