/* Lines are handed out where they lie; only the beginning of one whose end has not come yet is
 * copied. */
#include "worker/lines.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

struct partial {
	size_t len;
	char text[LINES_MAX_BYTES + 2]; /* CR and NUL */
};

static int keep(struct partial **p, const char *data, size_t len)
{
	if (!len)
		return 0;
	if (!*p)
		*p = calloc(1, sizeof(**p));
	if (!*p)
		return -ENOMEM;
	if ((*p)->len + len > LINES_MAX_BYTES + 1)
		return -EMSGSIZE;
	memcpy((*p)->text + (*p)->len, data, len);
	(*p)->len += len;
	return 0;
}

size_t lines_trim(char *line, size_t len)
{
	if (len && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	return len;
}

/* The end of the line that *p begins. */
static int complete(struct partial **p, const char *data, size_t len,
	bool (*line)(void *arg, char *text, size_t len), void *arg, bool *ret_more)
{
	struct partial *whole;
	int bad = keep(p, data, len);

	if (bad)
		return bad;
	whole = *p;
	*p = NULL;
	*ret_more = line(arg, whole->text, lines_trim(whole->text, whole->len));
	lines_free(whole);
	return 0;
}

int lines_feed(struct partial **p, char *data, size_t len,
	bool (*line)(void *arg, char *text, size_t len), void *arg)
{
	bool more = true;
	char *end;
	int bad = 0;

	while (more && !bad && (end = memchr(data, '\n', len))) {
		size_t line_len = (size_t)(end - data);

		if (*p)
			bad = complete(p, data, line_len, line, arg, &more);
		else if (line_len > LINES_MAX_BYTES + 1)
			bad = -EMSGSIZE;
		else
			more = line(arg, data, lines_trim(data, line_len));
		len -= line_len + 1;
		data = end + 1;
	}
	if (bad)
		return bad;
	return more ? keep(p, data, len) : (int)len;
}

struct partial *lines_free(struct partial *p)
{
	free(p);
	return NULL;
}
