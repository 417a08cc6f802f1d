/* Pure text parsers. strtoul() and its kin skip blanks, take signs and depend on the locale, so
 * that
 * "- 1" or " 0x" would be numbers; these read exactly what the manual says and nothing else. */
#include "common/parse.h"
#include "common/base.h"

#include <string.h>
#include <strings.h>

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 10;
	return 99;
}

/* Reads digits of one base up to the first other character. */
static int read_digits(const char **text, unsigned base, uint64_t *ret_number)
{
	const char *p = *text;
	uint64_t number = 0;
	bool fits = true;

	for (; digit_of(*p) < (int)base; p++) {
		fits = fits && !__builtin_mul_overflow(number, base, &number);
		fits = fits && !__builtin_add_overflow(number, (uint64_t)digit_of(*p), &number);
	}
	if (p == *text)
		return PARSE_BAD;
	*text = p;
	*ret_number = number;
	return fits ? 0 : PARSE_TOO_BIG;
}

/* Reads a number in base, or "b%v", and leaves *text behind it. */
static int read_number(const char **text, unsigned base, uint64_t *ret_number)
{
	const char *percent = *text + strspn(*text, "0123456789");
	uint64_t other;
	int r;

	if (percent == *text || *percent != '%')
		return read_digits(text, base, ret_number);
	r = read_digits(text, 10, &other);
	if (r || other < 2 || other > 36)
		return PARSE_BAD;
	*text = percent + 1;
	return read_digits(text, (unsigned)other, ret_number);
}

static int whole_number(const char *text, unsigned base, uint64_t *ret_number)
{
	uint64_t number;
	int r = read_number(&text, base, &number);

	if (*text)
		return PARSE_BAD;
	if (!r)
		*ret_number = number;
	return r;
}

int parse_u64(const char *text, uint64_t *ret_number)
{
	return whole_number(text, 10, ret_number);
}

int parse_octal(const char *text, uint64_t *ret_number)
{
	return whole_number(text, 8, ret_number);
}

int parse_i64(const char *text, int64_t *ret_number)
{
	bool negative = *text == '-';
	uint64_t number;
	int r = parse_u64(text + (negative || *text == '+'), &number);

	if (r)
		return r;
	if (number > INT64_MAX)
		return PARSE_TOO_BIG;
	*ret_number = negative ? -(int64_t)number : (int64_t)number;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int number_with_unit(const char *text, const struct unit *units, uint64_t *ret_number)
{
	uint64_t number;
	int r = read_number(&text, 10, &number);

	for (; r != PARSE_BAD && units->name; units++) {
		if (strcasecmp(units->name, text))
			continue;
		if (r || __builtin_mul_overflow(number, units->factor, &number))
			return PARSE_TOO_BIG;
		*ret_number = number;
		return 0;
	}
	return PARSE_BAD;
}

int parse_time(const char *text, uint64_t *ret_ms)
{
	static const struct unit units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000},
		{"h", 3600000}, {"d", 86400000}, {0}};

	return number_with_unit(text, units, ret_ms);
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {{"", 1}, {"K", 1ull << 10}, {"M", 1ull << 20},
		{"G", 1ull << 30}, {"T", 1ull << 40}, {0}};

	return number_with_unit(text, units, ret_bytes);
}

int parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[] = {"0", "1", "no", "yes", "false", "true", "off", "on"};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i]))
			continue;
		*ret_value = i % 2;
		return 0;
	}
	return PARSE_BAD;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Copies one word without its quotes; *text is left behind it. Without escapes nothing is copied
 * that was not in the text, so the words never need more room than it. */
static int copy_word(const char **text, char **out)
{
	const char *p = *text;
	char quote = 0;

	for (; *p && (quote || !is_blank(*p)); p++) {
		if (quote ? *p == quote : (*p == '\'' || *p == '"')) {
			quote = quote ? 0 : *p;
			continue;
		}
		if (*p == '\\' && (!quote || (quote == '"' && (p[1] == '"' || p[1] == '\\')))) {
			if (!*++p)
				return PARSE_OPEN_ESCAPE;
		}
		*(*out)++ = *p;
	}
	*(*out)++ = '\0';
	*text = p;
	return quote ? PARSE_OPEN_QUOTE : 0;
}

int parse_words(const char *text, char *ret_words, size_t size, unsigned *ret_count)
{
	char *out = ret_words;
	unsigned count = 0;
	int r;

	ASSERT(size > strlen(text));
	for (;; count++) {
		text += strspn(text, " \t");
		if (!*text)
			break;
		r = copy_word(&text, &out);
		if (r)
			return r;
	}
	*ret_count = count;
	return 0;
}

#define DISTANCE_LETTERS 40

static bool same_letter(char a, char b)
{
	return !strncasecmp(&a, &b, 1);
}

/* The optimal string alignment distance: Levenshtein's with swaps of neighbours. */
unsigned parse_distance(const char *a, const char *b)
{
	unsigned d[DISTANCE_LETTERS + 1][DISTANCE_LETTERS + 1];
	size_t m = strnlen(a, DISTANCE_LETTERS), n = strnlen(b, DISTANCE_LETTERS);

	for (size_t i = 0; i <= m; i++) {
		for (size_t j = 0; j <= n; j++) {
			unsigned best;

			if (!i || !j) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			best = d[i - 1][j - 1] + !same_letter(a[i - 1], b[j - 1]);
			best = MIN(best, MIN(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
				same_letter(a[i - 2], b[j - 1]))
				best = MIN(best, d[i - 2][j - 2] + 1);
			d[i][j] = best;
		}
	}
	return d[m][n];
}
