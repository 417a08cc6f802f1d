/* Registrations of listeners in epoll instances, which follow the program's descriptor and not the
 * file behind it. */
#ifndef WORKER_ADAPTER_EPOLL_H
#define WORKER_ADAPTER_EPOLL_H

#include <stdbool.h>

/* The file behind a listening descriptor is about to be replaced; and was replaced. */
void epoll_leave(int fd);
void epoll_return(int fd);

/* The descriptor is about to be closed: it must not be reported any more, though its file lives on.
 */
void epoll_forget(int fd);

/* An epoll descriptor is closed. */
void epoll_closed(int epoll_fd);

/* True if somebody waits for edges of a listener. */
bool epoll_wants_edges(void);

/* An offer was left for another listener, or one was taken and the next is another's: who waits
 * for an edge on `fd` gets it. */
void epoll_wake(int fd);

#endif
