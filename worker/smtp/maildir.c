/* Delivery to Maildirs.
 *
 * A message is written once, into the tmp/ of the first recipient whose Maildir can be written, and
 * fsync()ed. Then it gets its names in new/, a link for each recipient, and their directories are
 * synced, together with those of everybody else who waits. Only what is complete and safe ever has
 * a name in new/. SMTP has one answer for all recipients, so there all get it or none; LMTP has one
 * for each. A killed worker leaves files in tmp/, which readers of Maildirs sweep after 36 hours.
 */
#include "worker/smtp/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

void maildir_init(struct maildir *m, const struct params *p, struct commits *cs)
{
	m->params = p;
	m->commits = cs;
	m->fd = -1;
}

/* May stand in a path as one component of it, or part of one. */
static bool is_harmless(const char *name)
{
	if (!*name || *name == '.' || strlen(name) > 200)
		return false;
	for (; *name; name++)
		if ((unsigned char)*name < ' ' || *name == 0x7f || *name == '/')
			return false;
	return true;
}

static size_t append(char *path, size_t at, const char *name)
{
	for (; *name && at < MAILDIR_MOST_BYTES; name++)
		path[at++] = (char)(*name >= 'A' && *name <= 'Z' ? *name + 32 : *name);
	return at;
}

/* The Maildir of a recipient. False: he cannot have one. */
static bool path_of(const struct params *p, const struct address *to, char *ret_path)
{
	size_t at = 0;

	for (const char *c = p->maildir; *c; c++) {
		const char *name = c[1] == 'd' ? to->domain : to->local;

		if (*c != '%') {
			ret_path[at++] = *c;
			continue;
		}
		if (!is_harmless(name))
			return false;
		at = append(ret_path, at, name);
		c++;
	}
	ret_path[at] = '\0';
	return at < MAILDIR_MOST_BYTES;
}

static const char *reply_of(int error)
{
	switch (error) {
	case ENOSPC:
		return "452 4.3.1 The disk is full, try again later";
	case EDQUOT:
		return "452 4.2.2 The mailbox is full, try again later";
	default:
		return "451 4.3.0 The mailbox cannot be written, try again later";
	}
}

const char *maildir_recipient(const struct params *p, const struct address *to)
{
	char path[MAILDIR_PATH_BYTES];
	struct stat st;

	if (!path_of(p, to, path))
		return "550 5.1.1 No such recipient";
	strcat(path, "/new");
	if (!stat(path, &st) || (p->create && errno == ENOENT))
		return "250 2.1.5 Recipient OK";
	if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)
		return "550 5.1.1 No such recipient";
	return "451 4.3.0 The mailbox cannot be looked up, try again later";
}

/* With the entry in its parent, as the message is no safer than the way to it. */
static void make_directory(struct maildir *m, char *path)
{
	char *slash = strrchr(path, '/'), kept = slash[1];

	if (mkdir(path, 0700))
		return;
	slash[1] = '\0';
	commits_sync(m->commits, path);
	slash[1] = kept;
}

static void make_maildir(struct maildir *m, char *path)
{
	static const char *const parts[] = {"/tmp", "/new", "/cur"};
	size_t len = strlen(path);

	for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		make_directory(m, path);
		*slash = '/';
	}
	make_directory(m, path);
	for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		strcpy(path + len, parts[i]);
		make_directory(m, path);
	}
	path[len] = '\0';
}

static int open_tmp(struct maildir *m, const struct address *to)
{
	char path[MAILDIR_PATH_BYTES];

	if (!path_of(m->params, to, path))
		return ENOENT;
	for (int tries = 0; m->fd < 0 && tries < 2; tries++) {
		snprintf(m->tmp, sizeof(m->tmp), "%.1500s/tmp/%s.%s", path, m->id,
			m->params->hostname);
		m->fd = open(m->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (m->fd < 0 && (errno != ENOENT || !m->params->create))
			return errno;
		if (m->fd < 0)
			make_maildir(m, path);
	}
	return m->fd < 0 ? errno : 0;
}

const char *maildir_begin(struct maildir *m, const struct envelope *e, const char *id)
{
	int error = 0;

	maildir_reset(m);
	m->id = id;
	m->error = 0;
	m->len = 0;
	m->results = calloc(e->count, sizeof(*m->results));
	if (!m->results)
		return reply_of(ENOMEM);
	for (unsigned i = 0; i < e->count && m->fd < 0; i++)
		error = open_tmp(m, &e->to[i]);
	return m->fd < 0 ? reply_of(error) : NULL;
}

static void flush(struct maildir *m)
{
	for (size_t at = 0; at < m->len && !m->error;) {
		ssize_t put = write(m->fd, m->out + at, m->len - at);

		if (put >= 0)
			at += (size_t)put;
		else if (errno != EINTR)
			m->error = errno;
	}
	m->len = 0;
}

void maildir_data(struct maildir *m, const char *data, size_t len)
{
	while (len && !m->error) {
		size_t room = sizeof(m->out) - m->len, take = len < room ? len : room;

		memcpy(m->out + m->len, data, take);
		m->len += take;
		data += take;
		len -= take;
		if (m->len == sizeof(m->out))
			flush(m);
	}
}

/* Another Maildir on another file system has a copy of its own. */
static int copy(struct maildir *m, const char *tmp, const char *new)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error = 0;
	off_t at = 0;
	ssize_t sent;

	if (fd < 0)
		return errno;
	do
		sent = sendfile(fd, m->fd, &at, 1 << 20);
	while (sent > 0);
	if (sent < 0 || fsync(fd) || rename(tmp, new))
		error = errno;
	if (error)
		unlink(tmp);
	close(fd);
	return error;
}

static void name_in(const struct maildir *m, const char *path, const char *part, char *ret_path)
{
	snprintf(ret_path, MAILDIR_PATH_BYTES, "%.1500s/%s/%s.%s", path, part, m->id,
		m->params->hostname);
}

static int place(struct maildir *m, char *path, bool last)
{
	char new[MAILDIR_PATH_BYTES], tmp[MAILDIR_PATH_BYTES];
	int error = 0;

	name_in(m, path, "new", new);
	name_in(m, path, "tmp", tmp);
	if (last && !strcmp(tmp, m->tmp) && !rename(tmp, new))
		*m->tmp = '\0';
	else
		error = link(m->tmp, new) ? errno : 0;
	if (error == ENOENT && m->params->create && access(path, F_OK)) {
		make_maildir(m, path);
		error = link(m->tmp, new) ? errno : 0;
	}
	if (error == EXDEV || error == EMLINK)
		error = copy(m, tmp, new);
	if (error)
		return error;
	strcat(path, "/new");
	error = -commits_sync(m->commits, path);
	if (error)
		unlink(new);
	return error;
}

static bool same(const struct maildir *m, const struct address *a, const struct address *b)
{
	char one[MAILDIR_PATH_BYTES], other[MAILDIR_PATH_BYTES];

	return path_of(m->params, a, one) && path_of(m->params, b, other) && !strcmp(one, other);
}

static int deliver(struct maildir *m, const struct envelope *e, unsigned i)
{
	char path[MAILDIR_PATH_BYTES];

	for (unsigned before = 0; before < i; before++)
		if (same(m, &e->to[before], &e->to[i]))
			return m->results[before];
	if (!path_of(m->params, &e->to[i], path))
		return ENOENT;
	return place(m, path, e->count == 1);
}

static void take_back(struct maildir *m, const struct envelope *e, unsigned count)
{
	char path[MAILDIR_PATH_BYTES], new[MAILDIR_PATH_BYTES];

	for (unsigned i = 0; i < count; i++)
		if (path_of(m->params, &e->to[i], path)) {
			name_in(m, path, "new", new);
			unlink(new);
		}
}

void maildir_end(struct maildir *m, const struct envelope *e)
{
	bool all = !m->params->session.lmtp;

	flush(m);
	if (!m->error && fsync(m->fd))
		m->error = errno;
	for (unsigned i = 0; i < e->count && !m->error; i++) {
		m->results[i] = deliver(m, e, i);
		if (m->results[i] && all) {
			m->error = m->results[i];
			take_back(m, e, i);
		}
	}
}

const char *maildir_verdict(struct maildir *m, unsigned recipient)
{
	int error = m->error ? m->error : m->results[recipient];

	if (error)
		return reply_of(error);
	snprintf(m->reply, sizeof(m->reply), "250 2.0.0 Stored as %s", m->id);
	return m->reply;
}

void maildir_reset(struct maildir *m)
{
	if (m->fd >= 0) {
		close(m->fd);
		if (*m->tmp)
			unlink(m->tmp); /* it has its other names now, or was given up */
	}
	m->fd = -1;
	free(m->results);
	m->results = NULL;
}
