/* The parameters: a table of those that are numbers, a check of how they go together. What is
 * wrong stops the start, so that it is the check of a reload that fails and not the first mail. */
#include "worker/smtp/params.h"

#include <dispatcher/worker.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

struct number {
	const char *name;
	uint64_t standard, least, most;
};

static const struct number size = {"SIZE", 52428800, 1024, 1ULL << 40};
static const struct number recipients = {"RECIPIENTS", 100, 1, 1000};
static const struct number errors = {"ERRORS", 20, 1, 10000};
static const struct number timeout_s = {"TIMEOUT", 300, 1, 86400};
static const struct number create = {"MAILDIR_CREATE", 0, 0, 1};

/* Digits, for sizes with K, M or G behind them, for times with s, m or h. */
static bool parse(const char *text, uint64_t *ret)
{
	static const struct {
		char letter;
		uint64_t factor;
	} units[] = {
		{'K', 1024}, {'M', 1048576}, {'G', 1073741824}, {'s', 1}, {'m', 60}, {'h', 3600}};
	char digits[24];
	size_t len = strlen(text);
	uint64_t factor = 1;

	if (!len || len >= sizeof(digits))
		return false;
	strcpy(digits, text);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (digits[len - 1] == units[i].letter) {
			factor = units[i].factor;
			digits[len - 1] = '\0';
		}
	if (!syntax_number(digits, ret) || *ret > UINT64_MAX / factor)
		return false;
	*ret *= factor;
	return true;
}

static int number(struct worker *w, const struct number *n, uint64_t *ret)
{
	const char *text = worker_param(w, n->name);

	*ret = n->standard;
	if (!text || (parse(text, ret) && *ret >= n->least && *ret <= n->most))
		return 0;
	return worker_fail(w, "PARAMETER=%s=%s: must be a number from %llu to %llu", n->name, text,
		(unsigned long long)n->least, (unsigned long long)n->most);
}

static int numbers(struct worker *w, struct params *p)
{
	uint64_t rcpts, errs, seconds, may_create;

	if (number(w, &size, &p->session.size) || number(w, &recipients, &rcpts) ||
		number(w, &errors, &errs) || number(w, &timeout_s, &seconds) ||
		number(w, &create, &may_create))
		return -1;
	p->session.recipients = (unsigned)rcpts;
	p->session.errors = (unsigned)errs;
	p->timeout_ms = (unsigned)seconds * 1000;
	p->create = may_create;
	return 0;
}

static int hostname(struct worker *w, struct params *p)
{
	const char *name = worker_param(w, "HOSTNAME");

	if (!name && gethostname(p->hostname, sizeof(p->hostname) - 1))
		return worker_fail(w, "PARAMETER HOSTNAME is missing, and the machine has no name");
	if (name && strlen(name) < sizeof(p->hostname))
		strcpy(p->hostname, name);
	if (!syntax_is_host(p->hostname) || *p->hostname == '[')
		return worker_fail(w, "PARAMETER=HOSTNAME=%s: is no host name", name ? name : "");
	p->session.hostname = p->hostname;
	return 0;
}

static int protocol(struct worker *w, struct params *p)
{
	const char *name = worker_param(w, "PROTOCOL");

	p->session.lmtp = name && !strcasecmp(name, "LMTP");
	if (name && !p->session.lmtp && strcasecmp(name, "SMTP"))
		return worker_fail(w, "PARAMETER=PROTOCOL=%s: must be SMTP or LMTP", name);
	return 0;
}

/* unix:/path, host:port or [address]:port */
static bool parse_peer(const char *text, struct peer *ret)
{
	const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
	uint64_t port;

	if (!strncmp(text, "unix:/", 6) &&
		strlen(text + 5) < sizeof(((struct sockaddr_un *)0)->sun_path)) {
		strcpy(ret->host, text + 5);
		return true;
	}
	if (!colon || colon == text || !syntax_number(colon + 1, &port) || !port || port > 65535)
		return false;
	if (*begin == '[' && end[-1] == ']')
		begin++, end--;
	if (end <= begin || (size_t)(end - begin) >= sizeof(ret->host) || strlen(colon + 1) > 5)
		return false;
	memcpy(ret->host, begin, (size_t)(end - begin));
	strcpy(ret->port, colon + 1);
	return true;
}

static int next(struct worker *w, struct params *p)
{
	const char *text = worker_param(w, "NEXT");

	if (!text)
		return 0;
	p->next_lmtp = !strncasecmp(text, "lmtp:", 5);
	if ((!p->next_lmtp && strncasecmp(text, "smtp:", 5)) || !parse_peer(text + 5, &p->next))
		return worker_fail(w,
			"PARAMETER=NEXT=%s: must be smtp: or lmtp:, then unix:/path, "
			"host:port or [address]:port",
			text);
	return 0;
}

static int authentication(struct worker *w, struct params *p)
{
	const char *text = worker_param(w, "AUTH");
	char address[300] = "unix:";

	if (!text)
		return 0;
	if (!strncmp(text, "dovecot:", 8) && strlen(text) < 200)
		strcat(address, text + 8);
	if (!parse_peer(address, &p->auth))
		return worker_fail(
			w, "PARAMETER=AUTH=%s: must be dovecot:/path of Dovecot's socket", text);
	if (!*p->next.host || p->session.lmtp)
		return worker_fail(w, "PARAMETER AUTH makes a submission server: it needs NEXT and "
				      "PROTOCOL=SMTP");
	p->session.auth = true;
	return 0;
}

/* The part before the first %, up to its last slash, is a directory of the operator's. */
static int maildir(struct worker *w, struct params *p)
{
	const char *text = worker_param(w, "MAILDIR");
	char base[1024] = "";
	size_t len = text ? strcspn(text, "%") : 0;

	p->maildir = text;
	if (!text == !*p->next.host)
		return worker_fail(w, "give one of PARAMETER=MAILDIR=/path and PARAMETER=NEXT=...");
	if (!text)
		return 0;
	if (*text != '/' || strlen(text) > 900)
		return worker_fail(w, "PARAMETER=MAILDIR=%s: must be a full path", text);
	for (const char *at = text; (at = strchr(at, '%')); at++)
		if (at[1] != 'd' && at[1] != 'u')
			return worker_fail(w,
				"PARAMETER=MAILDIR=%s: only %%d and %%u stand for something", text);
	memcpy(base, text, len);
	if (text[len] || p->create)
		strrchr(base, '/')[1] = '\0';
	if (access(base, text[len] || !p->create ? X_OK : W_OK | X_OK))
		return worker_fail(w, "PARAMETER=MAILDIR=%s: %s: %m", text, base);
	return 0;
}

static int domains(struct worker *w, struct params *p)
{
	p->domains = worker_param(w, "DOMAINS");
	if (!p->domains && !p->session.auth)
		return worker_fail(w, "PARAMETER DOMAINS is missing: whose mail is taken?");
	if (p->domains && !strcmp(p->domains, "*") && !p->maildir && !p->session.auth)
		return worker_fail(w, "PARAMETER=DOMAINS=* with NEXT would be an open relay");
	return 0;
}

int params_read(struct worker *w, struct params *ret)
{
	static int (*const readers[])(struct worker *, struct params *) = {
		numbers, hostname, protocol, next, authentication, maildir, domains};

	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (readers[i](w, ret))
			return -1;
	return 0;
}

bool params_is_ours(const struct params *p, const char *domain)
{
	const char *at = p->domains ? p->domains : "";
	size_t len = strlen(domain);

	if (!strcmp(at, "*"))
		return true;
	for (at += strspn(at, ", "); *at; at += strcspn(at, ", "), at += strspn(at, ", "))
		if (strcspn(at, ", ") == len && len && !strncasecmp(at, domain, len))
			return true;
	return false;
}
