/* A session without STARTTLS: whatever the bytes, and however they are cut into pieces, it answers
 * the same and takes the same messages; what it promises its owner is asserted by the fake one. */
#include "test/fuzz/target.h"
#include "test/unit/smtp/fake.h"

#include "common/base.h"

#include <string.h>

static struct fake *begin(uint8_t kind)
{
	struct fake *f = fake_new(kind & 1, false, kind & 2);

	f->options.auth = kind & 4;
	f->options.errors = kind & 8 ? 3 : 1000;
	f->begin_reply = kind & 16 ? "452 4.3.1 Full" : NULL;
	return f;
}

/* Lines of three digits, a blank or hyphen, and printable text; only a session that ends says 421.
 */
static void check_replies(const struct fake *f)
{
	for (const char *at = f->replies, *end; *at; at = end + 2) {
		end = strstr(at, "\r\n");
		ASSERT(end && end - at >= 4 && strchr("2345", *at) &&
			(at[3] == ' ' || at[3] == '-'));
		ASSERT(strncmp(at, "421", 3) || (!end[2] && f->session.phase == SESSION_OVER));
		for (const char *c = at; c < end; c++)
			ASSERT((unsigned char)*c >= ' ' && *c != 0x7f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake *whole, *cut;
	size_t step;

	if (size < 2)
		return 0;
	whole = begin(data[0]);
	cut = begin(data[0]);
	step = data[1] % 9 + 1;
	data += 2;
	size -= 2;
	fake_feed(whole, (const char *)data, size);
	for (size_t at = 0; at < size; at += step)
		fake_feed(cut, (const char *)data + at, MIN(step, size - at));
	ASSERT(!strcmp(whole->replies, cut->replies));
	ASSERT(!strcmp(whole->log, cut->log));
	ASSERT(whole->session.phase == cut->session.phase);
	check_replies(whole);
	fake_free(whole);
	fake_free(cut);
	return 0;
}
