/* The inside of the services, shared by services.c, services_next.c, services_saved.c and leaving.c alone. */
#ifndef SUPERVISOR_SERVICES_INNER_H
#define SUPERVISOR_SERVICES_INNER_H

#include "dispatcher/supervisor/binding.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/services.h"

#define RETRY_MS 5000

struct service {
	struct news news;
	struct news gone; /* tells of listeners that were given up alone */
	struct news queue_news;
	int queue[2]; /* both ends of who waits, LINK_QUEUE; -1: it never refused anybody */
	struct services *all;
	const struct service_settings *settings;
	const char *name;
	uint32_t index;
	enum link_service_state state;
	struct binding *bindings; /* one for each listener of the settings */
	uint32_t open_count;
	uint32_t said; /* records of the present state that the acceptor has; 0: none */
	bool listeners_said; /* and it has every listener, also from the state before */
	uint32_t round; /* how often it was closed */
	uint32_t tries; /* how often it was started while it was open */
	bool drained, idle; /* as the acceptor has said of this round */
	uint64_t deadline_ms;
	struct timer *retry;
	char why[LINK_TEXT_BYTES];
};

struct services {
	struct uv_loop_s *loop;
	const struct reader_result *config;
	const struct closures *closures;
	struct outlet *outlet;
	struct adopted *adopted;
	uint64_t reopened_ms;
	uint32_t count;
	struct service **services;
	struct timer *look;	    /* while a listener is given up alone */
	struct services_next *next; /* prepared, not in force */
};

/* One without listeners, CLOSED; NULL: no memory. */
struct service *service_new(struct services *all, const struct settings *s, uint32_t index);
struct service *service_free(struct service *svc); /* closes its listeners; returns NULL */
bool service_is_wanted(const struct services *all, const struct settings *s,
	const struct service_settings *svc); /* shall be open */
void service_is_open(struct service *svc);     /* its listeners are: says so */
void service_retry(struct service *svc);       /* FAILED: tries at once */
void service_log_listener(const struct service *svc, uint32_t index);

/* queue.c */
int queue_open(struct service *svc, const struct service_settings *settings); /* if it needs one; once */
int queue_say(struct news *news, int fd);
void queue_close(struct service *svc);

/* leaving.c */
int leaving_say(struct news *gone, int fd);
void leaving_begin(struct service *svc, uint32_t index); /* nobody new gets in; closed once it is empty */
void leaving_look(void *services);
void leaving_said(struct service *svc); /* a new acceptor never had what was given up */

#endif
