/* Room for more services than anybody has: memory that is never touched costs nothing, and the keeper
 * must share it before the acceptor knows how many there are. */
#include "dispatcher/acceptor/hand.h"

#include <stddef.h>
#include <sys/mman.h>

struct hand *hand_new(void)
{
	size_t bytes = sizeof(struct hand) + HAND_SERVICES * sizeof(struct hand_service);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

unsigned hand_free_place(const struct hand_service *h)
{
	unsigned place = HAND_BATCH;

	while (place < HAND_PLACES && h->places[place].fd)
		place++;
	return place;
}
