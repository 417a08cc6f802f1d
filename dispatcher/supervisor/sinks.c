/* Where lines go: one sink for each file that the settings name, the first of them the dispatcher's own
 * log. A file that nobody needs any more is closed once no living worker writes there. */
#include "dispatcher/supervisor/logs_inner.h"
#include "common/base.h"
#include "common/chan.h"
#include "dispatcher/supervisor/reader.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <string.h>

static int say_sink(struct news *news, int fd)
{
	const struct sink *k = (const struct sink *)news;
	struct log_record r = {.order = LOG_SINK,
		.number = k->index,
		.kind = !k->file.name ? LOG_SINK_NONE : k->file.fd < 0 ? LOG_SINK_SYSLOG : LOG_SINK_STREAM,
		.shared = k->index == 0};

	return chan_send(fd, &r, sizeof(r), &k->file.fd, k->file.fd >= 0);
}

static bool open_sink(struct sink *k)
{
	bool good = logfile_open(&k->file);

	outlet_push(&k->logs->outlet, &k->news);
	return good;
}

void sinks_follow(void *user)
{
	struct logs *logs = user;

	for (uint32_t i = 0; i < logs->sink_count; i++)
		if (logfile_follow(&logs->sinks[i]->file))
			outlet_push(&logs->outlet, &logs->sinks[i]->news);
	timer_in(logs->follow, FOLLOW_MS);
}

static struct sink *new_sink(struct logs *logs)
{
	struct sink **more = reallocarray(logs->sinks, logs->sink_count + 1, sizeof(*more));
	struct sink *k = more ? calloc(1, sizeof(*k)) : NULL;

	if (more)
		logs->sinks = more;
	if (!k)
		return NULL;
	k->logs = logs;
	k->index = logs->sink_count;
	k->news.say = say_sink;
	k->file.fd = -1;
	logs->sinks[logs->sink_count++] = k;
	return k;
}

static struct sink *find_sink(const struct logs *logs, const char *name)
{
	for (uint32_t i = 0; i < logs->sink_count; i++) {
		const char *has = logs->sinks[i]->file.name;

		if (name ? has && strcmp(has, name) == 0 : !has)
			return logs->sinks[i];
	}
	return NULL;
}

static int rename_sink(struct logs *logs, struct sink *k, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	free(k->file.name);
	k->file.name = copy;
	open_sink(k);
	return 0;
}

/* Without memory its lines go to the dispatcher's own. */
uint32_t logs_sink(struct logs *logs, const char *name)
{
	struct sink *k = name ? find_sink(logs, name) : logs->sinks[0];

	if (k)
		return k->index;
	k = find_sink(logs, NULL);
	if (!k)
		k = new_sink(logs);
	return k && !rename_sink(logs, k, name) ? k->index : 0;
}

static const char *own_name(const struct logs *logs)
{
	const struct settings *s = logs->config->settings;

	return s->logfile ? settings_text(s, s->logfile) : "stderr";
}

int sinks_make(struct logs *logs)
{
	const struct settings *s = logs->config->settings;
	struct sink *own = new_sink(logs);

	if (!own || rename_sink(logs, own, own_name(logs)))
		return -ENOMEM;
	for (uint32_t i = 0; i < s->services.count; i++)
		logs_sink(logs, settings_text(s, settings_service(s, i)->logfile));
	return 0;
}

static bool is_needed(const struct logs *logs, const struct sink *k)
{
	const struct settings *s = logs->config->settings;

	for (uint32_t i = 0; i < s->services.count; i++) {
		const char *name = settings_text(s, settings_service(s, i)->logfile);

		if (name && strcmp(name, k->file.name) == 0)
			return true;
	}
	for (const struct log_source *l = logs->sources.next; l != &logs->sources; l = l->next)
		if (l->sink == k->index)
			return true;
	return !k->index;
}

void logs_settle(struct logs *logs)
{
	if (strcmp(logs->sinks[0]->file.name, own_name(logs)) != 0)
		rename_sink(logs, logs->sinks[0], own_name(logs));
	for (uint32_t i = 0; i < logs->sink_count; i++) {
		struct sink *k = logs->sinks[i];

		if (!k->file.name || is_needed(logs, k))
			continue;
		free(k->file.name);
		k->file.name = NULL;
		base_close(&k->file.fd);
		outlet_push(&logs->outlet, &k->news);
	}
}

const char *logs_reopen(struct logs *logs)
{
	const char *failed = NULL;

	for (uint32_t i = 0; i < logs->sink_count; i++)
		if (logs->sinks[i]->file.name && !open_sink(logs->sinks[i]))
			failed = logs->sinks[i]->file.name;
	return failed;
}

static void free_sink(struct sink *k)
{
	base_close(&k->file.fd);
	free(k->file.name);
	free(k);
}

void sinks_free(struct logs *logs)
{
	for (uint32_t i = 0; i < logs->sink_count; i++)
		free_sink(logs->sinks[i]);
	free(logs->sinks);
}
