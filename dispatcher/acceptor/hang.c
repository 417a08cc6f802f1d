/* Half of the time without a sign of life it is left alone, then it is asked, and has the other half to
 * answer. When this process itself was held up, the question came late: the answer has its half all the
 * same. */
#include "dispatcher/acceptor/hang.h"
#include "common/base.h"

void hang_alive(struct hang *h, uint64_t now_ms)
{
	h->alive_ms = now_ms;
	h->asked_ms = 0;
}

enum hang_verb hang_look(struct hang *h, bool has_work, uint64_t limit_ms, uint64_t now_ms,
	uint64_t *ret_due_ms)
{
	uint64_t half_ms = limit_ms / 2;

	*ret_due_ms = now_ms + limit_ms;
	if (h->hung)
		return HANG_WAIT;
	if (!has_work || !h->alive_ms)
		hang_alive(h, now_ms);
	if (!h->asked_ms && (!has_work || now_ms < h->alive_ms + half_ms)) {
		*ret_due_ms = h->alive_ms + half_ms;
		return HANG_WAIT;
	}
	if (!h->asked_ms) {
		h->asked_ms = now_ms;
		*ret_due_ms = MAX(h->alive_ms + limit_ms, now_ms + half_ms);
		return HANG_ASK;
	}
	if (now_ms < MAX(h->alive_ms + limit_ms, h->asked_ms + half_ms)) {
		*ret_due_ms = MAX(h->alive_ms + limit_ms, h->asked_ms + half_ms);
		return HANG_WAIT;
	}
	h->hung = true;
	return HANG_HUNG;
}

bool hang_between(const struct hang_sight *before, const struct hang_sight *now)
{
	uint64_t passed_ms = now->at_ms - before->at_ms, cpu_ms = now->cpu_ms - before->cpu_ms;
	bool unread = before->unread_bytes && now->unread_bytes >= before->unread_bytes;

	if (before->stopped && now->stopped)
		return true;
	if (before->running && now->running) /* however little CPU it gets on a busy machine */
		return unread;
	if (now->cpu_ms < before->cpu_ms) /* somebody ended, and his share is missing */
		return false;
	return unread && (cpu_ms <= passed_ms / 100 || cpu_ms >= passed_ms / 4);
}
