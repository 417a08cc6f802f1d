/* 100 ms after a death within 10 s of the start, doubling to 5 s with every further one. */
#include "dispatcher/supervisor/backoff.h"
#include "common/base.h"

#define EARLY_MS 10000
#define FIRST_MS 100
#define MOST_MS 5000

void backoff_started(struct backoff *b, uint64_t now_ms)
{
	b->started_ms = now_ms;
}

uint64_t backoff_died(struct backoff *b, uint64_t now_ms)
{
	if (now_ms >= b->started_ms + EARLY_MS)
		b->wait_ms = 0;
	else
		b->wait_ms = b->wait_ms ? MIN(b->wait_ms * 2, MOST_MS) : FIRST_MS;
	return b->wait_ms;
}
