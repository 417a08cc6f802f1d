/* The verbs of the control socket: who may, what each takes, what it does. */
#ifndef ACCEPTOR_VERBS_H
#define ACCEPTOR_VERBS_H

#include "dispatcher/acceptor/answer.h"

#include <sys/types.h>

/* What somebody may ask for: nothing, to look, everything. */
enum verbs_role { ROLE_NOBODY, ROLE_STATUS, ROLE_ADMIN };

struct verbs_asker {
	uid_t uid;
	pid_t pid;
	enum verbs_role role;
};

/* Carries out one request, a line of JSON; *ret_answer begins with its head. */
void verbs_run(struct acceptor *a, const struct verbs_asker *who, const char *line, size_t len,
	struct answer *ret_answer);

#endif
