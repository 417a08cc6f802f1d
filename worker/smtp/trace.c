/* RFC 5321 4.4: what came from the client stands where the standard wants it, and was checked to be
 * a name or a literal before. With several recipients none is named, as all of them can read it. */
#include "worker/smtp/trace.h"

#include <stdarg.h>
#include <stdio.h>

static size_t add(char *text, size_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static size_t add(char *text, size_t at, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text + at, TRACE_BYTES - at, format, args);
	va_end(args);
	return at + (size_t)len < TRACE_BYTES ? at + (size_t)len : TRACE_BYTES - 1;
}

/* The names of RFC 3848 and 6531: ESMTPSA, UTF8LMTPS, ... */
static size_t add_protocol(char *text, size_t at, const struct session *s)
{
	const struct envelope *e = &s->envelope;
	const char *base = s->options->lmtp ? "LMTP" : e->extended ? "ESMTP" : "SMTP";

	if (e->options.utf8)
		base = s->options->lmtp ? "UTF8LMTP" : "UTF8SMTP";
	return add(text, at, " with %s%s%s", base, s->tls ? "S" : "", s->authenticated ? "A" : "");
}

size_t trace_write(const struct trace *t, const struct session *s, char ret_text[TRACE_BYTES])
{
	const struct envelope *e = &s->envelope;
	struct tm local;
	char date[64];
	size_t at = 0;

	if (t->is_last)
		at = add(ret_text, at, "Return-Path: <%s>\n", e->from.text);
	at = add(ret_text, at, "Received: from %s", e->helo);
	if (*t->client)
		at = add(ret_text, at, " ([%s])", t->client);
	at = add(ret_text, at, "\n\tby %s", s->options->hostname);
	at = add_protocol(ret_text, at, s);
	at = add(ret_text, at, " id %s", t->id);
	if (t->tls)
		at = add(ret_text, at, "\n\t(%s)", t->tls);
	if (e->count == 1)
		at = add(ret_text, at, "\n\tfor <%s>", e->to->text);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S %z", localtime_r(&t->when, &local));
	return add(ret_text, at, "; %s\n", date);
}
