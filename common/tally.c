/* References and done reports without a lock.
 *
 * A report must appear in the ring before `done` counts it, though any process may die between the
 * two. So it is first put down beside the ring, with the number it will have; whoever comes next,
 * in whatever process, completes what it finds put down before it puts down its own:
 *
 *   put(n) := (n + 1, tag)      only where an older number stands, and only while done == n
 *   ring(n) := tag              by compare-and-swap, so that a late helper changes nothing
 *   done: n -> n + 1
 *
 * The numbers only grow, so that a helper that was stopped for long fails in each of its steps. */
#include "common/tally.h"
#include "common/base.h"

#include <errno.h>
#include <poll.h>

#define SLOT_MASK (ADAPTER_SLOTS - 1)

void tally_init(struct tally *t, struct page *page, uint32_t ring_len, const struct bell *bell,
	int doorbell)
{
	*t = (struct tally){.page = page,
		.area = adapter_area(page, ring_len),
		.puts = adapter_puts(page, ring_len),
		.entries = adapter_entries(page, ring_len),
		.bell = bell,
		.ring_len = ring_len,
		.doorbell = doorbell};
}

/* A program that is adapted has its own mind about SIGPIPE, and would die of it when supervisor and
 * acceptor are gone. */
static bool has_reader(int pipe_fd)
{
	struct pollfd p = {.fd = pipe_fd};

	return poll(&p, 1, 0) <= 0 || !(p.revents & POLLERR);
}

/* The pipe is written before it is noted: two processes may both ring, but none relies on another
 * that dies before it does. */
static void ring_bell(struct tally *t)
{
	uint32_t armed = atomic_load(&t->bell->armed);
	int before = errno;

	if (armed == atomic_load(&t->area->rung))
		return;
	while (has_reader(t->doorbell) && write(t->doorbell, "", 1) < 0 && errno == EINTR)
		;
	atomic_store(&t->area->rung, armed);
	errno = before;
}

static void complete(struct tally *t, uint64_t number, uint32_t tag)
{
	_Atomic uint32_t *place = &t->page->ring[number & (t->ring_len - 1)];
	uint32_t old = atomic_load(place);

	if (atomic_load(&t->page->done) != number)
		return;
	atomic_compare_exchange_strong(place, &old, tag);
	atomic_compare_exchange_strong(&t->page->done, &number, number + 1);
}

/* One try to put a tag down as the next; false when the place was not free. */
static bool put_down(struct tally *t, uint32_t tag)
{
	uint64_t number = atomic_load(&t->page->done);
	_Atomic uint64_t *place = &t->puts[number & (t->ring_len - 1)];
	uint64_t there = atomic_load(place);
	uint32_t mark = (uint32_t)(number + 1), found = (uint32_t)(there >> 32);

	if (found == mark) {
		complete(t, number, (uint32_t)there);
		return false;
	}
	if ((int32_t)(found - mark) > 0) /* done has moved on since it was read */
		return false;
	if (!atomic_compare_exchange_strong(place, &there, (uint64_t)mark << 32 | tag))
		return false;
	complete(t, number, tag);
	return true;
}

static struct adapter_entry *entry_of(struct tally *t, uint32_t tag)
{
	return &t->entries[tag & SLOT_MASK];
}

static void raise_highest(struct tally *t, uint32_t slot)
{
	uint32_t highest = atomic_load(&t->area->highest);

	while (highest <= slot &&
		!atomic_compare_exchange_weak(&t->area->highest, &highest, slot + 1))
		;
}

void tally_take(struct tally *t, uint32_t tag)
{
	raise_highest(t, tag & SLOT_MASK);
	atomic_store(&entry_of(t, tag)->state, (uint64_t)tag << 32 | 1);
	atomic_fetch_add(&t->page->taken, 1);
	ring_bell(t);
}

/* True if there are references to this very connection. */
static bool is_held(uint64_t state, uint32_t tag)
{
	return state >> 32 == tag && (uint32_t)state;
}

bool tally_refer(struct tally *t, uint32_t tag)
{
	_Atomic uint64_t *state = &entry_of(t, tag)->state;
	uint64_t old = atomic_load(state);

	while (is_held(old, tag))
		if (atomic_compare_exchange_weak(state, &old, old + 1))
			return true;
	return false;
}

bool tally_release(struct tally *t, uint32_t tag)
{
	_Atomic uint64_t *state = &entry_of(t, tag)->state;
	uint64_t old = atomic_load(state);

	while (is_held(old, tag)) {
		if (!atomic_compare_exchange_weak(state, &old, old - 1))
			continue;
		if ((uint32_t)old > 1)
			return false;
		while (!put_down(t, tag))
			;
		ring_bell(t);
		return true;
	}
	return false;
}

uint64_t tally_open(const struct tally *t)
{
	uint64_t done = atomic_load(&t->page->done);

	return atomic_load(&t->page->taken) - done;
}

void tally_cover(struct tally *t, uint64_t listeners, uint64_t every)
{
	uint64_t covered = atomic_fetch_or(&t->area->covered, listeners) | listeners;

	if ((covered & every) != every || atomic_load(&t->page->ready))
		return;
	page_set_ready(t->page);
	ring_bell(t);
}

void tally_pass(struct tally *t, uint32_t tag, uint64_t cookie)
{
	atomic_store(&entry_of(t, tag)->cookie, cookie);
	atomic_fetch_add(&t->area->passing, 1);
}

bool tally_find(struct tally *t, uint64_t cookie, uint32_t *ret_tag)
{
	uint32_t count = atomic_load(&t->area->passing) ? atomic_load(&t->area->highest) : 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t state = atomic_load(&t->entries[i].state), found = cookie;

		if (atomic_load(&t->entries[i].cookie) != cookie || !(uint32_t)state)
			continue;
		if (!atomic_compare_exchange_strong(&t->entries[i].cookie, &found, 0))
			continue;
		atomic_fetch_sub(&t->area->passing, 1);
		*ret_tag = (uint32_t)(state >> 32);
		return true;
	}
	return false;
}
