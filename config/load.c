/* From a file to settings: read, classify, build, tell. Everything that can be wrong goes to one
 * report, so that all of it is told at once, in the order of the files. */
#include "config/load.h"
#include "config/build.h"
#include "config/read.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

/* Makes a list of texts while a report is read. */
struct text_list {
	struct block *block;
	struct vec texts;
};

static void add_text(void *user, const char *text)
{
	struct text_list *list = user;
	uint32_t *slot = vec_push(&list->texts);

	if (slot)
		*slot = block_text(list->block, text);
	else
		list->block->failed = true;
}

static struct settings_list finish_texts(struct text_list *list)
{
	struct settings_list made = block_list(list->block, &list->texts);

	vec_free(&list->texts);
	return made;
}

static struct settings_list texts_of(struct build *b, enum load_severity severity)
{
	struct text_list list = {.block = &b->block, .texts.elem = sizeof(uint32_t)};

	report_each(b->report, severity, add_text, &list);
	return finish_texts(&list);
}

/* Paths are kept in full: whoever looks at the files later may stand elsewhere. */
static void add_path(struct text_list *list, const char *path)
{
	OWNS_MEM char *dir = path[0] == '/' ? NULL : getcwd(NULL, 0), *full = NULL;

	if (dir && asprintf(&full, "%s/%s", dir, path) < 0) {
		full = NULL;
		list->block->failed = true;
	}
	add_text(list, full ? full : path);
}

static struct settings_list files_of(struct build *b, const struct source *source)
{
	struct text_list list = {.block = &b->block, .texts.elem = sizeof(uint32_t)};

	for (size_t i = 0; i < source->files.count; i++)
		add_path(&list, ((const struct file *)vec_at(&source->files, i))->path);
	return finish_texts(&list);
}

static struct settings_list stamps_of(struct build *b, const struct source *source)
{
	struct vec stamps = {.elem = sizeof(struct settings_stamp)};
	struct settings_list list;

	for (size_t i = 0; i < source->files.count; i++) {
		const struct file *f = vec_at(&source->files, i);
		struct settings_stamp *slot = vec_push(&stamps);

		if (slot)
			*slot = (struct settings_stamp){f->device, f->inode, f->size, f->mtime_ns};
		else
			b->block.failed = true;
	}
	list = block_list(&b->block, &stamps);
	vec_free(&stamps);
	return list;
}

static bool is_service(const struct source_section *section)
{
	return section->name && *section->name && strcmp(section->name, "dispatcher");
}

/* The section of that name before section number `end`; NULL: none. */
static const struct source_section *find_section(
	const struct source *source, const char *name, size_t end)
{
	for (size_t i = 0; i < end; i++) {
		const struct source_section *section = vec_at(&source->sections, i);

		if (section->name && !strcmp(section->name, name))
			return section;
	}
	return NULL;
}

/* All lines of all [SERVICE=DISPATCHER] sections as one; a framework file and a site's own may each
 * have one. */
static int gather_dispatcher(const struct source *source, struct source_section *ret_section)
{
	const struct source_section *top = vec_at(&source->sections, 0);
	const struct file *first = vec_at(&source->files, 0);

	*ret_section = (struct source_section){.name = "dispatcher",
		.lines.elem = sizeof(struct source_line),
		.where = top->lines.count ? ((struct source_line *)vec_at(&top->lines, 0))->where
					  : (struct where){.file = first->path}};
	for (size_t i = 0; i < source->sections.count; i++) {
		const struct source_section *section = vec_at(&source->sections, i);

		if (!section->name || strcmp(section->name, "dispatcher"))
			continue;
		ret_section->where = section->where;
		for (size_t n = 0; n < section->lines.count; n++) {
			struct source_line *slot = vec_push(&ret_section->lines);

			if (!slot)
				return -ENOMEM;
			*slot = *(struct source_line *)vec_at(&section->lines, n);
		}
	}
	return 0;
}

static int build_self(struct build *b, const struct source *source, struct settings *head)
{
	struct source_section own;
	struct scope scope = {.own = &own,
		.defaults = vec_at(&source->sections, 0),
		.top = SCHEMA_TOP_DISPATCHER};
	int r = gather_dispatcher(source, &own);

	if (!r)
		self_build(b, &scope, head);
	vec_free(&own.lines);
	return r;
}

/* Looks at values of a section that makes no service of its own. */
static void check_section(struct build *b, const struct source_section *section)
{
	struct scope scope = {.own = section, .top = SCHEMA_TOP_SERVICES};
	struct service_settings scratch = {0};

	service_store(b, &scope, &scratch);
}

/* The slots of all services together must be countable. */
static void add_service(struct build *b, const struct source_section *section,
	const struct service_settings *svc, struct vec *services, uint64_t *conns)
{
	struct service_settings *slot = vec_push(services);

	if (!slot) {
		b->block.failed = true;
		return;
	}
	*slot = *svc;
	*conns += settings_conn_slots(svc);
	if (*conns > INT32_MAX)
		report_error(b->report, &section->where,
			"with this service there could be %llu connections; lower MAX_CONNS or "
			"MAX_PROCS",
			(unsigned long long)*conns);
}

static void build_service(struct build *b, const struct source *source, size_t index,
	struct vec *services, uint64_t *conns)
{
	const struct source_section *section = vec_at(&source->sections, index), *first;
	struct scope scope = {.own = section,
		.defaults = vec_at(&source->sections, 0),
		.top = SCHEMA_TOP_SERVICES};
	struct service_settings svc;
	char place[WHERE_BYTES];

	first = section->name ? find_section(source, section->name, index) : NULL;
	if (first)
		report_error(b->report, &section->where,
			"service %s has a section already, at %s; make one of them", section->name,
			where_format(&first->where, place));
	if (first || !section->name) {
		check_section(b, section);
		return;
	}
	service_build(b, &scope, &svc);
	add_service(b, section, &svc, services, conns);
}

static struct settings_list build_services(
	struct build *b, const struct source *source, struct settings *head)
{
	struct vec services = {.elem = sizeof(struct service_settings)};
	const struct file *first = vec_at(&source->files, 0);
	struct where whole = {.file = first->path};
	struct settings_list list;
	uint64_t conns = 0;

	check_section(b, vec_at(&source->sections, 0));
	for (size_t i = 1; i < source->sections.count; i++) {
		const struct source_section *section = vec_at(&source->sections, i);

		if (!section->name || is_service(section))
			build_service(b, source, i, &services, &conns);
	}
	if (!services.count && !b->report->errors)
		report_error(
			b->report, &whole, "there is no service; write a section [SERVICE=name]");
	list = block_list(&b->block, &services);
	head->names = names_build(b, head, &services);
	vec_free(&services);
	return list;
}

/* What logical names stand for until the file says otherwise. */
static int set_names(struct build *b, const char *path)
{
	OWNS_MEM char *dir = source_directory(path);

	b->config_dir = dir ? realpath(dir, NULL) : NULL;
	if (dir && !b->config_dir && errno != ENOMEM)
		b->config_dir = block_copy(&b->block, dir);
	b->worker_dir = block_copy(&b->block, b->host->worker_dir);
	b->log_dir = block_copy(&b->block, b->host->log_dir);
	return b->config_dir && !b->block.failed ? 0 : -ENOMEM;
}

static uint32_t config_path(struct build *b, const char *path)
{
	const char *slash = strrchr(path, '/');

	return block_format(&b->block, "%s/%s", strcmp(b->config_dir, "/") ? b->config_dir : "",
		slash ? slash + 1 : path);
}

static int build_all(struct build *b, const char *path, struct source *source)
{
	struct settings head;
	int r = set_names(b, path);

	if (r < 0)
		return r;
	mappings_look(b->config_dir, b->report);
	build_classify(source, b->report);
	r = build_self(b, source, &head);
	if (r < 0)
		return r;
	head.services = build_services(b, source, &head);
	head.config_file = config_path(b, path);
	snprintf(head.hash, sizeof(head.hash), "%016llx", (unsigned long long)source->hash);
	head.files = files_of(b, source);
	head.stamps = stamps_of(b, source);
	head.not_enforced = texts_of(b, LOAD_NOT_ENFORCED);
	head.warnings = texts_of(b, LOAD_WARNING);
	if (b->block.failed)
		return -ENOMEM;
	memcpy(block_head(&b->block), &head, sizeof(head));
	return 0;
}

static void build_deinit(struct build *b)
{
	block_deinit(&b->block);
	vec_free(&b->taken);
	free(b->config_dir);
	free(b->worker_dir);
	free(b->log_dir);
}

static struct settings *steal_settings(struct block *block)
{
	size_t bytes = 0;
	struct settings *made = block_steal(block, &bytes);

	if (made) {
		made->magic = SETTINGS_MAGIC;
		made->bytes = (uint32_t)bytes;
	}
	return made;
}

static int build(const char *path, const struct host *host, struct source *source,
	struct report *report, struct settings **ret_settings)
{
	struct build b = {.host = host, .report = report};
	struct settings *made = NULL;
	int r;

	block_init(&b.block, sizeof(*made));
	r = build_all(&b, path, source);
	if (!r && !report->errors)
		made = steal_settings(&b.block);
	build_deinit(&b);
	if (r < 0)
		return r;
	if (report->errors)
		return LOAD_REFUSED;
	*ret_settings = made;
	return made ? 0 : -ENOMEM;
}

int load_settings_on(const struct host *host, const char *path, load_tell *tell, void *user,
	struct settings **ret_settings)
{
	struct settings *made = NULL;
	struct report report;
	struct source source;
	int r;

	report_init(&report);
	r = read_source(&source, path, host->is_root, &report);
	if (!r)
		r = build(path, host, &source, &report, &made);
	if (!r && report.failed)
		r = -ENOMEM;
	report_tell(&report, tell, user);
	source_deinit(&source);
	report_deinit(&report);
	if (r)
		free(made);
	else
		*ret_settings = made;
	return r;
}

int load_settings(const char *path, load_tell *tell, void *user, struct settings **ret_settings)
{
	struct host host;

	host_facts(&host);
	return load_settings_on(&host, path, tell, user, ret_settings);
}
