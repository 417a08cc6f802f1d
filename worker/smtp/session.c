/* The state of a session, and its commands.
 *
 *	COMMAND -> DATA | CHUNK | AUTH -> COMMAND ; COMMAND -> TLS -> COMMAND ; any -> OVER
 *
 * Replies are collected and sent together when the input is used up: a client that sends many
 * commands at once is answered with one packet. A message that has failed is read to its end, as
 * the client knows no other way back to commands; the octets of a chunk, too. */
#include "worker/smtp/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BARE_LINE "500 5.5.2 A line ends with CR LF, neither of them stands alone"
#define NO_MEMORY "452 4.3.1 Out of memory, try again later"

static const char bare_message[] = "550 5.6.0 The message has a CR or LF that stands alone";
static const char too_big[] = "552 5.3.4 The message is too big";

void session_flush(struct session *s)
{
	if (s->out_len)
		s->ops->send(s->arg, s->out, s->out_len);
	s->out_len = 0;
}

static void line_out(struct session *s, const char *code, const char *text)
{
	if (s->out_len + strlen(code) + strlen(text) + 2 >= sizeof(s->out))
		session_flush(s);
	s->out_len += (size_t)snprintf(
		s->out + s->out_len, sizeof(s->out) - s->out_len, "%s%.500s\r\n", code, text);
}

static void reply(struct session *s, const char *text)
{
	s->errors += *text == '5';
	line_out(s, "", text);
}

void session_bye(struct session *s, const char *text)
{
	line_out(s, "", text);
	s->phase = SESSION_OVER;
}

static void reset(struct session *s)
{
	s->ops->reset(s->arg);
	s->mail = s->chunked = s->last = false;
	s->failed = NULL;
	s->envelope.count = 0;
	if (s->phase != SESSION_OVER)
		s->phase = SESSION_COMMAND;
}

bool session_in_message(const struct session *s)
{
	return s->chunked || s->phase == SESSION_DATA || s->phase == SESSION_CHUNK;
}

/* --- commands that greet --- */

static void hello(struct session *s, const char *name, bool extended)
{
	if (!syntax_is_host(name)) {
		reply(s, "501 5.5.4 Say your host name or [address]");
		return;
	}
	reset(s);
	strcpy(s->envelope.helo, name); /* fewer than 256, as syntax_is_host() says */
	s->envelope.extended = extended;
	if (!extended)
		line_out(s, "250 ", s->options->hostname);
}

static void helo(struct session *s, char *args)
{
	hello(s, syntax_word(&args), false);
}

static void ehlo(struct session *s, char *args)
{
	const struct session_options *o = s->options;
	unsigned errors = s->errors;
	char size[40];

	hello(s, syntax_word(&args), true);
	if (s->errors > errors)
		return;
	snprintf(size, sizeof(size), "SIZE %llu", (unsigned long long)o->size);
	line_out(s, "250-", o->hostname);
	line_out(s, "250-", "PIPELINING");
	line_out(s, "250-", size);
	line_out(s, "250-", "8BITMIME");
	line_out(s, "250-", "SMTPUTF8");
	line_out(s, "250-", "ENHANCEDSTATUSCODES");
	if (s->starttls)
		line_out(s, "250-", "STARTTLS");
	if (o->auth && s->tls)
		line_out(s, "250-", "AUTH PLAIN LOGIN");
	line_out(s, "250 ", "CHUNKING");
}

/* What stands behind is plain text that anybody on the way may have put there: never run, and who
 * sends it is not let in at all (RFC 3207, RFC 2920 3.1). */
static void starttls(struct session *s, char *args)
{
	if (*args)
		reply(s, "501 5.5.4 STARTTLS takes no parameter");
	else if (!s->starttls)
		reply(s, s->tls ? "503 5.5.1 TLS is on already" : "502 5.5.1 No TLS here");
	else if (s->rest)
		session_bye(s, "554 5.5.0 Commands behind STARTTLS are not run");
	else {
		reply(s, "220 2.0.0 Go ahead");
		s->phase = SESSION_TLS;
	}
}

void session_secured(struct session *s)
{
	reset(s);
	s->phase = SESSION_COMMAND;
	session_set_tls(s, true, false);
	s->envelope = (struct envelope){.to = s->envelope.to};
}

static void auth_step(struct session *s, const char *mechanism, const char *response)
{
	const char *answer = s->ops->auth(s->arg, mechanism, response);

	s->authenticated = *answer == '2';
	s->phase = *answer == '3' ? SESSION_AUTH : SESSION_COMMAND;
	reply(s, answer);
}

static const char *known_mechanism(const char *name)
{
	if (!strcasecmp(name, "PLAIN"))
		return "PLAIN";
	return strcasecmp(name, "LOGIN") ? NULL : "LOGIN";
}

static void auth(struct session *s, char *args)
{
	const char *mechanism = known_mechanism(syntax_word(&args));
	const char *response = syntax_word(&args);

	if (!s->options->auth || !s->envelope.extended)
		reply(s, "503 5.5.1 No AUTH here");
	else if (!s->tls)
		reply(s, "538 5.7.11 Encryption is required: STARTTLS first");
	else if (s->authenticated || s->mail)
		reply(s, "503 5.5.1 Not now");
	else if (!mechanism)
		reply(s, "504 5.5.4 PLAIN or LOGIN");
	else if (!syntax_is_base64(response) || *syntax_word(&args))
		reply(s, "501 5.5.2 Syntax: AUTH mechanism [initial response in base64]");
	else
		auth_step(s, mechanism, *response ? response : NULL);
}

static void auth_line(struct session *s, int answer, const char *text)
{
	if (answer == LINE_DONE && strlen(text) == s->line.len && *text && strcmp(text, "*") &&
		syntax_is_base64(text)) {
		auth_step(s, NULL, text);
		return;
	}
	s->phase = SESSION_COMMAND;
	s->ops->auth(s->arg, NULL, NULL);
	reply(s, *text == '*' ? "501 5.7.0 Cancelled" : "501 5.5.2 That is no base64");
}

/* --- commands of a transaction --- */

static const char *may_send(const struct session *s)
{
	if (!*s->envelope.helo)
		return s->options->lmtp ? "503 5.5.1 LHLO first" : "503 5.5.1 EHLO first";
	if (s->mail)
		return "503 5.5.1 There is a sender already";
	if (s->options->auth && !s->authenticated)
		return s->tls ? "530 5.7.0 Authenticate first" : "530 5.7.0 STARTTLS first";
	return NULL;
}

static void mail(struct session *s, char *args)
{
	struct envelope *e = &s->envelope;
	const char *bad = may_send(s);

	if (!bad)
		bad = syntax_mail(args, &e->from, &e->options);
	if (!bad && e->options.auth && !s->options->auth)
		bad = "555 5.5.4 No AUTH here";
	if (!bad && e->options.size > s->options->size)
		bad = too_big;
	s->mail = s->mail || !bad;
	reply(s, bad ? bad : "250 2.1.0 Sender OK");
}

static void rcpt(struct session *s, char *args)
{
	struct envelope *e = &s->envelope;
	struct address to, *more;
	const char *answer = s->mail ? syntax_rcpt(args, &to) : "503 5.5.1 MAIL first";

	if (s->mail && s->chunked)
		answer = "503 5.5.1 The message has begun";
	else if (!answer && e->count >= s->options->recipients)
		answer = "452 4.5.3 Too many recipients, send the others in another message";
	else if (!answer && to.utf8 && !e->options.utf8)
		answer = "553 5.6.7 Such an address needs SMTPUTF8";
	if (!answer) {
		more = realloc(e->to, (e->count + 1) * sizeof(*more));
		e->to = more ? more : e->to;
		answer = more ? s->ops->recipient(s->arg, e, &to) : NO_MEMORY;
		if (*answer == '2')
			e->to[e->count++] = to;
	}
	reply(s, answer);
}

static void rset(struct session *s, char *args)
{
	reset(s);
	reply(s, "250 2.0.0 OK");
}

/* --- a message --- */

static void fail(struct session *s, const char *answer)
{
	s->failed = answer;
	s->ops->reset(s->arg);
}

static void on_text(void *arg, const char *data, size_t len)
{
	struct session *s = arg;

	if (!s->failed && !s->body.bare) /* the next server might take it for the end of a line */
		s->ops->data(s->arg, data, len);
}

/* The same is told however the bytes came: of two faults the one that may be an attack. */
static void look(struct session *s)
{
	const char *bad = s->body.size > s->options->size ? too_big : NULL;

	if (s->body.bare)
		bad = bare_message;
	if (bad && !s->failed)
		fail(s, bad);
	else if (bad && s->failed == too_big)
		s->failed = bad;
}

/* NULL, or why no message can begin here. */
static const char *begin(struct session *s)
{
	if (!s->mail || !s->envelope.count)
		return s->mail ? "503 5.5.1 No valid recipients" : "503 5.5.1 MAIL first";
	body_begin(&s->body, on_text, s);
	return s->ops->begin(s->arg, &s->envelope);
}

/* LMTP: for each recipient a reply of its own (RFC 2033 4.2). */
static void finish(struct session *s)
{
	unsigned replies = s->options->lmtp ? s->envelope.count : 1;

	if (!s->failed)
		s->ops->end(s->arg, &s->envelope);
	for (unsigned i = 0; i < replies; i++)
		reply(s, s->failed ? s->failed : s->ops->verdict(s->arg, i));
	reset(s);
}

static void data(struct session *s, char *args)
{
	const char *bad;

	if (*args)
		bad = "501 5.5.4 DATA takes no parameter";
	else
		bad = s->chunked ? "503 5.5.1 The message goes on with BDAT" : begin(s);
	if (!bad)
		s->phase = SESSION_DATA;
	reply(s, bad ? bad : "354 Send the message, end it with . on a line of its own");
}

static void data_more(struct session *s, const char *bytes, size_t len, size_t *ret_used)
{
	bool whole = body_feed(&s->body, bytes, len, ret_used);

	look(s);
	if (whole)
		finish(s);
}

static void chunk_done(struct session *s)
{
	char text[60];

	s->phase = SESSION_COMMAND;
	if (s->last && s->chunked) {
		body_end_plain(&s->body);
		look(s);
		finish(s);
	} else if (s->failed) {
		reply(s, s->failed);
		s->failed = "503 5.5.1 The message has failed already";
	} else {
		snprintf(text, sizeof(text), "250 2.0.0 %llu octets so far",
			(unsigned long long)s->body.size);
		reply(s, text);
	}
	if (!s->chunked)
		s->failed = NULL;
}

/* Its octets follow whatever we think of it. */
static void bdat(struct session *s, char *args)
{
	const char *bad = syntax_bdat(args, &s->chunk_left, &s->last);

	if (bad) { /* how much follows is not known: no way back */
		session_bye(s, bad);
		return;
	}
	if (!s->chunked) {
		bad = begin(s);
		s->chunked = s->mail && s->envelope.count;
		if (bad)
			snprintf(s->why, sizeof(s->why), "%s", bad);
		s->failed = bad ? s->why : NULL;
	}
	s->phase = SESSION_CHUNK;
	if (!s->chunk_left)
		chunk_done(s);
}

static void chunk_more(struct session *s, const char *bytes, size_t len, size_t *ret_used)
{
	*ret_used = len < s->chunk_left ? len : (size_t)s->chunk_left;
	s->chunk_left -= *ret_used;
	if (s->chunked) {
		body_feed_plain(&s->body, bytes, *ret_used);
		look(s);
	}
	if (!s->chunk_left)
		chunk_done(s);
}

/* --- the others --- */

static void noop(struct session *s, char *args)
{
	reply(s, "250 2.0.0 OK");
}

static void vrfy(struct session *s, char *args)
{
	reply(s, *args ? "252 2.5.0 Try with RCPT" : "501 5.5.4 Syntax: VRFY address");
}

static void quit(struct session *s, char *args)
{
	s->quit = true;
	session_bye(s, "221 2.0.0 Bye");
}

static void no_such(struct session *s, char *args)
{
	reply(s, "502 5.5.1 Not offered here");
}

static const struct command {
	const char *name;
	void (*run)(struct session *s, char *args);
} common[] = {{"MAIL", mail}, {"RCPT", rcpt}, {"DATA", data}, {"BDAT", bdat}, {"RSET", rset},
	{"NOOP", noop}, {"QUIT", quit}, {"VRFY", vrfy}, {"STARTTLS", starttls}, {"AUTH", auth},
	{"EXPN", no_such}, {"HELP", no_such}, {NULL}},
  of_smtp[] = {{"EHLO", ehlo}, {"HELO", helo}, {NULL}}, of_lmtp[] = {{"LHLO", ehlo}, {NULL}};

static const struct command *find(const struct command *table, const char *name)
{
	for (; table->name; table++)
		if (!strcasecmp(table->name, name))
			return table;
	return NULL;
}

static void command(struct session *s, char *line)
{
	const char *name = line;
	const struct command *c;

	line += strcspn(line, " ");
	if (*line)
		*line++ = '\0';
	line += strspn(line, " ");
	c = find(common, name);
	if (!c)
		c = find(s->options->lmtp ? of_lmtp : of_smtp, name);
	if (c)
		c->run(s, line);
	else
		reply(s, "500 5.5.1 No such command");
}

static char *without_blanks_behind(struct line *l)
{
	while (l->len && (l->text[l->len - 1] == ' ' || l->text[l->len - 1] == '\t'))
		l->text[--l->len] = '\0';
	return l->text;
}

static void line_more(struct session *s, const char *bytes, size_t len, size_t *ret_used)
{
	int answer = line_feed(&s->line, bytes, len, ret_used);

	s->rest = len - *ret_used;
	if (answer == LINE_BARE)
		session_bye(s, BARE_LINE);
	else if (answer != LINE_MORE && s->phase == SESSION_AUTH)
		auth_line(s, answer, s->line.text);
	else if (answer == LINE_TOO_LONG)
		reply(s, "500 5.5.2 The line is too long");
	else if (answer == LINE_DONE && strlen(s->line.text) != s->line.len)
		reply(s, "500 5.5.2 NUL has no place in a line");
	else if (answer == LINE_DONE)
		command(s, without_blanks_behind(&s->line));
}

void session_feed(struct session *s, const char *bytes, size_t len)
{
	while (len && s->phase != SESSION_OVER && s->phase != SESSION_TLS) {
		size_t used;

		if (s->phase == SESSION_DATA)
			data_more(s, bytes, len, &used);
		else if (s->phase == SESSION_CHUNK)
			chunk_more(s, bytes, len, &used);
		else
			line_more(s, bytes, len, &used);
		bytes += used;
		len -= used;
		if (s->errors >= s->options->errors && s->phase != SESSION_OVER)
			session_bye(s, "421 4.7.0 Too many errors");
	}
}

void session_greet(struct session *s)
{
	char text[300];

	snprintf(text, sizeof(text), "%s %s", s->options->hostname,
		s->options->lmtp ? "LMTP" : "ESMTP");
	line_out(s, "220 ", text);
}

void session_init(struct session *s, const struct session_options *o, const struct session_ops *ops,
	void *arg)
{
	*s = (struct session){.options = o, .ops = ops, .arg = arg};
}

void session_set_tls(struct session *s, bool tls, bool starttls)
{
	s->tls = tls;
	s->starttls = starttls && !tls;
}

void session_deinit(struct session *s)
{
	s->ops->reset(s->arg);
	free(s->envelope.to);
}
