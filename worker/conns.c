/* Connection objects in chunks that are made when more are open than ever before. Free ones are
 * used last in, first out, so that a worker that serves one client at a time touches one object. */
#include "worker/conns.h"
#include "common/base.h"


#define CHUNK 30 /* objects: about a page */

struct chunk {
	struct chunk *next;
	struct worker_conn conns[CHUNK];
};

static const unsigned may_follow[CONN_STATES] = {
	[CONN_FREE] = BIT(CONN_OPEN),
	[CONN_OPEN] = BIT(CONN_CLOSING),
	[CONN_CLOSING] = BIT(CONN_CLOSED),
	[CONN_CLOSED] = BIT(CONN_FREE),
};

void conns_set(struct worker_conn *c, enum conn_state state)
{
	ASSERT(may_follow[c->state] & BIT(state));
	c->state = (uint8_t)state;
}

static bool add_chunk(struct conns *all)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk));

	if (!chunk)
		return false;
	chunk->next = all->chunks;
	all->chunks = chunk;
	for (unsigned i = CHUNK; i--;) {
		chunk->conns[i].next = all->free;
		all->free = &chunk->conns[i];
	}
	return true;
}

static struct addr *keep_local(const struct addr *local)
{
	struct addr *copy = local->family ? malloc(sizeof(*copy)) : NULL;

	if (copy)
		*copy = *local;
	return copy;
}

struct worker_conn *conns_get(struct conns *all, struct worker *w, const struct msg_conn *m, int fd)
{
	struct worker_conn *c;

	if (!all->free && !add_chunk(all))
		return NULL;
	c = all->free;
	all->free = c->next;
	*c = (struct worker_conn){.worker = w,
		.next = all->open,
		.local = keep_local(&m->local),
		.peer = m->peer,
		.slot = m->slot,
		.fd = fd};
	conns_set(c, CONN_OPEN);
	if (all->open)
		all->open->prev = c;
	all->open = c;
	all->count++;
	return c;
}

void conns_put(struct conns *all, struct worker_conn *c)
{
	ASSERT(c->fd == -1);
	conns_set(c, CONN_FREE);
	free(c->local);
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		all->open = c->next;
	c->next = all->free;
	all->free = c;
	all->count--;
}

void conns_deinit(struct conns *all)
{
	while (all->chunks) {
		struct chunk *next = all->chunks->next;

		free(all->chunks);
		all->chunks = next;
	}
	*all = (struct conns){0};
}
