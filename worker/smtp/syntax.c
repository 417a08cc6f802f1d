/* The grammar of SMTP's commands.
 *
 * As strict as clients bear: no address without its brackets, no control character anywhere. The
 * one liberty is a blank behind "FROM:" and "TO:". A local part is kept twice: as it was written,
 * for who passes it on, and without its quotes, for who looks it up. */
#include "worker/smtp/syntax.h"

#include <string.h>
#include <strings.h>

#define SYNTAX_FROM "501 5.5.4 Syntax: MAIL FROM:<address>"
#define SYNTAX_TO   "501 5.5.4 Syntax: RCPT TO:<address>"
#define BAD_SENDER  "501 5.1.7 Not a valid sender address"
#define BAD_RCPT    "501 5.1.3 Not a valid recipient address"
#define BAD_PARAM   "555 5.5.4 Parameter not known here"
#define BAD_VALUE   "501 5.5.4 Not a valid value of a parameter"

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Behind a good sequence of one character of two to four bytes; NULL: it is none. */
static const char *utf8_next(const char *at)
{
	const unsigned char *c = (const unsigned char *)at;
	unsigned more = c[0] >= 0xf0 ? 3 : c[0] >= 0xe0 ? 2 : 1;
	uint32_t point = c[0] & (0x3f >> more);
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

	if (c[0] < 0xc2 || c[0] > 0xf4)
		return NULL;
	for (unsigned i = 1; i <= more; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return NULL;
		point = point << 6 | (c[i] & 0x3f);
	}
	if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return NULL;
	return at + more + 1;
}

/* Behind one character that is plain, in `also`, or more than ASCII; NULL: it is none of these. */
static const char *take(const char *at, const char *also, bool *utf8)
{
	if (*(const unsigned char *)at >= 0x80) {
		*utf8 = true;
		return utf8_next(at);
	}
	return is_alnum((unsigned char)*at) || (*at && strchr(also, *at)) ? at + 1 : NULL;
}

/* Atoms with single dots between them. */
static const char *dot_string(const char *at, char *local, bool *utf8)
{
	const char *begin = at, *next;

	while ((next = take(at, "!#$%&'*+-/=?^_`{|}~", utf8)) ||
		(at > begin && *at == '.' && at[-1] != '.' && (next = at + 1)))
		at = next;
	if (at == begin || at[-1] == '.' || at - begin >= SYNTAX_TEXT_BYTES)
		return NULL;
	memcpy(local, begin, (size_t)(at - begin));
	local[at - begin] = '\0';
	return at;
}

/* Behind one character inside of quotes; NULL: it must not stand there. */
static const char *quoted_next(const char *at, bool *utf8)
{
	if (*(const unsigned char *)at < 0x80)
		return *at >= ' ' && *at != 0x7f ? at + 1 : NULL;
	*utf8 = true;
	return utf8_next(at);
}

static const char *quoted_string(const char *at, char *local, bool *utf8)
{
	size_t len = 0;

	for (at++; *at != '"';) {
		const char *next = quoted_next(*at == '\\' ? ++at : at, utf8);

		if (!next || len + (size_t)(next - at) >= SYNTAX_TEXT_BYTES)
			return NULL;
		memcpy(local + len, at, (size_t)(next - at));
		len += (size_t)(next - at);
		at = next;
	}
	local[len] = '\0';
	return at + 1;
}

static const char *literal(const char *at)
{
	for (at++; *at != ']'; at++)
		if (!is_alnum((unsigned char)*at) && (!*at || !strchr(".:-", *at)))
			return NULL;
	return at + 1;
}

/* Labels with single dots between them. Some real names have an underscore. */
static const char *domain(const char *at, bool *utf8)
{
	const char *begin = at, *next;

	if (*at == '[')
		return literal(at);
	while ((next = take(at, "-_", utf8)) ||
		(at > begin && *at == '.' && at[-1] != '.' && (next = at + 1)))
		at = next;
	return at == begin || at[-1] == '.' || *begin == '-' ? NULL : at;
}

static void lower(char *to, const char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] + 32 : from[i]);
	to[len] = '\0';
}

/* local@domain, or a local part alone; behind it. */
static const char *mailbox(const char *begin, struct address *ret)
{
	const char *at, *host;

	at = *begin == '"' ? quoted_string(begin, ret->local, &ret->utf8)
			   : dot_string(begin, ret->local, &ret->utf8);
	if (!at || *at != '@')
		return at;
	host = at + 1;
	at = domain(host, &ret->utf8);
	if (!at || (size_t)(at - host) >= sizeof(ret->domain))
		return NULL;
	lower(ret->domain, host, (size_t)(at - host));
	return at;
}

/* "@a,@b:" is allowed and ignored. */
static const char *source_route(const char *at)
{
	bool utf8 = false;

	while (*at == '@') {
		at = domain(at + 1, &utf8);
		if (!at || (*at != ',' && *at != ':'))
			return NULL;
		if (*at++ == ':')
			return at;
	}
	return at;
}

/* What stands between < and >; *args goes on behind it. */
static bool path(char **args, struct address *ret)
{
	const char *at = *args, *begin, *end;

	memset(ret, 0, sizeof(*ret));
	while (*at == ' ')
		at++;
	begin = *at == '<' ? source_route(at + 1) : NULL;
	end = begin && *begin != '>' ? mailbox(begin, ret) : begin;
	if (!end || *end != '>' || (end[1] && end[1] != ' ') || end - begin >= SYNTAX_TEXT_BYTES)
		return false;
	memcpy(ret->text, begin, (size_t)(end - begin));
	*args += end + 1 - *args;
	return true;
}

char *syntax_word(char **text)
{
	char *word = *text + strspn(*text, " ");

	*text = word + strcspn(word, " ");
	if (**text)
		*(*text)++ = '\0';
	return word;
}

bool syntax_number(const char *text, uint64_t *ret_number)
{
	uint64_t number = 0;
	size_t digits = strspn(text, "0123456789");

	if (!digits || text[digits] || digits > 18)
		return false;
	for (; *text; text++)
		number = number * 10 + (uint64_t)(*text - '0');
	*ret_number = number;
	return true;
}

static const char *mail_option(char *word, struct mail_options *o)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = '\0';
	if (!strcasecmp(word, "SIZE"))
		return value && syntax_number(value, &o->size) ? NULL : BAD_VALUE;
	if (!strcasecmp(word, "BODY")) {
		o->eight_bit = value && !strcasecmp(value, "8BITMIME");
		return o->eight_bit || (value && !strcasecmp(value, "7BIT")) ? NULL : BAD_VALUE;
	}
	if (!strcasecmp(word, "AUTH"))
		o->auth = true;
	else if (!strcasecmp(word, "SMTPUTF8") && !value)
		o->utf8 = true;
	else
		return BAD_PARAM;
	return NULL;
}

const char *syntax_mail(char *args, struct address *ret_from, struct mail_options *ret_options)
{
	const char *bad = NULL;

	memset(ret_options, 0, sizeof(*ret_options));
	if (strncasecmp(args, "FROM:", 5))
		return SYNTAX_FROM;
	args += 5;
	if (!path(&args, ret_from) || (*ret_from->local && !*ret_from->domain))
		return BAD_SENDER;
	for (char *word; !bad && *(word = syntax_word(&args));)
		bad = mail_option(word, ret_options);
	if (!bad && ret_from->utf8 && !ret_options->utf8)
		bad = "553 5.6.7 Such an address needs SMTPUTF8";
	return bad;
}

const char *syntax_rcpt(char *args, struct address *ret_to)
{
	if (strncasecmp(args, "TO:", 3))
		return SYNTAX_TO;
	args += 3;
	if (!path(&args, ret_to) || !*ret_to->text)
		return BAD_RCPT;
	if (!*ret_to->domain && strcasecmp(ret_to->local, "postmaster"))
		return BAD_RCPT;
	return *syntax_word(&args) ? BAD_PARAM : NULL;
}

const char *syntax_bdat(char *args, uint64_t *ret_octets, bool *ret_last)
{
	const char *octets = syntax_word(&args), *last = syntax_word(&args);

	*ret_last = !strcasecmp(last, "LAST");
	if (!syntax_number(octets, ret_octets) || (*last && !*ret_last) || *syntax_word(&args))
		return "501 5.5.4 Syntax: BDAT octets [LAST]";
	return NULL;
}

bool syntax_is_host(const char *text)
{
	bool utf8 = false;
	const char *end = domain(text, &utf8);

	return end && !*end && !utf8 && strlen(text) < 256;
}

bool syntax_is_base64(const char *text)
{
	size_t body =
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

	return strspn(text + body, "=") <= 2 && !text[body + strspn(text + body, "=")];
}
