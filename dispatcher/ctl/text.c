/* How dispatcherctl writes small things. Everything is bounded, so that a table stays a table whatever
 * the dispatcher sends. */
#include "dispatcher/ctl/text.h"
#include "common/base.h"

#include <ctype.h>
#include <string.h>

const char *text_duration(double seconds, char ret_text[TEXT_SHORT_BYTES])
{
	static const struct {
		const char *big, *small;
		unsigned long seconds, part;
	} units[] = {{"d", "h", 86400, 3600}, {"h", "m", 3600, 60}, {"m", "s", 60, 1}};
	unsigned long whole = seconds > 0 ? (unsigned long)MIN(seconds, 86400.0 * 99999) : 0;

	for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
		unsigned long count = whole / units[i].seconds;

		if (!count)
			continue;
		if (count > 99 && !i)
			snprintf(ret_text, TEXT_SHORT_BYTES, "%lud", count);
		else
			snprintf(ret_text, TEXT_SHORT_BYTES, "%lu%s %lu%s", count, units[i].big,
				whole % units[i].seconds / units[i].part, units[i].small);
		return ret_text;
	}
	snprintf(ret_text, TEXT_SHORT_BYTES, "%lus", whole);
	return ret_text;
}

const char *text_count(double count, char ret_text[TEXT_SHORT_BYTES])
{
	static const char suffixes[] = " kMGTPE";
	unsigned power = 0;

	for (; count >= (power ? 9999.5 : 99999.5) && power + 2 < sizeof(suffixes); power++)
		count /= 1000;
	if (power)
		snprintf(ret_text, TEXT_SHORT_BYTES, "%.0f%c", count, suffixes[power]);
	else
		snprintf(ret_text, TEXT_SHORT_BYTES, "%.0f", count);
	return ret_text;
}

const char *text_time(const char *iso, char ret_text[TEXT_SHORT_BYTES])
{
	snprintf(ret_text, TEXT_SHORT_BYTES, "%.19s", iso);
	if (strlen(ret_text) == 19 && ret_text[10] == 'T')
		ret_text[10] = ' ';
	return ret_text;
}

const char *text_cut(const char *text, unsigned width, char ret_text[TEXT_SHORT_BYTES])
{
	unsigned len = 0;

	ASSERT(width && width < TEXT_SHORT_BYTES);
	for (; text[len] && len < width; len++)
		ret_text[len] = (char)(iscntrl((unsigned char)text[len]) ? '?' : text[len]);
	if (text[len])
		ret_text[len - 1] = '~';
	ret_text[len] = '\0';
	return ret_text;
}

static void put(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fputc(iscntrl((unsigned char)text[i]) ? '?' : text[i], out);
}

void text_wrap(FILE *out, const char *first, const char *words)
{
	size_t indent = strlen(first), column = indent;

	fputs(first, out);
	while (*(words += strspn(words, " "))) {
		size_t len = strcspn(words, " ");

		if (column > indent && column + 1 + len > TEXT_COLUMNS) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		put(out, words, len);
		column += len;
		words += len;
	}
	fputc('\n', out);
}

void text_print(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc(iscntrl((unsigned char)*text) && *text != '\n' && *text != '\t' ? '?' : *text, out);
}

double text_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

const char *text_string(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}
