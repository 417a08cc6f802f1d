/* Channel, report page, bell, doorbell and log pipe of one worker. */
#include "dispatcher/supervisor/parts.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int make_page(uint32_t ring_len, size_t page_size)
{
	OWNS_FD int fd = page_memory("report-page", page_size);
	struct page *page;

	if (fd < 0)
		return fd;
	page = page_map(fd, sizeof(*page), 1);
	if (!page)
		return -errno;
	page->version = PAGE_VERSION;
	page->ring_len = ring_len;
	munmap(page, sizeof(*page));
	return base_steal_fd(&fd);
}

static int make_bell(struct parts *p)
{
	p->bell = page_memory("bell", sizeof(struct bell));
	if (p->bell < 0)
		return p->bell;
	p->bell_worker = page_readonly(p->bell);
	return MIN(p->bell_worker, 0);
}

/* What a worker could send back, and descriptors with it, fails with EPIPE at its end. */
static int make_channel(struct parts *p)
{
	int ends[2], bad = chan_pair(ends);

	if (bad)
		return bad;
	p->channel = ends[0];
	p->channel_worker = ends[1];
	return shutdown(p->channel, SHUT_RD) < 0 ? -errno : 0;
}

static int make_pipe(int *ret_in, int *ret_out, int flags)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | flags) < 0)
		return -errno;
	*ret_in = ends[0];
	*ret_out = ends[1];
	return 0;
}

/* Who prints has a reading end, too: when supervisor and logger are both killed it must not die of
 * SIGPIPE. What nobody reads any more then fills the pipe. */
static void keep_readable(int *out)
{
	char path[40];
	int both;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", *out);
	both = open(path, O_RDWR | O_CLOEXEC);
	if (both < 0)
		return;
	base_close(out);
	*out = both;
}

int parts_make(struct parts *p, uint32_t ring_len, size_t page_size)
{
	int bad;

	*p = PARTS_NONE;
	bad = make_channel(p);
	if (!bad) {
		p->page = make_page(ring_len, page_size);
		bad = p->page < 0 ? p->page : 0;
	}
	if (!bad)
		bad = make_bell(p);
	if (!bad)
		bad = make_pipe(&p->doorbell, &p->doorbell_out, O_NONBLOCK);
	if (!bad)
		bad = make_pipe(&p->log, &p->log_out, 0);
	if (!bad && fcntl(p->log, F_SETFL, O_NONBLOCK) < 0)
		bad = -errno;
	if (!bad)
		keep_readable(&p->log_out);
	if (bad)
		parts_close(p);
	return bad;
}

void parts_given(struct parts *p)
{
	base_close(&p->bell_worker);
	base_close(&p->doorbell_out);
	base_close(&p->log_out);
}

void parts_close(struct parts *p)
{
	parts_given(p);
	base_close(&p->channel);
	base_close(&p->channel_worker);
	base_close(&p->page);
	base_close(&p->bell);
	base_close(&p->doorbell);
	base_close(&p->log);
}
