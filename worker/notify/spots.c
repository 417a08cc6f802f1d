/* A short list: programs have few listeners, and every look-up is for a call that cost a switch of
 * processes anyway. Programs that bind again and again and never listen are held to BOUND_MAX. */
#include "worker/notify/spots.h"
#include "common/base.h"

#include <errno.h>

#define BOUND_MAX 128

uint64_t spots_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

struct spot *spots_find(const struct spots *s, uint64_t cookie)
{
	struct spot *spot = cookie ? s->first : NULL;

	while (spot && spot->cookie != cookie)
		spot = spot->next;
	return spot;
}

struct spot *spots_of_bell(const struct spots *s, int bell)
{
	struct spot *spot = s->first;

	while (spot && spot->bell != bell)
		spot = spot->next;
	return spot;
}

void spots_remove(struct spots *s, struct spot *spot)
{
	for (struct spot **at = &s->first; *at; at = &(*at)->next) {
		if (*at != spot)
			continue;
		*at = spot->next;
		s->count--;
		break;
	}
	base_close(&spot->bell);
	free(spot);
}

static void forget_oldest(struct spots *s)
{
	struct spot *oldest = NULL;

	for (struct spot *spot = s->first; spot; spot = spot->next)
		if (spot->bell < 0)
			oldest = spot;
	if (oldest && s->count >= BOUND_MAX)
		spots_remove(s, oldest);
}

struct spot *spots_add(struct spots *s, uint64_t cookie)
{
	struct spot *spot = calloc(1, sizeof(*spot));

	if (!spot)
		return NULL;
	forget_oldest(s);
	*spot = (struct spot){.next = s->first, .cookie = cookie, .bell = -1};
	s->first = spot;
	s->count++;
	return spot;
}

uint64_t spots_covered(const struct spots *s)
{
	uint64_t mask = 0;

	for (struct spot *spot = s->first; spot; spot = spot->next)
		if (spot->bell >= 0)
			mask |= spot->mask;
	return mask;
}

int spots_open_bell(struct spot *spot, bool nonblock)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0,
		    ends) < 0)
		return -errno;
	spot->bell = ends[0];
	spot->cookie = spots_cookie(ends[1]);
	return ends[1];
}

void spots_ring(struct spot *spot)
{
	spot->rung = true;
	send(spot->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full is rung as well */
}

void spots_end(struct spot *spot)
{
	shutdown(spot->bell, SHUT_WR);
}

void spots_silence(struct spot *spot, int theirs)
{
	char rings[512];

	while (recv(theirs, rings, sizeof(rings), MSG_DONTWAIT) == sizeof(rings))
		;
	spot->rung = false;
}
