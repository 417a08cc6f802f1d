/* The forms of PORT: 25, smtp, 127.0.0.1:25, [::1]:25, name:25, inet:25@host, inet6:25@host,
 * unix:/path, local:/path. */
#include "config/ports.h"
#include "common/base.h"
#include "common/parse.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

static const char *read_number(const char *text, uint16_t *ret_number)
{
	const struct servent *known;
	uint64_t number;

	switch (parse_u64(text, &number)) {
	case 0:
		if (number > UINT16_MAX)
			return "ports go from 1 to 65535";
		*ret_number = (uint16_t)number;
		return NULL;
	case PARSE_TOO_BIG:
		return "ports go from 1 to 65535";
	}
	known = *text ? getservbyname(text, "tcp") : NULL;
	if (!known)
		return "neither a number nor a service in /etc/services";
	*ret_number = ntohs((uint16_t)known->s_port);
	return NULL;
}

static const char *copy_host(const char *text, size_t len, struct port *ret_port)
{
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= PORT_HOST_BYTES)
		return "the host's name is too long";
	memcpy(ret_port->host, text, len);
	ret_port->host[len] = '\0';
	return NULL;
}

static const char *parse_path(const char *path, struct port *ret_port)
{
	ret_port->kind = PORT_UNIX;
	ret_port->path = path;
	if (!*path)
		return "no path stands behind the colon";
	return NULL;
}

/* "25@host", "25" behind inet: or inet6: */
static const char *parse_at(const char *text, int family, struct port *ret_port)
{
	const char *at = strchr(text, '@'), *wrong;
	char number[32];

	ret_port->kind = PORT_AT_HOST;
	ret_port->family = family;
	snprintf(number, sizeof(number), "%.*s", at ? (int)MIN(at - text, 31) : 31, text);
	wrong = read_number(number, &ret_port->number);
	if (!wrong && !ret_port->number)
		wrong = "ports go from 1 to 65535";
	if (wrong || !at)
		return wrong;
	return copy_host(at + 1, strlen(at + 1), ret_port);
}

/* "host:25" or "[::1]:25" */
static const char *parse_host_port(const char *word, const char *colon, struct port *ret_port)
{
	bool has_brackets = word[0] == '[' && colon > word && colon[-1] == ']';
	const char *wrong = read_number(colon + 1, &ret_port->number);

	ret_port->kind = PORT_AT_HOST;
	ret_port->family = AF_UNSPEC;
	if (!has_brackets && memchr(word, ':', (size_t)(colon - word)))
		return "an IPv6 address needs brackets: [::1]:25";
	if (wrong)
		return wrong;
	if (!ret_port->number)
		return "ports go from 1 to 65535";
	if (colon == word)
		return "no host stands before the colon";
	if (colon - word == 1 && *word == '*') {
		ret_port->kind = PORT_BARE;
		return NULL;
	}
	return copy_host(word, (size_t)(colon - word), ret_port);
}

const char *port_parse(const char *word, struct port *ret_port)
{
	const char *colon = strrchr(word, ':'), *wrong;

	*ret_port = (struct port){0};
	if (!strncasecmp(word, "unix:", 5))
		return parse_path(word + 5, ret_port);
	if (!strncasecmp(word, "local:", 6))
		return parse_path(word + 6, ret_port);
	if (!strncasecmp(word, "inet:", 5))
		return parse_at(word + 5, AF_INET, ret_port);
	if (!strncasecmp(word, "inet6:", 6))
		return parse_at(word + 6, AF_INET6, ret_port);
	if (colon)
		return parse_host_port(word, colon, ret_port);
	wrong = read_number(word, &ret_port->number);
	ret_port->kind = ret_port->number ? PORT_BARE : PORT_NONE;
	return wrong;
}
