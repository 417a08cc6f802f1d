/* diff_check(): whoever follows the result goes from its indexes to sockets and workers, so it is
 * looked at once, against the blocks that it speaks of. */
#include "config/diff.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

static bool text_is_whole(const struct diff *d, uint32_t at)
{
	if (!at)
		return true;
	return at >= sizeof(*d) && at < d->bytes &&
	       memchr((const char *)d + at, '\0', d->bytes - at);
}

static bool list_is_whole(const struct diff *d, struct settings_list list, size_t elem)
{
	if (!list.count)
		return true;
	return list.at >= sizeof(*d) && list.at % 8 == 0 && list.at < d->bytes &&
	       list.count <= (d->bytes - list.at) / elem;
}

/* What the indexes of one service speak of; NULL where it is not. */
struct both {
	const struct settings *old, *next;
	const struct service_settings *was, *is;
};

static bool is_kept_address(const struct both *b, uint32_t old, uint32_t next)
{
	return settings_same_listener(b->old, &settings_listeners(b->old, b->was)[old], b->next,
		&settings_listeners(b->next, b->is)[next]);
}

static bool is_nowhere_new(const struct both *b, uint32_t old)
{
	for (uint32_t i = 0; b->is && i < b->is->listeners.count; i++)
		if (is_kept_address(b, old, i))
			return false;
	return true;
}

/* First every listener of the new block, in order; then those of the old that stand in no pair. The
 * addresses of a service differ, so a pair of equal addresses is the only one of both. */
static bool listeners_agree(
	const struct diff *d, const struct diff_service *svc, const struct both *b)
{
	const struct diff_listener *pairs = diff_listeners(d, svc);
	uint32_t old_count = b->was ? b->was->listeners.count : 0;
	uint32_t next_count = b->is ? b->is->listeners.count : 0, found = 0, least = 0;

	if (!list_is_whole(d, svc->listeners, sizeof(*pairs)) || svc->listeners.count < next_count)
		return false;
	for (uint32_t i = 0; i < svc->listeners.count; i++) {
		uint32_t old = pairs[i].old, next = pairs[i].next;

		if (old != DIFF_NONE && old >= old_count)
			return false;
		found += old != DIFF_NONE;
		if (i < next_count) {
			if (next != i || (old != DIFF_NONE && !is_kept_address(b, old, i)))
				return false;
			continue;
		}
		if (next != DIFF_NONE || old == DIFF_NONE || old < least || !is_nowhere_new(b, old))
			return false;
		least = old + 1;
	}
	return found == old_count;
}

static bool kind_agrees(const struct diff_service *svc)
{
	switch (svc->kind) {
	case DIFF_SAME:
		return svc->old != DIFF_NONE && svc->next != DIFF_NONE && !svc->changes;
	case DIFF_CHANGED:
		return svc->old != DIFF_NONE && svc->next != DIFF_NONE && svc->changes;
	case DIFF_NEW:
		return svc->old == DIFF_NONE && svc->next != DIFF_NONE && !svc->changes;
	case DIFF_GONE:
		return svc->old != DIFF_NONE && svc->next == DIFF_NONE && !svc->changes;
	default:
		return false;
	}
}

static bool is_named(const struct settings *s, const struct service_settings *svc, const char *name)
{
	return !strcmp(settings_text(s, svc->name), name);
}

static bool service_agrees(const struct diff *d, const struct diff_service *svc,
	const struct settings *old, const struct settings *next)
{
	struct both b = {.old = old, .next = next};
	const char *name = diff_text(d, svc->name);

	if (!kind_agrees(svc) || (svc->old != DIFF_NONE && svc->old >= old->services.count) ||
		(svc->next != DIFF_NONE && svc->next >= next->services.count) || !svc->name ||
		!text_is_whole(d, svc->name) || !text_is_whole(d, svc->words))
		return false;
	if (svc->old != DIFF_NONE)
		b.was = settings_service(old, svc->old);
	if (svc->next != DIFF_NONE)
		b.is = settings_service(next, svc->next);
	return svc->was_enabled == (b.was && b.was->enabled) &&
	       svc->is_enabled == (b.is && b.is->enabled) &&
	       (!b.was || is_named(old, b.was, name)) && (!b.is || is_named(next, b.is, name)) &&
	       listeners_agree(d, svc, &b);
}

static bool is_gone(const struct diff *d, const struct diff_service *svc, const struct settings *next)
{
	for (uint32_t i = 0; i < next->services.count; i++)
		if (is_named(next, settings_service(next, i), diff_text(d, svc->name)))
			return false;
	return true;
}

/* As with listeners; names differ within a block. */
static bool services_agree(
	const struct diff *d, const struct settings *old, const struct settings *next)
{
	uint32_t found = 0, least = 0;

	if (!list_is_whole(d, d->services, sizeof(struct diff_service)) ||
		d->services.count < next->services.count)
		return false;
	for (uint32_t i = 0; i < d->services.count; i++) {
		const struct diff_service *svc = diff_service(d, i);
		bool stays = i < next->services.count;

		if (svc->next != (stays ? i : DIFF_NONE) || !service_agrees(d, svc, old, next))
			return false;
		found += svc->old != DIFF_NONE;
		if (stays)
			continue;
		if (svc->old < least || !is_gone(d, svc, next))
			return false;
		least = svc->old + 1;
	}
	return found == old->services.count;
}

static bool refusals_are_whole(const struct diff *d)
{
	const uint32_t *texts = (const uint32_t *)((const char *)d + d->refusals.at);

	if (!list_is_whole(d, d->refusals, sizeof(*texts)))
		return false;
	for (uint32_t i = 0; i < d->refusals.count; i++)
		if (!texts[i] || !text_is_whole(d, texts[i]))
			return false;
	return true;
}

int diff_check(
	const void *block, size_t bytes, const struct settings *old, const struct settings *next)
{
	const struct diff *d = block;

	if (bytes < sizeof(*d) || d->magic != DIFF_MAGIC || d->bytes < sizeof(*d) ||
		d->bytes > bytes || !text_is_whole(d, d->words) || !refusals_are_whole(d) ||
		!services_agree(d, old, next))
		return -EBADMSG;
	return 0;
}
