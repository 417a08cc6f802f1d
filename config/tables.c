/* The file's block is the beginning of the result, so that all its offsets hold; only the lists that
 * change are made anew behind it. */
#include "config/tables.h"
#include "config/block.h"
#include "common/base.h"

#include <string.h>

struct tables {
	struct block block;
	const struct settings *file, *before;
	struct vec services;
};

uint32_t tables_find(const struct settings *s, const char *name)
{
	for (uint32_t i = 0; i < s->services.count; i++)
		if (!strcmp(settings_text(s, settings_service(s, i)->name), name))
			return i;
	return UINT32_MAX;
}

/* --- what comes from before --- */

static uint32_t old_text(struct tables *t, uint32_t at)
{
	return block_text(&t->block, settings_text(t->before, at));
}

static struct settings_list end_list(struct tables *t, struct vec *list)
{
	struct settings_list made = block_list(&t->block, list);

	vec_free(list);
	return made;
}

static struct settings_list old_texts(struct tables *t, struct settings_list list)
{
	struct vec made = {.elem = sizeof(uint32_t)};

	for (uint32_t i = 0; i < list.count; i++) {
		uint32_t *at = vec_push(&made);

		if (at)
			*at = block_text(&t->block, settings_list_text(t->before, list, i));
		else
			t->block.failed = true;
	}
	return end_list(t, &made);
}

/* Of elements without texts in them. */
static struct settings_list old_plain(struct tables *t, struct settings_list list, size_t elem)
{
	struct vec view = {.data = (char *)settings_list_data(t->before, list),
		.count = list.count,
		.elem = elem};

	return block_list(&t->block, &view);
}

static struct settings_said old_said(struct tables *t, struct settings_said said)
{
	return (struct settings_said){old_text(t, said.text), old_text(t, said.where)};
}

static struct settings_list old_files(struct tables *t, struct settings_list list)
{
	const struct settings_said *files = settings_list_data(t->before, list);
	struct vec made = {.elem = sizeof(*files)};

	for (uint32_t i = 0; i < list.count; i++) {
		struct settings_said *slot = vec_push(&made);

		if (slot)
			*slot = old_said(t, files[i]);
		else
			t->block.failed = true;
	}
	return end_list(t, &made);
}

static struct settings_list old_snis(struct tables *t, struct settings_list list)
{
	const struct settings_sni *snis = settings_list_data(t->before, list);
	struct vec made = {.elem = sizeof(*snis)};

	for (uint32_t i = 0; i < list.count; i++) {
		struct settings_sni *slot = vec_push(&made);

		if (slot)
			*slot = (struct settings_sni){old_text(t, snis[i].name),
				old_text(t, snis[i].cert), old_text(t, snis[i].key),
				old_text(t, snis[i].where)};
		else
			t->block.failed = true;
	}
	return end_list(t, &made);
}

static void old_tls(struct tables *t, const struct service_settings *was, struct service_settings *svc)
{
	svc->tls_certs = old_files(t, was->tls_certs);
	svc->tls_keys = old_files(t, was->tls_keys);
	svc->tls_snis = old_snis(t, was->tls_snis);
	svc->tls_alpn = old_texts(t, was->tls_alpn);
	svc->tls_ciphers = old_said(t, was->tls_ciphers);
	svc->tls_ciphersuites = old_said(t, was->tls_ciphersuites);
	svc->tls_groups = old_said(t, was->tls_groups);
	svc->tls_client_ca = old_said(t, was->tls_client_ca);
}

static struct settings_listener old_listener(struct tables *t, const struct settings_listener *l)
{
	struct settings_listener made = *l;

	made.path = old_text(t, l->path);
	made.name = old_text(t, l->name);
	made.where = old_text(t, l->where);
	made.leaving = true;
	return made;
}

/* --- listeners --- */

static void add_listener(struct tables *t, struct vec *list, const struct settings_listener *l)
{
	struct settings_listener *slot = vec_push(list);

	if (slot)
		*slot = *l;
	else
		t->block.failed = true;
}

static const struct settings_listener *find_listener(const struct settings *s,
	const struct service_settings *svc, const struct settings *other,
	const struct settings_listener *wanted)
{
	for (uint32_t i = 0; svc && i < svc->listeners.count; i++)
		if (settings_same_listener(s, &settings_listeners(s, svc)[i], other, wanted))
			return &settings_listeners(s, svc)[i];
	return NULL;
}

/* Either may be NULL. */
static struct settings_list merge_listeners(struct tables *t, const struct service_settings *was,
	const struct service_settings *is)
{
	struct vec list = {.elem = sizeof(struct settings_listener)};

	for (uint32_t i = 0; was && i < was->listeners.count; i++) {
		const struct settings_listener *old = &settings_listeners(t->before, was)[i];
		const struct settings_listener *same = find_listener(t->file, is, t->before, old);
		struct settings_listener gone;

		if (!same) {
			gone = old_listener(t, old);
			same = &gone;
		}
		add_listener(t, &list, same);
	}
	for (uint32_t i = 0; is && i < is->listeners.count; i++) {
		const struct settings_listener *new = &settings_listeners(t->file, is)[i];

		if (!find_listener(t->before, was, t->file, new))
			add_listener(t, &list, new);
	}
	return end_list(t, &list);
}

/* --- services --- */

static void add_service(struct tables *t, const struct service_settings *svc)
{
	struct service_settings *slot = vec_push(&t->services);

	if (slot)
		*slot = *svc;
	else
		t->block.failed = true;
}

static void add_present(struct tables *t, uint32_t index)
{
	struct service_settings svc = *settings_service(t->file, index);
	uint32_t old = tables_find(t->before, settings_text(t->file, svc.name));

	if (old != UINT32_MAX)
		svc.listeners = merge_listeners(t, settings_service(t->before, old),
			settings_service(t->file, index));
	add_service(t, &svc);
}

static void add_leaving(struct tables *t, uint32_t index)
{
	const struct service_settings *was = settings_service(t->before, index);
	struct service_settings svc = *was;

	svc.name = old_text(t, was->name);
	svc.where = old_text(t, was->where);
	svc.off_where = old_text(t, was->off_where);
	svc.exempt_sources = old_plain(t, was->exempt_sources, sizeof(struct settings_prefix));
	svc.listeners = merge_listeners(t, was, NULL);
	svc.image = old_text(t, was->image);
	svc.command = old_texts(t, was->command);
	svc.parameters = old_texts(t, was->parameters);
	svc.environment = old_texts(t, was->environment);
	svc.logfile = old_text(t, was->logfile);
	svc.groups = old_plain(t, was->groups, sizeof(uint32_t));
	svc.user_name = old_text(t, was->user_name);
	svc.working_directory = old_text(t, was->working_directory);
	svc.refuse_text = old_text(t, was->refuse_text);
	old_tls(t, was, &svc);
	svc.enabled = 0;
	svc.leaving = 1;
	add_service(t, &svc);
}

static struct settings *finish(struct tables *t)
{
	struct settings_list services = block_list(&t->block, &t->services);
	struct settings *made;
	size_t bytes;

	made = block_steal(&t->block, &bytes);
	if (!made)
		return NULL;
	made->services = services;
	made->bytes = (uint32_t)bytes;
	return made;
}

struct settings *tables_make(const struct settings *file, const struct settings *before, const bool *keep)
{
	struct tables t = {.file = file,
		.before = before,
		.services.elem = sizeof(struct service_settings)};
	struct settings *made;

	block_init(&t.block, file->bytes);
	if (block_head(&t.block))
		memcpy(block_head(&t.block), file, file->bytes);
	for (uint32_t i = 0; i < file->services.count; i++)
		add_present(&t, i);
	for (uint32_t i = 0; i < before->services.count; i++) {
		const char *name = settings_text(before, settings_service(before, i)->name);

		if (keep[i] && tables_find(file, name) == UINT32_MAX)
			add_leaving(&t, i);
	}
	made = finish(&t);
	vec_free(&t.services);
	block_deinit(&t.block);
	return made;
}
