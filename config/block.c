/* The growing block. Whoever appends keeps offsets, never pointers; a failed allocation is
 * remembered and told once at the end, so that no caller has to look after each append. */
#include "config/block.h"
#include "common/base.h"

#include <stdarg.h>
#include <string.h>

#define BLOCK_MAX (256u << 20) /* far beyond any real configuration; keeps offsets in 32 bits */

/* Appends len zeroed bytes at a multiple of align; the offset, 0 on failure. */
static uint32_t append(struct block *b, size_t len, size_t align)
{
	size_t at = (b->len + align - 1) / align * align, end;

	if (b->failed || __builtin_add_overflow(at, len, &end) || end > BLOCK_MAX) {
		b->failed = true;
		return 0;
	}
	if (end > b->room) {
		size_t room = MAX(end, b->room * 2);
		char *memory = realloc(b->memory, room);

		if (!memory) {
			b->failed = true;
			return 0;
		}
		b->memory = memory;
		b->room = room;
	}
	memset(b->memory + b->len, 0, end - b->len);
	b->len = end;
	return (uint32_t)at;
}

void block_init(struct block *b, size_t head_bytes)
{
	*b = (struct block){0};
	append(b, head_bytes, 16);
}

void block_deinit(struct block *b)
{
	free(b->memory);
	*b = (struct block){.failed = true};
}

void *block_head(const struct block *b)
{
	return b->memory;
}

uint32_t block_text(struct block *b, const char *text)
{
	uint32_t at;

	if (!text)
		return 0;
	at = append(b, strlen(text) + 1, 1);
	if (at)
		memcpy(b->memory + at, text, strlen(text));
	return at;
}

uint32_t block_format(struct block *b, const char *format, ...)
{
	OWNS_MEM char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len >= 0)
		return block_text(b, text);
	text = NULL;
	b->failed = true;
	return 0;
}

char *block_copy(struct block *b, const char *text)
{
	char *copy = strdup(text);

	b->failed = b->failed || !copy;
	return copy;
}

struct settings_list block_list(struct block *b, const struct vec *elements)
{
	struct settings_list list = {0};

	if (!elements->count)
		return list;
	list.at = append(b, elements->count * elements->elem, 16);
	if (!list.at)
		return list;
	list.count = (uint32_t)elements->count;
	memcpy(b->memory + list.at, elements->data, elements->count * elements->elem);
	return list;
}

const char *block_text_at(const struct block *b, uint32_t at)
{
	return at ? b->memory + at : NULL;
}

void *block_steal(struct block *b, size_t *ret_bytes)
{
	void *head = block_head(b);

	if (b->failed || !head)
		return NULL;
	*ret_bytes = b->len;
	*b = (struct block){.failed = true};
	return head;
}
