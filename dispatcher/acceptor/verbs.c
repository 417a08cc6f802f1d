/* A request is checked against the table before anything is done: who asks, how many arguments, which
 * options. An option that a verb does not know is refused, so that no old dispatcher carries out half
 * of what a newer dispatcherctl asks.
 *
 * What changes something becomes an order to the supervisor, with the id that its asker has chosen; it
 * has begun when the answer says so, and how it ended is asked for by that id (results.h). */
#include "dispatcher/acceptor/verbs.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "dispatcher/acceptor/lease.h"
#include "dispatcher/acceptor/state.h"
#include "dispatcher/acceptor/status.h"
#include "dispatcher/takeover.h"

#include <ctype.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#define ID_DIGITS 16
#define MOST_MS (1ull << 40) /* 34 years */

enum option { OPTION_ID = BIT(0), OPTION_DRAIN = BIT(1), OPTION_NOW = BIT(2), OPTION_DRY = BIT(3),
	OPTION_FOR = BIT(4), OPTION_TLS = BIT(5) };

struct request {
	struct acceptor *acceptor;
	const struct verbs_asker *who;
	const char *verb;
	const char *argument; /* NULL: none */
	uint64_t id, drain_ms, for_ms; /* UINT64_MAX: none was given */
	bool now, dry_run, tls;
};

static void refuse(struct answer *an, int status, const char *format, ...) PRINTF_LIKE(3, 4);

static void refuse(struct answer *an, int status, const char *format, ...)
{
	char error[256];
	va_list args;

	va_start(args, format);
	vsnprintf(error, sizeof(error), format, args);
	va_end(args);
	answer_head(an, status, error, NULL);
}

/* --- names --- */

static struct service *find_service(struct acceptor *a, const char *name)
{
	for (uint32_t i = 0; i < a->service_count; i++)
		if (!strcasecmp(a->services[i].name, name))
			return &a->services[i];
	return NULL;
}

/* The worker "smtp/7"; NULL: that is none. */
static struct slot *find_worker(struct acceptor *a, const char *id, struct service **ret_service)
{
	const char *slash = strrchr(id, '/');
	char name[128];
	uint64_t serial;

	if (!slash || (size_t)(slash - id) >= sizeof(name) || parse_u64(slash + 1, &serial) || !serial)
		return NULL;
	snprintf(name, sizeof(name), "%.*s", (int)(slash - id), id);
	*ret_service = find_service(a, name);
	for (uint32_t i = 0; *ret_service && i < (*ret_service)->slot_count; i++)
		if ((*ret_service)->slots[i].serial == serial)
			return &(*ret_service)->slots[i];
	return NULL;
}

static void refuse_worker(const struct request *q, struct answer *an)
{
	refuse(an, ANSWER_REFUSED, "there is no worker %.80s", q->argument);
}

static struct service *service_or_refuse(const struct request *q, struct answer *an)
{
	struct service *svc = find_service(q->acceptor, q->argument);

	if (!svc)
		refuse(an, ANSWER_REFUSED, "there is no service %.80s", q->argument);
	return svc;
}

/* --- to look --- */

static void do_status(const struct request *q, struct answer *an)
{
	if (q->argument) {
		an->only = service_or_refuse(q, an);
		if (!an->only)
			return;
	}
	answer_head(an, ANSWER_DONE, NULL, NULL);
	an->more = status_more;
}

static void do_connections(const struct request *q, struct answer *an)
{
	struct service *svc = NULL;
	struct slot *s;

	if (q->argument && strchr(q->argument, '/')) {
		s = find_worker(q->acceptor, q->argument, &svc);
		if (!s) {
			refuse_worker(q, an);
			return;
		}
		an->only_serial = s->serial;
	} else if (q->argument) {
		svc = service_or_refuse(q, an);
		if (!svc)
			return;
	}
	an->only = svc;
	answer_head(an, ANSWER_DONE, NULL, NULL);
	an->more = status_connections_more;
}

static void do_config(const struct request *q, struct answer *an)
{
	OWNS_MEM char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int missing = out ? settings_print(q->acceptor->settings, q->argument, out) : -ENOMEM;

	if (out)
		fclose(out);
	if (missing) {
		refuse(an, ANSWER_REFUSED, "there is no service %.80s", q->argument ? q->argument : "");
		return;
	}
	answer_head(an, ANSWER_DONE, NULL, NULL);
	answer_add(an, text);
}

static void do_version(const struct request *q, struct answer *an)
{
	answer_head(an, ANSWER_DONE, NULL, NULL);
	answer_add(an, VERSION "\n");
}

static bool read_id(const char *text, uint64_t *ret_id)
{
	uint64_t id = 0;

	for (size_t i = 0; i < ID_DIGITS; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
		id = id << 4 | (uint64_t)(isdigit((unsigned char)text[i]) ? text[i] - '0' :
				tolower((unsigned char)text[i]) - 'a' + 10);
	}
	*ret_id = id;
	return id && !text[ID_DIGITS];
}

/* null as long as nothing is known. */
static void do_result(const struct request *q, struct answer *an)
{
	uint64_t id;
	const struct result *r;
	OWNS_MEM char *text = NULL;
	json_t *document;

	if (!read_id(q->argument, &id)) {
		refuse(an, ANSWER_USAGE, "an id has %d hexadecimal digits and is not 0", ID_DIGITS);
		return;
	}
	r = results_find(&q->acceptor->results, id);
	document = r ? status_result(r) : json_null();
	text = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(document);
	answer_head(an, ANSWER_DONE, NULL, NULL);
	answer_add(an, text ? text : "null");
	answer_add(an, "\n");
}

/* --- to change something --- */

/* Sends the order on; the supervisor logs it. */
static void order(const struct request *q, struct answer *an, struct link_record *r)
{
	struct uplink *u = &q->acceptor->uplink;

	if (!u->alive) {
		refuse(an, ANSWER_REFUSED,
			"the supervisor is gone: nothing can be changed before a dispatcher is started anew");
		return;
	}
	r->id = q->id;
	snprintf(r->text, sizeof(r->text), "uid=%u pid=%d", q->who->uid, q->who->pid);
	if (!uplink_operate(u, r)) {
		refuse(an, ANSWER_REFUSED, "too many orders wait for the supervisor: ask again");
		return;
	}
	answer_head(an, ANSWER_DONE, NULL, ",\"running\":true");
}

static uint64_t deadline_ms(const struct request *q)
{
	return q->now ? 0 : q->drain_ms;
}

static void order_service(const struct request *q, struct answer *an, enum link_type type, uint32_t lasts)
{
	struct service *svc = service_or_refuse(q, an);
	struct link_record r = {.type = (uint16_t)type, .number = lasts, .deadline_ms = deadline_ms(q)};

	if (!svc)
		return;
	r.service = svc->index;
	order(q, an, &r);
}

static void order_worker(const struct request *q, struct answer *an, enum link_type type, uint32_t number)
{
	struct service *svc = NULL;
	struct slot *s = find_worker(q->acceptor, q->argument, &svc);
	struct link_record r = {.type = (uint16_t)type, .number = number, .deadline_ms = deadline_ms(q)};

	if (!s) {
		refuse_worker(q, an);
		return;
	}
	r.service = svc->index;
	r.slot = s->index;
	r.serial = s->serial;
	order(q, an, &r);
}

static bool is_the_acceptor(const struct request *q)
{
	return !find_service(q->acceptor, q->argument) &&
		(!strcasecmp(q->argument, "acceptor") || !strcasecmp(q->argument, "dispatcher"));
}

static void do_restart(const struct request *q, struct answer *an)
{
	struct link_record renew = {.type = LINK_RENEW};

	if (strchr(q->argument, '/'))
		order_worker(q, an, LINK_RESTART, 0);
	else if (is_the_acceptor(q))
		order(q, an, &renew);
	else
		order_service(q, an, LINK_RESTART, 0);
}

/* Of everything: has no result, as nobody will be left to ask. */
static void shutdown_all(const struct request *q, struct answer *an)
{
	struct acceptor *a = q->acceptor;

	log_event(EV_CONTROL, "verb=%s uid=%u pid=%d", q->verb, q->who->uid, q->who->pid);
	if (a->uplink.alive)
		uplink_shutdown(&a->uplink, q->now, q->drain_ms);
	else /* nobody is left to tell: workers finish at the end of their channel */
		an->is_last = true;
	answer_head(an, ANSWER_DONE, NULL, ",\"running\":true");
}

static void do_shutdown(const struct request *q, struct answer *an)
{
	if (!q->argument)
		shutdown_all(q, an);
	else if (!q->id)
		refuse(an, ANSWER_USAGE, "an id is missing");
	else
		order_service(q, an, LINK_CLOSE, LINK_LASTS_SHUTDOWN);
}

static void do_start(const struct request *q, struct answer *an)
{
	order_service(q, an, LINK_START, LINK_LASTS_SHUTDOWN);
}

static void do_enable(const struct request *q, struct answer *an)
{
	order_service(q, an, LINK_START, LINK_LASTS_DISABLE);
}

static void do_disable(const struct request *q, struct answer *an)
{
	order_service(q, an, LINK_CLOSE, LINK_LASTS_DISABLE);
}

static void do_kill(const struct request *q, struct answer *an)
{
	order_worker(q, an, LINK_RECORD, SIGKILL);
}

static void do_reload(const struct request *q, struct answer *an)
{
	struct link_record r = {.type = LINK_RELOAD, .number = (q->dry_run ? LINK_RELOAD_DRY : 0) |
			(q->tls ? LINK_RELOAD_TLS : 0)};

	order(q, an, &r);
}

static void do_upgrade(const struct request *q, struct answer *an)
{
	struct link_record r = {.type = LINK_UPGRADE};

	order(q, an, &r);
}

static void do_reopen(const struct request *q, struct answer *an)
{
	struct link_record r = {.type = LINK_REOPEN};

	order(q, an, &r);
}

/* --- blocks --- */

/* False: it has refused. */
static bool read_prefix(const struct request *q, struct answer *an, struct ledger_block *ret_block)
{
	if (blocks_parse(q->argument, ret_block)) {
		refuse(an, ANSWER_USAGE, "%.80s is no prefix, as 192.0.2.0/24 or 2001:db8::/32", q->argument);
		return false;
	}
	return true;
}

static void say_block(const struct request *q, struct answer *an, const struct ledger_block *block)
{
	char prefix[BLOCKS_TEXT_BYTES], line[BLOCKS_TEXT_BYTES + 64];

	blocks_format(block, prefix);
	log_event(EV_CONTROL, "verb=%s prefix=%s uid=%u pid=%d", q->verb, prefix, q->who->uid, q->who->pid);
	snprintf(line, sizeof(line), "%s is %sed\n", prefix, q->verb);
	answer_head(an, ANSWER_DONE, NULL, NULL);
	answer_add(an, line);
}

static void do_block(const struct request *q, struct answer *an)
{
	uint64_t now_ms = clock_mono_ms();
	struct ledger_block block;

	if (!read_prefix(q, an, &block))
		return;
	block.since_wall_ms = clock_wall_ms();
	block.until_ms = q->for_ms == UINT64_MAX ? CLOCK_NEVER : now_ms + q->for_ms;
	if (blocks_add(&q->acceptor->blocks, &block, now_ms))
		refuse(an, ANSWER_REFUSED, "%d prefixes are blocked: no more can be", LEDGER_BLOCKS);
	else
		say_block(q, an, &block);
}

static void do_unblock(const struct request *q, struct answer *an)
{
	struct ledger_block block;

	if (!read_prefix(q, an, &block))
		return;
	if (blocks_remove(&q->acceptor->blocks, &block))
		refuse(an, ANSWER_REFUSED, "%.80s is not blocked", q->argument);
	else
		say_block(q, an, &block);
}

/* --- to be succeeded --- */

static void do_takeover(const struct request *q, struct answer *an)
{
	const char *refusal = lease_refusal(q->acceptor, q->who->uid);

	if (refusal) {
		refuse(an, ANSWER_REFUSED, "%s", refusal);
		return;
	}
	log_event(EV_CONTROL, "verb=%s uid=%u pid=%d", q->verb, q->who->uid, q->who->pid);
	answer_head(an, ANSWER_DONE, NULL, NULL);
	an->then = lease_begin;
}

/* --- the table --- */

static const struct verb {
	const char *name;
	enum verbs_role role;
	unsigned least, most; /* arguments */
	unsigned takes, needs; /* options */
	void (*run)(const struct request *q, struct answer *an);
} verbs[] = {
	{"status", ROLE_STATUS, 0, 1, 0, 0, do_status},
	{"version", ROLE_STATUS, 0, 0, 0, 0, do_version},
	{"connections", ROLE_ADMIN, 0, 1, 0, 0, do_connections},
	{"config", ROLE_ADMIN, 0, 1, 0, 0, do_config},
	{"result", ROLE_ADMIN, 1, 1, 0, 0, do_result},
	{"restart", ROLE_ADMIN, 1, 1, OPTION_ID | OPTION_DRAIN | OPTION_NOW, OPTION_ID, do_restart},
	{"shutdown", ROLE_ADMIN, 0, 1, OPTION_ID | OPTION_DRAIN | OPTION_NOW, 0, do_shutdown},
	{"start", ROLE_ADMIN, 1, 1, OPTION_ID, OPTION_ID, do_start},
	{"enable", ROLE_ADMIN, 1, 1, OPTION_ID, OPTION_ID, do_enable},
	{"disable", ROLE_ADMIN, 1, 1, OPTION_ID | OPTION_DRAIN | OPTION_NOW, OPTION_ID, do_disable},
	{"kill", ROLE_ADMIN, 1, 1, OPTION_ID, OPTION_ID, do_kill},
	{"reload", ROLE_ADMIN, 0, 0, OPTION_ID | OPTION_DRY | OPTION_TLS, OPTION_ID, do_reload},
	{"upgrade", ROLE_ADMIN, 0, 0, OPTION_ID, OPTION_ID, do_upgrade},
	{"reopen", ROLE_ADMIN, 0, 0, OPTION_ID, OPTION_ID, do_reopen},
	{"block", ROLE_ADMIN, 1, 1, OPTION_FOR, 0, do_block},
	{"unblock", ROLE_ADMIN, 1, 1, 0, 0, do_unblock},
	{TAKEOVER_VERB, ROLE_ADMIN, 0, 0, 0, 0, do_takeover},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

/* --- options --- */

static bool read_ms(const json_t *value, uint64_t *ret_ms)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		(uint64_t)json_integer_value(value) > MOST_MS)
		return false;
	*ret_ms = (uint64_t)json_integer_value(value);
	return true;
}

/* Which option, 0: none of them, or its value makes no sense. */
static unsigned read_option(const char *key, const json_t *value, struct request *q)
{
	const char *text = json_string_value(value);

	if (!strcmp(key, "id") && text && read_id(text, &q->id))
		return OPTION_ID;
	if (!strcmp(key, "drain_ms") && read_ms(value, &q->drain_ms))
		return OPTION_DRAIN;
	if (!strcmp(key, "for_ms") && read_ms(value, &q->for_ms))
		return OPTION_FOR;
	if (!strcmp(key, "now") && json_is_boolean(value)) {
		q->now = json_is_true(value);
		return OPTION_NOW;
	}
	if (!strcmp(key, "dry_run") && json_is_boolean(value)) {
		q->dry_run = json_is_true(value);
		return OPTION_DRY;
	}
	if (!strcmp(key, "tls") && json_is_boolean(value)) {
		q->tls = json_is_true(value);
		return OPTION_TLS;
	}
	return 0;
}

/* False when it has refused. */
static bool read_options(const struct verb *verb, json_t *json, struct request *q, struct answer *an)
{
	unsigned given = 0;
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value) {
		unsigned option;

		if (!strcmp(key, "verb") || !strcmp(key, "args"))
			continue;
		option = read_option(key, value, q);
		if (!(option & verb->takes)) {
			refuse(an, ANSWER_USAGE, "%s does not take %.40s, or not with this value", verb->name,
				key);
			return false;
		}
		given |= option;
	}
	if (verb->needs & ~given)
		refuse(an, ANSWER_USAGE, "an id is missing");
	return !(verb->needs & ~given);
}

static bool read_arguments(const struct verb *verb, const json_t *args, struct request *q,
	struct answer *an)
{
	size_t count = json_array_size(args);

	q->argument = json_string_value(json_array_get(args, 0));
	if (count >= verb->least && count <= verb->most && (!count || q->argument))
		return true;
	refuse(an, ANSWER_USAGE, "%s: %s", verb->name,
		count > verb->most ? "too many arguments" : "an argument is missing");
	return false;
}

void verbs_run(struct acceptor *a, const struct verbs_asker *who, const char *line, size_t len,
	struct answer *an)
{
	json_t *json = json_loadb(line, len, 0, NULL);
	const struct verb *verb = find_verb(json_string_value(json_object_get(json, "verb")));
	struct request q = {.acceptor = a, .who = who, .drain_ms = UINT64_MAX, .for_ms = UINT64_MAX};

	*an = (struct answer){.acceptor = a};
	log_debug(LOG_STATISTICS, "verb=%s uid=%u pid=%d", verb ? verb->name : "unknown", who->uid, who->pid);
	if (!verb) {
		refuse(an, ANSWER_USAGE, "unknown verb");
	} else if (who->role < verb->role) {
		refuse(an, ANSWER_REFUSED, "%s: only root, the dispatcher's own user and ADMIN_GROUP may",
			verb->name);
	} else {
		q.verb = verb->name;
		if (read_options(verb, json, &q, an) &&
			read_arguments(verb, json_object_get(json, "args"), &q, an))
			verb->run(&q, an);
	}
	json_decref(json);
}
