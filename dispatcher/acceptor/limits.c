/* The options that the table of options calls SCHEMA_TOLD. Whatever else of MSG_SETUP changes, only a new
 * worker has. */
#include "dispatcher/acceptor/limits.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/msg.h"

#include <errno.h>

/* FNV-1a */
static uint64_t digest_of(const uint8_t *data, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u;

	while (len--)
		hash = (hash ^ *data++) * 0x100000001b3u;
	return hash ? hash : 1;
}

static void put_facts(
	struct msg_writer *w, const struct settings *s, const struct service_settings *svc)
{
	const struct settings_listener *listeners = settings_listeners(s, svc);

	msg_put_u32(w, MSG_MIN_CONNS, svc->min_conns);
	msg_put_u64(w, MSG_CONN_TIMEOUT, svc->connection_ms);
	msg_put_u32(w, MSG_DEBUG, svc->debug);
	msg_put_u64(w, MSG_KILL_TIMEOUT, svc->kill_ms);
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		msg_put_text(w, MSG_LISTENER_NAME, settings_text(s, listeners[i].name));
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		if (listeners[i].tls)
			msg_put_u32(w, MSG_LISTENER_TLS, i);
}

int limits_make(struct limits *l, const struct settings *s, const struct service_settings *svc)
{
	OWNS_MEM uint8_t *buf = malloc(MSG_SETUP_BYTES);
	struct msg_writer w;
	int64_t len;

	if (!buf)
		return -ENOMEM;
	msg_begin(&w, buf, MSG_SETUP_BYTES, MSG_LIMITS);
	put_facts(&w, s, svc);
	len = msg_end(&w);
	if (len < 0)
		return (int)len;
	l->message = realloc(buf, (size_t)len);
	if (!l->message)
		return -ENOMEM;
	buf = NULL;
	l->len = (size_t)len;
	l->digest = digest_of(l->message, l->len);
	return 0;
}

int limits_send(const struct limits *l, int chan)
{
	return chan_send(chan, l->message, l->len, NULL, 0);
}
