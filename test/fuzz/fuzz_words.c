/* The command-line splitter and the other text parsers: they stay inside their buffers, and what
 * the splitter gives, quoted again, gives the same words. */
#include "test/fuzz/target.h"

#include "common/addr.h"
#include "common/base.h"
#include "common/parse.h"

#include <string.h>

/* Each word in single quotes, with \' for its own. */
static char *quoted(const char *words, unsigned count)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (unsigned i = 0; i < count; i++, words += strlen(words) + 1) {
		fputs(" '", out);
		for (const char *c = words; *c; c++)
			fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, out);
		fputs("'\t", out);
	}
	fclose(out);
	return text;
}

static size_t bytes_of(const char *words, unsigned count)
{
	const char *end = words;

	while (count--)
		end += strlen(end) + 1;
	return (size_t)(end - words);
}

static void check_words(const char *text)
{
	size_t size = strlen(text) + 1, again_size;
	OWNS_MEM char *words = malloc(size), *line = NULL, *again = NULL;
	unsigned count, again_count;

	if (parse_words(text, words, size, &count))
		return;
	ASSERT(bytes_of(words, count) <= size);
	line = quoted(words, count);
	again_size = strlen(line) + 1;
	again = malloc(again_size);
	ASSERT(!parse_words(line, again, again_size, &again_count) && again_count == count);
	ASSERT(!memcmp(words, again, bytes_of(words, count)));
}

static void check_numbers(const char *text)
{
	uint64_t number, ms, bytes;
	int64_t with_sign;
	struct addr addr;
	bool value;

	if (!parse_u64(text, &number) && number < UINT32_MAX) {
		ASSERT(!parse_i64(text, &with_sign) && with_sign == (int64_t)number);
		ASSERT(!parse_time(text, &ms) && ms == number * 1000);
		ASSERT(!parse_size(text, &bytes) && bytes == number);
	}
	parse_octal(text, &number);
	parse_bool(text, &value);
	ASSERT(parse_distance(text, text) == 0);
	ASSERT(parse_distance(text, "MAX_PROCS") == parse_distance("MAX_PROCS", text));
	addr_parse_ip(text, &addr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNS_MEM char *text = strndup((const char *)data, size);

	check_words(text);
	check_numbers(text);
	return 0;
}
