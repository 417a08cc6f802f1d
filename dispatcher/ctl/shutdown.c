/* The end of everything has no result, as nobody is left to tell it: the process itself is watched. */
#include "dispatcher/ctl/shutdown.h"
#include "common/base.h"
#include "dispatcher/ctl/ask.h"
#include "dispatcher/ctl/order.h"
#include "dispatcher/ctl/text.h"
#include "dispatcher/ctl/wait.h"

#include <sys/syscall.h>

/* Of the supervisor, or of an acceptor that has none. -1: it cannot be watched. */
static int watch_dispatcher(const json_t *status)
{
	const json_t *d = json_object_get(status, "dispatcher");
	double pid = text_number(d, "supervisor_pid");

	if (pid <= 0)
		pid = text_number(d, "acceptor_pid");
	return pid > 0 ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
}

static int shutdown_all(const struct command *c)
{
	json_t *request = request_new("shutdown", NULL), *before = NULL;
	OWNS_FD int pidfd = -1;
	struct reply reply;
	int status;

	if (c->options & COMMAND_WAIT) {
		before = ask_document(c, "status", NULL, &status);
		pidfd = watch_dispatcher(before);
		json_decref(before);
	}
	order_add_options(c, request);
	status = ask_or_say_consume(c, request, &reply);
	reply_deinit(&reply);
	if (status)
		return status;
	if (!(c->options & COMMAND_WAIT)) {
		fputs("The dispatcher ends.\n", c->out);
		return REQUEST_OK;
	}
	status = wait_until_ended(c, pidfd);
	fputs("The dispatcher has ended.\n", c->out);
	return status;
}

int shutdown_run(const struct command *c)
{
	const char *const *names = (const char *const *)c->args;
	unsigned closed = 0;
	int status, waited;

	if (!c->arg_count)
		return shutdown_all(c);
	OWNS_MEM bool *done = calloc(c->arg_count, sizeof(*done));
	OWNS_MEM const char **leaving = calloc(c->arg_count, sizeof(*leaving));

	if (!done || !leaving)
		return REQUEST_REFUSED;
	status = order_each(c, names, c->arg_count, done);
	for (unsigned i = 0; i < c->arg_count; i++)
		if (done[i])
			leaving[closed++] = names[i];
	if (!(c->options & COMMAND_WAIT) || !closed)
		return status;
	waited = wait_until_closed(c, leaving, closed);
	return status ? status : waited;
}
