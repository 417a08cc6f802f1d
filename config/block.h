/* Builds a pointer-free block: texts and lists are appended, known by offset. */
#ifndef CONFIG_BLOCK_H
#define CONFIG_BLOCK_H

#include "config/settings.h"
#include "config/vec.h"

struct block {
	char *memory;
	size_t len, room;
	bool failed; /* an append found no memory; it and later ones answer 0 */
};

/* Begins with a zeroed head of so many bytes. */
void block_init(struct block *b, size_t head_bytes);
void block_deinit(struct block *b);

/* The head; moves with the next append. NULL when the first allocation failed. */
void *block_head(const struct block *b);

/* Appends a copy; the offset, 0 for NULL. */
uint32_t block_text(struct block *b, const char *text);
uint32_t block_format(struct block *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A copy that is the caller's (free), not the block's; NULL when there is no memory, which the block
 * remembers. */
char *block_copy(struct block *b, const char *text);

/* Appends the elements, aligned for any type. */
struct settings_list block_list(struct block *b, const struct vec *elements);

const char *block_text_at(const struct block *b, uint32_t at);

/* Hands the finished block over (free), or NULL when an append failed. */
void *block_steal(struct block *b, size_t *ret_bytes);

#endif
