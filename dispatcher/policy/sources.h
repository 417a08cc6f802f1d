/* Connections open per source prefix, in a table of fixed size: MAX_CONNS_PER_SOURCE. Pure. */
#ifndef POLICY_SOURCES_H
#define POLICY_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A masked address: the caller masks; family keeps IPv4 and IPv6 apart. */
struct source {
	uint8_t ip[16];
	uint8_t family;
};

struct sources;

/* For at most max_open connections at a time. key: 16 random bytes against chosen collisions. */
size_t sources_bytes(uint32_t max_open);
struct sources *sources_init(void *memory, uint32_t max_open, const uint8_t key[16]);

/* Counts one more connection of source unless it has `limit` already (0: no limit), or it would be one
 * source more than max_open. False: refuse it; it is not counted. */
bool sources_opened(struct sources *s, const struct source *source, uint32_t limit);
void sources_closed(struct sources *s, const struct source *source); /* one that was counted */
uint32_t sources_count(const struct sources *s, const struct source *source);

/* True at most once a minute and source (in a small table, oldest out): may a line be logged? */
bool sources_may_log(struct sources *s, const struct source *source, uint64_t now_ms);

#endif
