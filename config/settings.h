/* The effective configuration as one flat, pointer-free block, so that a short-lived child can parse
 * the files, leave the block in sealed memory, and supervisor and acceptor only map and check it. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "common/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* DISPATCHER_NEXT: a build of tomorrow, whose layout differs, for the test of upgrades. */
#ifdef DISPATCHER_NEXT
#define SETTINGS_MAGIC 0x4e545844u
#define SETTINGS_OF_TOMORROW uint64_t of_tomorrow;
#else
#define SETTINGS_MAGIC 0x44535036u /* "DSP6": changes with the layout */
#define SETTINGS_OF_TOMORROW
#endif
#define SETTINGS_HASH_BYTES 17	   /* 16 hex digits and NUL */
#define SETTINGS_NO_ID UINT32_MAX  /* of user and group ids: not said */
#define SETTINGS_LIMITS 16	   /* as RLIM_NLIMITS */
#define SETTINGS_UNLIMITED UINT64_MAX

/* A text is an offset into the block, 0 = not set. A list is count elements at an offset. */
struct settings_list {
	uint32_t at, count;
};

enum settings_adapter {
	ADAPTER_NATIVE, /* image uses the worker library */
	ADAPTER_INETD,	/* image is dispatcher-exec, which runs command for each connection */
	ADAPTER_SERVER, /* image is an unmodified server, command its argv */
};
enum settings_method { METHOD_NONE, METHOD_PRELOAD, METHOD_NOTIFY };
enum settings_stop { STOP_SILENT, STOP_EOF };
enum settings_full { FULL_WAIT, FULL_REFUSE };

#define SETTINGS_BETWEEN 32 /* connections that the acceptor may have in hand, of a service that refuses */
#define SETTINGS_SERVER_SLOTS (1u << 20) /* connection slots that a service with ADAPTER_SERVER may have */
enum settings_client_auth { CLIENT_AUTH_NONE, CLIENT_AUTH_OPTIONAL, CLIENT_AUTH_REQUIRE };
enum settings_tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* One address to listen on. */
struct settings_listener {
	struct addr addr; /* family AF_UNIX: see path */
	uint32_t path;	  /* text: path of a unix listener */
	uint32_t name;	  /* text for people and for workers: "0.0.0.0:25", "[::]:25", "unix:/run/x" */
	uint32_t where;	  /* text: "file:line" of the PORT */
	uint32_t leaving; /* 1: no longer in the file (tables.h) */
	uint32_t tls;	  /* 1: TLS starts at once */
};

/* A text and where it is written, for who finds out later that it is wrong. */
struct settings_said {
	uint32_t text;
	uint32_t where; /* text: "file:line"; 0: it is the default */
};

/* A certificate for clients that ask for a name. */
struct settings_sni {
	uint32_t name; /* text: lower case, "mail.example.org" or "*.example.org" */
	uint32_t cert, key; /* texts: absolute paths */
	uint32_t where; /* text: "file:line" */
};

struct settings_rlimit {
	uint32_t set;
	uint32_t reserved;
	uint64_t value; /* SETTINGS_UNLIMITED = RLIM_INFINITY */
};

/* A file as it was when it was read. */
struct settings_stamp {
	uint64_t device, inode, size, mtime_ns;
};

/* Who an id was when the file was read. */
struct settings_name {
	uint32_t id, is_group;
	uint32_t name; /* text */
};

struct settings_prefix {
	struct addr addr;
	uint32_t bits;
};

struct service_settings {
	SETTINGS_OF_TOMORROW
	uint32_t name;	/* text, lower case */
	uint32_t where; /* text: "file:line" of the section */
	uint32_t off_where; /* text: "file:line" of ENABLE=0 or PORT=0; 0: enabled */
	uint8_t enabled; /* 0: ENABLE=0 or PORT=0 */
	uint8_t adapter; /* enum settings_adapter */
	uint8_t log_connections;
	uint8_t sched_batch;
	uint8_t leaving; /* 1: no longer in the file (tables.h) */
	uint8_t adapter_method; /* enum settings_method; METHOD_NONE unless ADAPTER_SERVER */
	uint8_t stop_style;	/* enum settings_stop */
	uint8_t when_full;	/* enum settings_full */
	uint32_t debug;

	/* pool; times in milliseconds, 0 = no limit where a limit may be absent */
	uint32_t min_procs, max_procs, min_conns, max_conns, max_shutdown, max_handoffs;
	uint64_t max_life_conns;
	uint64_t max_life_ms, max_idle_ms;
	uint64_t start_ms, handoff_ms, hang_ms, drain_ms, shutdown_ms, kill_ms, connection_ms;
	uint64_t max_memory; /* bytes */
	uint32_t max_conns_per_source, source_prefix4, source_prefix6;
	struct settings_list exempt_sources; /* of struct settings_prefix */
	uint64_t queue_ms;   /* how long a connection may wait for a worker before it is refused */
	uint32_t queue_size; /* accepted connections that may wait */
	uint32_t refuse_text; /* text without CRLF; 0: none */

	/* listening */
	struct settings_list listeners; /* of struct settings_listener */
	uint32_t backlog, socket_mode, socket_uid, socket_gid;

	/* the worker process */
	uint32_t image;			 /* text: absolute path */
	uint32_t stop_signal;		 /* what asks an adapted server to end */
	struct settings_list command;	 /* of texts: argv of COMMAND */
	struct settings_list parameters; /* of texts NAME=VALUE */
	struct settings_list environment; /* of texts NAME=VALUE */
	uint32_t logfile;		 /* text: "stderr", "syslog" or an absolute path; 0 = the dispatcher's */
	uint64_t stacksize;
	uint32_t uid, gid;		/* SETTINGS_NO_ID: as the supervisor (it has no root) */
	struct settings_list groups;	/* of uint32_t: all supplementary groups, resolved */
	uint32_t user_name;		/* text: for HOME-less messages and status */
	uint32_t working_directory;	/* text, 0 = / */
	uint32_t umask;			/* always set; default 022 */
	int32_t nice;
	struct settings_rlimit limits[SETTINGS_LIMITS]; /* index RLIMIT_... */

	/* TLS */
	struct settings_list tls_certs, tls_keys; /* of struct settings_said: paths, as many of both */
	struct settings_list tls_snis;		  /* of struct settings_sni */
	struct settings_list tls_alpn;		  /* of texts: protocol names, the first is preferred */
	struct settings_said tls_ciphers, tls_ciphersuites, tls_groups; /* text 0: OpenSSL's own */
	struct settings_said tls_client_ca;				/* a path; text 0: none */
	uint64_t tls_handshake_ms, tls_ticket_ms;
	uint8_t tls_min_version; /* enum settings_tls_version */
	uint8_t tls_client_auth; /* enum settings_client_auth */
};

struct settings {
	uint32_t magic;
	uint32_t bytes; /* of the whole block */
	SETTINGS_OF_TOMORROW
	char hash[SETTINGS_HASH_BYTES]; /* of the contents of all files read */

	/* texts */
	uint32_t config_file, run_dir, state_dir, control_socket, worker_dir, log_dir, logfile;
	uint32_t admin_gid, status_gid; /* SETTINGS_NO_ID: none */
	uint32_t uid, gid;	/* the acceptor's; SETTINGS_NO_ID without root */
	uint32_t debug;
	uint64_t shutdown_ms, kill_ms;

	struct settings_list files;	   /* of texts: every file read, config_file first */
	struct settings_list names;	   /* of struct settings_name, as far as they have any */
	struct settings_list stamps;	   /* of struct settings_stamp, one for each of files */
	struct settings_list not_enforced; /* of texts: what the file asks for and nobody does */
	struct settings_list warnings;	   /* of texts: "file:line: ..." */
	struct settings_list services;	   /* of struct service_settings */
};

/* Checks that a block that came from elsewhere is whole: magic, size, every offset and list inside,
 * every text ends inside. 0 or -EBADMSG. */
int settings_check(const void *block, size_t bytes);

/* The text at an offset; NULL for 0. */
const char *settings_text(const struct settings *s, uint32_t at);

/* The name of a user or group id; NULL: none is known. */
const char *settings_name(const struct settings *s, uint32_t id, bool is_group);

/* Elements of lists. The caller knows what a list holds. */
const struct service_settings *settings_service(const struct settings *s, uint32_t index);
const struct settings_listener *settings_listeners(const struct settings *s,
	const struct service_settings *svc);
/* Whether two listeners, each of its own block, have the same address. */
bool settings_same_listener(const struct settings *a, const struct settings_listener *one,
	const struct settings *b, const struct settings_listener *other);
const char *settings_list_text(const struct settings *s, struct settings_list list, uint32_t index);
const void *settings_list_data(const struct settings *s, struct settings_list list);

/* Whether the workers of a service get certificates: some listener speaks TLS, or they may begin it
 * themselves (STARTTLS). */
bool settings_has_tls(const struct settings *s, const struct service_settings *svc);

/* Numbers that follow from a service's limits; all processes size their tables by these. */
uint32_t settings_worker_slots(const struct service_settings *svc); /* living, and dead to be robbed */
/* Connections that may be open: max_procs of the workers may be old ones that drain for a restart; and who
 * waits for a worker. */
uint32_t settings_conn_slots(const struct service_settings *svc);

/* Prints one option of a service (NULL: of the dispatcher itself) as OPTION=value lines; prints nothing
 * where there is none. */
struct schema_option;
void settings_print_option(const struct settings *s, const struct service_settings *svc,
	const struct schema_option *option, FILE *out);

/* Prints what is in force as OPTION=value lines that dispatcher.cnf would accept, of one service
 * (name in any case) or, with NULL, of all. 0 or -ENOENT (no such service). */
int settings_print(const struct settings *s, const char *service, FILE *out);

/* The same of all, and of the services that are no longer in the file. */
void settings_print_tables(const struct settings *s, FILE *out);

#endif
