/* A client of Dovecot's authentication protocol, version 1.
 *
 * Requests and answers are lines of fields with tabs between them. Dovecot takes one connection
 * from each client number, so it is the number of the thread, and lives for one exchange. */
#include "worker/smtp/auth.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_WAY "454 4.7.0 Authentication does not work at the moment"

static int hello(struct auth *a, const struct params *p)
{
	char line[WIRE_LINE_BYTES];
	int bad = wire_connect(&a->wire, &p->auth, p->timeout_ms);
	int len = snprintf(line, sizeof(line), "VERSION\t1\t1\nCPID\t%d\n", (int)gettid());

	if (!bad)
		bad = wire_send(&a->wire, line, (size_t)len);
	do {
		if (!bad)
			bad = wire_line(&a->wire, line);
		if (!bad && !strncmp(line, "VERSION\t", 8) && strncmp(line + 8, "1\t", 2))
			bad = -1;
	} while (!bad && strcmp(line, "DONE"));
	return bad;
}

static bool has_field(const char *line, const char *field)
{
	const char *at = line;

	while ((at = strstr(at, field))) /* which may be part of the user's name, too */
		if (at[-1] == '\t' && strchr("\t=", at[strlen(field)]))
			return true;
		else
			at++;
	return false;
}

static void learn_user(struct auth *a, const char *line)
{
	const char *at = strstr(line, "\tuser=");
	size_t len = at ? strcspn(at + 6, "\t") : 0;

	snprintf(a->user, sizeof(a->user), "%.*s", (int)(len < 250 ? len : 250), at ? at + 6 : "");
}

static const char *judge(struct auth *a, const char *line)
{
	if (!strncmp(line, "CONT\t1\t", 7) && syntax_is_base64(line + 7)) {
		snprintf(a->reply, sizeof(a->reply), "334 %.400s", line + 7);
		return a->reply;
	}
	if (!strcmp(line, "CONT\t1"))
		return "334 ";
	wire_close(&a->wire);
	if (!strncmp(line, "OK\t1\t", 5)) {
		learn_user(a, line);
		return "235 2.7.0 Welcome";
	}
	if (strncmp(line, "FAIL\t1", 6) || has_field(line, "temp"))
		return NO_WAY;
	return "535 5.7.8 Wrong name or password";
}

static const char *exchange(struct auth *a, const char *request, int len)
{
	char line[WIRE_LINE_BYTES];

	if (len < WIRE_LINE_BYTES * 2 && !wire_send(&a->wire, request, (size_t)len) &&
		!wire_line(&a->wire, line))
		return judge(a, line);
	wire_close(&a->wire);
	return NO_WAY;
}

const char *auth_step(
	struct auth *a, const struct params *p, const char *mechanism, const char *response)
{
	char request[WIRE_LINE_BYTES * 2];
	int len;

	if (!mechanism && !response) {
		wire_close(&a->wire);
		return "501 5.7.0 Cancelled";
	}
	if (mechanism && hello(a, p)) {
		wire_close(&a->wire);
		return NO_WAY;
	}
	if (response && !strcmp(response, "="))
		response = "";
	if (mechanism)
		len = snprintf(request, sizeof(request),
			"AUTH\t1\t%s\tservice=smtp\tsecured%s%s%s\n", mechanism, a->facts,
			response ? "\tresp=" : "", response ? response : "");
	else
		len = snprintf(request, sizeof(request), "CONT\t1\t%s\n", response);
	return exchange(a, request, len);
}
