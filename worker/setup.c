/* MSG_SETUP as plain C strings. Every text fact has a head of eight bytes in the record, so an
 * arena of the record's size holds all texts with their NUL. Two passes: count the lists, then fill
 * them. */
#include "worker/setup.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct counts {
	size_t params, command, listeners, secret;
};

static int read_u32(const struct msg_value *v, unsigned *ret_number)
{
	uint32_t number;

	if (msg_u32(v, &number))
		return -EBADMSG;
	*ret_number = number;
	return 0;
}

int setup_number(struct setup *s, const struct msg_value *v)
{
	switch (v->fact) {
	case MSG_WORKER:
		return msg_u32(v, &s->serial);
	case MSG_MAX_CONNS_FACT:
		return read_u32(v, &s->limits.max_conns);
	case MSG_MIN_CONNS:
		return read_u32(v, &s->limits.min_conns);
	case MSG_STACKSIZE:
		return msg_u64(v, &s->limits.stacksize);
	case MSG_CONN_TIMEOUT:
		return msg_u64(v, &s->limits.connection_timeout_ms);
	case MSG_KILL_TIMEOUT:
		return msg_u64(v, &s->limits.kill_timeout_ms);
	case MSG_DEBUG:
		return msg_u32(v, &s->debug);
	case MSG_RING:
		return msg_u32(v, &s->ring_len);
	default:
		return 0;
	}
}

static int count_facts(struct msg_reader r, struct counts *c)
{
	struct msg_value v;
	int more;

	while ((more = msg_next(&r, &v)) > 0) {
		c->params += v.fact == MSG_PARAMETER;
		c->command += v.fact == MSG_ARGUMENT;
		c->listeners += v.fact == MSG_LISTENER_NAME;
		c->secret += v.fact == MSG_LISTENER_TLS;
	}
	return more;
}

static char *keep_text(char **next, const struct msg_value *v)
{
	char *text = *next;

	memcpy(text, v->data, v->len_bytes);
	text[v->len_bytes] = '\0';
	*next += v->len_bytes + 1;
	return text;
}

/* As counted. */
static int read_secret(struct msg_reader r, size_t count, uint32_t **ret_secret)
{
	uint32_t *secret = calloc(count + 1, sizeof(*secret));
	struct msg_value v;
	size_t at = 0;

	if (!secret)
		return -ENOMEM;
	while (msg_next(&r, &v) > 0)
		if (v.fact == MSG_LISTENER_TLS && msg_u32(&v, &secret[at++])) {
			free(secret);
			return -EBADMSG;
		}
	*ret_secret = secret;
	return 0;
}

static int fill(struct setup *s, struct msg_reader r)
{
	char **param = s->params, **word = s->command, *next = s->arena;
	struct msg_value v;

	while (msg_next(&r, &v) > 0) {
		if (v.fact == MSG_SERVICE)
			s->service = keep_text(&next, &v);
		else if (v.fact == MSG_PARAMETER)
			*param++ = keep_text(&next, &v);
		else if (v.fact == MSG_ARGUMENT)
			*word++ = keep_text(&next, &v);
		else if (v.fact == MSG_LISTENER_NAME)
			s->listeners[s->listener_count++] = keep_text(&next, &v);
		else if (setup_number(s, &v))
			return -EBADMSG;
	}
	return s->service && s->limits.max_conns ? 0 : -EBADMSG;
}

int setup_init(struct setup *s, const void *buf, size_t len_bytes)
{
	struct counts c = {0};
	struct msg_reader r;
	int bad = msg_open(&r, buf, len_bytes);

	*s = (struct setup){0};
	if (bad || r.type != MSG_SETUP || count_facts(r, &c))
		return -EBADMSG;
	s->arena = malloc(len_bytes);
	s->params = calloc(c.params + 1, sizeof(char *));
	s->command = calloc(c.command + 1, sizeof(char *));
	s->listeners = calloc(c.listeners + 1, sizeof(char *));
	bad = s->arena && s->params && s->command && s->listeners ? fill(s, r) : -ENOMEM;
	if (!bad)
		bad = read_secret(r, c.secret, &s->secret);
	s->secret_count = (unsigned)c.secret;
	if (bad)
		setup_deinit(s);
	return bad;
}

const char *setup_listener(const struct setup *s, uint32_t index)
{
	return index < s->listener_count ? s->listeners[index] : "";
}

bool setup_listener_tls(const struct setup *s, uint32_t index)
{
	for (unsigned i = 0; i < s->secret_count; i++)
		if (s->secret[i] == index)
			return true;
	return false;
}

struct setup_name {
	struct setup_name *next;
	char text[];
};

/* A name as it was first heard; NULL: no memory. Few names come, however often they do. */
static char *heard_name(struct setup *s, const struct msg_value *v)
{
	struct setup_name *name;

	for (name = s->heard; name; name = name->next)
		if (strlen(name->text) == v->len_bytes &&
			!memcmp(name->text, v->data, v->len_bytes))
			return name->text;
	name = malloc(sizeof(*name) + v->len_bytes + 1);
	if (!name)
		return NULL;
	memcpy(name->text, v->data, v->len_bytes);
	name->text[v->len_bytes] = '\0';
	name->next = s->heard;
	s->heard = name;
	return name->text;
}

/* As counted, all of them; NULL: no memory. */
static char **read_names(struct setup *s, struct msg_reader r, size_t count)
{
	char **names = calloc(count + 1, sizeof(char *));
	struct msg_value v;
	size_t at = 0;

	while (names && msg_next(&r, &v) > 0) {
		if (v.fact != MSG_LISTENER_NAME)
			continue;
		names[at] = heard_name(s, &v);
		if (!names[at++])
			break;
	}
	if (names && names[count - 1])
		return names;
	free(names);
	return NULL;
}

int setup_listeners(struct setup *s, struct msg_reader r)
{
	struct counts c = {0};
	uint32_t *secret;
	char **names;
	int bad;

	if (count_facts(r, &c))
		return -EBADMSG;
	if (!c.listeners)
		return 0;
	bad = read_secret(r, c.secret, &secret);
	if (bad)
		return bad;
	names = read_names(s, r, c.listeners);
	if (!names) {
		free(secret);
		return -ENOMEM;
	}
	free(s->listeners);
	free(s->secret);
	s->listeners = names;
	s->listener_count = (unsigned)c.listeners;
	s->secret = secret;
	s->secret_count = (unsigned)c.secret;
	return 0;
}

void setup_deinit(struct setup *s)
{
	while (s->heard) {
		struct setup_name *name = s->heard;

		s->heard = name->next;
		free(name);
	}
	free(s->arena);
	free(s->params);
	free(s->command);
	free(s->listeners);
	free(s->secret);
	*s = (struct setup){0};
}

const char *setup_param(const struct setup *s, const char *name)
{
	size_t len = strlen(name);
	const char *value = NULL;

	for (char **p = s->params; *p; p++)
		if (!strncasecmp(*p, name, len) && (*p)[len] == '=')
			value = *p + len + 1;
	return value;
}
