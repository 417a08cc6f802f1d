/* Everything that a session promises its owner is asserted here, so that each test checks it. */
#include "test/unit/smtp/fake.h"

#include "common/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep(char *to, size_t *len, size_t size, const char *data, size_t more)
{
	more = MIN(more, size - 1 - *len);
	memcpy(to + *len, data, more);
	*len += more;
	to[*len] = '\0';
}

static void write_down(struct fake *f, const char *text)
{
	keep(f->log, &f->log_len, sizeof(f->log), text, strlen(text));
}

static void on_send(void *arg, const char *replies, size_t len)
{
	struct fake *f = arg;

	ASSERT(len && len < SESSION_OUT_BYTES);
	ASSERT(replies[len - 2] == '\r' && replies[len - 1] == '\n');
	keep(f->replies, &f->replies_len, sizeof(f->replies), replies, len);
}

static const char *on_recipient(void *arg, const struct envelope *e, struct address *to)
{
	struct fake *f = arg;

	ASSERT(f->session.mail && e->count < f->options.recipients && *e->helo);
	ASSERT(*to->local && (*to->domain || !strcasecmp(to->local, "postmaster")));
	for (const char *c = to->text; *c; c++)
		ASSERT((unsigned char)*c >= ' ' && *c != 0x7f);
	if (*to->local == 'x')
		return "550 5.1.1 No such recipient";
	return *to->local == 'y' ? "451 4.3.0 Later" : "250 2.1.5 Recipient OK";
}

static const char *on_begin(void *arg, const struct envelope *e)
{
	struct fake *f = arg;

	ASSERT(!f->begun && e->count);
	f->begun = !f->begin_reply;
	f->text_len = 0;
	*f->text = '\0';
	return f->begin_reply;
}

static void on_data(void *arg, const char *data, size_t len)
{
	struct fake *f = arg;

	ASSERT(f->begun && len && !memchr(data, '\r', len));
	keep(f->text, &f->text_len, sizeof(f->text), data, len);
}

static void on_end(void *arg, const struct envelope *e)
{
	struct fake *f = arg;

	ASSERT(f->begun && e->count);
	ASSERT(!f->text_len || f->text[f->text_len - 1] == '\n');
	ASSERT(!memchr(f->text, '\r', f->text_len));
	ASSERT(f->text_len <= f->options.size);
	write_down(f, e->from.text);
	for (unsigned i = 0; i < e->count; i++) {
		write_down(f, i ? ", " : " > ");
		write_down(f, e->to[i].text);
	}
	write_down(f, ": ");
	keep(f->log, &f->log_len, sizeof(f->log), f->text, f->text_len);
	write_down(f, "|");
	f->begun = false;
}

static const char *on_verdict(void *arg, unsigned recipient)
{
	struct fake *f = arg;

	ASSERT(!f->begun && recipient < f->session.envelope.count);
	return "250 2.0.0 Stored";
}

static void on_reset(void *arg)
{
	struct fake *f = arg;

	f->begun = false;
}

static const char *on_auth(void *arg, const char *mechanism, const char *response)
{
	struct fake *f = arg;

	ASSERT(f->session.tls && f->options.auth && !f->session.authenticated);
	ASSERT(!response || syntax_is_base64(response));
	if (mechanism && !response)
		return "334 ";
	if (!response)
		return "501 5.7.0 Cancelled";
	return strcmp(response, "Z29vZA==") ? "535 5.7.8 No" : "235 2.7.0 Welcome";
}

static const struct session_ops ops = {.send = on_send,
	.recipient = on_recipient,
	.begin = on_begin,
	.data = on_data,
	.end = on_end,
	.verdict = on_verdict,
	.reset = on_reset,
	.auth = on_auth};

struct fake *fake_new(bool lmtp, bool starttls, bool tls)
{
	struct fake *f = malloc(sizeof(*f));

	ASSERT(f);
	f->options = (struct session_options){.hostname = "mx.example.org",
		.lmtp = lmtp,

		.size = 2000,
		.recipients = 3,
		.errors = 1000000};
	f->begin_reply = NULL;
	f->begun = false;
	f->replies_len = f->text_len = f->log_len = 0;
	*f->replies = *f->text = *f->log = '\0';
	session_init(&f->session, &f->options, &ops, f);
	session_set_tls(&f->session, tls, starttls);
	return f;
}

struct fake *fake_free(struct fake *f)
{
	session_deinit(&f->session);
	ASSERT(!f->begun);
	free(f);
	return NULL;
}

void fake_feed(struct fake *f, const char *data, size_t len)
{
	session_feed(&f->session, data, len);
	session_flush(&f->session);
}

void fake_say(struct fake *f, const char *text)
{
	fake_feed(f, text, strlen(text));
}

const char *fake_replies(struct fake *f)
{
	f->replies_len = 0;
	return f->replies;
}
