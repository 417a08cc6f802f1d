/* Memory for a line is taken when its first part comes without its end, so that a thousand silent
 * workers cost nothing. Without memory the part goes out as a line of its own: nothing is lost. */
#include "dispatcher/supervisor/logline.h"
#include "common/base.h"

#include <string.h>

static void emit(const char *text, size_t len, logline_fn *call, void *user)
{
	if (len && text[len - 1] == '\r')
		len--;
	call(user, text, len);
}

static void emit_part(const char *text, size_t len, logline_fn *call, void *user)
{
	char part[LOGLINE_BYTES + sizeof(LOGLINE_MARK)];

	memcpy(part, text, len);
	memcpy(part + len, LOGLINE_MARK, sizeof(LOGLINE_MARK) - 1);
	call(user, part, len + sizeof(LOGLINE_MARK) - 1);
}

static void end_line(struct logline *l, logline_fn *call, void *user)
{
	emit(l->text, l->len, call, user);
	free(l->text);
	*l = (struct logline){NULL, 0};
}

/* Keeps text, which has no newline; a full line goes out as soon as it turns out to be longer. */
static void keep(struct logline *l, const char *text, size_t len, logline_fn *call, void *user)
{
	while (len) {
		size_t some;

		if (l->len == LOGLINE_BYTES) {
			emit_part(l->text, l->len, call, user);
			l->len = 0;
		}
		some = MIN(len, LOGLINE_BYTES - l->len);
		if (!l->text && !(l->text = malloc(LOGLINE_BYTES))) {
			emit_part(text, some, call, user);
		} else {
			memcpy(l->text + l->len, text, some);
			l->len += some;
		}
		text += some;
		len -= some;
	}
}

static void feed_end(struct logline *l, const char *text, size_t len, logline_fn *call, void *user)
{
	if (!l->text && len <= LOGLINE_BYTES) {
		emit(text, len, call, user);
		return;
	}
	keep(l, text, len, call, user);
	end_line(l, call, user);
}

void logline_feed(struct logline *l, const char *data, size_t len, logline_fn *call, void *user)
{
	const char *newline;

	while ((newline = memchr(data, '\n', len))) {
		size_t line = (size_t)(newline - data);

		feed_end(l, data, line, call, user);
		data += line + 1;
		len -= line + 1;
	}
	keep(l, data, len, call, user);
}

void logline_flush(struct logline *l, logline_fn *call, void *user)
{
	if (l->len)
		end_line(l, call, user);
}

size_t logline_escape(const char *text, size_t len, char *ret_text)
{
	static const char hex[] = "0123456789abcdef";
	char *out = ret_text;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c >= ' ' && c != 0x7f) || c == '\t') {
			*out++ = (char)c;
			continue;
		}
		*out++ = '\\';
		*out++ = 'x';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	return (size_t)(out - ret_text);
}
