/* A message on its way into Maildirs: in tmp/ while it comes, in new/ once it is safe. */
#ifndef WORKER_SMTP_MAILDIR_H
#define WORKER_SMTP_MAILDIR_H

#include "worker/smtp/commits.h"
#include "worker/smtp/params.h"

#define MAILDIR_PATH_BYTES 2048 /* of a message */
#define MAILDIR_MOST_BYTES 1500 /* of its Maildir */

struct maildir {
	const struct params *params;
	struct commits *commits;
	int fd;         /* -1: no message */
	int error;      /* of what was written: 0 or an errno */
	int *results;   /* of each recipient, 0 or an errno, once it has ended */
	const char *id; /* the first part of its name */
	size_t len;     /* that wait to be written */
	char tmp[MAILDIR_PATH_BYTES];
	char reply[200];
	char out[65536];
};

void maildir_init(struct maildir *m, const struct params *p, struct commits *cs);
/* Is there such a recipient? The reply. */
const char *maildir_recipient(const struct params *p, const struct address *to);
/* id must stand until the message has ended. NULL, or the reply that says why not. */
const char *maildir_begin(struct maildir *m, const struct envelope *e, const char *id);
void maildir_data(struct maildir *m, const char *data, size_t len);
void maildir_end(struct maildir *m, const struct envelope *e);
const char *maildir_verdict(struct maildir *m, unsigned recipient);
void maildir_reset(struct maildir *m);

#endif
