/* The dispatcher's own options: its directories first, because other options are named by them. */
#include "config/build.h"
#include "common/base.h"

#include <string.h>
#include <sys/un.h>

static void set_text(struct build *b, char **text, const char *value)
{
	free(*text);
	*text = block_copy(&b->block, value);
}

/* The directory that an option names, or another; a new string. */
static char *directory(
	struct build *b, const struct scope *s, const char *name, const char *otherwise)
{
	const struct source_line *line = scope_line(s, name);
	char *path = line ? path_resolve(b, line->option, &line->where, line->value) : NULL;

	return path ? path : block_copy(&b->block, otherwise);
}

static void set_directories(struct build *b, const struct scope *s, struct settings *head)
{
	const struct host *h = b->host;
	OWNS_MEM char *run = directory(b, s, "RUN_DIR", h->run_dir);
	OWNS_MEM char *logs = directory(b, s, "LOG_DIR", *h->log_dir || !run ? h->log_dir : run);
	OWNS_MEM char *workers = directory(b, s, "WORKER_DIR", h->worker_dir);

	if (!run || !logs || !workers)
		return;
	set_text(b, &b->log_dir, logs);
	set_text(b, &b->worker_dir, workers);
	head->run_dir = block_text(&b->block, run);
	head->log_dir = block_text(&b->block, logs);
	head->worker_dir = block_text(&b->block, workers);
	head->control_socket = block_format(&b->block, "%s/control", run);
	head->state_dir = *h->state_dir ? block_text(&b->block, h->state_dir)
					: block_format(&b->block, "%s/state", run);
	head->logfile = block_text(&b->block, "stderr");
}

static void check_control(struct build *b, const struct scope *s, const struct settings *head)
{
	const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	bool is_said = scope_line(s, "CONTROL_SOCKET");

	if (!b->block.failed && strlen(block_text_at(&b->block, head->control_socket)) > most)
		report_error(b->report, scope_where(s, is_said ? "CONTROL_SOCKET" : "RUN_DIR"),
			"the path of the control socket has more than %zu bytes; shorten %s", most,
			is_said ? "CONTROL_SOCKET" : "RUN_DIR");
}

void self_build(struct build *b, const struct scope *s, struct settings *ret_head)
{
	struct settings head = {.admin_gid = SETTINGS_NO_ID, .status_gid = SETTINGS_NO_ID};

	set_directories(b, s, &head);
	for (unsigned i = 0; i < schema_count(); i++) {
		const struct schema_option *option = schema_at(i);
		const struct source_section *section = scope_section(s, option);
		const struct source_line *line;
		char *field = (char *)&head + option->dispatcher_at;
		size_t index = 0;

		if (!option->dispatcher_at || !value_is_single(option->type))
			continue;
		value_store_initial(b, option, false, field);
		while (section && (line = section_next(section, option, &index)))
			value_store(b, option, line, field);
	}
	check_control(b, s, &head);
	account_build_dispatcher(b, s, &head);
	*ret_head = head;
}
