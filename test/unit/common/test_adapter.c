/* The text for adapted servers, and which listeners an address of the program stands for. */
#include "test/unit/common/check.h"

#include "common/adapter.h"

#include <errno.h>
#include <string.h>

static const struct adapter_head head = {.channel = 3,
	.page = 4,
	.bell = 5,
	.doorbell = 6,
	.ring_len = 512,
	.ends_by_eof = true,
	.stop_signal = 15};

static const char *const names[] = {"0.0.0.0:25", "[::]:25", "127.0.0.1:8891", "unix:/run/a b"};

static void what_was_written_is_read(void **state)
{
	char text[ADAPTER_TEXT_BYTES];
	struct adapter a;

	assert_true(adapter_write(&head, names, 4, text, sizeof(text)) > 0);
	assert_string_equal(
		text, "1 3 4 5 6 512 eof 15\n0.0.0.0:25\n[::]:25\n127.0.0.1:8891\nunix:/run/a b");
	assert_int_equal(adapter_read(text, &a), 0);
	assert_memory_equal(&a.head, &head, sizeof(head));
	assert_int_equal(a.listener_count, 4);
	assert_int_equal(a.listeners[1].addr.family, AF_INET6);
	assert_int_equal(a.listeners[2].addr.port, 8891);
	assert_string_equal(a.listeners[3].path, "/run/a b");
	assert_int_equal(adapter_every(&a), 0xf);
}

static void what_does_not_fit_is_not_written(void **state)
{
	const char *many[ADAPTER_MAX_LISTENERS + 1];
	const char *lines = "unix:/a\nb", *no_port = "127.0.0.1";
	char text[ADAPTER_TEXT_BYTES];

	for (unsigned i = 0; i <= ADAPTER_MAX_LISTENERS; i++)
		many[i] = names[i % 4];
	assert_int_equal(adapter_write(&head, many, ADAPTER_MAX_LISTENERS + 1, text, 8192), -E2BIG);
	assert_true(adapter_write(&head, many, ADAPTER_MAX_LISTENERS, text, 8192) > 0);
	assert_int_equal(adapter_write(&head, names, 4, text, 20), -ENOBUFS);
	assert_int_equal(adapter_write(&head, names, 4, text, 60), -ENOBUFS);
	assert_int_equal(adapter_write(&head, &lines, 1, text, sizeof(text)), -EINVAL);
	assert_int_equal(adapter_write(&head, &no_port, 1, text, sizeof(text)), -EINVAL);
}

static void what_is_malformed_is_not_read(void **state)
{
	static const char *const texts[] = {"", "1", "1 3 4 5 6 512 eof 15",
		"2 3 4 5 6 512 eof 15\n[::]:25", "1 3 4 5 6 511 eof 15\n[::]:25",
		"1 3 4 5 6 0 eof 15\n[::]:25", "1 3 4 5 6 512 loud 15\n[::]:25",
		"1 3 4 5 6 512 eof 65\n[::]:25", "1 3 4 5 6 512 eof 15\n",
		"1 3 4 5 6 512 eof 15\n[::]:25\n", "1 3 4 5 6 512 eof 15\n[::]:65536",
		"1 3 4 5 6 512 eof 15\n::25", "1 3 4 5 6 512 eof 15\n[::1:25",
		"1 3 4 5 6 512 eof 15\nunix:", "1 -3 4 5 6 512 eof 15\n[::]:25",
		"1 3 4 5 6 512 eof 15 1\n[::]:25"};
	struct adapter a;

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(adapter_read(texts[i], &a), -EINVAL);
}

static uint64_t covered_by(const char *name, bool is_dual)
{
	static const char *const listeners[] = {
		"0.0.0.0:25", "[::]:25", "127.0.0.1:26", "[::1]:26", "127.0.0.2:26", "unix:/a"};
	struct adapter_listener bound;
	char text[ADAPTER_TEXT_BYTES];
	struct adapter a;

	assert_true(adapter_write(&head, listeners, 6, text, sizeof(text)) > 0);
	assert_int_equal(adapter_read(text, &a), 0);
	assert_int_equal(adapter_read_listener(name, &bound), 0);
	return adapter_covers(&a, &bound.addr, is_dual);
}

static void a_wildcard_covers_its_family_and_a_dual_one_both(void **state)
{
	assert_int_equal(covered_by("0.0.0.0:25", false), 1);
	assert_int_equal(covered_by("[::]:25", false), 2);
	assert_int_equal(covered_by("[::]:25", true), 3);
	assert_int_equal(covered_by("[::]:26", true), 4 | 8 | 16);
	assert_int_equal(covered_by("[::]:26", false), 8);
	assert_int_equal(covered_by("0.0.0.0:26", true), 4 | 16);
}

static void an_address_covers_its_equal_and_a_wildcard_of_its_port(void **state)
{
	assert_int_equal(covered_by("127.0.0.1:25", false), 1);
	assert_int_equal(covered_by("[::1]:25", true), 2);
	assert_int_equal(covered_by("127.0.0.1:26", false), 4);
	assert_int_equal(covered_by("127.0.0.3:26", false), 0);
	assert_int_equal(covered_by("0.0.0.0:27", true), 0);
}

static void the_parts_of_the_memory_do_not_overlap(void **state)
{
	struct page *page = NULL;

	for (uint32_t len = 512; len <= 65536; len *= 2) {
		size_t area = (size_t)adapter_area(page, len),
		       puts = (size_t)adapter_puts(page, len);
		size_t entries = (size_t)adapter_entries(page, len);

		assert_true(area % 64 == 0 && area >= page_bytes(len));
		assert_true(puts % 8 == 0 && puts >= area + sizeof(struct adapter_area));
		assert_true(entries % 8 == 0 && entries >= puts + len * sizeof(uint64_t));
		assert_true(adapter_page_bytes(len) >=
			    entries + ADAPTER_SLOTS * sizeof(struct adapter_entry));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(what_does_not_fit_is_not_written),
		cmocka_unit_test(what_is_malformed_is_not_read),
		cmocka_unit_test(a_wildcard_covers_its_family_and_a_dual_one_both),
		cmocka_unit_test(an_address_covers_its_equal_and_a_wildcard_of_its_port),
		cmocka_unit_test(the_parts_of_the_memory_do_not_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
