/* Serve the connections that the dispatcher accepts: see libdispatcher-worker(3). */
#ifndef DISPATCHER_WORKER_H
#define DISPATCHER_WORKER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct worker;      /* this process */
struct worker_conn; /* one client */
struct uv_loop_s;

/* How you serve. Event style (on_open, on_data, on_line: one thread, many clients, never block) or
 * thread style (handle: a thread per client that may block). What you leave out is NULL. */
struct worker_ops {
	size_t size;                         /* sizeof(struct worker_ops) */
	int (*on_start)(struct worker *w);   /* before the first client; 0, or worker_fail() */
	void (*on_stop)(struct worker *w);   /* behind the last client */
	void (*on_retire)(struct worker *w); /* nothing new comes */
	void (*on_reopen)(struct worker *w); /* open your own log files again */
	/* Killed in ms_left (0: never): say goodbye; by default all connections are closed. */
	void (*on_deadline)(struct worker *w, unsigned ms_left);

	void (*on_open)(struct worker_conn *c);
	void (*on_data)(struct worker_conn *c, const void *data, size_t len);
	/* Instead of on_data: one line of at most 8 KiB without its LF or CRLF, with NUL. */
	void (*on_line)(struct worker_conn *c, char *line, size_t len);
	void (*on_eof)(struct worker_conn *c);     /* the client sends no more: default closes */
	void (*on_drain)(struct worker_conn *c);   /* all that waited has been sent */
	void (*on_timeout)(struct worker_conn *c); /* see worker_set_timeout: default closes */
	void (*on_close)(struct worker_conn *c, int why); /* last call; why: 0 or -errno */

	void (*handle)(struct worker_conn *c); /* thread style; returning closes */
};

struct worker_limits {
	unsigned max_conns, min_conns;
	uint64_t stacksize;
	uint64_t connection_timeout_ms; /* 0: none */
	uint64_t kill_timeout_ms;
};

/* TLS of a connection, as long as that is open. What there is none of is NULL. */
struct worker_tls {
	const char *version, *cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
	unsigned cipher_bits, algorithm_bits;
	int resumed;             /* of a session that the client has had before */
	const char *server_name; /* that the client asked for (SNI); his word, unchecked */
	const char *protocol;    /* agreed upon (ALPN) */
	const char *client_subject, *client_issuer; /* of a checked client certificate */
};

enum worker_level { WORKER_DEBUG, WORKER_INFO, WORKER_NOTICE, WORKER_WARNING, WORKER_ERROR };

/* Runs until the last client has gone. Returns the exit status for main(). */
int worker_main(int argc, char **argv, const struct worker_ops *ops);

/* --- A connection. 0 or -errno. In event style what the client does not take at once is kept and
 * sent later; -ENOBUFS (nothing was taken): too much waits already. In thread style the call waits.
 * --- */
int worker_write(struct worker_conn *c, const void *data, size_t len);
int worker_printf(struct worker_conn *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void worker_close(struct worker_conn *c); /* once all that was written has been sent */
void worker_set_timeout(struct worker_conn *c, unsigned ms); /* without traffic; 0: none */

/* Thread style only. A length, 0 (the client sends no more), -ETIMEDOUT, -ECANCELED (the deadline:
 * say goodbye) or -errno. */
ssize_t worker_read(struct worker_conn *c, void *buf, size_t size);
/* The length of a line without its LF or CRLF, with NUL; -ENODATA: no more lines; -EMSGSIZE: one
 * that did not fit was dropped; or as worker_read. */
ssize_t worker_read_line(struct worker_conn *c, char *buf, size_t size);

/* TLS from here on, with the same calls: what is written before the handshake is done waits, what
 * was received before is dropped and ends the connection. Event style: the handshake goes on behind
 * your back, its failure is told by on_close; thread style: 0 means that it is done. -ENOTSUP: the
 * service has no certificate; -EALREADY; or -errno: close. */
int worker_starttls(struct worker_conn *c);
int worker_may_starttls(const struct worker_conn *c); /* 1: worth offering to the client */
const struct worker_tls *worker_conn_tls(const struct worker_conn *c); /* NULL: plaintext */

struct worker *worker_of(const struct worker_conn *c);
void worker_conn_set_data(struct worker_conn *c, void *data);
void *worker_conn_data(const struct worker_conn *c);
#define WORKER_ADDR_BYTES 80 /* room for "[2001:db8::1]:25" */
const char *worker_conn_peer(const struct worker_conn *c, char ret_text[WORKER_ADDR_BYTES]);
const char *worker_conn_local(const struct worker_conn *c, char ret_text[WORKER_ADDR_BYTES]);
socklen_t worker_conn_peer_addr(const struct worker_conn *c, struct sockaddr_storage *ret_addr);
socklen_t worker_conn_local_addr(const struct worker_conn *c, struct sockaddr_storage *ret_addr);
const char *worker_conn_listener(const struct worker_conn *c); /* as configured */
int worker_conn_fd(const struct worker_conn *c); /* non-blocking; the library closes it */
/* Yours; the client counts until worker_close(). Under TLS it is an end of a socket pair with the
 * plaintext, in event style; else -EOPNOTSUPP. */
int worker_conn_take_fd(struct worker_conn *c);

/* --- the worker --- */
const char *worker_service(const struct worker *w);
unsigned worker_serial(const struct worker *w);                     /* the 7 of smtp/7 */
const char *worker_param(const struct worker *w, const char *name); /* NULL: not set; any case */
char *const *worker_command(const struct worker *w);               /* words of COMMAND, then NULL */
const struct worker_limits *worker_limits(const struct worker *w); /* as they are now */
/* Event style only: the connection behind c, the first one behind NULL; NULL: no more. */
struct worker_conn *worker_next(const struct worker *w, const struct worker_conn *c);
struct uv_loop_s *worker_loop(struct worker *w);
void worker_set_data(struct worker *w, void *data);
void *worker_data(const struct worker *w);
void worker_status(struct worker *w, const char *format, ...) /* a line for dispatcherctl status */
	__attribute__((format(printf, 2, 3)));
void worker_log(struct worker *w, enum worker_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int worker_fail(struct worker *w, const char *format, ...) /* logs; for on_start: returns -1 */
	__attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
