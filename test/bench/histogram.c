/* 64 equal buckets for each power of two from 64 on: the bucket number is the exponent and the six
 * bits behind the leading one. Values below 64 are counted exactly. */
#include "test/bench/histogram.h"
#include "common/base.h"

static unsigned bucket_of(uint64_t value)
{
	unsigned exponent;

	if (value < 64)
		return (unsigned)value;
	exponent = 63u - (unsigned)__builtin_clzll(value);
	return (exponent - 5) * 64 + (unsigned)((value >> (exponent - 6)) & 63);
}

static uint64_t lower_end(unsigned bucket)
{
	if (bucket < 64)
		return bucket;
	return (uint64_t)(64 + bucket % 64) << (bucket / 64 - 1);
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->buckets[bucket_of(value)]++;
	h->count++;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	double wanted = (double)h->count * percent / 100.0;
	uint64_t seen = 0;

	for (unsigned i = 0; h->count && i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen && (double)seen >= wanted)
			return lower_end(i);
	}
	return 0;
}
