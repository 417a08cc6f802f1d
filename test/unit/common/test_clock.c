/* The clocks, and the text of a time. */
#include "test/unit/common/check.h"

#include "common/clock.h"

#include <stdlib.h>
#include <time.h>

static void the_monotonic_clock_never_goes_back(void **state)
{
	uint64_t last = clock_mono_ns();

	for (unsigned i = 0; i < 10000; i++) {
		uint64_t now = clock_mono_ns();

		assert_true(now >= last);
		last = now;
	}
}

static void a_time_is_written_with_milliseconds_and_zone(void **state)
{
	char text[CLOCK_TEXT_BYTES];

	setenv("TZ", "UTC", 1);
	tzset();
	assert_string_equal(clock_format(0, text), "1970-01-01T00:00:00.000+00:00");
	setenv("TZ", "ABC-05:30", 1);
	tzset();
	assert_string_equal(clock_format(1770087906789, text), "2026-02-03T08:35:06.789+05:30");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_monotonic_clock_never_goes_back),
		cmocka_unit_test(a_time_is_written_with_milliseconds_and_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
