/* Latencies counted in buckets of at most 1.6 % width, so that millions cost no memory. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (64 * 59)

struct histogram {
	uint64_t count;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/* The value that `percent` of all are not above, within a bucket's width; 0 of none. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
