/* An entry is found by the address of the configured listener it is for, which is its own, or
 * (named by who lent it) another. Of a lent one a duplicate is given away: who started us has it
 * open as long as we live, so that no other could be bound when the service is opened again. */
#include "dispatcher/supervisor/adopted.h"
#include "common/base.h"
#include "common/log.h"
#include "config/settings.h"
#include "dispatcher/supervisor/inherited.h"
#include "dispatcher/supervisor/listening.h"
#include "dispatcher/supervisor/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

struct entry {
	struct entry *next;
	int fd;
	enum adopted_origin origin;
	bool listens; /* it is what it should be */
	struct listening own;
	char name[ADOPTED_NAME_BYTES];
	bool matched;
	struct listening wanted; /* of the configured listener that it is for */
};

struct adopted {
	struct entry *first, **last;
};

struct adopted *adopted_new(void)
{
	struct adopted *a = calloc(1, sizeof(*a));

	if (a)
		a->last = &a->first;
	return a;
}

static void remove_entry(struct adopted *a, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	if (!e->next)
		a->last = at;
	base_close(&e->fd);
	free(e);
}

struct adopted *adopted_free(struct adopted *a)
{
	while (a && a->first)
		remove_entry(a, &a->first);
	free(a);
	return NULL;
}

/* A filter is left by one that was being given up when its supervisor died. */
static bool prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL), none = 0;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return false;
	/* One that is locked (socket(7), SO_LOCK_FILTER) may let nobody in. */
	return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) == 0 ||
	       errno != EPERM;
}

int adopted_add_consume(struct adopted *a, int fd, enum adopted_origin origin, const char *name)
{
	OWNS_FD int owned = fd;
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->fd = fd;
	e->origin = origin;
	e->listens = !listening_look(fd, &e->own) && prepare(fd);
	snprintf(e->name, sizeof(e->name), "%s", name);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	base_steal_fd(&owned);
	*a->last = e;
	a->last = &e->next;
	return 0;
}

/* Emptied in place: whoever set our title keeps the environment in memory of its own (title.c). */
int adopted_inherit(struct adopted *a)
{
	const char *names = getenv("LISTEN_FDNAMES");
	char *whose = getenv("LISTEN_PID");
	unsigned count = 0;
	int answer = inherited_count(getpid(), whose, getenv("LISTEN_FDS"), &count);
	char name[INHERITED_NAME_BYTES];

	for (unsigned i = 0; !answer && i < count; i++) {
		int fd = INHERITED_FIRST + (int)i;

		if (fcntl(fd, F_GETFD) >= 0)
			answer = adopted_add_consume(
				a, fd, ADOPTED_LENT, inherited_name(names, i, name));
	}
	if (whose)
		*whose = '\0';
	return answer == INHERITED_NONE ? 0 : answer;
}

/* --- matching --- */

/* "smtp", or "smtp-587" for its listener on that port. */
static bool is_named(const struct entry *e, const char *service, const struct settings_listener *l)
{
	char with_port[ADOPTED_NAME_BYTES];

	snprintf(with_port, sizeof(with_port), "%.200s-%u", service, l->addr.port);
	return strcasecmp(e->name, service) == 0 ||
	       (l->addr.port && strcasecmp(e->name, with_port) == 0);
}

static void set_wanted(struct entry *e, const struct settings *s, const struct settings_listener *l)
{
	const char *path = settings_text(s, l->path);

	e->matched = true;
	e->wanted = (struct listening){.addr = l->addr};
	snprintf(e->wanted.path, sizeof(e->wanted.path), "%s", path ? path : "");
}

static struct entry *find(const struct adopted *a, const struct addr *addr, const char *path)
{
	for (struct entry *e = a->first; e; e = e->next)
		if (e->matched && listening_is(&e->wanted, addr, path))
			return e;
	return NULL;
}

static bool has_address(const struct entry *e, const struct settings *s, const char *service,
	const struct settings_listener *l)
{
	return listening_is(&e->own, &l->addr, settings_text(s, l->path));
}

static bool has_name(const struct entry *e, const struct settings *s, const char *service,
	const struct settings_listener *l)
{
	return *e->name && is_named(e, service, l);
}

typedef bool match_fn(const struct entry *e, const struct settings *s, const char *service,
	const struct settings_listener *l);

static void match_one(struct adopted *a, const struct settings *s, const char *service,
	const struct settings_listener *l, match_fn *match)
{
	if (find(a, &l->addr, settings_text(s, l->path)))
		return;
	for (struct entry *e = a->first; e; e = e->next) {
		if (!e->listens || e->matched || !match(e, s, service, l))
			continue;
		set_wanted(e, s, l);
		return;
	}
}

static void match_all(struct adopted *a, const struct settings *s, match_fn *match)
{
	for (uint32_t i = 0; i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);

		for (uint32_t k = 0; svc->enabled && k < svc->listeners.count; k++)
			match_one(a, s, settings_text(s, svc->name),
				&settings_listeners(s, svc)[k], match);
	}
}

static void tell(const struct entry *e)
{
	char text[LISTENING_TEXT_BYTES] = "", quoted[LOG_QUOTE_BYTES], name[LOG_QUOTE_BYTES];
	const char *from = e->origin == ADOPTED_LENT ? "environment" : "former_acceptor";

	if (e->listens)
		listening_format(&e->own, text);
	log_quote(e->listens ? text : "no listening stream socket", quoted);
	if (e->matched)
		log_event(EV_LISTENER_ADOPTED, "listener=%s from=%s", quoted, from);
	else if (e->origin == ADOPTED_LENT) /* one that was left was lent to us anew */
		log_event(EV_LISTENER_UNUSED, "listener=%s from=%s fd_name=%s", quoted, from,
			log_quote(e->name, name));
}

void adopted_match(struct adopted *a, const struct settings *s)
{
	struct entry **at = &a->first;

	match_all(a, s, has_address);
	match_all(a, s, has_name);
	while (*at) {
		tell(*at);
		if ((*at)->matched)
			at = &(*at)->next;
		else
			remove_entry(a, at);
	}
}

/* --- taking --- */

static struct entry **place_of(struct adopted *a, const struct entry *e)
{
	struct entry **at = &a->first;

	while (*at != e)
		at = &(*at)->next;
	return at;
}

int adopted_take(struct adopted *a, const struct addr *addr, const char *path,
	enum adopted_origin *ret_origin)
{
	struct entry *e = find(a, addr, path);
	int fd;

	if (!e)
		return -1;
	*ret_origin = e->origin;
	if (e->origin == ADOPTED_LENT)
		return fcntl(e->fd, F_DUPFD_CLOEXEC, 0);
	fd = base_steal_fd(&e->fd);
	remove_entry(a, place_of(a, e));
	return fd;
}

bool adopted_covers(const struct adopted *a, const struct addr *addr)
{
	static const struct addr none = {0};

	if (addr->family != AF_INET || memcmp(addr->ip, none.ip, sizeof(none.ip)) != 0)
		return false;
	for (const struct entry *e = a->first; e; e = e->next)
		if (e->matched && e->own.takes_ipv4 && e->own.addr.port == addr->port &&
			memcmp(e->own.addr.ip, none.ip, sizeof(none.ip)) == 0)
			return true;
	return false;
}

void adopted_drop(struct adopted *a, enum adopted_origin origin)
{
	struct entry **at = &a->first;

	while (*at) {
		if ((*at)->origin == origin)
			remove_entry(a, at);
		else
			at = &(*at)->next;
	}
}

void adopted_save(const struct adopted *a, json_t *root)
{
	for (const struct entry *e = a->first; e; e = e->next) {
		json_t *o;

		if (e->origin != ADOPTED_LENT)
			continue;
		o = snapshot_add(root, "lent");
		snapshot_put_fd(o, "socket_fd", e->fd);
		snapshot_put_text(o, "name", e->name);
	}
}

int adopted_restore(struct adopted *a, json_t *root)
{
	json_t *o;
	int bad = 0;
	size_t i;

	json_array_foreach(json_object_get(root, "lent"), i, o) {
		const char *name = snapshot_text(o, "name");
		int fd = snapshot_fd(o, "socket_fd");

		if (!bad && fd >= 0)
			bad = adopted_add_consume(a, fd, ADOPTED_LENT, name ? name : "");
	}
	return bad;
}
