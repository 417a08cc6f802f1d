/* The largest unit that leaves a whole number: printing and reading back changes nothing. */
#include "config/format.h"
#include "common/base.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const char *with_unit(uint64_t value, const struct unit *units, char ret_text[FORMAT_BYTES])
{
	while (value % units->factor || (value == 0 && units->factor > 1))
		units++;
	snprintf(ret_text, FORMAT_BYTES, "%llu%s", (unsigned long long)(value / units->factor),
		value ? units->name : "");
	return ret_text;
}

const char *format_time(uint64_t ms, char ret_text[FORMAT_BYTES])
{
	static const struct unit units[] = {
		{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

	return with_unit(ms, units, ret_text);
}

const char *format_size(uint64_t bytes, char ret_text[FORMAT_BYTES])
{
	static const struct unit units[] = {
		{"G", 1u << 30}, {"M", 1u << 20}, {"K", 1u << 10}, {"", 1}};

	return with_unit(bytes, units, ret_text);
}

const char *format_number(enum schema_type type, uint64_t value, char ret_text[FORMAT_BYTES])
{
	if (type == SCHEMA_TIME || type == SCHEMA_RLIMIT_TIME)
		return format_time(value, ret_text);
	if (type == SCHEMA_SIZE || type == SCHEMA_RLIMIT_SIZE)
		return format_size(value, ret_text);
	snprintf(ret_text, FORMAT_BYTES, type == SCHEMA_MODE ? "%#llo" : "%llu",
		(unsigned long long)value);
	return ret_text;
}
