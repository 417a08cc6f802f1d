/* The channel blocks here: who listens is a supervisor that reads as fast as it can, and the alarm ends
 * everything if it does not. */
#include "dispatcher/keys/say.h"
#include "common/chan.h"
#include "config/tell.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

static void send_record(struct say *s, struct key_record *r, const int *fd)
{
	struct pollfd ready = {.fd = s->channel, .events = POLLOUT};
	int answer = s->bad;

	r->version = KEYS_VERSION;
	r->service = s->service;
	while (!s->bad && (answer = chan_send(s->channel, r, sizeof(*r), fd, fd ? 1 : 0)) == CHAN_FULL)
		poll(&ready, 1, 10); /* descriptors in flight free up without a word: look again */
	if (answer)
		s->bad = answer < 0 ? answer : -EPIPE;
}

/* A file that many services share is told of once. */
static bool is_new(struct say *s, const char *text)
{
	char **more;

	for (size_t i = 0; i < s->told_count; i++)
		if (!strcmp(s->told[i], text))
			return false;
	more = reallocarray(s->told, s->told_count + 1, sizeof(*more));
	if (!more)
		return true;
	s->told = more;
	more[s->told_count] = strdup(text);
	s->told_count += more[s->told_count] != NULL;
	return true;
}

PRINTF_LIKE(5, 0)
static void say(struct say *s, enum load_severity severity, bool is_dated, const char *where,
	const char *format, va_list args)
{
	struct key_record r = {.type = KEYS_MESSAGE, .severity = severity, .is_dated = is_dated};
	int len = where ? snprintf(r.text, sizeof(r.text), "%.500s: ", where) : 0;

	vsnprintf(r.text + len, sizeof(r.text) - (size_t)len, format, args);
	if (severity == LOAD_ERROR && !is_dated)
		s->errors++;
	if (is_new(s, r.text))
		send_record(s, &r, NULL);
}

void say_error(struct say *s, const char *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(s, LOAD_ERROR, false, where, format, args);
	va_end(args);
}

void say_warning(struct say *s, const char *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(s, LOAD_WARNING, false, where, format, args);
	va_end(args);
}

void say_dated(struct say *s, const char *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(s, LOAD_ERROR, true, where, format, args);
	va_end(args);
}

void say_cert(struct say *s, const char *file, const struct settings_stamp *stamp, uint64_t not_after_s,
	const char *names)
{
	struct key_record r = {.type = KEYS_CERT, .not_after_s = not_after_s, .stamp = *stamp};

	snprintf(r.text, sizeof(r.text), "%s", file);
	snprintf(r.names, sizeof(r.names), "%s", names);
	send_record(s, &r, NULL);
}

void say_bundle(struct say *s, int fd, uint64_t digest)
{
	struct key_record r = {.type = KEYS_BUNDLE, .digest = digest};

	send_record(s, &r, &fd);
}

void say_end(struct say *s)
{
	struct key_record r = {.type = KEYS_END};

	send_record(s, &r, NULL);
}

void say_free(struct say *s)
{
	for (size_t i = 0; i < s->told_count; i++)
		free(s->told[i]);
	free(s->told);
}
