/* Random messages, sent with DATA and in chunks, in pieces of any size: what comes out is what went
 * in; and with one CR or LF put in or taken out at random, nothing comes out that was not ended by
 * CR LF . CR LF.
 *
 * prop_smtp [SEED [MESSAGES]] */
#include "test/prop/random.h"
#include "test/unit/smtp/fake.h"

#include "common/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES   5000
#define TEXT_BYTES 400
#define HELLO      "EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n"

struct text {
	size_t len;
	char bytes[4 * TEXT_BYTES];
};

static void add(struct text *t, const char *bytes, size_t len)
{
	ASSERT(t->len + len < sizeof(t->bytes));
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	t->bytes[t->len] = '\0';
}

/* Lines that end with LF, rich in dots. */
static void make(uint64_t *random, struct text *ret)
{
	uint32_t len = random_below(random, TEXT_BYTES);

	ret->len = 0;
	while (ret->len < len)
		add(ret, &"..ab\n"[random_below(random, 5)], 1);
	add(ret, "\n", 1);
}

static void encode(const struct text *from, bool dots, struct text *ret)
{
	ret->len = 0;
	for (size_t i = 0; i < from->len; i++) {
		if (dots && from->bytes[i] == '.' && (!i || from->bytes[i - 1] == '\n'))
			add(ret, ".", 1);
		if (from->bytes[i] == '\n')
			add(ret, "\r", 1);
		add(ret, from->bytes + i, 1);
	}
}

static void feed(struct fake *f, uint64_t *random, const char *bytes, size_t len)
{
	while (len) {
		size_t piece = random_below(random, 40) + 1;

		piece = MIN(len, piece);
		fake_feed(f, bytes, piece);
		bytes += piece;
		len -= piece;
	}
}

static void send_data(struct fake *f, uint64_t *random, const struct text *t)
{
	fake_say(f, HELLO "DATA\r\n");
	feed(f, random, t->bytes, t->len);
	feed(f, random, ".\r\n", 3);
}

static void send_chunks(struct fake *f, uint64_t *random, const struct text *t)
{
	char command[40];

	fake_say(f, HELLO);
	for (size_t at = 0, size; at < t->len; at += size) {
		size = random_below(random, 60) + 1;
		size = MIN(t->len - at, size);
		snprintf(command, sizeof(command), "BDAT %zu\r\n", size);
		feed(f, random, command, strlen(command));
		feed(f, random, t->bytes + at, size);
	}
	fake_say(f, "BDAT 0 LAST\r\n");
}

static void expect(struct fake *f, const struct text *t, uint64_t seed)
{
	char log[TEXT_BYTES + 40];

	snprintf(log, sizeof(log), " > a@b: %.*s|", (int)t->len, t->bytes);
	if (strcmp(f->log, log)) {
		fprintf(stderr, "prop_smtp: seed %" PRIu64 ": %s instead of %s\n", seed, f->log,
			log);
		abort();
	}
}

/* How many ends of a message there are, by the plain words of the standard. */
static unsigned ends(const struct text *t)
{
	unsigned count = t->len >= 3 && !memcmp(t->bytes, ".\r\n", 3);

	for (size_t i = 0; i + 5 <= t->len; i++)
		count += !memcmp(t->bytes + i, "\r\n.\r\n", 5);
	return count;
}

/* One CR or LF more or less; behind the message stand commands that would send another. */
static void spoil(uint64_t *random, const struct text *t, uint64_t seed)
{
	struct fake *f = fake_new(false, false, false);
	struct text spoilt = {0};
	size_t at = random_below(random, (uint32_t)t->len);
	bool cut = t->bytes[at] == '\r' || t->bytes[at] == '\n';

	add(&spoilt, t->bytes, at);
	if (!cut)
		add(&spoilt, &"\r\n"[random_below(random, 2)], 1);
	add(&spoilt, t->bytes + at + cut, t->len - at - cut);
	add(&spoilt, ".\r\n", 3);
	fake_say(f, HELLO "DATA\r\n");
	feed(f, random, spoilt.bytes, spoilt.len);
	if (ends(&spoilt) < 2 && *f->log) {
		fprintf(stderr, "prop_smtp: seed %" PRIu64 ": a lone CR or LF is taken\n", seed);
		abort();
	}
	ASSERT(ends(&spoilt) || f->session.phase == SESSION_DATA);
	fake_free(f);
}

static void one(uint64_t seed)
{
	struct text plain, dotted, encoded;
	uint64_t random = seed;

	make(&random, &plain);
	encode(&plain, true, &dotted);
	encode(&plain, false, &encoded);
	for (int chunks = 0; chunks < 2; chunks++) {
		struct fake *f = fake_new(false, false, false);

		if (chunks)
			send_chunks(f, &random, &encoded);
		else
			send_data(f, &random, &dotted);
		expect(f, &plain, seed);
		fake_free(f);
	}
	spoil(&random, &dotted, seed);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : MESSAGES;

	while (count--)
		one(seed++);
	return 0;
}
