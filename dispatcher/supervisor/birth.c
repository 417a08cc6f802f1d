/* A worker finds: 0 /dev/null, 1 and 2 its log pipe, 3 channel, 4 report page, 5 bell (for reading),
 * 6 doorbell, and nothing else; PATH, what ENVIRONMENT says and DISPATCHER_WORKER=1, and nothing else but
 * what adapts a server that was not written for us. */
#include "dispatcher/supervisor/birth.h"
#include "common/base.h"
#include "common/page.h"
#include "dispatcher/supervisor/adaptation.h"
#include "dispatcher/supervisor/launch.h"
#include "dispatcher/supervisor/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TITLE_BYTES 128
#define DESCRIPTORS_BESIDE 64 /* that a worker needs beside two for each connection */

uint32_t birth_ring_len(const struct birth *b)
{
	return page_ring_len(b->service->max_conns);
}

size_t birth_page_bytes(const struct birth *b)
{
	uint32_t len = birth_ring_len(b);

	return b->service->adapter == ADAPTER_SERVER ? adapter_page_bytes(len) : page_bytes(len);
}

/* The limits of the settings; without LIMIT_NOFILE those the supervisor started with, not those it has
 * raised for itself, but enough for max_conns where the hard limit has it. */
static void set_limits(const struct birth *b, struct launch *l)
{
	uint64_t wanted = 2u * (uint64_t)b->service->max_conns + DESCRIPTORS_BESIDE;
	uint64_t soft = b->nofile.rlim_cur, hard = b->nofile.rlim_max;

	l->limits[RLIMIT_NOFILE] = (struct spec_limit){1, MIN(MAX(soft, wanted), hard), hard};
	for (int i = 0; i < SETTINGS_LIMITS; i++) {
		const struct settings_rlimit *limit = &b->service->limits[i];

		if (limit->set)
			l->limits[i] = (struct spec_limit){1, limit->value, limit->value};
	}
}

/* Returns a list for free(); PATH is taken out of it, as launch() sets that itself. */
static const char **environment(const struct birth *b, const struct adaptation *a, struct launch *l)
{
	struct settings_list list = b->service->environment;
	const char **texts = calloc(list.count + 4, sizeof(*texts));
	uint32_t count = 0;

	for (uint32_t i = 0; texts && i < list.count; i++) {
		const char *text = settings_list_text(b->settings, list, i);

		if (strncmp(text, "PATH=", 5) == 0)
			l->path = text + 5;
		else
			texts[count++] = text;
	}
	if (texts)
		texts[count++] = "DISPATCHER_WORKER=1";
	if (texts && b->service->adapter == ADAPTER_SERVER)
		adaptation_put(a, texts + count);
	l->environment = texts;
	return texts;
}

static void set_identity(const struct birth *b, struct launch *l)
{
	const struct service_settings *svc = b->service;

	l->uid = svc->uid;
	l->gid = svc->gid;
	l->groups = settings_list_data(b->settings, svc->groups);
	l->group_count = svc->groups.count;
	l->umask = svc->umask;
	l->nice = svc->nice;
	l->batch = svc->sched_batch;
	l->directory = settings_text(b->settings, svc->working_directory);
}

/* A native worker is told by a message, which it finds whenever it first looks. */
static int set_native(const struct birth *b, const struct parts *parts, struct launch *l, char *title)
{
	struct setup setup = {.serial = b->serial, .ring_len = birth_ring_len(b)};

	snprintf(title, TITLE_BYTES, "dispatcher: worker %.80s/%u",
		settings_text(b->settings, b->service->name), b->serial);
	l->title = title;
	l->image = settings_text(b->settings, b->service->image);
	return setup_send(parts->channel, b->settings, b->service, &setup);
}

/* An unmodified server sees nothing of us but its environment. */
static int set_adapted(const struct birth *b, struct adaptation *a, struct launch *l)
{
	int bad = adaptation_make(b->settings, b->service, birth_ring_len(b), a);

	if (bad)
		return bad;
	l->image = a->image;
	l->library = a->library;
	l->title = a->argv[0];
	l->arguments = a->argv + 1;
	return 0;
}

int birth_launch(const struct birth *b, const struct parts *parts, pid_t *ret_pid,
	int *ret_birth_fd)
{
	OWNS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[] = {null, parts->log_out, parts->log_out, parts->channel_worker, parts->page,
		parts->bell_worker, parts->doorbell_out};
	struct launch l = {.fds = fds, .fd_count = ARRAY_LEN(fds)};
	struct adaptation a = {0};
	OWNS_MEM const char **texts = NULL;
	char title[TITLE_BYTES];
	int bad;

	if (null < 0)
		return -errno;
	bad = b->service->adapter == ADAPTER_SERVER ? set_adapted(b, &a, &l)
						    : set_native(b, parts, &l, title);
	texts = bad ? NULL : environment(b, &a, &l);
	if (texts) {
		set_identity(b, &l);
		set_limits(b, &l);
		bad = launch(&l, ret_pid, ret_birth_fd);
	}
	adaptation_free(&a);
	return bad || texts ? bad : -ENOMEM;
}
