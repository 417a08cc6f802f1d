/* Laws that hold for every file: a valid one loads and prints to a file that loads to the same; one
 * with a mutated line is refused with file and line, or loads. Nothing crashes. The seed is
 * printed; give SEED= and ROUNDS= to repeat or to go on. */
#include "test/unit/config/world.h"

#include "common/base.h"

#include <netdb.h>
#include <string.h>
#include <time.h>

#define ROUNDS     400
#define LINES      80
#define LINE_BYTES 300

static uint64_t random_state;

/* No name server is asked by a test. */
int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	return EAI_NONAME;
}

/* xorshift64* */
static uint32_t roll(uint32_t sides)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 0x2545f4914f6cdd1du) >> 33) % sides;
}

struct text {
	char lines[LINES][LINE_BYTES];
	unsigned count;
};

PRINTF_LIKE(2, 3)
static void add(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(t->lines[t->count++], LINE_BYTES, format, args);
	va_end(args);
}

/* Options that any combination of may stand together. */
static void add_option(struct text *t)
{
	static const char *const units[] = {"", "ms", "s", "m", "h", "d"};
	unsigned low = 1 + roll(20);

	switch (roll(16)) {
	case 0:
		add(t, "MIN_PROCS=%u", roll(21));
		break;
	case 1:
		add(t, "max_procs=%u", 20 + roll(100));
		break;
	case 2:
		add(t, "MIN_CONNS = %u", low);
		break;
	case 3:
		add(t, "\tMAX_CONNECTIONS=16%%%x", 20 + roll(100));
		break;
	case 4:
		add(t, "MAX_LIFE_TIME=%u%s", low, units[roll(6)]);
		break;
	case 5:
		add(t, "STACKSIZE=%uK", 16 + low);
		break;
	case 6:
		add(t, "ENVIRONMENT=V%u=x ; y # %u", low, roll(9));
		break;
	case 7:
		add(t, "PARAMETER=P%u=\"a = b\" <c", low);
		break;
	case 8:
		add(t, "EXEMPT_SOURCES=10.%u.0.0/16, ::%x", low, low);
		break;
	case 9:
		add(t, "LIMIT_CORE=%u", roll(2) * 4096);
		break;
	case 10:
		add(t, "UMASK=0%o", roll(512));
		break;
	case 11:
		add(t, "LOGFILE=%s", roll(2) ? "stderr" : "IMTA_LOG:%s.log");
		break;
	case 12:
		add(t, "DEBUG=%d", (int)roll(1000) - 1 > 0 ? (int)roll(1000) : -1);
		break;
	case 13:
		add(t, "SOURCE_PREFIX=%u/%u", low, low * 6);
		break;
	case 14:
		add(t, "%c a comment = here", "!#;"[roll(3)]);
		break;
	default:
		add(t, "%s", "");
	}
}

static void add_service(struct text *t, unsigned number)
{
	add(t, "[SERVICE=S%u]", number);
	switch (roll(4)) {
	case 0:
		add(t, "PORT=%u", 1000 + number);
		break;
	case 1:
		add(t, "PORT=127.0.0.1:%u, [::1]:%u", 1000 + number, 1000 + number);
		break;
	case 2:
		add(t, "PORT=unix:/run/%u", number);
		break;
	default:
		add(t, "PORT=0");
	}
	if (roll(2))
		add(t, "IMAGE=/bin/true");
	else
		add(t, "COMMAND=/bin/sh -c 'echo \"%u\"' a\\ b \"\"", number);
	for (unsigned i = roll(12); i > 0; i--)
		add_option(t);
}

static void generate(struct text *t)
{
	t->count = 0;
	for (unsigned i = roll(8); i > 0; i--)
		add_option(t);
	for (unsigned i = roll(4) + 1; i > 0; i--)
		add_service(t, i);
	if (roll(2))
		add(t, "[SERVICE=DISPATCHER]");
}

/* Spoils one line. */
static void mutate(struct text *t)
{
	char *line = t->lines[roll(t->count)];
	size_t len = strlen(line), at = len ? roll((uint32_t)MIN(len, LINE_BYTES - 100)) : 0;

	switch (roll(6)) {
	case 0:
		line[at] = '\0';
		break;
	case 1:
		line[at] = (char)(1 + roll(255));
		break;
	case 2:
		memmove(line + at, line + at + (len > 0), len - at + 1 - (len > 0));
		break;
	case 3:
		memmove(line, t->lines[roll(t->count)], LINE_BYTES);
		break;
	case 4:
		snprintf(line + at, LINE_BYTES - at, "%s", "=[::1]:25<'\"\\ unlimited");
		break;
	default:
		memset(line + at, "x9=/ \\"[roll(6)], 60);
		line[at + 60] = '\0';
	}
}

static char *joined(const struct text *t)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (unsigned i = 0; i < t->count; i++)
		fprintf(out, "%s\n", t->lines[i]);
	fclose(out);
	return text;
}

static char *printed(const struct settings *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(settings_print(s, NULL, out), 0);
	fclose(out);
	return text;
}

static void load_and_reload(void **state, const char *text)
{
	struct world *w = world_load(state, text);
	OWNS_MEM char *first = NULL, *second = NULL;

	if (w->result)
		print_error("refused:\n%s\n%s", text, w->told);
	assert_int_equal(w->result, 0);
	first = printed(w->s);
	w = world_load(state, first);
	if (w->result)
		print_error("printed and refused:\n%s\n%s", first, w->told);
	assert_int_equal(w->result, 0);
	second = printed(w->s);
	assert_string_equal(first, second);
}

/* Every error names its file and, but for a file without any service, its line. */
static void check_told(const struct world *w)
{
	for (const char *line = w->told; *line; line = strchr(line, '\n') + 1) {
		unsigned number;

		if (*line != 'E' || strstr(line, "main.cnf: there is no service"))
			continue;
		if (sscanf(line, "E main.cnf:%u: ", &number) != 1 || !number)
			fail_msg("no place: %s", line);
	}
}

static void load_mutant(void **state, struct text *t)
{
	OWNS_MEM char *text = NULL;
	struct world *w;

	mutate(t);
	text = joined(t);
	w = world_load(state, text);
	assert_in_range(w->result, 0, LOAD_REFUSED);
	if (w->result)
		assert_non_null(strchr(w->told, 'E'));
	check_told(w);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void every_file_loads_or_is_refused_with_file_and_line(void **state)
{
	uint64_t seed = from_environment("SEED", (uint64_t)time(NULL));
	static struct text t;

	print_message("SEED=%llu\n", (unsigned long long)seed);
	random_state = seed * 2 + 1;
	for (uint64_t round = from_environment("ROUNDS", ROUNDS); round > 0; round--) {
		OWNS_MEM char *text = NULL;

		generate(&t);
		text = joined(&t);
		load_and_reload(state, text);
		for (unsigned i = 0; i < 4; i++)
			load_mutant(state, &t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(every_file_loads_or_is_refused_with_file_and_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
