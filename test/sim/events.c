/* A heap with four children per node: fewer cache lines on the way down than with two. */
#include "test/sim/events.h"

#include "common/base.h"

void events_free(struct events *e)
{
	free(e->heap);
	*e = (struct events){0};
}

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void events_add(struct events *e, struct event event)
{
	size_t at = e->count++;

	event.order = e->order++;
	if (e->count > e->room) {
		e->room = MAX((size_t)1024, 2 * e->room);
		e->heap = realloc(e->heap, e->room * sizeof(*e->heap));
		ASSERT(e->heap);
	}
	while (at && is_before(&event, &e->heap[(at - 1) / 4])) {
		e->heap[at] = e->heap[(at - 1) / 4];
		at = (at - 1) / 4;
	}
	e->heap[at] = event;
}

static size_t first_child(const struct events *e, size_t at)
{
	size_t first = 4 * at + 1, end = MIN(first + 4, e->count), best = first;

	for (size_t i = first + 1; i < end; i++) {
		if (is_before(&e->heap[i], &e->heap[best]))
			best = i;
	}
	return best;
}

bool events_next(struct events *e, struct event *ret_event)
{
	struct event last;
	size_t at = 0;

	if (!e->count)
		return false;
	*ret_event = e->heap[0];
	last = e->heap[--e->count];
	while (4 * at + 1 < e->count) {
		size_t child = first_child(e, at);

		if (!is_before(&e->heap[child], &last))
			break;
		e->heap[at] = e->heap[child];
		at = child;
	}
	e->heap[at] = last;
	return true;
}
