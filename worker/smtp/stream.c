/* Bytes of a client to lines and text.
 *
 * What ends a line is CR LF and nothing else, what ends a message is CR LF . CR LF. A server that
 * takes less can be made to see two messages where the one before it saw one. So a lone CR or LF
 * ends nothing here, and is remembered: the command or the message will be refused. */
#include "worker/smtp/stream.h"

#include <string.h>

int line_feed(struct line *l, const char *data, size_t len, size_t *ret_used)
{
	size_t at = 0;
	int answer = LINE_MORE;

	if (l->is_done)
		l->len = 0;
	while (at < len && answer == LINE_MORE) {
		char c = data[at++];

		if (l->cr != (c == '\n'))
			answer = LINE_BARE;
		else if (c == '\n')
			answer = l->is_long ? LINE_TOO_LONG : LINE_DONE;
		else if (c == '\r')
			l->cr = true;
		else if (l->len < sizeof(l->text) - 2)
			l->text[l->len++] = c;
		else
			l->is_long = true;
	}
	*ret_used = at;
	l->is_done = answer != LINE_MORE;
	if (l->is_done)
		l->cr = l->is_long = false;
	l->text[l->len] = '\0';
	return answer;
}

enum { BEGIN, DOT, DOT_CR, TEXT, TEXT_CR, END };

void body_begin(struct body *b, void (*give)(void *, const char *, size_t), void *arg)
{
	*b = (struct body){.state = BEGIN, .give = give, .arg = arg};
}

static void give(struct body *b, const char *data, size_t len)
{
	b->size += len;
	b->give(b->arg, data, len);
}

static uint8_t line_end(struct body *b)
{
	b->size += 2;
	b->give(b->arg, "\n", 1);
	return BEGIN;
}

/* A CR that turned out to stand alone: kept, so that nothing is hidden, and refused later. */
static uint8_t lone_cr(struct body *b)
{
	b->bare = true;
	give(b, "\r", 1);
	return TEXT;
}

/* Text up to the next CR or LF; how much that was. */
static size_t run(struct body *b, const char *data, size_t len)
{
	const char *lf = memchr(data, '\n', len), *cr;

	if (lf)
		len = (size_t)(lf - data);
	cr = memchr(data, '\r', len);
	if (cr)
		len = (size_t)(cr - data);
	if (len)
		give(b, data, len);
	return len;
}

/* One byte that a state other than plain text must look at; false: it is text, look again. */
static bool step(struct body *b, char c)
{
	bool crs = b->state == TEXT_CR || b->state == DOT_CR;

	if (crs && c != '\n') {
		b->state = lone_cr(b);
		return false;
	}
	if (b->state == DOT_CR)
		b->state = END;
	else if (b->state == TEXT_CR)
		b->state = line_end(b);
	else if (c == '\r')
		b->state = b->state == DOT ? DOT_CR : TEXT_CR;
	else if (c == '\n')
		b->bare = true, give(b, &c, 1), b->state = TEXT;
	else
		return false;
	return true;
}

static size_t feed(struct body *b, const char *data, size_t len, bool dots)
{
	size_t at = 0;

	while (at < len && b->state != END) {
		if (dots && b->state == BEGIN && data[at] == '.') {
			b->state = DOT;
			at++;
		} else if (step(b, data[at])) {
			at++;
		} else if (b->state != TEXT_CR && b->state != DOT_CR) {
			b->state = TEXT;
			at += run(b, data + at, len - at);
		}
	}
	return at;
}

bool body_feed(struct body *b, const char *data, size_t len, size_t *ret_used)
{
	*ret_used = feed(b, data, len, true);
	return b->state == END;
}

void body_feed_plain(struct body *b, const char *data, size_t len)
{
	feed(b, data, len, false);
}

void body_end_plain(struct body *b)
{
	if (b->state == TEXT_CR)
		b->state = lone_cr(b);
	if (b->state == TEXT)
		b->give(b->arg, "\n", 1);
	b->state = END;
}
