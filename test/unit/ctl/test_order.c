/* Orders and their results, against a server that gives the answers of a list to one client after the
 * other; behind the last one nobody listens any more. */
#include "common/base.h"
#include "dispatcher/ctl/ctl.h"
#include "dispatcher/ctl/request.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define SILENCE_MS 1000
#define MOST 8
#define DONE "{\"status\":0,\"error\":null}\n"
#define BEGUN "{\"status\":0,\"error\":null,\"running\":true}\n"
#define LOST ""
#define UNKNOWN "until the order comes again" /* no result is known, however often it is asked for */
#define RESULT(status, text) DONE "{\"status\":" status ",\"text\":\"" text "\"}\n"
#define STATUS(changed) DONE "{\"dispatcher\":{\"config_changed_on_disk\":" changed "}," \
	"\"services\":[{\"name\":\"smtp\",\"state\":\"open\",\"workers\":[{\"id\":\"smtp/1\"}]}," \
	"{\"name\":\"pop\",\"state\":\"closed\",\"workers\":[]}]}\n"
#define EMPTY DONE "{\"dispatcher\":{},\"services\":[]}\n"

struct server {
	char folder[32], path[64];
	int listener;
	const char *answers[MOST + 1];
	char requests[MOST][512];
	unsigned served;
	pthread_t thread;
};

static void answer_one(struct server *s)
{
	static const char unknown[] = DONE "null\n";
	OWNS_FD int fd = accept(s->listener, NULL, NULL);
	char *request = s->requests[s->served];
	size_t got = 0;

	while (fd >= 0 && !memchr(request, '\n', got)) {
		ssize_t more = recv(fd, request + got, sizeof(s->requests[0]) - 1 - got, 0);

		if (more <= 0)
			return;
		got += (size_t)more;
	}
	if (!strcmp(s->answers[s->served], UNKNOWN)) {
		if (strstr(request, "\"verb\":\"result\"")) {
			(void)!send(fd, unknown, strlen(unknown), MSG_NOSIGNAL);
			memset(request, 0, sizeof(s->requests[0]));
			return;
		}
		strcpy(s->requests[++s->served], request);
	}
	(void)!send(fd, s->answers[s->served], strlen(s->answers[s->served]), MSG_NOSIGNAL);
	s->served++;
	if (!s->answers[s->served]) /* before this client is done: nobody comes between */
		base_close(&s->listener);
}

static void *serve(void *user)
{
	struct server *s = user;

	while (s->answers[s->served])
		answer_one(s);
	return NULL;
}

static int set_up(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct server *s = calloc(1, sizeof(*s));

	strcpy(s->folder, "/tmp/test-ctl-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/control", s->folder);
	strcpy(un.sun_path, s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(s->listener, MOST), 0);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct server *s = *state;

	base_close(&s->listener);
	unlink(s->path);
	rmdir(s->folder);
	free(s);
	return 0;
}

struct outcome {
	int status;
	char out[4096], err[4096];
};

static void run(struct server *s, struct outcome *o, const char *const *words)
{
	char *argv[16] = {(char *)"dispatcherctl", (char *)"-s", s->path};
	FILE *out, *err;
	int count = 3;

	while (*words)
		argv[count++] = (char *)*words++;
	memset(o, 0, sizeof(*o));
	out = fmemopen(o->out, sizeof(o->out), "w");
	err = fmemopen(o->err, sizeof(o->err), "w");
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	o->status = ctl_run(count, argv, SILENCE_MS, out, err);
	pthread_join(s->thread, NULL);
	fclose(out);
	fclose(err);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__})
#define RUN(s, o, ...) run(s, o, LIST(__VA_ARGS__, NULL))
#define ANSWERS(s, ...) memcpy((s)->answers, LIST(__VA_ARGS__), sizeof(LIST(__VA_ARGS__)))

/* A member of the request that came as number n; to be freed. */
static json_t *member(const struct server *s, unsigned n, const char *key)
{
	json_t *request = json_loads(s->requests[n], JSON_DISABLE_EOF_CHECK, NULL);
	json_t *value = json_incref(json_object_get(request, key));

	json_decref(request);
	return value;
}

static void assert_member(const struct server *s, unsigned n, const char *key, const char *json)
{
	json_t *value = member(s, n, key);
	OWNS_MEM char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	assert_string_equal(text ? text : "absent", json);
	json_decref(value);
}

static void a_result_is_asked_for_by_the_id_of_the_order_until_it_is_there(void **state)
{
	struct server *s = *state;
	struct outcome o;
	json_t *id, *asked;

	ANSWERS(s, BEGUN, DONE "null\n", DONE "null\n", RESULT("0", "it is done"));
	RUN(s, &o, "start", "smtp");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "it is done\n");
	id = member(s, 0, "id");
	assert_int_equal(strlen(json_string_value(id)), 16);
	for (unsigned i = 1; i < 4; i++) {
		asked = member(s, i, "args");
		assert_string_equal(json_string_value(json_array_get(asked, 0)), json_string_value(id));
		json_decref(asked);
	}
	json_decref(id);
}

static void a_failure_is_told_on_the_other_stream(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, RESULT("1", "line one\\nline two"));
	RUN(s, &o, "reload");
	assert_int_equal(o.status, REQUEST_REFUSED);
	assert_string_equal(o.out, "");
	assert_string_equal(o.err, "dispatcherctl: line one\nline two\n");
}

static void an_order_is_asked_for_again_with_the_same_id(void **state)
{
	struct server *s = *state;
	struct outcome o;
	json_t *first, *second;

	ANSWERS(s, LOST, BEGUN, LOST, RESULT("0", "done"));
	RUN(s, &o, "upgrade");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "done\n");
	first = member(s, 0, "id");
	second = member(s, 1, "id");
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
}

static void a_dispatcher_that_goes_away_in_between_is_not_running(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, DONE "null\n");
	RUN(s, &o, "upgrade");
	assert_int_equal(o.status, REQUEST_NOT_RUNNING);
	assert_string_equal(o.err, "dispatcherctl: the dispatcher went away before it told the result\n");
}

static const char gone[] = "{\"status\":1,\"error\":\"the supervisor is gone\"}\n";

static void an_order_that_is_refused_meanwhile_is_waited_for_no_more(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, UNKNOWN, gone, DONE "null\n");
	RUN(s, &o, "reload");
	assert_int_equal(o.status, REQUEST_REFUSED);
	assert_string_equal(o.out, "");
	assert_string_equal(o.err, "dispatcherctl: the supervisor is gone\n");
}

static void an_order_that_ended_just_before_it_was_refused_has_its_result(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, UNKNOWN, gone, RESULT("0", "it is done"));
	RUN(s, &o, "reload");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "it is done\n");
}

static void an_order_that_finds_no_room_when_it_comes_again_is_still_waited_for(void **state)
{
	static const char full[] = "{\"status\":1,\"error\":\"too many orders wait for the supervisor: "
				   "ask again\"}\n";
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, UNKNOWN, full, DONE "null\n", DONE "null\n", RESULT("0", "it is done"));
	RUN(s, &o, "reload");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "it is done\n");
}

static void of_several_names_one_that_fails_does_not_stop_the_others(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, "{\"status\":1,\"error\":\"there is no service a\"}\n", BEGUN, RESULT("0", "opened"));
	RUN(s, &o, "enable", "a", "b");
	assert_int_equal(o.status, REQUEST_REFUSED);
	assert_string_equal(o.out, "b: opened\n");
	assert_string_equal(o.err, "dispatcherctl: a: there is no service a\n");
	assert_member(s, 1, "args", "[\"b\"]");
}

static void times_and_options_are_part_of_the_order(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, RESULT("0", "closed"));
	RUN(s, &o, "stop", "smtp", "--drain=1m");
	assert_int_equal(o.status, REQUEST_OK);
	assert_member(s, 0, "verb", "\"shutdown\"");
	assert_member(s, 0, "drain_ms", "60000");
	assert_member(s, 0, "now", "absent");
}

static void a_dry_run_says_so(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, RESULT("0", "nothing changes"));
	RUN(s, &o, "reload", "--dry-run");
	assert_member(s, 0, "dry_run", "true");
	assert_member(s, 0, "tls", "absent");
}

static void a_reload_of_certificates_alone_says_so(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN, RESULT("0", "nothing changes"));
	RUN(s, &o, "reload", "--tls");
	assert_member(s, 0, "tls", "true");
}

static void a_block_is_done_when_it_is_answered(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, DONE "192.0.2.0/24 is blocked\n");
	RUN(s, &o, "block", "192.0.2.0/24", "--for", "1h");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "192.0.2.0/24 is blocked\n");
	assert_member(s, 0, "for_ms", "3600000");
	assert_member(s, 0, "id", "absent");
}

static void restart_without_a_name_means_what_is_open(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, STATUS("false"), BEGUN, RESULT("0", "to be replaced: smtp/1"));
	RUN(s, &o, "restart");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "to be replaced: smtp/1\n");
	assert_member(s, 1, "args", "[\"smtp\"]");
}

static void restart_says_that_the_file_has_changed(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, STATUS("true"), BEGUN, RESULT("0", "to be replaced: smtp/1"));
	RUN(s, &o, "restart", "smtp");
	assert_non_null(strstr(o.out, "restart does not read it, reload does"));
}

static void wait_looks_until_the_old_workers_are_gone(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, STATUS("false"), BEGUN, RESULT("0", "to be replaced: smtp/1"), STATUS("false"),
		STATUS("false"), STATUS("false"), EMPTY);
	RUN(s, &o, "restart", "smtp", "--wait");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "to be replaced: smtp/1\n"
		"1 of 1 old workers left, 0 connections; smtp/1 for 0s\n");
	assert_int_equal(s->served, 7);
}

static void wait_knows_who_was_started_just_before_the_order(void **state)
{
	static const char late[] = DONE "{\"services\":[{\"name\":\"smtp\",\"workers\":["
		"{\"id\":\"smtp/2\",\"stale\":\"restarted\"},{\"id\":\"smtp/3\",\"stale\":null}]}]}\n";
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, EMPTY, BEGUN, RESULT("0", "to be replaced: smtp/2"), late, late, EMPTY);
	RUN(s, &o, "restart", "smtp", "--wait");
	assert_int_equal(o.status, REQUEST_OK);
	assert_non_null(strstr(o.out, "1 of 1 old workers left, 0 connections; smtp/2 for 0s\n"));
	assert_int_equal(s->served, 6);
}

static void what_was_refused_is_not_waited_for(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, STATUS("false"), BEGUN, RESULT("1", "refused: too many"), STATUS("false"));
	RUN(s, &o, "restart", "smtp", "--wait");
	assert_int_equal(o.status, REQUEST_REFUSED);
	assert_int_equal(s->served, 4);
}

static void shutdown_of_everything_has_no_result(void **state)
{
	struct server *s = *state;
	struct outcome o;

	ANSWERS(s, BEGUN);
	RUN(s, &o, "shutdown");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "The dispatcher ends.\n");
	assert_member(s, 0, "id", "absent");
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(a_result_is_asked_for_by_the_id_of_the_order_until_it_is_there),
		WITH_SERVER(a_failure_is_told_on_the_other_stream),
		WITH_SERVER(an_order_is_asked_for_again_with_the_same_id),
		WITH_SERVER(a_dispatcher_that_goes_away_in_between_is_not_running),
		WITH_SERVER(an_order_that_is_refused_meanwhile_is_waited_for_no_more),
		WITH_SERVER(an_order_that_ended_just_before_it_was_refused_has_its_result),
		WITH_SERVER(an_order_that_finds_no_room_when_it_comes_again_is_still_waited_for),
		WITH_SERVER(of_several_names_one_that_fails_does_not_stop_the_others),
		WITH_SERVER(times_and_options_are_part_of_the_order),
		WITH_SERVER(a_dry_run_says_so),
		WITH_SERVER(a_reload_of_certificates_alone_says_so),
		WITH_SERVER(a_block_is_done_when_it_is_answered),
		WITH_SERVER(restart_without_a_name_means_what_is_open),
		WITH_SERVER(restart_says_that_the_file_has_changed),
		WITH_SERVER(wait_looks_until_the_old_workers_are_gone),
		WITH_SERVER(wait_knows_who_was_started_just_before_the_order),
		WITH_SERVER(what_was_refused_is_not_waited_for),
		WITH_SERVER(shutdown_of_everything_has_no_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
