/* What workers hear of when the settings have changed behind them. */
#include "common/base.h"
#include "common/chan.h"
#include "common/msg.h"
#include "config/host.h"
#include "config/load.h"
#include "config/schema.h"
#include "dispatcher/acceptor/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#define SERVICE "[SERVICE=A]\nPORT=7007\nIMAGE=/bin/true\n"

static void ignore(void *user, enum load_severity severity, const char *text)
{
}

static struct settings *load(const char *text)
{
	struct host host = {.uid = 1234, .gid = 1234, .run_dir = "/run", .worker_dir = "/bin"};
	OWNS_FD int fd = memfd_create("config", MFD_CLOEXEC);
	struct settings *s = NULL;
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(load_settings_on(&host, path, ignore, NULL, &s), 0);
	return s;
}

static struct limits limits_of(const char *text)
{
	struct limits l = {0};
	struct settings *s = load(text);

	assert_int_equal(limits_make(&l, s, settings_service(s, 0)), 0);
	free(s);
	return l;
}

static uint64_t digest_of(const char *text)
{
	struct limits l = limits_of(text);

	free(l.message);
	return l.digest;
}

static void they_come_as_a_message_with_the_names_of_all_listeners(void **state)
{
	struct limits l = limits_of(SERVICE "PORT=unix:/x\nDEBUG=7\n");
	uint8_t buf[1000];
	struct msg_reader r;
	struct msg_value v;
	unsigned count, names = 0;
	uint32_t debug = 0;
	int ends[2];
	size_t len;

	assert_int_equal(chan_pair(ends), 0);
	assert_int_equal(limits_send(&l, ends[0]), 0);
	assert_int_equal(chan_recv(ends[1], buf, sizeof(buf), &len, NULL, 0, &count), 0);
	assert_int_equal(msg_open(&r, buf, len), 0);
	assert_int_equal(r.type, MSG_LIMITS);
	while (msg_next(&r, &v) > 0) {
		if (v.fact == MSG_DEBUG)
			assert_int_equal(msg_u32(&v, &debug), 0);
		names += v.fact == MSG_LISTENER_NAME;
	}
	assert_int_equal(debug, 7);
	assert_int_equal(names, 3);
	close(ends[0]);
	close(ends[1]);
	free(l.message);
}

/* Any that the table says living workers are told. */
static void whatever_they_must_hear_of_makes_another_digest(void **state)
{
	static const char *const lines[] = {"MIN_CONNS=7\n", "CONNECTION_TIMEOUT=7\n", "DEBUG=7\n",
		"KILL_TIMEOUT=7\n", "PORT=7008\n",
		"TLS_PORT=7008\nTLS_CERT=/a\nTLS_KEY=/a\n"};
	unsigned told = 0;

	for (unsigned i = 0; i < schema_count(); i++)
		told += (schema_at(i)->change & SCHEMA_TOLD) != 0;
	assert_int_equal(told, ARRAY_LEN(lines));
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
		char text[256];

		snprintf(text, sizeof(text), SERVICE "%s", lines[i]);
		assert_int_not_equal(digest_of(text), digest_of(SERVICE));
	}
}

static void what_only_the_acceptor_goes_by_makes_none(void **state)
{
	assert_int_equal(digest_of(SERVICE "MAX_PROCS=7\nMAX_IDLE_TIME=7\n"), digest_of(SERVICE));
	assert_int_not_equal(digest_of(SERVICE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_as_a_message_with_the_names_of_all_listeners),
		cmocka_unit_test(whatever_they_must_hear_of_makes_another_digest),
		cmocka_unit_test(what_only_the_acceptor_goes_by_makes_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
