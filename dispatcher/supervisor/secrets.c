/* Bundles are never mapped here: the supervisor holds descriptors of key bytes, and copies none. */
#include "dispatcher/supervisor/secrets.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/snapshot.h"

#include <errno.h>
#include <string.h>

struct table {
	struct secrets_entry **entries;
	uint32_t count;
};

struct secrets {
	struct table now, next;
	bool prepared;
	uint64_t serial; /* the last that was used */
};

/* --- tables --- */

static void entry_free(struct secrets_entry *e)
{
	if (!e)
		return;
	keyring_service_free(&e->keys);
	base_close(&e->tickets.fd);
	free(e);
}

static void table_free(struct table *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		entry_free(t->entries[i]);
	free(t->entries);
	*t = (struct table){0};
}

static struct secrets_entry *find_in(const struct table *t, const char *service)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (!strcmp(t->entries[i]->keys.name, service))
			return t->entries[i];
	return NULL;
}

static struct secrets_entry *add(struct table *t)
{
	struct secrets_entry **more = reallocarray(t->entries, t->count + 1, sizeof(*more)), *e;

	if (!more)
		return NULL;
	t->entries = more;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->tickets.fd = e->keys.bundle_fd = -1;
	return more[t->count++] = e;
}

int secrets_new(struct secrets **ret_secrets)
{
	*ret_secrets = calloc(1, sizeof(struct secrets));
	return *ret_secrets ? 0 : -ENOMEM;
}

struct secrets *secrets_free(struct secrets *s)
{
	if (!s)
		return NULL;
	table_free(&s->now);
	table_free(&s->next);
	free(s);
	return NULL;
}

const struct secrets_entry *secrets_find(const struct secrets *s, const char *service)
{
	return find_in(&s->now, service);
}

struct secrets_gift secrets_gift(const struct secrets *s, const char *service, bool upcoming)
{
	struct secrets_entry *now = find_in(&s->now, service), *next = find_in(&s->next, service);
	const struct secrets_entry *bundle = upcoming && s->prepared ? next : now;
	const struct secrets_entry *tickets = now && now->tickets.fd >= 0 ? now : bundle;
	struct secrets_gift gift = {.bundle_fd = -1, .tickets_fd = -1};

	if (bundle && bundle->keys.bundle_fd >= 0) {
		gift.bundle_fd = bundle->keys.bundle_fd;
		gift.bundle_serial = bundle->bundle_serial;
	}
	if (tickets && tickets->tickets.fd >= 0) {
		gift.tickets_fd = tickets->tickets.fd;
		gift.tickets_serial = tickets->tickets_serial;
	}
	return gift;
}

bool secrets_is_in_force(const struct secrets *s, const char *service, uint64_t digest)
{
	const struct secrets_entry *e = find_in(&s->now, service);

	return e && e->bundle_serial && e->keys.digest == digest;
}

const struct secrets_entry *secrets_at(const struct secrets *s, uint32_t index)
{
	return index < s->now.count ? s->now.entries[index] : NULL;
}

/* --- another configuration --- */

/* Tickets are made when they are first needed, and then go on: what is made now is for a service that has
 * none yet. */
static int prepare_tickets(struct secrets *s, struct secrets_entry *e, const struct secrets_entry *was)
{
	int bad;

	if (was && was->tickets_serial) {
		e->tickets_serial = was->tickets_serial;
		return 0;
	}
	bad = tickets_rotate(&e->tickets, e->lifetime_ms, clock_mono_ms());
	if (!bad)
		e->tickets_serial = ++s->serial;
	return bad;
}

static int prepare_one(struct secrets *s, struct keyring_service *keys, const struct service_settings *svc)
{
	const struct secrets_entry *was = find_in(&s->now, keys->name);
	struct secrets_entry *e;

	if (keys->bundle_fd < 0)
		return 0;
	e = add(&s->next);
	if (!e)
		return -ENOMEM;
	e->keys = *keys;
	*keys = (struct keyring_service){.bundle_fd = -1};
	e->lifetime_ms = svc->tls_ticket_ms;
	e->bundle_serial = was && was->keys.digest == e->keys.digest ? was->bundle_serial : ++s->serial;
	return prepare_tickets(s, e, was);
}

void secrets_discard(struct secrets *s)
{
	table_free(&s->next);
	s->prepared = false;
}

int secrets_prepare_consume(struct secrets *s, struct keyring *ring, const struct settings *settings)
{
	int bad = 0;

	ASSERT(ring->count == settings->services.count);
	secrets_discard(s);
	for (uint32_t i = 0; !bad && i < ring->count; i++)
		bad = prepare_one(s, &ring->services[i], settings_service(settings, i));
	keyring_free(ring);
	s->prepared = !bad;
	if (bad)
		secrets_discard(s);
	return bad;
}

static void set_lifetime(struct secrets *s, struct secrets_entry *e, uint64_t lifetime_ms)
{
	int bad = tickets_set_lifetime(&e->tickets, lifetime_ms);

	if (bad)
		log_event(EV_INTERNAL, "where=tickets why=\"%s\"", strerror(-bad));
	else
		e->tickets_serial = ++s->serial;
}

/* Its keys go on with the next entry. */
static void carry_tickets(struct secrets *s, struct secrets_entry *was, struct secrets_entry *is)
{
	if (!was || was->tickets.fd < 0)
		return;
	base_close(&is->tickets.fd);
	is->tickets = was->tickets;
	is->tickets_serial = was->tickets_serial;
	was->tickets.fd = -1;
	if (was->lifetime_ms != is->lifetime_ms)
		set_lifetime(s, is, is->lifetime_ms);
}

/* Who was warned of a certificate today is not warned again because of a reload. */
static void carry_warnings(const struct secrets_entry *was, struct secrets_entry *is)
{
	for (uint32_t i = 0; was && i < is->keys.cert_count; i++)
		for (uint32_t n = 0; n < was->keys.cert_count; n++)
			if (!strcmp(was->keys.certs[n].file, is->keys.certs[i].file) &&
				was->keys.certs[n].not_after_s == is->keys.certs[i].not_after_s)
				is->keys.certs[i].warned_wall_ms = was->keys.certs[n].warned_wall_ms;
}

static bool has_service(const struct settings *tables, const char *name)
{
	for (uint32_t i = 0; i < tables->services.count; i++)
		if (!strcmp(settings_text(tables, settings_service(tables, i)->name), name))
			return true;
	return false;
}

/* A service without TLS from now on, or one that is leaving, still has workers whose clients come back
 * with tickets; certificates nobody needs any more. */
static void keep(struct secrets *s, struct secrets_entry *was)
{
	struct secrets_entry *e = add(&s->next);

	if (!e)
		return;
	e->keys.name = was->keys.name;
	was->keys.name = NULL;
	e->tickets = was->tickets;
	was->tickets.fd = -1;
	e->lifetime_ms = was->lifetime_ms;
	e->tickets_serial = was->tickets_serial;
}

void secrets_commit(struct secrets *s, const struct settings *tables)
{
	ASSERT(s->prepared);
	for (uint32_t i = 0; i < s->next.count; i++) {
		struct secrets_entry *is = s->next.entries[i], *was = find_in(&s->now, is->keys.name);

		carry_tickets(s, was, is);
		carry_warnings(was, is);
	}
	for (uint32_t i = 0; i < s->now.count; i++) {
		struct secrets_entry *was = s->now.entries[i];

		if (!find_in(&s->next, was->keys.name) && has_service(tables, was->keys.name))
			keep(s, was);
	}
	table_free(&s->now);
	s->now = s->next;
	s->next = (struct table){0};
	s->prepared = false;
}

char *secrets_changes(const struct secrets *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (uint32_t i = 0; out && i < s->next.count; i++) {
		const struct secrets_entry *e = s->next.entries[i];

		if (!secrets_is_in_force(s, e->keys.name, e->keys.digest))
			fprintf(out, "%s%s", ftell(out) ? ", " : "", e->keys.name);
	}
	if (out && fclose(out)) {
		free(text);
		text = NULL;
	}
	return text;
}

/* --- rotation --- */

static void rotate_one(struct secrets *s, struct secrets_entry *e, uint64_t now_ms)
{
	unsigned due = tickets_due(&e->tickets, e->lifetime_ms, now_ms);
	int bad = 0;

	for (unsigned i = 0; !bad && i < due; i++)
		bad = tickets_rotate(&e->tickets, e->lifetime_ms, now_ms);
	if (bad)
		log_event(EV_INTERNAL, "where=tickets why=\"%s\"", strerror(-bad));
	if (!due || bad)
		return;
	e->tickets_serial = ++s->serial;
	log_event(EV_TLS_TICKETS, "service=%s generation=%llu", e->keys.name,
		(unsigned long long)e->tickets.generation);
}

uint64_t secrets_rotate(struct secrets *s, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < s->now.count; i++) {
		struct secrets_entry *e = s->now.entries[i];

		rotate_one(s, e, now_ms);
		if (e->tickets.fd >= 0 && e->lifetime_ms)
			next = MIN(next, e->tickets.rotated_ms + e->lifetime_ms);
	}
	return next;
}

/* --- over an exec --- */

static void save_cert(const struct keyring_cert *c, json_t *o)
{
	snapshot_put_text(o, "file", c->file);
	snapshot_put_text(o, "names", c->names);
	snapshot_put(o, "not_after_s", c->not_after_s);
	snapshot_put(o, "device", c->stamp.device);
	snapshot_put(o, "inode", c->stamp.inode);
	snapshot_put(o, "size", c->stamp.size);
	snapshot_put(o, "mtime_ns", c->stamp.mtime_ns);
	snapshot_put(o, "warned_wall_ms", c->warned_wall_ms);
}

void secrets_save(const struct secrets *s, json_t *root)
{
	snapshot_put(root, "secrets_serial", s->serial);
	for (uint32_t i = 0; i < s->now.count; i++) {
		const struct secrets_entry *e = s->now.entries[i];
		json_t *o = snapshot_add(root, "secrets");

		snapshot_put_text(o, "service", e->keys.name);
		snapshot_put_fd(o, "bundle_fd", e->keys.bundle_fd);
		snapshot_put_fd(o, "tickets_fd", e->tickets.fd);
		snapshot_put(o, "digest", e->keys.digest);
		snapshot_put(o, "generation", e->tickets.generation);
		snapshot_put(o, "rotated_ms", e->tickets.rotated_ms);
		snapshot_put(o, "lifetime_ms", e->lifetime_ms);
		snapshot_put(o, "bundle_serial", e->bundle_serial);
		snapshot_put(o, "tickets_serial", e->tickets_serial);
		for (uint32_t n = 0; n < e->keys.cert_count; n++)
			save_cert(&e->keys.certs[n], snapshot_add(o, "certificates"));
	}
}

static int restore_certs(struct keyring_service *keys, const json_t *o)
{
	const json_t *list = json_object_get(o, "certificates");
	const json_t *one;
	size_t i;

	keys->certs = calloc(json_array_size(list) + 1, sizeof(*keys->certs));
	if (!keys->certs)
		return -ENOMEM;
	json_array_foreach(list, i, one) {
		const char *file = snapshot_text(one, "file"), *names = snapshot_text(one, "names");
		struct keyring_cert *c = &keys->certs[keys->cert_count++];

		c->file = strdup(file ? file : "");
		c->names = strdup(names ? names : "");
		c->not_after_s = snapshot_number(one, "not_after_s", 0);
		c->stamp = (struct settings_stamp){snapshot_number(one, "device", 0),
			snapshot_number(one, "inode", 0), snapshot_number(one, "size", 0),
			snapshot_number(one, "mtime_ns", 0)};
		c->warned_wall_ms = snapshot_number(one, "warned_wall_ms", 0);
		if (!c->file || !c->names)
			return -ENOMEM;
	}
	return 0;
}

static int restore_one(struct secrets *s, json_t *o)
{
	const char *name = snapshot_text(o, "service");
	struct secrets_entry *e = name ? add(&s->now) : NULL;

	if (!e)
		return name ? -ENOMEM : -EBADMSG;
	e->keys.name = strdup(name);
	e->keys.bundle_fd = snapshot_fd(o, "bundle_fd");
	e->keys.digest = snapshot_number(o, "digest", 0);
	e->tickets.fd = snapshot_fd(o, "tickets_fd");
	e->tickets.generation = snapshot_number(o, "generation", 1);
	e->tickets.rotated_ms = snapshot_number(o, "rotated_ms", clock_mono_ms());
	e->lifetime_ms = snapshot_number(o, "lifetime_ms", 0);
	e->bundle_serial = e->keys.bundle_fd < 0 ? 0 : snapshot_number(o, "bundle_serial", ++s->serial);
	e->tickets_serial = e->tickets.fd < 0 ? 0 : snapshot_number(o, "tickets_serial", ++s->serial);
	return e->keys.name ? restore_certs(&e->keys, o) : -ENOMEM;
}

int secrets_restore(struct secrets *s, json_t *root)
{
	json_t *o;
	size_t i;
	int bad = 0;

	s->serial = snapshot_number(root, "secrets_serial", 0);
	json_array_foreach(json_object_get(root, "secrets"), i, o)
		if (!bad)
			bad = restore_one(s, o);
	return bad;
}
