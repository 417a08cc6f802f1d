/* One SMTP or LMTP session as a state machine: bytes in, replies out, no I/O of its own. */
#ifndef WORKER_SMTP_SESSION_H
#define WORKER_SMTP_SESSION_H

#include "worker/smtp/stream.h"
#include "worker/smtp/syntax.h"

#define SESSION_OUT_BYTES 4096

struct session_options {
	const char *hostname;
	bool lmtp, auth; /* auth is offered under TLS only */
	uint64_t size;   /* of a message */
	unsigned recipients, errors;
};

struct envelope {
	char helo[256];
	bool extended; /* EHLO or LHLO */
	struct address from;
	struct mail_options options;
	struct address *to;
	unsigned count;
};

/* What the session asks of its owner, who may take his time. A reply is a line without CR LF that
 * stands until the next call. */
struct session_ops {
	void (*send)(void *arg, const char *replies, size_t len);
	/* Takes one more recipient (2..), or says why not. May add to it what is left out. */
	const char *(*recipient)(void *arg, const struct envelope *e, struct address *to);
	/* A message begins; NULL, or why it cannot. */
	const char *(*begin)(void *arg, const struct envelope *e);
	void (*data)(void *arg, const char *data, size_t len); /* lines end with LF */
	/* It is whole: make it safe. Then how that went, for each recipient in turn. */
	void (*end)(void *arg, const struct envelope *e);
	const char *(*verdict)(void *arg, unsigned recipient);
	void (*reset)(void *arg); /* the transaction is over, whatever became of it */
	/* 334 with a challenge, 235, or why not. mechanism: NULL when it goes on. */
	const char *(*auth)(void *arg, const char *mechanism, const char *response);
};

enum session_phase {
	SESSION_COMMAND,
	SESSION_DATA,
	SESSION_CHUNK,
	SESSION_AUTH,
	SESSION_TLS,
	SESSION_OVER
};

struct session {
	const struct session_options *options;
	const struct session_ops *ops;
	void *arg;
	enum session_phase phase;
	bool quit;                                              /* the client has said so */
	bool tls, starttls, authenticated, mail, chunked, last; /* mail: there is a sender */
	const char *failed; /* the reply that the message will get */
	char why[512];      /* what failed may point to */
	unsigned errors;
	size_t rest; /* bytes behind the command that runs */
	uint64_t chunk_left;
	struct envelope envelope;
	struct line line;
	struct body body;
	size_t out_len;
	char out[SESSION_OUT_BYTES];
};

void session_init(struct session *s, const struct session_options *o, const struct session_ops *ops,
	void *arg);
/* Before it greets: is there TLS already, and if not, is it to be offered? */
void session_set_tls(struct session *s, bool tls, bool starttls);
void session_deinit(struct session *s);
void session_greet(struct session *s);
/* Stops early at SESSION_OVER (close), and at SESSION_TLS: flush, shake hands, session_secured().
 */
void session_feed(struct session *s, const char *data, size_t len);
void session_flush(struct session *s);
void session_secured(struct session *s);
bool session_in_message(const struct session *s); /* part of one has come */
void session_bye(struct session *s, const char *reply);

#endif
