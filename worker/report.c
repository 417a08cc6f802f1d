/* The worker's side of the report page. Stores are cheap and the bell is looked at once per turn of
 * the loop, right before it sleeps, so that a burst costs one look and at most one write. In thread
 * style several threads report; then a lock keeps the page's single-writer rule. */
#include "worker/report.h"
#include "common/base.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int map(int fd, size_t least_bytes, int writable, size_t *ret_bytes, void **ret_memory)
{
	struct stat st;
	void *memory;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (size_t)st.st_size < least_bytes)
		return -EBADMSG;
	memory = page_map(fd, (size_t)st.st_size, writable);
	if (!memory)
		return -errno;
	*ret_bytes = (size_t)st.st_size;
	*ret_memory = memory;
	return 0;
}

int report_init(struct report *r, int page_fd, int bell_fd, int doorbell, uint32_t ring_len)
{
	void *page = NULL, *bell = NULL;
	size_t bell_bytes;
	int bad;

	*r = (struct report){.doorbell = doorbell};
	pthread_mutex_init(&r->lock, NULL);
	bad = map(page_fd, page_bytes(ring_len), 1, &r->page_bytes, &page);
	if (bad)
		return bad;
	r->page = page;
	if (r->page->version != PAGE_VERSION || !ring_len || r->page->ring_len != ring_len)
		return -EBADMSG;
	bad = map(bell_fd, sizeof(struct bell), 0, &bell_bytes, &bell);
	r->bell = bell;
	return bad;
}

void report_deinit(struct report *r)
{
	if (r->page)
		munmap(r->page, r->page_bytes);
	if (r->bell)
		munmap((void *)r->bell, sizeof(*r->bell));
	r->page = NULL;
	r->bell = NULL;
}

static void lock(struct report *r)
{
	if (r->shared)
		pthread_mutex_lock(&r->lock);
}

static void stored(struct report *r)
{
	r->news = true;
	if (r->shared)
		pthread_mutex_unlock(&r->lock);
}

void report_ready(struct report *r)
{
	lock(r);
	page_set_ready(r->page);
	stored(r);
}

void report_taken(struct report *r, uint32_t count)
{
	lock(r);
	page_add_taken(r->page, count);
	stored(r);
}

void report_done(struct report *r, uint32_t slot)
{
	lock(r);
	page_add_done(r->page, slot);
	stored(r);
}

void report_beat(struct report *r, uint64_t nonce)
{
	lock(r);
	page_set_beat(r->page, nonce);
	stored(r);
}

void report_line(struct report *r, const char *text)
{
	lock(r);
	page_set_line(r->page, text);
	stored(r);
}

void report_ring(struct report *r)
{
	lock(r);
	if (r->news)
		page_ring(r->bell, r->doorbell, &r->rung);
	r->news = false;
	if (r->shared)
		pthread_mutex_unlock(&r->lock);
}
