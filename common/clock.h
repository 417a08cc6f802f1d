/* The only reader of time: a monotonic clock to decide by, the wall clock for texts. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_NEVER UINT64_MAX
#define CLOCK_TEXT_BYTES 40

uint64_t clock_mono_ms(void); /* milliseconds, never goes back, the same in all processes */
uint64_t clock_mono_ns(void);
uint64_t clock_wall_ms(void); /* milliseconds since 1970; may jump: for texts only */

/* Writes wall_ms as ISO 8601 with milliseconds and zone, as 2026-02-03T04:05:06.789+01:00. */
const char *clock_format(uint64_t wall_ms, char ret_text[CLOCK_TEXT_BYTES]);

#endif
