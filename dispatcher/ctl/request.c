/* A blocking conversation, because there is nothing else to do meanwhile: one line of JSON out, a
 * head line of JSON and a body back, until end of file. What goes wrong on the way becomes a status
 * and a sentence for people; the caller need not tell the ways apart. */
#include "dispatcher/ctl/request.h"
#include "common/base.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define REPLY_MOST (256u << 20)

static int fail(struct reply *r, int status, const char *format, ...) PRINTF_LIKE(3, 4);

static int fail(struct reply *r, int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(&r->error, format, args) < 0)
		r->error = NULL;
	va_end(args);
	r->status = status;
	return status;
}

static int fail_to_connect(struct reply *r, const char *path, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
	case ENOTDIR:
		return fail(r, REQUEST_NOT_RUNNING, "no dispatcher runs at %s", path);
	case EACCES:
	case EPERM:
		return fail(r, REQUEST_REFUSED, "%s: you may not talk to this dispatcher", path);
	case EAGAIN:
		return fail(r, REQUEST_NOT_RUNNING, "%s: the dispatcher does not answer", path);
	default:
		return fail(r, REQUEST_REFUSED, "%s: %s", path, strerror(error));
	}
}

/* Blocking, with a limit on every wait; for a unix socket the send limit holds for connect, too. */
static int connect_to(const char *path, unsigned silence_ms, int *ret_fd)
{
	struct timeval limit = {.tv_sec = silence_ms / 1000, .tv_usec = silence_ms % 1000 * 1000};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	OWNS_FD int fd = -1;

	if (strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	strcpy(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return -errno;
	*ret_fd = base_steal_fd(&fd);
	return 0;
}

json_t *request_new(const char *verb, const char *argument)
{
	json_t *args = json_array();

	if (argument)
		json_array_append_new(args, json_string(argument));
	return json_pack("{s:s, s:o}", "verb", verb, "args", args);
}

/* The line to send, to be freed; NULL: no memory. */
static char *line_of(const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	char *line = NULL;

	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}

static int send_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		text += sent;
		left -= (size_t)sent;
	}
	return 0;
}

/* Reads until end of file into *ret_text, which is the caller's even after a failure. */
static int read_all(int fd, char **ret_text, size_t *ret_len)
{
	size_t size = 0, len = 0;

	for (;;) {
		ssize_t got;

		if (len + 1 >= size) {
			size = size ? size * 2 : 65536;
			if (size > REPLY_MOST)
				return -EMSGSIZE;
			*ret_text = realloc(*ret_text, size);
			if (!*ret_text)
				return -ENOMEM;
		}
		got = recv(fd, *ret_text + len, size - len - 1, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != ECONNRESET)
			return -errno;
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	(*ret_text)[len] = '\0';
	*ret_len = len;
	return 0;
}

/* Takes the head line apart and leaves the rest as the body. */
static int read_head(struct reply *r, const char *path, char *text, size_t len)
{
	char *end = memchr(text, '\n', len);
	json_t *head = end ? json_loadb(text, (size_t)(end - text), 0, NULL) : NULL;
	const json_t *status = json_object_get(head, "status");
	const char *error = json_string_value(json_object_get(head, "error"));

	if (!len) {
		r->is_lost = true;
		return fail(r, REQUEST_NOT_RUNNING, "%s: the dispatcher ended before it answered", path);
	}
	if (!json_is_integer(status)) {
		json_decref(head);
		return fail(r, REQUEST_REFUSED, "%s: this is no answer of a dispatcher", path);
	}
	r->status = (int)json_integer_value(status);
	r->error = error ? strdup(error) : NULL;
	r->body_len = len - (size_t)(end + 1 - text);
	r->body = malloc(r->body_len + 1);
	if (r->body)
		memcpy(r->body, end + 1, r->body_len + 1);
	json_decref(head);
	return r->body ? r->status : fail(r, REQUEST_REFUSED, "no memory");
}

static int converse(struct reply *r, int fd, const char *path, const char *line)
{
	char *text = NULL;
	size_t len = 0;
	int error = send_all(fd, line);

	if (!error || error == -EPIPE || error == -ECONNRESET)
		error = read_all(fd, &text, &len);
	if (error == -EAGAIN)
		fail(r, REQUEST_NOT_RUNNING, "%s: the dispatcher does not answer", path);
	else if (error)
		fail(r, REQUEST_REFUSED, "%s: %s", path, strerror(-error));
	else
		read_head(r, path, text, len);
	free(text);
	return r->status;
}

int request_ask(const char *path, const json_t *request, unsigned silence_ms, struct reply *ret_reply)
{
	OWNS_MEM char *line = line_of(request);
	OWNS_FD int fd = -1;
	int error;

	memset(ret_reply, 0, sizeof(*ret_reply));
	if (!line)
		return fail(ret_reply, REQUEST_REFUSED, "no memory");
	if (strlen(line) > REQUEST_BYTES)
		return fail(ret_reply, REQUEST_USAGE, "the arguments are too long");
	error = connect_to(path, silence_ms, &fd);
	if (error < 0)
		return fail_to_connect(ret_reply, path, -error);
	return converse(ret_reply, fd, path, line);
}

void reply_deinit(struct reply *reply)
{
	free(reply->error);
	free(reply->body);
	memset(reply, 0, sizeof(*reply));
}
