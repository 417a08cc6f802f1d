/* The next server.
 *
 * It is connected to when the first recipient is named, so that it says itself whom it knows, and
 * the text goes through without being kept: the client has its answer when the next server has
 * given it. What fails before the final dot is sent closes the connection, and nothing has been
 * delivered; behind it, the client is asked to try again. */
#include "worker/smtp/next.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DOES_NOT_ANSWER "451 4.4.1 The next server does not answer, try again later"
#define HAS_GONE        "451 4.4.2 The next server has gone, try again later"

void next_init(struct next *n, const struct params *p)
{
	n->params = p;
	n->wire.fd = -1;
}

static const char *lose(struct next *n, const char *reply)
{
	wire_close(&n->wire);
	n->lost = reply;
	return reply;
}

static void learn(struct next *n, const char *keyword)
{
	n->utf8 |= !strcasecmp(keyword, "SMTPUTF8");
	n->eight_bit |= !strcasecmp(keyword, "8BITMIME");
}

/* Only what may stand in a reply of ours. */
static void keep_reply(struct next *n, const char *line)
{
	snprintf(n->reply, sizeof(n->reply), "%.400s", line);
	for (char *c = n->reply; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	if (n->reply[3])
		n->reply[3] = ' ';
}

/* The last line of an answer; its first digit is 2 to 5. */
static const char *answer(struct next *n)
{
	char line[WIRE_LINE_BYTES];

	if (n->lost)
		return n->lost;
	do {
		if (wire_line(&n->wire, line) || strlen(line) < 3 || !strchr("2345", *line))
			return lose(n, HAS_GONE);
		if (line[3])
			learn(n, line + 4);
	} while (line[3] == '-');
	keep_reply(n, line);
	return strncmp(n->reply, "421", 3) ? n->reply : lose(n, HAS_GONE);
}

static const char *ask(struct next *n, const char *request)
{
	if (!n->lost && wire_send(&n->wire, request, strlen(request)))
		lose(n, HAS_GONE);
	return answer(n);
}

static const char *introduce(struct next *n)
{
	char request[300];
	const char *reply = answer(n);

	if (*reply != '2')
		return lose(n, DOES_NOT_ANSWER);
	snprintf(request, sizeof(request), "%s %s\r\n", n->params->next_lmtp ? "LHLO" : "EHLO",
		n->params->hostname);
	reply = ask(n, request);
	if (*reply == '5' && !n->params->next_lmtp) {
		memcpy(request, "HELO", 4);
		reply = ask(n, request);
	}
	return *reply == '2' ? NULL : lose(n, DOES_NOT_ANSWER);
}

/* NULL, or why there is no way. */
static const char *open_with(struct next *n, const struct envelope *e)
{
	char request[SYNTAX_TEXT_BYTES + 80];
	const char *bad;

	n->lost = NULL;
	n->utf8 = n->eight_bit = n->whole = false;
	n->answered = 0;
	n->out_len = 0;
	if (wire_connect(&n->wire, &n->params->next, n->params->timeout_ms))
		return lose(n, DOES_NOT_ANSWER);
	bad = introduce(n);
	if (bad)
		return bad;
	if (e->options.utf8 && !n->utf8)
		return lose(n, "550 5.6.7 The next server does not take SMTPUTF8");
	snprintf(request, sizeof(request), "MAIL FROM:<%s>%s%s\r\n", e->from.text,
		e->options.eight_bit && n->eight_bit ? " BODY=8BITMIME" : "",
		e->options.utf8 ? " SMTPUTF8" : "");
	bad = ask(n, request);
	return *bad == '2' ? NULL : bad;
}

const char *next_recipient(struct next *n, const struct envelope *e, const struct address *to)
{
	char request[SYNTAX_TEXT_BYTES + 20];
	const char *bad = NULL;

	if (e->count && n->params->next_lmtp && !n->params->session.lmtp)
		return "452 4.5.3 One recipient at a time"; /* each will have an answer of its own
							     */
	if (n->wire.fd < 0)
		bad = e->count ? n->lost : open_with(n, e);
	if (bad) {
		wire_close(&n->wire);
		return bad;
	}
	snprintf(request, sizeof(request), "RCPT TO:<%s>\r\n", to->text);
	return ask(n, request);
}

const char *next_begin(struct next *n)
{
	const char *reply = ask(n, "DATA\r\n");

	n->begins = true;
	n->out_len = 0;
	if (*reply == '3')
		return NULL;
	return *reply == '2' ? lose(n, HAS_GONE) : reply;
}

static void flush(struct next *n)
{
	if (!n->lost && wire_send(&n->wire, n->out, n->out_len))
		lose(n, HAS_GONE);
	n->out_len = 0;
}

static void put(struct next *n, const char *data, size_t len)
{
	while (len) {
		size_t room = sizeof(n->out) - n->out_len, take = len < room ? len : room;

		memcpy(n->out + n->out_len, data, take);
		n->out_len += take;
		data += take;
		len -= take;
		if (n->out_len == sizeof(n->out))
			flush(n);
	}
}

void next_data(struct next *n, const char *data, size_t len)
{
	while (len) {
		const char *lf = memchr(data, '\n', len);
		size_t take = lf ? (size_t)(lf - data) : len;

		if (n->begins && *data == '.')
			put(n, ".", 1);
		put(n, data, take);
		n->begins = lf != NULL;
		if (lf)
			put(n, "\r\n", 2);
		take += lf != NULL;
		data += take;
		len -= take;
	}
}

void next_end(struct next *n)
{
	put(n, ".\r\n", 3);
	flush(n);
	n->whole = true;
}

/* LMTP answers for each recipient, SMTP once. */
const char *next_verdict(struct next *n)
{
	if (!n->answered++ || n->params->next_lmtp)
		answer(n);
	return n->lost ? n->lost : *n->reply == '3' ? HAS_GONE : n->reply;
}

void next_reset(struct next *n)
{
	if (n->wire.fd >= 0 && n->whole)
		wire_send(&n->wire, "QUIT\r\n", 6);
	wire_close(&n->wire);
	n->whole = false;
}
