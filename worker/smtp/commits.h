/* fsync() of directories, one for all who wait for it. */
#ifndef WORKER_SMTP_COMMITS_H
#define WORKER_SMTP_COMMITS_H

#include <pthread.h>

struct commit;
struct commits {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct commit *first;
};

void commits_init(struct commits *cs);
void commits_deinit(struct commits *cs);
/* What was done in the directory before is on stable storage. 0 or -errno. */
int commits_sync(struct commits *cs, const char *path);

#endif
