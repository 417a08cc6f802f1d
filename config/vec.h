/* A growing array of elements of one size. */
#ifndef CONFIG_VEC_H
#define CONFIG_VEC_H

#include <stddef.h>

struct vec {
	char *data;
	size_t count, room, elem; /* elem: bytes of one element, set by the owner */
};

/* A new zeroed element at the end; NULL: no memory. Elements move with the next push. */
void *vec_push(struct vec *v);
void vec_free(struct vec *v);

static inline void *vec_at(const struct vec *v, size_t index)
{
	return v->data + index * v->elem;
}

#endif
