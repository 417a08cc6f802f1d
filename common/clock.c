/* Reads the clocks. Everybody else takes time as an argument. */
#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000u;
}

uint64_t clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

const char *clock_format(uint64_t wall_ms, char ret_text[CLOCK_TEXT_BYTES])
{
	time_t seconds = (time_t)(wall_ms / 1000u);
	struct tm tm;
	char zone[8], date[24];

	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(ret_text, CLOCK_TEXT_BYTES, "%s.%03u%.3s:%.2s", date, (unsigned)(wall_ms % 1000u),
		zone, zone + 3);
	return ret_text;
}
