/* A session with STARTTLS, its input in packets (each ends with a byte 255): nothing of the packet
 * that asked for TLS is run behind it, and behind the handshake the session is like one that began
 * with TLS, whatever was said before. */
#include "test/fuzz/target.h"
#include "test/unit/smtp/fake.h"

#include "common/base.h"

#include <string.h>

static struct fake *begin(uint8_t kind, bool tls)
{
	struct fake *f = fake_new(kind & 1, true, tls);

	f->options.auth = kind & 2;
	return f;
}

/* The packet at *data. */
static size_t packet(const uint8_t **data, const uint8_t *end, const char **ret_bytes)
{
	const uint8_t *stop = memchr(*data, 255, (size_t)(end - *data));

	*ret_bytes = (const char *)*data;
	*data = stop ? stop + 1 : end;
	return (size_t)((stop ? stop : end) - (const uint8_t *)*ret_bytes);
}

static void compare(struct fake *after, uint8_t kind, const uint8_t *data, const uint8_t *end)
{
	struct fake *fresh = begin(kind, true);

	session_secured(&after->session);
	ASSERT(!after->begun);
	fake_replies(after);
	*after->replies = *after->log = '\0';
	after->log_len = 0;
	while (data < end) {
		const char *bytes;
		size_t len = packet(&data, end, &bytes);

		fake_feed(after, bytes, len);
		fake_feed(fresh, bytes, len);
		ASSERT(after->session.phase != SESSION_TLS);
	}
	ASSERT(!strcmp(after->replies, fresh->replies) && !strcmp(after->log, fresh->log));
	ASSERT(after->session.phase == fresh->session.phase);
	fake_free(fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	uint8_t kind = size ? *data++ : 0;
	struct fake *f = begin(kind, false);

	while (data < end && f->session.phase != SESSION_TLS) {
		const char *bytes;
		size_t len = packet(&data, end, &bytes);

		fake_feed(f, bytes, len);
		if (f->session.phase == SESSION_TLS)
			ASSERT(len && bytes[len - 1] == '\n' && !f->session.rest);
	}
	ASSERT(!f->session.authenticated); /* there has been no TLS */
	if (f->session.phase == SESSION_TLS)
		compare(f, kind, data, end);
	fake_free(f);
	return 0;
}
