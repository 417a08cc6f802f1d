/* Whether workers still run what is on disk under the name of their image. */
#ifndef SUPERVISOR_IMAGES_H
#define SUPERVISOR_IMAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct images;
struct services;
struct uv_loop_s;
struct workers;

/* Looks every few seconds, and has the acceptor told what is new. Borrows all. 0 or -errno. */
int images_new(struct uv_loop_s *loop, const struct services *services, const struct workers *workers,
	struct images **ret_images);
struct images *images_free(struct images *images); /* NULL is fine; returns NULL */

/* True when a process pid that was started from path at that time runs another file than is there now. */
bool images_is_replaced(const char *path, pid_t pid, uint64_t started_wall_ms);

#endif
