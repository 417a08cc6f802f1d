/* Without memory a load fails as a whole or succeeds as a whole; nothing is left out, nothing leaks
 * (which the sanitizers' build sees). Each call that takes memory fails once, the linker puts these
 * in between. */
#include "test/unit/config/world.h"

#include "common/base.h"
#include "config/diff.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

/* Calls until one fails; 0: none fails. The functions in between have nowhere else to look. */
static unsigned countdown;

static bool fails(void)
{
	if (!countdown || --countdown)
		return false;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(old, count, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len)
{
	return fails() ? NULL : __real_strndup(text, len);
}

char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved)
{
	return fails() ? NULL : __real_realpath(path, resolved);
}

char *__real_getcwd(char *buf, size_t size);
char *__wrap_getcwd(char *buf, size_t size);
char *__wrap_getcwd(char *buf, size_t size)
{
	return fails() ? NULL : __real_getcwd(buf, size);
}

int __real_vasprintf(char **text, const char *format, va_list args);
int __wrap_vasprintf(char **text, const char *format, va_list args);
PRINTF_LIKE(2, 0)
int __wrap_vasprintf(char **text, const char *format, va_list args)
{
	return fails() ? -1 : __real_vasprintf(text, format, args);
}

int __real___vasprintf_chk(char **text, int flag, const char *format, va_list args);
int __wrap___vasprintf_chk(char **text, int flag, const char *format, va_list args);
PRINTF_LIKE(3, 0)
int __wrap___vasprintf_chk(char **text, int flag, const char *format, va_list args)
{
	return fails() ? -1 : __real___vasprintf_chk(text, flag, format, args);
}

int __wrap_asprintf(char **text, const char *format, ...);
PRINTF_LIKE(2, 3)
int __wrap_asprintf(char **text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = fails() ? -1 : __real_vasprintf(text, format, args);
	va_end(args);
	return len;
}

int __wrap___asprintf_chk(char **text, int flag, const char *format, ...);
PRINTF_LIKE(3, 4)
int __wrap___asprintf_chk(char **text, int flag, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = fails() ? -1 : __real_vasprintf(text, format, args);
	va_end(args);
	return len;
}

static const char sample[] =
	"HISTORICAL_TIME=0\n<inner.cnf\nENVIRONMENT=A=1\nINTERFACE_ADDRESS=127.0.0.1,::1\n"
	"[SERVICE=A]\nPORT=7007, "
	"unix:/run/x\nIMAGE=true\nPARAMETER=LONE\nLOGFILE=IMTA_LOG:%s-%s.log\n"
	"EXEMPT_SOURCES=10.0.0.1/8,::1\nDNS_VERIFY_DOMAIN=x.example\nWORKING_DIRECTORY=/tmp\n"
	"[SERVICE=B]\nPORT=7008\nCOMMAND=/bin/sh -c 'x y' | z\n"
	"[SERVICE=DISPATCHER]\nRUN_DIR=/srv/d\nLOG_DIR=IMTA_TABLE:log\n";

static void count_messages(void *user, enum load_severity severity, const char *text)
{
	++*(unsigned *)user;
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

/* Loads with the n-th call failing. True: so many calls were not made. */
static bool load_with_failure(struct world *w, const char *path, unsigned n, const char *wanted)
{
	struct settings *s = NULL;
	unsigned messages = 0;
	bool is_over;
	int r;

	countdown = n;
	r = load_settings_on(&w->host, path, count_messages, &messages, &s);
	is_over = countdown;
	countdown = 0;
	if (r == 0) {
		OWNS_MEM char *text = printed(s);

		assert_string_equal(text, wanted);
		assert_int_equal(messages, s->warnings.count + s->not_enforced.count);
		assert_int_equal(s->warnings.count, w->s->warnings.count);
		assert_int_equal(s->not_enforced.count, 2);
		assert_int_equal(s->files.count, 2);
	} else {
		assert_int_equal(r, -ENOMEM);
	}
	free(s);
	return is_over;
}

static void a_load_without_memory_fails_as_a_whole(void **state)
{
	struct world *w = *state;
	OWNS_MEM char *wanted = NULL;
	unsigned n = 1;

	world_write("mappings", "PORT_ACCESS\n");
	world_write("inner.cnf", "MAX_CONNS=7\n");
	world_load(state, sample);
	assert_int_equal(w->result, 0);
	wanted = printed(w->s);
	while (!load_with_failure(w, "main.cnf", n, wanted))
		n++;
	print_message("%u calls take memory\n", n - 1);
	assert_true(n > 50);
}

static void a_comparison_without_memory_fails_as_a_whole(void **state)
{
	OWNS_MEM struct settings *old = NULL;
	OWNS_MEM struct diff *wanted = NULL;
	struct world *w = world_load(state, "[SERVICE=A]\nPORT=7007\nIMAGE=/bin/true\n");
	bool is_over = false;

	old = w->s;
	w->s = NULL;
	w = world_load(state, "RUN_DIR=/x\n[SERVICE=A]\nPORT=7009\nIMAGE=/bin/false\nMAX_PROCS=7\n"
			      "[SERVICE=B]\nPORT=127.0.0.1:7007\nIMAGE=/bin/true\n");
	wanted = diff_make(old, w->s);
	for (unsigned n = 1; !is_over; n++) {
		OWNS_MEM struct diff *d = NULL;

		countdown = n;
		d = diff_make(old, w->s);
		is_over = countdown;
		countdown = 0;
		if (d)
			assert_memory_equal(d, wanted, wanted->bytes);
		else
			assert_false(is_over);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_load_without_memory_fails_as_a_whole),
		world_test(a_comparison_without_memory_fails_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
