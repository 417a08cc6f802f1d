/* Nothing is remembered for it: a file that was not changed since a process started is what the process
 * runs, and of one that was the kernel tells whether it is still the same (its change time moves with a
 * mere chmod, too). What a script's process runs is its interpreter, so there the time alone tells. */
#include "dispatcher/supervisor/images.h"
#include "dispatcher/supervisor/services.h"
#include "dispatcher/supervisor/watch.h"
#include "dispatcher/supervisor/workers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define EVERY_MS 5000

struct images {
	const struct services *services;
	const struct workers *workers;
	struct timer *timer;
};

bool images_is_replaced(const char *path, pid_t pid, uint64_t started_wall_ms)
{
	char exe[32];
	struct stat now, running;

	if (stat(path, &now) < 0)
		return errno == ENOENT;
	if ((uint64_t)now.st_ctim.tv_sec * 1000 + (uint64_t)now.st_ctim.tv_nsec / 1000000 <= started_wall_ms)
		return false;
	snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
	if (stat(exe, &running) < 0) /* it has ended, or nobody may look */
		return false;
	return now.st_dev != running.st_dev || now.st_ino != running.st_ino;
}

static void look_at(struct worker *w)
{
	if (w && w->state == WORKER_RUNS)
		worker_image_replaced(w, images_is_replaced(w->image, w->pid, w->created_wall_ms));
}

static void on_timer(void *user)
{
	struct images *images = user;

	for (uint32_t i = 0; i < services_count(images->services); i++)
		for (uint32_t slot = 0; slot < workers_slots(images->workers, i); slot++)
			look_at(workers_at(images->workers, i, slot));
	timer_in(images->timer, EVERY_MS);
}

int images_new(struct uv_loop_s *loop, const struct services *services, const struct workers *workers,
	struct images **ret_images)
{
	struct images *images = calloc(1, sizeof(*images));
	int bad;

	if (!images)
		return -ENOMEM;
	images->services = services;
	images->workers = workers;
	bad = timer_new(loop, on_timer, images, &images->timer);
	if (bad) {
		free(images);
		return bad;
	}
	timer_in(images->timer, EVERY_MS);
	*ret_images = images;
	return 0;
}

struct images *images_free(struct images *images)
{
	if (images)
		timer_free(images->timer);
	free(images);
	return NULL;
}
