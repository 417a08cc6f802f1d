/* Single values, one function per type, called through one table. */
#include "config/build.h"
#include "config/format.h"
#include "config/signals.h"
#include "common/base.h"
#include "common/parse.h"

#include <string.h>
#include <strings.h>

#define TEXT_MOST 510 /* with CRLF as long as a line of mail protocols may be */

typedef int store(struct build *b, const struct schema_option *option,
	const struct source_line *line, void *field);

/* Tells that a value is not of its type. */
static int wrong(struct build *b, const struct schema_option *o, const struct source_line *line,
	const char *wanted)
{
	if (*line->value)
		report_error(b->report, &line->where, "%s=%.60s is wrong; write %s", o->name,
			line->value, wanted);
	else
		report_error(b->report, &line->where, "%s has no value; write %s", o->name, wanted);
	return BUILD_WRONG;
}

static int out_of_range(
	struct build *b, const struct schema_option *o, const struct source_line *line, bool is_low)
{
	char bound[FORMAT_BYTES];

	report_error(b->report, &line->where, "%s=%.60s is too %s; write at %s %s", o->name,
		line->value, is_low ? "low" : "high", is_low ? "least" : "most",
		format_number(o->type, is_low ? o->min : o->max, bound));
	return BUILD_WRONG;
}

/* Reads a number of any unit. 0 or BUILD_WRONG, told. */
static int read_number(struct build *b, const struct schema_option *o,
	const struct source_line *line, uint64_t *ret_number)
{
	uint64_t number = 0;
	const char *wanted = "a number";
	int r;

	switch (o->type) {
	case SCHEMA_TIME:
	case SCHEMA_RLIMIT_TIME:
		wanted = "a time (such as 30s, 10m, 1h, 1d)";
		r = parse_time(line->value, &number);
		break;
	case SCHEMA_SIZE:
	case SCHEMA_RLIMIT_SIZE:
		wanted = "a size (such as 512K, 64M, 2G)";
		r = parse_size(line->value, &number);
		break;
	case SCHEMA_MODE:
		wanted = "an octal number";
		r = parse_octal(line->value, &number);
		break;
	default:
		r = parse_u64(line->value, &number);
	}
	if (r == PARSE_TOO_BIG || (!r && o->max && number > o->max))
		return out_of_range(b, o, line, false);
	if (r)
		return wrong(b, o, line, wanted);
	if (number < o->min)
		return out_of_range(b, o, line, true);
	*ret_number = number;
	return 0;
}

static int store_u32(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	uint64_t number;

	if (read_number(b, o, line, &number))
		return BUILD_WRONG;
	*(uint32_t *)field = (uint32_t)number;
	return 0;
}

static int store_u64(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	return read_number(b, o, line, field);
}

static int store_bool(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	bool value;

	if (parse_bool(line->value, &value))
		return wrong(b, o, line, "1 or 0");
	*(uint8_t *)field = value;
	return 0;
}

static int store_mask(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	int64_t mask;

	if (parse_i64(line->value, &mask) || mask < -1 || mask > UINT32_MAX)
		return wrong(b, o, line, "-1 or a mask of 32 bits");
	*(uint32_t *)field = (uint32_t)mask;
	return 0;
}

static int store_nice(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	int64_t nice;

	if (parse_i64(line->value, &nice) || nice < -20 || nice > 19)
		return wrong(b, o, line, "a number from -20 to 19");
	if (nice < 0 && !b->host->is_root) {
		report_error(b->report, &line->where, "%s=%s needs root; write 0 to 19", o->name,
			line->value);
		return BUILD_WRONG;
	}
	*(int32_t *)field = (int32_t)nice;
	return 0;
}

static int store_prefix_bits(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	uint32_t *bits = field;
	uint64_t four, six;
	char copy[16], *slash;

	snprintf(copy, sizeof(copy), "%s", line->value);
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	if (!slash || parse_u64(copy, &four) || parse_u64(slash + 1, &six) || four < 1 ||
		four > 32 || six < 1 || six > 128)
		return wrong(
			b, o, line, "bits of IPv4 (1 to 32), a slash, bits of IPv6 (1 to 128)");
	bits[0] = (uint32_t)four;
	bits[1] = (uint32_t)six;
	return 0;
}

static int store_path(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	OWNS_MEM char *path = path_resolve(b, o, &line->where, line->value);

	if (!path)
		return BUILD_WRONG;
	*(uint32_t *)field = block_text(&b->block, path);
	return 0;
}

/* Puts the host's name for each %s. */
static uint32_t with_host_name(struct build *b, const char *path)
{
	OWNS_MEM char *text = block_copy(&b->block, "");

	while (text && *path) {
		bool is_host = path[0] == '%' && path[1] == 's';
		size_t len = is_host ? 2 : 1 + strcspn(path + 1, "%");
		char *longer = NULL;

		if (asprintf(&longer, "%s%.*s", text, is_host ? HOST_NAME_BYTES : (int)len,
			    is_host ? b->host->name : path) < 0)
			longer = NULL;
		free(text);
		text = longer;
		path += len;
	}
	if (!text)
		b->block.failed = true;
	return block_text(&b->block, text);
}

static int store_logfile(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	OWNS_MEM char *path = NULL;

	if (!strcmp(line->value, "stderr") || !strcmp(line->value, "syslog")) {
		*(uint32_t *)field = block_text(&b->block, line->value);
		return 0;
	}
	if (*line->value && !strpbrk(line->value, "/:"))
		return wrong(b, o, line, "stderr, syslog or a full path (such as IMTA_LOG:name)");
	path = path_resolve(b, o, &line->where, line->value);
	if (!path)
		return BUILD_WRONG;
	*(uint32_t *)field = with_host_name(b, path);
	return 0;
}

static int store_rlimit(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	struct settings_rlimit *limit = field;
	uint64_t value = SETTINGS_UNLIMITED;

	if (strcasecmp(line->value, "unlimited") && read_number(b, o, line, &value))
		return BUILD_WRONG;
	if (o->type == SCHEMA_RLIMIT_TIME && value != SETTINGS_UNLIMITED)
		value = (value + 999) / 1000;
	*limit = (struct settings_rlimit){.set = 1, .value = value};
	return 0;
}

static int store_user(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	return account_user(b, o, line, field);
}

static int store_group(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	return account_group(b, o, line, field);
}

static int store_word(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	OWNS_MEM char *wanted = NULL;
	unsigned index;

	if (!schema_word_index(o, line->value, &index)) {
		*(uint8_t *)field = (uint8_t)index;
		return 0;
	}
	if (asprintf(&wanted, "one of: %s", o->words) < 0)
		wanted = NULL;
	return wrong(b, o, line, wanted ? wanted : "another word");
}

static int store_signal(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	if (!signal_parse(line->value, field))
		return 0;
	return wrong(b, o, line, "a signal that can end a program (such as TERM, QUIT, 15)");
}

static int store_text(
	struct build *b, const struct schema_option *o, const struct source_line *line, void *field)
{
	if (strlen(line->value) > TEXT_MOST) {
		report_error(b->report, &line->where, "%s is longer than %u bytes", o->name,
			TEXT_MOST);
		return BUILD_WRONG;
	}
	*(uint32_t *)field = *line->value ? block_text(&b->block, line->value) : 0;
	return 0;
}

static store *const stores[SCHEMA_TYPES] = {
	[SCHEMA_NUMBER] = store_u32,
	[SCHEMA_COUNT] = store_u64,
	[SCHEMA_TIME] = store_u64,
	[SCHEMA_SIZE] = store_u64,
	[SCHEMA_BOOL] = store_bool,
	[SCHEMA_MASK] = store_mask,
	[SCHEMA_MODE] = store_u32,
	[SCHEMA_NICE] = store_nice,
	[SCHEMA_PREFIX_BITS] = store_prefix_bits,
	[SCHEMA_PATH] = store_path,
	[SCHEMA_LOGFILE] = store_logfile,
	[SCHEMA_SAID] = tls_store_said,
	[SCHEMA_FILE] = tls_store_file,
	[SCHEMA_RLIMIT_COUNT] = store_rlimit,
	[SCHEMA_RLIMIT_SIZE] = store_rlimit,
	[SCHEMA_RLIMIT_TIME] = store_rlimit,
	[SCHEMA_USER] = store_user,
	[SCHEMA_GROUP] = store_group,
	[SCHEMA_WORD] = store_word,
	[SCHEMA_SIGNAL] = store_signal,
	[SCHEMA_TEXT] = store_text,
};

bool value_is_single(enum schema_type type)
{
	return stores[type];
}

int value_store(struct build *b, const struct schema_option *option, const struct source_line *line,
	void *field)
{
	return stores[option->type](b, option, line, field);
}

void value_store_initial(
	struct build *b, const struct schema_option *option, bool inetd, void *field)
{
	const char *text = inetd && option->initial_inetd ? option->initial_inetd : option->initial;
	struct source_line line = {.key = option->name, .value = text};

	if (text && stores[option->type])
		ASSERT(!value_store(b, option, &line, field) || b->block.failed);
}
