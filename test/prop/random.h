/* Random numbers that a seed repeats. */
#ifndef TEST_PROP_RANDOM_H
#define TEST_PROP_RANDOM_H

#include <stdint.h>

/* The next of a sequence (splitmix64): state is any number. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* 0 ... below - 1 */
static inline uint32_t random_below(uint64_t *state, uint32_t below)
{
	return (uint32_t)((random_next(state) >> 32) * below >> 32);
}

#endif
