/* What a worker is connected by: the supervisor makes it before the worker, and keeps it until the
 * acceptor has settled the worker's end, so that nothing unread dies with a process. */
#ifndef SUPERVISOR_PARTS_H
#define SUPERVISOR_PARTS_H

#include <stddef.h>
#include <stdint.h>

struct parts {
	int channel;	    /* the acceptor's end, shut for reading */
	int channel_worker; /* the worker's end: kept, so that unread offers live on */
	int page;
	int bell;	   /* memory that the acceptor writes */
	int bell_worker;   /* the same for reading only; closed once the worker runs */
	int doorbell;	   /* the reading end */
	int doorbell_out;  /* the worker's; closed once it runs */
	int log;      /* log pipe, the reading end */
	int log_out;  /* the worker's; closed once it runs */
};

#define PARTS_NONE ((struct parts){-1, -1, -1, -1, -1, -1, -1, -1, -1})

/* page_size: of its report page, at least page_bytes(ring_len). 0, or -errno with nothing made. */
int parts_make(struct parts *p, uint32_t ring_len, size_t page_size);
void parts_given(struct parts *p);		    /* the worker has its own: close what is its alone */
void parts_close(struct parts *p);

#endif
