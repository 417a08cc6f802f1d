/* Two options are the same when they print the same: what is printed reads back as the same settings,
 * so no second table of comparisons can fall behind the options. Services are matched by name,
 * listeners by address. */
#include "config/diff.h"
#include "config/block.h"
#include "config/diff_inner.h"
#include "common/base.h"

#include <string.h>

/* The service's listener of that address, or DIFF_NONE. */
static uint32_t find_listener(const struct settings *s, const struct service_settings *svc,
	const struct settings *other, const struct settings_listener *wanted)
{
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		if (settings_same_listener(s, &settings_listeners(s, svc)[i], other, wanted))
			return i;
	return DIFF_NONE;
}

static void add_listener(struct diff_maker *m, struct vec *list, uint32_t old, uint32_t next)
{
	struct diff_listener *slot = vec_push(list);

	if (slot)
		*slot = (struct diff_listener){old, next};
	else
		m->block.failed = true;
}

/* old or next may be NULL. */
static struct settings_list match_listeners(struct diff_maker *m, const struct service_settings *old,
	const struct service_settings *next)
{
	struct vec list = {.elem = sizeof(struct diff_listener)};
	struct settings_list made;

	for (uint32_t i = 0; next && i < next->listeners.count; i++)
		add_listener(m, &list,
			old ? find_listener(m->old, old, m->next,
				      &settings_listeners(m->next, next)[i])
			    : DIFF_NONE,
			i);
	for (uint32_t i = 0; old && i < old->listeners.count; i++)
		if (!next || find_listener(m->next, next, m->old,
				     &settings_listeners(m->old, old)[i]) == DIFF_NONE)
			add_listener(m, &list, i, DIFF_NONE);
	made = block_list(&m->block, &list);
	vec_free(&list);
	return made;
}

static const struct service_settings *find_service(
	const struct settings *s, const char *name, uint32_t *ret_index)
{
	for (uint32_t i = 0; i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);

		if (strcmp(settings_text(s, svc->name), name))
			continue;
		*ret_index = i;
		return svc;
	}
	return NULL;
}

static char *printed(struct diff_maker *m, const struct settings *s,
	const struct service_settings *svc, const struct schema_option *option)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		settings_print_option(s, svc, option, out);
		if (!fclose(out))
			return text;
	}
	m->block.failed = true;
	free(text);
	return NULL;
}

/* Every option that differs goes to the words; no service: the dispatcher's own. What it takes
 * altogether. */
static unsigned compare_options(struct diff_maker *m)
{
	unsigned changes = 0;

	for (unsigned i = 0; i < schema_count(); i++) {
		const struct schema_option *option = schema_at(i);
		OWNS_MEM char *before = NULL, *after = NULL;

		if (!(m->was ? option->service_at : option->dispatcher_at))
			continue;
		before = printed(m, m->old, m->was, option);
		after = printed(m, m->next, m->is, option);
		if (!before || !after || !strcmp(before, after))
			continue;
		changes |= m->was ? option->change : option->own_change;
		diff_say_option(m, option, before, after);
	}
	return changes;
}

/* Whether an address that stays begins to speak TLS, or ceases to. What workers were told of it holds
 * for what they have been offered; so new workers are told the new. */
static bool tls_differs(const struct diff_maker *m)
{
	const struct diff_listener *pairs = (const void *)(m->block.memory + m->listeners.at);

	for (uint32_t i = 0; !m->block.failed && i < m->listeners.count; i++)
		if (pairs[i].old != DIFF_NONE && pairs[i].next != DIFF_NONE &&
			settings_listeners(m->old, m->was)[pairs[i].old].tls !=
				settings_listeners(m->next, m->is)[pairs[i].next].tls)
			return true;
	return false;
}

/* An unmodified server that runs does not listen on what is added; whether a new one does is seen before
 * the old ones are given up. */
static bool needs_servers_that_listen(const struct diff_maker *m)
{
	const struct diff_listener *pairs = (const void *)(m->block.memory + m->listeners.at);

	for (uint32_t i = 0; !m->block.failed && i < m->listeners.count; i++)
		if (pairs[i].old == DIFF_NONE && m->is->adapter == ADAPTER_SERVER)
			return true;
	return false;
}

static void add_service(struct diff_maker *m, uint32_t old, uint32_t next)
{
	struct diff_service d = {.old = old, .next = next}, *slot = vec_push(&m->services);

	m->was = old == DIFF_NONE ? NULL : settings_service(m->old, old);
	m->is = next == DIFF_NONE ? NULL : settings_service(m->next, next);
	d.was_enabled = m->was && m->was->enabled;
	d.is_enabled = m->is && m->is->enabled;
	d.listeners = m->listeners = match_listeners(m, m->was, m->is);
	d.name = block_text(&m->block, m->is ? settings_text(m->next, m->is->name)
					     : settings_text(m->old, m->was->name));
	diff_words_begin(m);
	if (m->was && m->is) {
		d.changes = compare_options(m);
		if (tls_differs(m) || needs_servers_that_listen(m))
			d.changes |= SCHEMA_WORKERS;
		d.kind = d.changes ? DIFF_CHANGED : DIFF_SAME;
	} else {
		d.kind = m->is ? DIFF_NEW : DIFF_GONE;
		diff_say_whole(m);
	}
	d.words = diff_words_end(m);
	if (slot)
		*slot = d;
	else
		m->block.failed = true;
}

static void compare_services(struct diff_maker *m)
{
	uint32_t other;

	for (uint32_t i = 0; i < m->next->services.count; i++) {
		const struct service_settings *svc = settings_service(m->next, i);

		if (!find_service(m->old, settings_text(m->next, svc->name), &other))
			other = DIFF_NONE;
		add_service(m, other, i);
	}
	for (uint32_t i = 0; i < m->old->services.count; i++) {
		const struct service_settings *svc = settings_service(m->old, i);

		if (!find_service(m->next, settings_text(m->old, svc->name), &other))
			add_service(m, i, DIFF_NONE);
	}
}

static void compare_own(struct diff_maker *m, struct diff *head)
{
	m->was = m->is = NULL;
	diff_words_begin(m);
	head->changes = compare_options(m);
	head->words = diff_words_end(m);
}

/* Tells of an address that is listened on already: the kernel gives it to nobody else, and who holds
 * it cannot let go before it is sure that the new one can be had. */
static void refuse_taken(struct diff_maker *m, const struct service_settings *wants,
	const struct settings_listener *wanted)
{
	for (uint32_t i = 0; i < m->old->services.count; i++) {
		const struct service_settings *svc = settings_service(m->old, i);

		for (uint32_t n = 0; svc->enabled && n < svc->listeners.count; n++) {
			const struct settings_listener *open = &settings_listeners(m->old, svc)[n];

			if (settings_same_listener(m->old, open, m->next, wanted) ||
				(wanted->addr.family != AF_UNIX &&
					addr_overlaps(&open->addr, &wanted->addr)))
				diff_refuse_address(m, wants, wanted, svc, open);
		}
	}
}

static void look_for_overlaps(struct diff_maker *m)
{
	uint32_t other;

	for (uint32_t i = 0; i < m->next->services.count; i++) {
		const struct service_settings *is = settings_service(m->next, i);
		const struct service_settings *was =
			find_service(m->old, settings_text(m->next, is->name), &other);

		for (uint32_t n = 0; is->enabled && n < is->listeners.count; n++) {
			const struct settings_listener *one = &settings_listeners(m->next, is)[n];

			if (!was || !was->enabled ||
				find_listener(m->old, was, m->next, one) == DIFF_NONE)
				refuse_taken(m, is, one);
		}
	}
}

static struct diff *finish(struct diff_maker *m, struct diff *head)
{
	struct diff *made;
	size_t bytes;

	head->services = block_list(&m->block, &m->services);
	head->refusals = block_list(&m->block, &m->refusals);
	vec_free(&m->services);
	vec_free(&m->refusals);
	made = block_steal(&m->block, &bytes);
	if (made) {
		*made = *head;
		made->magic = DIFF_MAGIC;
		made->bytes = (uint32_t)bytes;
	}
	return made;
}

struct diff *diff_make(const struct settings *old, const struct settings *next)
{
	struct diff_maker m = {.old = old,
		.next = next,
		.services.elem = sizeof(struct diff_service),
		.refusals.elem = sizeof(uint32_t)};
	struct diff head = {0}, *made;

	block_init(&m.block, sizeof(head));
	compare_own(&m, &head);
	compare_services(&m);
	look_for_overlaps(&m);
	made = finish(&m, &head);
	block_deinit(&m.block);
	return made;
}

const struct diff_service *diff_service(const struct diff *d, uint32_t index)
{
	ASSERT(index < d->services.count);
	return (const struct diff_service *)((const char *)d + d->services.at) + index;
}

const struct diff_listener *diff_listeners(const struct diff *d, const struct diff_service *svc)
{
	return (const struct diff_listener *)((const char *)d + svc->listeners.at);
}

const char *diff_text(const struct diff *d, uint32_t at)
{
	return at ? (const char *)d + at : "";
}

const char *diff_refusal(const struct diff *d, uint32_t index)
{
	ASSERT(index < d->refusals.count);
	return diff_text(d, ((const uint32_t *)((const char *)d + d->refusals.at))[index]);
}
