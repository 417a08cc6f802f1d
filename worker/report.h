/* What this worker tells the dispatcher: its report page and the doorbell. */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H

#include "common/page.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct report {
	struct page *page;
	size_t page_bytes;
	const struct bell *bell;
	int doorbell;
	uint32_t rung;
	bool shared; /* several threads report */
	bool news;   /* something was stored since the last report_ring */
	pthread_mutex_t lock;
};

/* Maps the page and the bell (descriptors are borrowed; the doorbell must outlive the report). 0,
 * -EBADMSG when the page is not what ring_len promises or the bell is too small, or -errno. */
int report_init(struct report *r, int page_fd, int bell_fd, int doorbell, uint32_t ring_len);
void report_deinit(struct report *r); /* zeroed memory is fine */

/* These store; report_ring, called before sleeping, tells whoever waits for them. */
void report_ready(struct report *r);
void report_taken(struct report *r, uint32_t count);
void report_done(struct report *r, uint32_t slot);
void report_beat(struct report *r, uint64_t nonce);
void report_line(struct report *r, const char *text);
void report_ring(struct report *r);

#endif
