/* The addresses of a service, and that no two listeners of the file want the same one. A wildcard
 * takes the port of every address of its family. */
#include "config/build.h"
#include "config/ports.h"
#include "common/base.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/un.h>

struct port_taken {
	struct addr addr;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct where where;
};

/* What building one service's listeners needs. */
struct wanted {
	struct build *b;
	const struct scope *scope;
	const struct schema_option *option; /* PORT or TLS_PORT */
	const struct where *blame; /* of a host that is wrong: its PORT or INTERFACE_ADDRESS */
	struct vec listeners;      /* of struct settings_listener */
	struct vec taken;          /* of struct port_taken: of this service */
	bool enabled;              /* ENABLE=1: its addresses must not be taken */
	bool is_off;               /* PORT=0 */
	bool is_said;              /* anything but TLS_PORT=0 */
};

static bool collide(const struct port_taken *a, const struct port_taken *b)
{
	if (a->addr.family == AF_UNIX && b->addr.family == AF_UNIX)
		return !strcmp(a->path, b->path);
	return addr_overlaps(&a->addr, &b->addr);
}

static const struct port_taken *find_taken(const struct vec *taken, const struct port_taken *wanted)
{
	for (size_t i = 0; i < taken->count; i++) {
		const struct port_taken *other = vec_at(taken, i);

		if (collide(other, wanted))
			return other;
	}
	return NULL;
}

static void add_listener(struct wanted *w, const struct port_taken *taken, const char *name)
{
	struct block *block = &w->b->block;
	struct settings_listener *slot = vec_push(&w->listeners);
	struct port_taken *mine = vec_push(&w->taken);
	char place[WHERE_BYTES];

	if (!slot || !mine) {
		block->failed = true;
		return;
	}
	*mine = *taken;
	slot->addr = taken->addr;
	slot->tls = w->option->type == SCHEMA_TLS_PORTS;
	slot->path = taken->addr.family == AF_UNIX ? block_text(block, taken->path) : 0;
	slot->name = block_text(block, name);
	slot->where = block_text(block, where_format(&taken->where, place));
}

/* Adds the listener unless its address is taken. */
static void want(struct wanted *w, const struct port_taken *taken, const char *name)
{
	const struct port_taken *other = find_taken(&w->taken, taken);
	char place[WHERE_BYTES];

	if (!other && w->enabled)
		other = find_taken(&w->b->taken, taken);
	if (!other)
		add_listener(w, taken, name);
	else
		report_error(w->b->report, &taken->where,
			"%s is already listened on by %s; one of the two must go", name,
			where_format(&other->where, place));
}

static void want_addr(
	struct wanted *w, const struct source_line *line, const struct addr *addr, uint16_t port)
{
	struct port_taken taken = {.addr = *addr, .where = line->where};
	char name[ADDR_TEXT_BYTES];

	taken.addr.port = port;
	want(w, &taken, addr_format(&taken.addr, name));
}

static void want_path(struct wanted *w, const struct source_line *line, const struct port *port)
{
	struct port_taken taken = {.addr.family = AF_UNIX, .where = line->where};
	OWNS_MEM char *path = path_resolve(w->b, w->option, &line->where, port->path);
	OWNS_MEM char *name = NULL;

	if (!path)
		return;
	if (strlen(path) >= sizeof(taken.path)) {
		report_error(w->b->report, &line->where,
			"%s=%.60s...: the path of a unix socket has at most %zu bytes", w->option->name, path,
			sizeof(taken.path) - 1);
		return;
	}
	strcpy(taken.path, path);
	if (asprintf(&name, "unix:%s", path) >= 0)
		want(w, &taken, name);
	else
		w->b->block.failed = true;
}

/* Every address that a name has, each once (a name service may say one twice). */
static void want_results(struct wanted *w, const struct source_line *line,
	const struct addrinfo *list, uint16_t port)
{
	struct addr last = {0};

	for (; list; list = list->ai_next) {
		struct addr addr;

		addr_from_sockaddr(&addr, list->ai_addr, list->ai_addrlen);
		addr.port = 0;
		if (addr.family && !addr_equal(&addr, &last))
			want_addr(w, line, &addr, port);
		last = addr;
	}
}

static void want_name(struct wanted *w, const struct source_line *line, const char *option,
	const char *host, int family, uint16_t port)
{
	struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *list = NULL;
	int r = getaddrinfo(host, NULL, &hints, &list);

	if (r)
		report_error(w->b->report, w->blame, "%s: %.60s has no address here: %s", option,
			host, gai_strerror(r));
	else
		want_results(w, line, list, port);
	if (list)
		freeaddrinfo(list);
}

/* A host in any form: "" (every address of the family), an address, or a name. */
static void want_host(struct wanted *w, const struct source_line *line, const char *option,
	const char *host, int family, uint16_t port)
{
	struct addr addr = {.family = (uint8_t)family};

	if (*host && addr_parse_ip(host, &addr) < 0)
		want_name(w, line, option, host, family, port);
	else if (family != AF_UNSPEC && addr.family != family)
		report_error(w->b->report, w->blame, "%s: %.60s is no %s address", option, host,
			family == AF_INET ? "IPv4" : "IPv6");
	else
		want_addr(w, line, &addr, port);
}

/* A bare number listens on each INTERFACE_ADDRESS, by default on everything. */
static void want_bare(struct wanted *w, const struct source_line *line, uint16_t port)
{
	const struct schema_option *option = schema_get("INTERFACE_ADDRESS");
	const struct source_section *section = scope_section(w->scope, option);
	const struct source_line *interface;
	size_t index = 0;
	bool any = false;

	while (section && (interface = section_next(section, option, &index))) {
		OWNS_MEM char *copy = block_copy(&w->b->block, interface->value);
		char *rest = copy, *word;

		w->blame = &interface->where;
		for (; copy && (word = list_next(&rest)); any = true)
			want_host(w, line, option->name, word, AF_UNSPEC, port);
	}
	if (any)
		return;
	want_host(w, line, option->name, "", AF_INET, port);
	want_host(w, line, option->name, "", AF_INET6, port);
}

static void want_word(struct wanted *w, const struct source_line *line, const char *word)
{
	struct port port;
	const char *wrong = port_parse(word, &port);

	w->blame = &line->where;
	w->is_said = w->is_said || wrong || port.kind != PORT_NONE ||
		     w->option->type == SCHEMA_PORTS;
	if (wrong) {
		report_error(w->b->report, &line->where, "%s: %.60s: %s", w->option->name, word, wrong);
		return;
	}
	switch (port.kind) {
	case PORT_NONE:
		w->is_off = w->is_off || w->option->type == SCHEMA_PORTS;
		break;
	case PORT_BARE:
		want_bare(w, line, port.number);
		break;
	case PORT_AT_HOST:
		want_host(w, line, w->option->name, port.host, port.family, port.number);
		break;
	case PORT_UNIX:
		want_path(w, line, &port);
	}
}

static void want_line(struct wanted *w, const struct source_line *line)
{
	OWNS_MEM char *copy = block_copy(&w->b->block, line->value);
	char *rest = copy, *word;

	if (!*line->value)
		report_error(w->b->report, &line->where,
			"%s has no value; write %s=25, or 0 for none", w->option->name,
			w->option->name);
	w->is_said = w->is_said || !*line->value;
	while (copy && (word = list_next(&rest)))
		want_word(w, line, word);
}

/* A disabled service takes no addresses away from others. */
static void take_all(struct wanted *w)
{
	for (size_t i = 0; i < w->taken.count; i++) {
		struct port_taken *slot = vec_push(&w->b->taken);

		if (slot)
			*slot = *(struct port_taken *)vec_at(&w->taken, i);
		else
			w->b->block.failed = true;
	}
}

static bool is_all_tls(const struct vec *listeners)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (!((const struct settings_listener *)vec_at(listeners, i))->tls)
			return false;
	return true;
}

static void finish(struct wanted *w, struct service_settings *svc)
{
	const struct where *where = scope_where(w->scope, "PORT");

	if (w->is_off && w->listeners.count)
		report_error(w->b->report, where,
			"PORT is 0, which disables the service, and %s names ports as well; take one "
			"out, or write ENABLE=0",
			is_all_tls(&w->listeners) ? "TLS_PORT" : "it");
	if (w->is_off)
		svc->enabled = 0;
	if (svc->enabled)
		take_all(w);
	svc->listeners = block_list(&w->b->block, &w->listeners);
}

/* All lines of PORT or of TLS_PORT. */
static void want_option(struct wanted *w, const char *name)
{
	const struct schema_option *option = schema_get(name);
	const struct source_section *section = scope_section(w->scope, option);
	const struct source_line *line;
	size_t index = 0;

	w->option = option;
	while (section && (line = section_next(section, option, &index)))
		want_line(w, line);
}

void ports_build(struct build *b, const struct scope *s, struct service_settings *svc)
{
	struct wanted w = {.b = b,
		.scope = s,
		.enabled = svc->enabled,
		.listeners.elem = sizeof(struct settings_listener),
		.taken.elem = sizeof(struct port_taken)};

	b->taken.elem = sizeof(struct port_taken);
	want_option(&w, "PORT");
	want_option(&w, "TLS_PORT");
	finish(&w, svc);
	if (!w.is_said && svc->enabled)
		report_error(b->report, &s->own->where,
			"service %s has no PORT; write PORT=number, or PORT=0 to disable it",
			s->own->name ? s->own->name : "?");
	vec_free(&w.listeners);
	vec_free(&w.taken);
}
