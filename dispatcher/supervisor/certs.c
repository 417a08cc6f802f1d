/* A look at a file is one stat(2), every few seconds, as at the images of workers. That its contents
 * would be a good certificate is not known before a reload reads it. */
#include "dispatcher/supervisor/certs.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/outlet.h"
#include "dispatcher/supervisor/sealed.h"
#include "dispatcher/supervisor/secrets.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define EVERY_MS 2000
#define DAY_MS 86400000u
#define WARN_DAYS 21

struct certs {
	struct news news;
	struct secrets *secrets;
	const struct services *services;
	struct outlet *outlet;
	struct timer *timer;
	uint32_t next; /* service to be told of */
	uint64_t digest; /* of what was last told */
};

/* --- what the acceptor is told --- */

static json_t *cert_json(const struct keyring_cert *c)
{
	json_t *o = json_object();

	json_object_set_new(o, "file", json_string(c->file));
	json_object_set_new(o, "names", json_string(c->names));
	json_object_set_new(o, "not_after_s", json_integer((json_int_t)c->not_after_s));
	json_object_set_new(o, "newer_on_disk", json_boolean(c->is_newer));
	return o;
}

/* A descriptor of sealed memory with it as JSON, or -errno. */
static int write_facts(const struct secrets_entry *e)
{
	OWNS_FD int fd = sealed_memory("certificates");
	json_t *root = json_object(), *list = json_array();
	OWNS_MEM char *text = NULL;
	int bad;

	for (uint32_t i = 0; i < e->keys.cert_count; i++)
		json_array_append_new(list, cert_json(&e->keys.certs[i]));
	json_object_set_new(root, "ticket_generation", json_integer((json_int_t)e->tickets.generation));
	json_object_set_new(root, "certificates", list);
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (fd < 0)
		return fd;
	bad = text ? sealed_fill(fd, text, strlen(text)) : -ENOMEM;
	return bad ? bad : base_steal_fd(&fd);
}

/* Who has lost its TLS has an acceptor that was never told of any: another configuration, another one. */
static int say_one(const struct certs *c, uint32_t service, int fd)
{
	const struct secrets_entry *e = secrets_find(c->secrets, services_name(c->services, service));
	struct link_record r = {.type = LINK_TLS, .service = service};
	OWNS_FD int facts = e && e->bundle_serial ? write_facts(e) : -1;

	return facts < 0 ? 0 : link_send(fd, &r, &facts, 1);
}

static int say_certs(struct news *news, int fd)
{
	struct certs *c = (struct certs *)news;
	int answer = 0;

	while (!answer && c->next < services_count(c->services)) {
		answer = say_one(c, c->next, fd);
		c->next += !answer;
	}
	return answer;
}

void certs_announce(struct certs *c)
{
	c->next = 0;
	outlet_push(c->outlet, &c->news);
}

/* --- what changes by itself --- */

static bool is_newer(const struct keyring_cert *c)
{
	struct stat st;

	if (stat(c->file, &st) < 0)
		return false;
	return c->stamp.device != st.st_dev || c->stamp.inode != st.st_ino ||
	       c->stamp.size != (uint64_t)st.st_size ||
	       c->stamp.mtime_ns !=
		       (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
}

static void warn(const struct secrets_entry *e, struct keyring_cert *c, uint64_t now_ms)
{
	uint64_t end_ms = c->not_after_s * 1000, left_ms = end_ms > now_ms ? end_ms - now_ms : 0;
	char file[LOG_QUOTE_BYTES], names[LOG_QUOTE_BYTES];

	if (left_ms >= (uint64_t)WARN_DAYS * DAY_MS)
		return;
	if (c->warned_wall_ms && now_ms >= c->warned_wall_ms && now_ms - c->warned_wall_ms < DAY_MS)
		return;
	c->warned_wall_ms = now_ms;
	log_event(EV_TLS_EXPIRES, "service=%s file=%s names=%s days=%u", e->keys.name,
		log_quote(c->file, file), log_quote(c->names, names), (unsigned)(left_ms / DAY_MS));
}

/* FNV-1a */
static void mix(uint64_t *digest, uint64_t number)
{
	*digest = (*digest ^ number) * 0x100000001b3u;
}

static void look_at(struct certs *c, const struct secrets_entry *e, uint64_t *digest)
{
	mix(digest, e->bundle_serial);
	mix(digest, e->tickets_serial);
	for (uint32_t i = 0; i < e->keys.cert_count; i++) {
		struct keyring_cert *cert = &e->keys.certs[i];

		cert->is_newer = is_newer(cert);
		warn(e, cert, clock_wall_ms());
		mix(digest, cert->is_newer);
	}
}

static void on_timer(void *user)
{
	struct certs *c = user;
	const struct secrets_entry *e;
	uint64_t digest = 0xcbf29ce484222325u;

	for (uint32_t i = 0; (e = secrets_at(c->secrets, i)); i++)
		look_at(c, e, &digest);
	if (digest != c->digest)
		certs_announce(c);
	c->digest = digest;
	timer_in(c->timer, EVERY_MS);
}

int certs_new(struct uv_loop_s *loop, struct secrets *secrets, const struct services *services,
	struct outlet *outlet, struct certs **ret_certs)
{
	struct certs *c = calloc(1, sizeof(*c));
	int bad;

	if (!c)
		return -ENOMEM;
	*c = (struct certs){
		.news.say = say_certs, .secrets = secrets, .services = services, .outlet = outlet};
	bad = timer_new(loop, on_timer, c, &c->timer);
	if (bad) {
		free(c);
		return bad;
	}
	timer_in(c->timer, 0);
	*ret_certs = c;
	return 0;
}

struct certs *certs_free(struct certs *c)
{
	if (!c)
		return NULL;
	outlet_forget(c->outlet, &c->news);
	timer_free(c->timer);
	free(c);
	return NULL;
}
