/* Laws that hold for every file that the table of options allows: what is printed reads back as the same
 * settings, and the difference between any two is whole. The seed is printed; give SEED= and ROUNDS= to
 * repeat or to go on. */
#include "test/unit/config/same.h"
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/diff.h"
#include "config/format.h"
#include "config/schema.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define ROUNDS 300

static uint64_t random_state;

/* xorshift64* */
static uint64_t roll(uint64_t sides)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1du >> 8) % sides;
}

/* Small numbers, the bounds and their neighbours are where things break. */
static uint64_t roll_number(const struct schema_option *o)
{
	uint64_t max = o->max ? o->max : UINT32_MAX;

	switch (roll(4)) {
	case 0:
		return o->min + roll(MIN(max - o->min + 1, 3u));
	case 1:
		return max - roll(MIN(max - o->min + 1, 3u));
	default:
		return o->min + roll(MIN(max - o->min + 1, 1000u));
	}
}

/* Texts that types other than numbers may have. */
static const char *roll_text(enum schema_type type)
{
	static const char *const choices[SCHEMA_TYPES][4] = {
		[SCHEMA_BOOL] = {"0", "1", "yes", "Off"},
		[SCHEMA_MASK] = {"-1", "0", "16%ff", "4294967295"},
		[SCHEMA_NICE] = {"-20", "0", "19", "3"},
		[SCHEMA_PREFIX_BITS] = {"1/1", "32/128", "24/56", "8/64"},
		[SCHEMA_PATH] = {"/", "/tmp", "IMTA_LOG:x y", "PMDF_TABLE:#"},
		[SCHEMA_LOGFILE] = {"stderr", "syslog", "IMTA_LOG:%s-%s.log", "/a b/c=d"},
		[SCHEMA_USER] = {"mail", "0", "games", "4711"},
		[SCHEMA_GROUP] = {"mail", "0", "games", "4711"},
		[SCHEMA_RUN_USER] = {"mail", "nobody", "games", "root"},
		[SCHEMA_RUN_GROUP] = {"mail", "nogroup", "games", "4711"},
		[SCHEMA_RUN_GROUPS] = {"", "mail", "games,mail 4711", "0"},
		[SCHEMA_PAIRS] = {"A=b = c", "=", "X=\"'\\", ""},
		[SCHEMA_VARIABLES] = {"A=b = c", "_=", "X1= lead", ""},
		[SCHEMA_SAID] = {"A:B", "ECDHE+AESGCM", "-", "X25519:P-256"},
		[SCHEMA_FILE] = {"/", "/tmp/a b", "PMDF_TABLE:ca.pem", "IMTA_LOG:x"},
		[SCHEMA_PROTOCOLS] = {"smtp", "h2 http/1.1", "a,b,,c", ""},
		[SCHEMA_SOURCES] = {"10.0.0.0/8", "::/0 192.0.2.1", "fe80::/10", ""},
		[SCHEMA_ADDRESSES] = {"127.0.0.1", "::1", "127.0.0.1,::1", "192.0.2.7"},
		[SCHEMA_SIGNAL] = {"TERM", "sigquit", "40", "9"},
		[SCHEMA_TEXT] = {"421 4.3.2 busy", "", "=", "a  'b' \\"},
		[SCHEMA_IMAGE] = {"/bin/true", "a-program", "PMDF_EXE:x y", "dispatcher-exec"},
		[SCHEMA_COMMAND] = {"/bin/sh -c 'a \"b\"' \"\"", "/a\\ b it\\'s", "/x \\\\ \"\\\"\"",
			"IMTA_BIN:x -y"},
	};

	return choices[type][roll(4)];
}

static void put_word(FILE *out, const struct schema_option *o)
{
	unsigned values = (unsigned)(o->max - o->min + 1);
	int len;
	const char *word = schema_word_at(o, (unsigned)o->min + (unsigned)roll(values), &len);

	fprintf(out, "%s=%.*s\n", o->name, len, word);
}

/* What makes sense only together. */
static void put_tls(FILE *out, unsigned number, bool is_server)
{
	for (uint64_t pairs = 1 + roll(2); pairs > 0; pairs--)
		fprintf(out, "TLS_CERT=/a %u\nTLS_KEY=PMDF_TABLE:%u\n", (unsigned)pairs, number);
	if (!roll(2))
		fputs("TLS_SNI=*.Example.org /c IMTA_LOG:d\nTLS_SNI=a /e /f\n", out);
	if (!is_server && !roll(2))
		fprintf(out, "TLS_PORT=%u, unix:/run/tls%u\n", 2000 + number, number);
	if (!roll(3))
		fputs("TLS_CLIENT_CA=/g\nTLS_CLIENT_AUTH=Require\n", out);
}

static void put_value(FILE *out, const struct schema_option *o)
{
	char text[FORMAT_BYTES];

	switch (o->type) {
	case SCHEMA_RLIMIT_COUNT:
	case SCHEMA_RLIMIT_SIZE:
	case SCHEMA_RLIMIT_TIME:
		if (!roll(4)) {
			fprintf(out, "%s=unlimited\n", o->name);
			return;
		} /* fall through */
	case SCHEMA_NUMBER:
	case SCHEMA_COUNT:
	case SCHEMA_TIME:
	case SCHEMA_SIZE:
	case SCHEMA_MODE:
		fprintf(out, "%s=%s\n", o->name, format_number(o->type, roll_number(o), text));
		return;
	case SCHEMA_WORD:
		put_word(out, o);
		return;
	default:
		fprintf(out, "%s=%s\n", o->name, roll_text(o->type));
	}
}

static bool is_for_any_section(const struct schema_option *o)
{
	return o->type != SCHEMA_PORTS && o->type != SCHEMA_TLS_PORTS &&
	       o->type != SCHEMA_NOT_ENFORCED && o->type != SCHEMA_WITHOUT_MEANING &&
	       o->type != SCHEMA_IMAGE && o->type != SCHEMA_COMMAND && !strstr(o->name, "ADAPTER") &&
	       o->type != SCHEMA_FILES && o->type != SCHEMA_SNI && !strstr(o->name, "TLS_CLIENT");
}

/* A few options of a section, each in its scope. */
static void put_options(FILE *out, enum schema_scope scope, unsigned count)
{
	while (count--) {
		const struct schema_option *o = schema_at((unsigned)roll(schema_count()));

		if (o->scope & scope && is_for_any_section(o))
			put_value(out, o);
	}
}

static void put_service(FILE *out, unsigned number)
{
	bool is_server = false;

	fprintf(out, "[SERVICE=S%u]\n", number);
	if (!roll(8))
		fputs("PORT=0\n", out);
	else
		fprintf(out, roll(2) ? "PORT=%u, unix:/run/%u\n" : "PORT=%u\nPORT=127.0.0.2:%u\n",
			1000 + number, 3000 + number);
	if (roll(3)) {
		put_value(out, schema_get(roll(2) ? "IMAGE" : "COMMAND"));
	} else {
		is_server = roll(2);
		fprintf(out, "ADAPTER=%s\nCOMMAND=/bin/true -x\n", is_server ? "server" : "inetd");
	}
	if (!roll(3))
		put_tls(out, number, is_server);
	put_options(out, SCHEMA_IN_SERVICE, (unsigned)roll(8));
}

static char *generate(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!roll(3))
		put_options(out, SCHEMA_TOP_SERVICES, (unsigned)roll(3));
	for (uint64_t services = 1 + roll(4); services > 0; services--)
		put_service(out, (unsigned)services);
	if (!roll(2)) {
		fputs("[SERVICE=DISPATCHER]\n", out);
		put_options(out, SCHEMA_IN_DISPATCHER, (unsigned)roll(6));
	}
	fclose(out);
	return text;
}

/* NULL: it cannot be, as when MIN_PROCS is above MAX_PROCS. */
static struct settings *load(void **state, const char *text)
{
	struct world *w = world_load(state, text);
	struct settings *s = w->s;

	w->s = NULL;
	return s;
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

static struct settings *reloaded(void **state, const struct settings *s)
{
	OWNS_MEM char *text = printed(s);
	struct settings *again = load(state, text);
	const char *wrong = again ? same_settings(s, again) : "it is refused";

	if (wrong)
		fail_msg("%s:\n%s\n%s", wrong, text, ((struct world *)*state)->told);
	return again;
}

static bool is_nothing(const struct diff *d)
{
	for (uint32_t i = 0; i < d->services.count; i++)
		if (diff_service(d, i)->kind != DIFF_SAME)
			return false;
	return !d->changes && !d->refusals.count;
}

static void check_pair(const struct settings *old, const struct settings *next, bool must_be_same)
{
	OWNS_MEM struct diff *d = diff_make(old, next);
	OWNS_FILE FILE *out = fopen("/dev/null", "w");

	assert_non_null(d);
	assert_int_equal(diff_check(d, d->bytes, old, next), 0);
	diff_print(d, NULL, out);
	if (must_be_same)
		assert_true(is_nothing(d));
	else if (is_nothing(d) && same_settings(old, next))
		fail_msg("it does not show that %s differs", same_settings(old, next));
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void check_laws(void **state)
{
	uint64_t seed = from_environment("SEED", (uint64_t)time(NULL)), loaded = 0;
	uint64_t rounds = from_environment("ROUNDS", ROUNDS);
	OWNS_MEM struct settings *last = NULL;

	print_message("SEED=%llu\n", (unsigned long long)seed);
	random_state = seed * 2 + 1;
	for (uint64_t round = 0; round < rounds; round++) {
		OWNS_MEM char *text = generate();
		OWNS_MEM struct settings *again = NULL;
		struct settings *s = load(state, text);

		if (!s)
			continue;
		loaded++;
		again = reloaded(state, s);
		check_pair(s, again, true);
		if (last)
			check_pair(last, s, false);
		free(last);
		last = s;
	}
	print_message("%llu of %llu files were valid\n", (unsigned long long)loaded,
		(unsigned long long)rounds);
	assert_true(loaded * 5 > rounds);
}

static void what_is_printed_reads_back_as_the_same_settings(void **state)
{
	check_laws(state);
}

static void under_root_too_what_is_printed_reads_back_as_the_same_settings(void **state)
{
	((struct world *)*state)->host.is_root = true;
	check_laws(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(what_is_printed_reads_back_as_the_same_settings),
		world_test(under_root_too_what_is_printed_reads_back_as_the_same_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
