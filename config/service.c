/* One service: the options that stand for themselves, those that depend on each other, and the
 * limits that must agree. A limit that nobody has written gives way to one that somebody has. */
#include "config/build.h"
#include "common/base.h"

#include <string.h>
#include <sys/resource.h>

#define STACK_LEAST        16384 /* PTHREAD_STACK_MIN */
#define WORKER_DESCRIPTORS 32    /* what a worker needs beside its connections */
#define BACKLOG_LEAST      5

static void store_lines(
	struct build *b, const struct scope *s, const struct schema_option *option, void *field)
{
	const struct source_section *section = scope_section(s, option);
	const struct source_line *line;
	size_t index = 0;

	if (section && value_is_list(option->type)) {
		value_store_list(b, option, section, field);
		return;
	}
	while (section && value_is_single(option->type) &&
		(line = section_next(section, option, &index)))
		value_store(b, option, line, field);
}

void service_store(struct build *b, const struct scope *s, struct service_settings *svc)
{
	bool inetd = adapter_of(s) == ADAPTER_INETD;

	for (unsigned i = 0; i < schema_count(); i++) {
		const struct schema_option *option = schema_at(i);
		char *field = (char *)svc + option->service_at;

		if (!option->service_at)
			continue;
		value_store_initial(b, option, inetd, field);
		store_lines(b, s, option, field);
	}
}

/* Two limits where the lower must not be above the higher. */
static void agree(struct build *b, const struct scope *s, const char *low_name, uint32_t *low,
	const char *high_name, uint32_t *high)
{
	const struct source_line *low_line = scope_line(s, low_name);
	const struct source_line *high_line = scope_line(s, high_name);

	if (*low <= *high)
		return;
	if (low_line && high_line)
		report_error(b->report,
			low_line->where.seq > high_line->where.seq ? &low_line->where
								   : &high_line->where,
			"%s=%u is above %s=%u; lower the one or raise the other", low_name, *low,
			high_name, *high);
	else if (low_line)
		*high = *low;
	else
		*low = *high;
}

static void check_worker(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	const struct settings_rlimit *nofile = &svc->limits[RLIMIT_NOFILE];

	if (svc->stacksize && svc->stacksize < STACK_LEAST)
		report_error(b->report, scope_where(s, "STACKSIZE"),
			"STACKSIZE is below %u, which no thread can run on; raise it, or write 0",
			STACK_LEAST);
	if (nofile->set && nofile->value < svc->max_conns + WORKER_DESCRIPTORS)
		report_error(b->report, scope_where(s, "LIMIT_NOFILE"),
			"LIMIT_NOFILE=%llu does not hold MAX_CONNS=%u and %u more; raise it by "
			"%llu",
			(unsigned long long)nofile->value, svc->max_conns, WORKER_DESCRIPTORS,
			(unsigned long long)(svc->max_conns + WORKER_DESCRIPTORS - nofile->value));
}

/* In its own section somebody meant it. */
static void check_queue(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	static const char *const names[] = {"QUEUE_SIZE", "QUEUE_TIMEOUT", "REFUSE_TEXT"};

	for (unsigned i = 0; svc->when_full != FULL_REFUSE && i < ARRAY_LEN(names); i++)
		if (scope_section(s, schema_get(names[i])) == s->own)
			report_warning(b->report, scope_where(s, names[i]),
				"%s is used by nobody; write WHEN_FULL=refuse", names[i]);
}

void service_build(struct build *b, const struct scope *s, struct service_settings *ret_svc)
{
	struct service_settings svc = {.socket_uid = SETTINGS_NO_ID, .socket_gid = SETTINGS_NO_ID};
	char place[WHERE_BYTES];
	const char *off_by;

	service_store(b, s, &svc);
	off_by = svc.enabled ? "PORT" : "ENABLE";
	ports_build(b, s, &svc);
	image_build(b, s, &svc);
	account_build(b, s, &svc);
	reach_check(b, s, &svc);
	agree(b, s, "MIN_PROCS", &svc.min_procs, "MAX_PROCS", &svc.max_procs);
	agree(b, s, "MIN_CONNS", &svc.min_conns, "MAX_CONNS", &svc.max_conns);
	check_worker(b, s, &svc);
	check_queue(b, s, &svc);
	adapter_build(b, s, &svc);
	tls_check(b, s, &svc);
	if (!svc.backlog)
		svc.backlog = MAX(svc.max_procs * svc.max_conns, BACKLOG_LEAST);
	svc.name = block_text(&b->block, s->own->name);
	svc.where = block_text(&b->block, where_format(&s->own->where, place));
	if (!svc.enabled)
		svc.off_where = block_text(&b->block, where_format(scope_where(s, off_by), place));
	*ret_svc = svc;
}
