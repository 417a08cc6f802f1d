/* Command line, conversation and exit statuses, against a server that says what the test wants. */
#include "common/base.h"
#include "dispatcher/ctl/ctl.h"
#include "dispatcher/ctl/request.h"
#include "dispatcher/ctl/text.h"
#include "dispatcher/ctl/verbs.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define SILENCE_MS 100

/* Serves one client: reads a line, writes `answer` (NULL: stays silent until the client leaves). */
struct server {
	char folder[32], path[64];
	int listener;
	const char *answer;
	char request[2 * REQUEST_BYTES];
	pthread_t thread;
};

static void *serve(void *user)
{
	struct server *s = user;
	OWNS_FD int fd = accept(s->listener, NULL, NULL);
	size_t got = 0;

	while (fd >= 0 && !memchr(s->request, '\n', got)) {
		ssize_t more = recv(fd, s->request + got, sizeof(s->request) - 1 - got, 0);

		if (more <= 0)
			break;
		got += (size_t)more;
	}
	if (s->answer)
		(void)!send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
	else
		(void)!recv(fd, s->request + got, 1, 0);
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
	assert_int_equal(listen(s->listener, 1), 0);
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
	char out[8192], err[8192];
};

/* Runs dispatcherctl with these words, a NULL behind the last. */
static struct outcome run(const char *first, ...)
{
	static struct outcome o;
	char *words[16] = {(char *)"dispatcherctl", (char *)first};
	FILE *out, *err;
	int count = 1;
	va_list args;

	va_start(args, first);
	while (words[count])
		words[++count] = va_arg(args, char *);
	va_end(args);
	memset(&o, 0, sizeof(o));
	out = fmemopen(o.out, sizeof(o.out), "w");
	err = fmemopen(o.err, sizeof(o.err), "w");
	o.status = ctl_run(count, words, SILENCE_MS, out, err);
	fclose(out);
	fclose(err);
	return o;
}

/* As run, with -s PATH in front and the server behind it. argument may be NULL. */
static struct outcome ask(struct server *s, const char *answer, const char *verb, const char *argument)
{
	struct outcome o;

	s->answer = answer;
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	o = run("-s", s->path, verb, argument, NULL);
	pthread_join(s->thread, NULL);
	return o;
}

static void request_is_one_line_of_json_with_verb_and_arguments(void **state)
{
	struct server *s = *state;
	struct outcome o = ask(s, "{\"status\":0,\"error\":null}\nPORT=25\n", "config", "smtp");

	assert_string_equal(s->request, "{\"verb\":\"config\",\"args\":[\"smtp\"]}\n");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, "PORT=25\n");
}

static void shutdown_now_is_an_option(void **state)
{
	struct server *s = *state;
	struct outcome o = ask(s, "{\"status\":0,\"error\":null}\n", "shutdown", "--now");

	assert_string_equal(s->request, "{\"verb\":\"shutdown\",\"args\":[],\"now\":true}\n");
	assert_int_equal(o.status, REQUEST_OK);
}

static void json_is_passed_through_untouched(void **state)
{
	static const char document[] = "{ \"services\" : [ ],\n \"more\":1e2}\n";
	char answer[128];
	struct outcome o;

	snprintf(answer, sizeof(answer), "{\"status\":0,\"error\":null}\n%s", document);
	o = ask(*state, answer, "status", "--json");
	assert_int_equal(o.status, REQUEST_OK);
	assert_string_equal(o.out, document);
}

static void answer_that_is_no_json_is_not_shown_as_status(void **state)
{
	struct outcome o = ask(*state, "{\"status\":0,\"error\":null}\noops\n", "status", "--json");

	assert_int_equal(o.status, REQUEST_REFUSED);
	assert_string_equal(o.out, "");
}

static void refusal_is_told_in_the_words_of_the_dispatcher(void **state)
{
	struct outcome o = ask(*state, "{\"status\":1,\"error\":\"there is no service pop\"}\n", "status", "pop");

	assert_int_equal(o.status, REQUEST_REFUSED);
	assert_string_equal(o.err, "dispatcherctl: there is no service pop\n");
}

static void status_of_the_answer_is_the_exit_status(void **state)
{
	struct outcome o = ask(*state, "{\"status\":2,\"error\":\"unknown verb\"}\n", "status", NULL);

	assert_int_equal(o.status, REQUEST_USAGE);
}

static void connection_closed_without_an_answer_is_made_again(void **state)
{
	struct outcome o = ask(*state, "", "status", NULL);

	/* the server serves one client and no second one */
	assert_int_equal(o.status, REQUEST_NOT_RUNNING);
	assert_non_null(strstr(o.err, "does not answer"));
}

static void noise_instead_of_an_answer_is_a_refusal(void **state)
{
	assert_int_equal(ask(*state, "220 smtp ready\r\n", "status", NULL).status, REQUEST_REFUSED);
}

static void silence_ends_at_the_deadline(void **state)
{
	struct outcome o = ask(*state, NULL, "status", NULL);

	assert_int_equal(o.status, REQUEST_NOT_RUNNING);
	assert_non_null(strstr(o.err, "does not answer"));
}

static void nobody_at_the_socket_is_not_running(void **state)
{
	struct server *s = *state;

	base_close(&s->listener);
	assert_int_equal(run("-s", s->path, "status", NULL).status, REQUEST_NOT_RUNNING);
	unlink(s->path);
	assert_int_equal(run("-s", s->path, "status", NULL).status, REQUEST_NOT_RUNNING);
}

static void version_says_its_own_when_nobody_runs(void **state)
{
	struct outcome o = run("-s", "/nonexistent/control", "version", NULL);

	assert_int_equal(o.status, REQUEST_NOT_RUNNING);
	assert_string_equal(o.out, "dispatcherctl " VERSION "\n");
	o = ask(*state, "{\"status\":0,\"error\":null}\n9.9\n", "version", NULL);
	assert_string_equal(o.out, "dispatcherctl " VERSION "\nrunning dispatcher 9.9\n");
}

static void wrong_usage_asks_nobody(void **state)
{
	struct server *s = *state;
	const char *path = s->path;

	assert_int_equal(run(NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "stats", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "status", "a", "b", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "shutdown", "--json", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "status", "--now", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "status", "--nonsense", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("status", "-s", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "start", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "restart", "--drain", "soon", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "restart", "--drain", NULL).status, REQUEST_USAGE);
	assert_int_equal(run("-s", path, "restart", "--drain", "5s", "--now", NULL).status, REQUEST_USAGE);
}

static void arguments_beyond_the_limit_of_the_protocol_are_wrong_usage(void **state)
{
	struct server *s = *state;
	char name[REQUEST_BYTES + 1];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(run("-s", s->path, "status", name, NULL).status, REQUEST_USAGE);
}

static void help_of_each_verb_is_its_own(void **state)
{
	struct outcome o = run("shutdown", "--help", NULL);

	assert_int_equal(o.status, REQUEST_OK);
	assert_non_null(strstr(o.out, "shutdown [SERVICE...]"));
	assert_non_null(strstr(o.out, "--drain T"));
	assert_null(strstr(o.out, "connections [SERVICE"));
	assert_string_equal(run("stop", "--help", NULL).out, run("shutdown", "--help", NULL).out);
	assert_non_null(strstr(run("--help", NULL).out, "connections [SERVICE"));
}

static void assert_fits(const char *text)
{
	for (size_t len; *text; text += len + 1) {
		len = strcspn(text, "\n");
		if (len > TEXT_COLUMNS || (len && text[len - 1] == ' '))
			fail_msg("%.*s", (int)len, text);
	}
}

/* But for the line of usage, which is as long as its verb needs. */
static void every_help_fits_into_80_columns(void **state)
{
	const struct verb *verb;

	assert_fits(run("--help", NULL).out);
	for (size_t i = 0; (verb = verbs_at(i)); i++)
		assert_fits(strchr(run(verb->name, "--help", NULL).out, '\n') + 1);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(request_is_one_line_of_json_with_verb_and_arguments),
		WITH_SERVER(shutdown_now_is_an_option),
		WITH_SERVER(json_is_passed_through_untouched),
		WITH_SERVER(answer_that_is_no_json_is_not_shown_as_status),
		WITH_SERVER(refusal_is_told_in_the_words_of_the_dispatcher),
		WITH_SERVER(status_of_the_answer_is_the_exit_status),
		WITH_SERVER(connection_closed_without_an_answer_is_made_again),
		WITH_SERVER(noise_instead_of_an_answer_is_a_refusal),
		WITH_SERVER(silence_ends_at_the_deadline),
		WITH_SERVER(nobody_at_the_socket_is_not_running),
		WITH_SERVER(version_says_its_own_when_nobody_runs),
		WITH_SERVER(wrong_usage_asks_nobody),
		WITH_SERVER(arguments_beyond_the_limit_of_the_protocol_are_wrong_usage),
		cmocka_unit_test(help_of_each_verb_is_its_own),
		cmocka_unit_test(every_help_fits_into_80_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
