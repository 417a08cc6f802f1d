/* SipHash: a short hash under a secret key, so that nobody who does not know the key can choose
 * inputs that collide. */
#ifndef POLICY_SIPHASH_H
#define POLICY_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* rounds per word and at the end: 2 and 4 as published, 1 and 3 for tables. */
uint64_t siphash(const uint8_t key[16], const void *data, size_t len_bytes, unsigned word_rounds,
	unsigned end_rounds);

#endif
