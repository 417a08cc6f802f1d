/* A ring of bytes, not of lines: however long or short lines are, a source costs the same. */
#include "dispatcher/supervisor/logtail.h"
#include "common/base.h"

#include <string.h>

static void put(struct logtail *t, const char *text, size_t len)
{
	size_t first = MIN(len, LOGTAIL_BYTES - t->next);

	memcpy(t->text + t->next, text, first);
	memcpy(t->text, text + first, len - first);
	t->next = (t->next + len) % LOGTAIL_BYTES;
	t->len = MIN(t->len + len, (size_t)LOGTAIL_BYTES);
}

void logtail_add(struct logtail *t, const char *lines, size_t len)
{
	if (!t->text && !(t->text = malloc(LOGTAIL_BYTES)))
		return;
	if (len > LOGTAIL_BYTES) {
		lines += len - LOGTAIL_BYTES;
		len = LOGTAIL_BYTES;
	}
	put(t, lines, len);
}

size_t logtail_copy(const struct logtail *t, char ret_text[LOGTAIL_BYTES])
{
	size_t from = (t->next + LOGTAIL_BYTES - t->len) % LOGTAIL_BYTES, len = t->len;
	size_t first = MIN(len, LOGTAIL_BYTES - from);
	const char *newline;

	if (!len)
		return 0;
	memcpy(ret_text, t->text + from, first);
	memcpy(ret_text + first, t->text, len - first);
	newline = len == LOGTAIL_BYTES ? memchr(ret_text, '\n', len - 1) : NULL;
	if (newline) {
		len -= (size_t)(newline + 1 - ret_text);
		memmove(ret_text, newline + 1, len);
	}
	return len;
}

void logtail_deinit(struct logtail *t)
{
	free(t->text);
	*t = (struct logtail){0};
}
