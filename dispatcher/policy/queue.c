/* A ring of fixed size. It mirrors a channel whose messages can only be taken from the front, so it
 * knows no removal from the middle: who left while it waited is found when its turn comes, or when the
 * whole queue is turned round once because it is full of such. */
#include "dispatcher/policy/queue.h"

#include "common/base.h"

void queue_init(struct queue *q, struct queue_entry *ring, uint32_t size, uint64_t wait_ms)
{
	*q = (struct queue){.size = MIN(size, (uint32_t)QUEUE_MOST), .wait_ms = wait_ms, .ring = ring};
}

enum queue_verdict queue_judge(const struct queue *q, uint64_t now_ms)
{
	if (q->count < q->size)
		return QUEUE_JOINS;
	return q->count && q->size && now_ms >= q->weed_ms ? QUEUE_CROWDED : QUEUE_FULL;
}

uint64_t queue_deadline(const struct queue *q)
{
	if (!q->count || q->wait_ms == QUEUE_NEVER)
		return QUEUE_NEVER;
	return queue_head(q).since_ms + q->wait_ms;
}

enum queue_turn queue_next(const struct queue *q, bool room, uint64_t now_ms)
{
	if (!q->count)
		return QUEUE_RESTS;
	if (room)
		return QUEUE_SERVES;
	return now_ms >= queue_deadline(q) ? QUEUE_LATE : QUEUE_RESTS;
}

static struct queue_entry *entry(const struct queue *q, uint32_t nth)
{
	return &q->ring[(q->head + nth) % QUEUE_MOST];
}

void queue_joined(struct queue *q, uint32_t conn, uint64_t since_ms)
{
	ASSERT(q->count < QUEUE_MOST);
	*entry(q, q->count++) = (struct queue_entry){conn, since_ms};
}

struct queue_entry queue_head(const struct queue *q)
{
	ASSERT(q->count);
	return *entry(q, 0);
}

struct queue_entry queue_left(struct queue *q)
{
	struct queue_entry head = queue_head(q);

	q->head = (q->head + 1) % QUEUE_MOST;
	q->count--;
	return head;
}

void queue_weeded(struct queue *q, uint64_t now_ms)
{
	q->weed_ms = now_ms + QUEUE_WEED_MS;
}

uint32_t queue_skew(const struct queue *q)
{
	for (uint32_t i = 1; i < q->count; i++)
		if (entry(q, i)->since_ms < entry(q, i - 1)->since_ms)
			return i;
	return 0;
}
