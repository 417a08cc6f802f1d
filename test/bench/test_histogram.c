/* Percentiles of known distributions. */
#include "test/bench/histogram.h"
#include "common/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void nothing_has_no_percentile(void **state)
{
	static struct histogram h;

	assert_int_equal(histogram_percentile(&h, 50), 0);
}

static void one_value_is_every_percentile_within_a_bucket(void **state)
{
	static const uint64_t values[] = {0, 63, 64, 65, 1000, 123456789, UINT64_MAX};

	for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
		static struct histogram h;
		uint64_t got;

		memset(&h, 0, sizeof(h));
		histogram_add(&h, values[i]);
		for (double percent = 0; percent <= 100; percent += 50) {
			got = histogram_percentile(&h, percent);
			assert_in_range(got, values[i] - values[i] / 64, values[i]);
		}
	}
}

static void percentiles_of_an_even_spread_lie_where_they_should(void **state)
{
	static struct histogram h;

	for (uint64_t i = 1; i <= 10000; i++)
		histogram_add(&h, i * 1000);
	assert_in_range(histogram_percentile(&h, 50), 5000000 * 63 / 64, 5000000);
	assert_in_range(histogram_percentile(&h, 99), 9900000 * 63 / 64, 9900000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_no_percentile),
		cmocka_unit_test(one_value_is_every_percentile_within_a_bucket),
		cmocka_unit_test(percentiles_of_an_even_spread_lie_where_they_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
