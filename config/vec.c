/* Growing arrays, doubled when full. */
#include "config/vec.h"
#include "common/base.h"

#include <string.h>

void *vec_push(struct vec *v)
{
	void *fresh;

	ASSERT(v->elem);
	if (v->count == v->room) {
		size_t room = v->room ? v->room * 2 : 8;
		char *data = reallocarray(v->data, room, v->elem);

		if (!data)
			return NULL;
		v->data = data;
		v->room = room;
	}
	fresh = vec_at(v, v->count++);
	memset(fresh, 0, v->elem);
	return fresh;
}

void vec_free(struct vec *v)
{
	free(v->data);
	v->data = NULL;
	v->count = v->room = 0;
}
