/* Services of other tables: what is new is bound beside what is there, and only when nothing can fail
 * any more do the services change places, with their listeners, states and what the acceptor was told.
 * A listener keeps its index while its service lives (config/tables.h). */
#include "dispatcher/supervisor/services_inner.h"
#include "common/base.h"
#include "common/clock.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <string.h>

#define GONE_MS 2000

/* One service of the next tables. */
struct next_service {
	struct service *service; /* a present one, or made for this */
	const struct service_settings *settings;
	struct binding *bindings; /* new ones are open */
	uint32_t opened;
	bool is_new;
};

struct services_next {
	const struct settings *tables;
	struct service **table; /* what takes the place of the present table */
	uint32_t count;
	struct next_service services[];
};

/* --- prepare --- */

static bool overlaps(const struct binding *b, const char *path, const struct addr *addr)
{
	if (path || b->path)
		return path && b->path && strcmp(path, b->path) == 0;
	return addr_overlaps(&b->listener->addr, addr);
}

/* It is given up, or was just now: the acceptor may not have come to that yet. */
static bool is_going(const struct service *svc, const struct binding *b)
{
	if (b->sock.fd >= 0)
		return b->listener->leaving || svc->state == LINK_CLOSING;
	return b->gone_ms && clock_mono_ms() < b->gone_ms + GONE_MS;
}

/* Any service may have had the address. */
static bool goes_just_now(const struct services *all, const char *path, const struct addr *addr)
{
	for (uint32_t i = 0; i < all->count; i++) {
		const struct service *svc = all->services[i];

		for (uint32_t n = 0; n < svc->settings->listeners.count; n++)
			if (overlaps(&svc->bindings[n], path, addr) &&
				is_going(svc, &svc->bindings[n]))
				return true;
	}
	return false;
}

static int open_one(struct services *all, struct next_service *n, uint32_t index, FILE *tell)
{
	const struct settings *s = all->next->tables;
	const struct settings_listener *l = &settings_listeners(s, n->settings)[index];
	int answer = binding_open(&n->bindings[index], all->adopted, s, n->settings, l);
	pid_t owner = 0;

	n->opened += !answer;
	if (answer >= 0)
		return 0;
	if (answer == -EADDRINUSE && goes_just_now(all, n->bindings[index].path, &l->addr))
		return SERVICES_WAIT;
	if (answer == -EADDRINUSE && l->addr.family != AF_UNIX)
		owner = binding_owner(&l->addr);
	fprintf(tell, "%s: cannot listen on %s: %s", settings_text(s, n->settings->name),
		settings_text(s, l->name), strerror(-answer));
	if (owner)
		fprintf(tell, " (process %d does; end it first)", owner);
	fputc('\n', tell);
	return SERVICES_REFUSED;
}

/* Whether the service has this listener already, open or left out for good reason. */
static bool is_there(const struct next_service *n, uint32_t index)
{
	const struct service *svc = n->service;

	return !n->is_new && svc->state == LINK_OPEN && index < svc->settings->listeners.count &&
		!svc->bindings[index].listener->leaving;
}

static bool is_being_given_up(const struct next_service *n, uint32_t index)
{
	return !n->is_new && index < n->service->settings->listeners.count &&
		n->service->bindings[index].sock.fd >= 0;
}

bool services_will_open(const struct services *all, uint32_t service)
{
	const struct next_service *n = &all->next->services[service];

	return service_is_wanted(all, all->next->tables, n->settings) &&
		(n->is_new || n->service->state != LINK_FAILED);
}

/* What cannot be opened now is tried again as before: that is no reason to refuse other changes. */
static int open_new(struct services *all, struct next_service *n, FILE *tell)
{
	uint32_t there = 0, count = n->settings->listeners.count;
	int bad = 0, answer;

	if (!services_will_open(all, (uint32_t)(n - all->next->services)))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		if (settings_listeners(all->next->tables, n->settings)[i].leaving)
			continue;
		if (is_there(n, i))
			there++;
		else if (is_being_given_up(n, i))
			return SERVICES_WAIT;
		else if ((answer = open_one(all, n, i, tell)))
			bad = answer;
		if (bad == SERVICES_WAIT)
			return bad;
	}
	if (!bad && !there && !n->opened) {
		fprintf(tell, "%s: none of its addresses exists on this host\n",
			settings_text(all->next->tables, n->settings->name));
		bad = SERVICES_REFUSED;
	}
	return bad;
}

static int prepare_one(struct services *all, struct next_service *n, uint32_t index, uint32_t old)
{
	const struct settings *s = all->next->tables;

	n->settings = settings_service(s, index);
	n->bindings = calloc(n->settings->listeners.count + 1, sizeof(*n->bindings));
	for (uint32_t i = 0; n->bindings && i < n->settings->listeners.count; i++)
		n->bindings[i].sock.fd = -1;
	n->is_new = old >= all->count;
	n->service = n->is_new ? service_new(all, s, index) : all->services[old];
	return n->bindings && n->service ? queue_open(n->service, n->settings) : -ENOMEM;
}

static int prepare_all(struct services *all, const uint32_t *map, FILE *tell)
{
	struct services_next *next = all->next;
	int bad = 0, answer;

	for (uint32_t i = 0; !bad && i < next->tables->services.count; i++) {
		next->count++;
		bad = prepare_one(all, &next->services[i], i, map[i]);
	}
	for (uint32_t i = 0; bad >= 0 && bad != SERVICES_WAIT && i < next->count; i++) {
		answer = open_new(all, &next->services[i], tell);
		if (answer && bad != SERVICES_REFUSED)
			bad = answer;
	}
	return bad;
}

int services_prepare(struct services *all, const struct settings *tables, const uint32_t *map, FILE *tell)
{
	size_t bytes = sizeof(*all->next) + tables->services.count * sizeof(all->next->services[0]);
	int bad;

	all->next = calloc(1, bytes);
	if (!all->next)
		return -ENOMEM;
	all->next->tables = tables;
	all->next->table = calloc(tables->services.count + 1, sizeof(struct service *));
	bad = all->next->table ? prepare_all(all, map, tell) : -ENOMEM;
	if (bad)
		services_discard(all);
	return bad;
}

static void close_opened(const struct next_service *n)
{
	for (uint32_t i = 0; i < n->settings->listeners.count; i++)
		if (n->bindings[i].sock.fd >= 0)
			binding_close(&n->bindings[i]);
}

static void discard_one(struct next_service *n)
{
	if (n->bindings)
		close_opened(n);
	free(n->bindings);
	if (n->is_new)
		service_free(n->service);
}

void services_discard(struct services *all)
{
	if (!all->next)
		return;
	for (uint32_t i = 0; i < all->next->count; i++)
		discard_one(&all->next->services[i]);
	free(all->next->table);
	free(all->next);
	all->next = NULL;
}

/* --- adopt --- */

/* The listeners that stay move over; all point into the new tables. */
static void move_bindings(struct service *svc, const struct next_service *n, const struct settings *s)
{
	uint32_t had = svc->settings->listeners.count;

	for (uint32_t i = 0; i < n->settings->listeners.count; i++) {
		struct binding *b = &n->bindings[i];

		if (i < had && b->sock.fd < 0)
			*b = svc->bindings[i];
		b->listener = &settings_listeners(s, n->settings)[i];
		b->path = b->listener->addr.family == AF_UNIX ? settings_text(s, b->listener->path) : NULL;
	}
	free(svc->bindings);
	svc->bindings = n->bindings;
}

static void take_over(struct service *svc, const struct next_service *n, const struct settings *s,
	uint32_t index)
{
	const struct service_settings *was = svc->settings;
	bool other_sockets = was->backlog != n->settings->backlog ||
		was->socket_mode != n->settings->socket_mode ||
		was->socket_uid != n->settings->socket_uid || was->socket_gid != n->settings->socket_gid;

	if (svc->state == LINK_FAILED)
		close_opened(n); /* it may have failed since they were: it is tried again as a whole */
	move_bindings(svc, n, s);
	svc->settings = n->settings;
	svc->name = settings_text(s, n->settings->name);
	svc->index = index;
	svc->open_count = 0;
	for (uint32_t i = 0; i < svc->settings->listeners.count; i++) {
		struct binding *b = &svc->bindings[i];

		if (b->sock.fd >= 0 && b->listener->leaving && !b->left_ms && svc->state == LINK_OPEN)
			leaving_begin(svc, i);
		else if (b->sock.fd >= 0 && other_sockets)
			binding_adjust(b, svc->settings);
		svc->open_count += b->sock.fd >= 0;
	}
}

static void log_added(const struct service *svc, uint32_t had)
{
	for (uint32_t i = had; i < svc->settings->listeners.count; i++)
		service_log_listener(svc, i);
}

static void change_state(struct services *all, struct service *svc, bool wanted, uint32_t had)
{
	if (!wanted && (svc->state == LINK_OPEN || svc->state == LINK_FAILED))
		services_closing(all, svc->index, CLOCK_NEVER);
	else if (wanted && svc->state == LINK_FAILED)
		service_retry(svc);
	else if (wanted && svc->state == LINK_OPEN)
		log_added(svc, had);
	else if (wanted)
		service_is_open(svc);
}

static bool is_next(const struct services_next *next, const struct service *svc)
{
	for (uint32_t i = 0; i < next->count; i++)
		if (next->services[i].service == svc)
			return true;
	return false;
}

void services_adopt(struct services *all)
{
	struct services_next *next = all->next;

	for (uint32_t i = 0; i < all->count; i++)
		if (!is_next(next, all->services[i]))
			service_free(all->services[i]);
	free(all->services);
	all->services = next->table;
	all->count = next->count;
	for (uint32_t i = 0; i < next->count; i++) {
		const struct next_service *n = &next->services[i];
		uint32_t had = n->is_new ? 0 : n->service->settings->listeners.count;

		all->services[i] = n->service;
		take_over(n->service, n, next->tables, i);
		change_state(all, n->service, service_is_wanted(all, next->tables, n->settings), had);
	}
	free(next);
	all->next = NULL;
}
