/* After the paper of Aumasson and Bernstein (2012); the test holds its example. */
#include "dispatcher/policy/siphash.h"

#include <string.h>

static uint64_t rotated(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void mix(uint64_t v[4], unsigned rounds)
{
	while (rounds--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotated(v[1], 13) ^ v[0];
		v[3] = rotated(v[3], 16) ^ v[2];
		v[0] = rotated(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotated(v[1], 17) ^ v[2];
		v[3] = rotated(v[3], 21) ^ v[0];
		v[2] = rotated(v[2], 32);
	}
}

/* Up to eight bytes as a number, the first the lowest. */
static uint64_t word(const uint8_t *bytes, size_t count)
{
	uint64_t number = 0;

	while (count--)
		number = number << 8 | bytes[count];
	return number;
}

static void add(uint64_t v[4], uint64_t number, unsigned rounds)
{
	v[3] ^= number;
	mix(v, rounds);
	v[0] ^= number;
}

uint64_t siphash(const uint8_t key[16], const void *data, size_t len_bytes, unsigned word_rounds,
	unsigned end_rounds)
{
	uint64_t k0 = word(key, 8), k1 = word(key + 8, 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
		k1 ^ 0x7465646279746573};
	const uint8_t *bytes = data;
	size_t at = 0;

	for (; at + 8 <= len_bytes; at += 8)
		add(v, word(bytes + at, 8), word_rounds);
	add(v, (uint64_t)len_bytes << 56 | word(bytes + at, len_bytes - at), word_rounds);
	v[2] ^= 0xff;
	mix(v, end_rounds);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
