/* Group commit. Who comes while a directory is being synced waits for the next time, together with
 * all who have come by then; one of them does it for all. A failure is told to everybody whose
 * changes it may have touched, because the kernel tells it once and forgets. */
#include "worker/smtp/commits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct commit {
	struct commit *next;
	unsigned users;
	bool running;
	uint64_t begun, done; /* how often */
	uint64_t failed;      /* the last that failed */
	int error;
	char path[];
};

void commits_init(struct commits *cs)
{
	pthread_mutex_init(&cs->lock, NULL);
	pthread_cond_init(&cs->done, NULL);
	cs->first = NULL;
}

void commits_deinit(struct commits *cs)
{
	pthread_cond_destroy(&cs->done);
	pthread_mutex_destroy(&cs->lock);
}

static struct commit *enter(struct commits *cs, const char *path)
{
	struct commit *c = cs->first;

	while (c && strcmp(c->path, path))
		c = c->next;
	if (!c) {
		c = calloc(1, sizeof(*c) + strlen(path) + 1);
		if (!c)
			return NULL;
		strcpy(c->path, path);
		c->next = cs->first;
		cs->first = c;
	}
	c->users++;
	return c;
}

static void leave(struct commits *cs, struct commit *c)
{
	struct commit **at = &cs->first;

	if (--c->users)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	free(c);
}

static int sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad;

	if (fd < 0)
		return -errno;
	bad = fsync(fd) ? -errno : 0;
	close(fd);
	return bad;
}

static void lead(struct commits *cs, struct commit *c)
{
	uint64_t mine = ++c->begun;
	int bad;

	c->running = true;
	pthread_mutex_unlock(&cs->lock);
	bad = sync_directory(c->path);
	pthread_mutex_lock(&cs->lock);
	c->running = false;
	c->done = mine;
	if (bad) {
		c->failed = mine;
		c->error = bad;
	}
	pthread_cond_broadcast(&cs->done);
}

int commits_sync(struct commits *cs, const char *path)
{
	struct commit *c;
	uint64_t mine;
	int bad;

	pthread_mutex_lock(&cs->lock);
	c = enter(cs, path);
	mine = c ? c->begun + 1 : 0;
	while (c && c->done < mine)
		if (c->running)
			pthread_cond_wait(&cs->done, &cs->lock);
		else
			lead(cs, c);
	bad = c ? (c->failed >= mine ? c->error : 0) : -ENOMEM;
	if (c)
		leave(cs, c);
	pthread_mutex_unlock(&cs->lock);
	return bad;
}
