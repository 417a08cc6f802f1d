/* The child leaves the block in sealed memory and its messages on a pipe, each a severity byte and a
 * NUL-terminated text. The parent believes neither: the memory must be sealed and the block whole. */
#include "dispatcher/supervisor/reader.h"
#include "common/base.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PATIENCE_MS 60000
#define MESSAGES_BYTES (1u << 20)
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

enum child_exit { CHILD_DONE, CHILD_REFUSED, CHILD_FAILED };

/* --- the child --- */

static void tell_parent(void *user, enum load_severity severity, const char *text)
{
	FILE *out = user;

	fputc((int)severity, out);
	fwrite(text, 1, strlen(text) + 1, out);
}

static bool leave_block(int fd, const struct settings *s)
{
	return write(fd, s, s->bytes) == (ssize_t)s->bytes && fcntl(fd, F_ADD_SEALS, SEALS) == 0;
}

static enum child_exit read_it(const char *path, int memory, FILE *out)
{
	struct settings *s = NULL;
	int answer = load_settings(path, tell_parent, out, &s);
	enum child_exit status = CHILD_FAILED;
	char text[256];

	if (!answer)
		answer = load_check_derived(s, tell_parent, out, NULL);
	if (answer == LOAD_REFUSED)
		status = CHILD_REFUSED;
	else if (!answer && leave_block(memory, s))
		status = CHILD_DONE;
	if (answer < 0) {
		status = CHILD_REFUSED;
		snprintf(text, sizeof(text), "%.200s: %s", path, strerror(-answer));
		tell_parent(out, LOAD_ERROR, text);
	}
	return status;
}

_Noreturn static void be_child(const char *path, int memory, int pipe_fd)
{
	FILE *out = fdopen(pipe_fd, "w");
	enum child_exit status = out ? read_it(path, memory, out) : CHILD_FAILED;

	if (out && fclose(out))
		status = CHILD_FAILED;
	_exit(status);
}

/* --- the parent --- */

static int read_until(int fd, char *buf, size_t size, size_t *len, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (now >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now)) == 0)
			return -ETIMEDOUT;
		got = read(fd, buf + *len, size - *len);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			return 0;
		*len += got > 0 ? (size_t)got : 0;
		if (*len == size)
			return -EMSGSIZE;
	}
}

static void pass_on(const char *buf, size_t len, load_tell *tell, void *user)
{
	const char *at = buf, *end = buf + len;

	while (at + 1 < end) {
		enum load_severity severity = (enum load_severity)*at;
		const char *text = at + 1, *nul = memchr(text, '\0', (size_t)(end - text));

		if (!nul)
			return;
		tell(user, severity, text);
		at = nul + 1;
	}
}

static int map_block(int fd, struct reader_result *ret_result)
{
	struct stat st;
	void *block;

	if (fcntl(fd, F_GET_SEALS) != SEALS || fstat(fd, &st) < 0 || !st.st_size)
		return -EBADMSG;
	block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (block == MAP_FAILED)
		return -errno;
	if (settings_check(block, (size_t)st.st_size)) {
		munmap(block, (size_t)st.st_size);
		return -EBADMSG;
	}
	ret_result->settings = block;
	return 0;
}

static int judge(int status, int memory, struct reader_result *ret_result, int *ret_status)
{
	int bad;

	*ret_status = status;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_REFUSED)
		return READER_REFUSED;
	if (status)
		return READER_CRASHED;
	bad = map_block(memory, ret_result);
	if (!bad)
		ret_result->fd = memory;
	return bad;
}

static int follow(pid_t pid, int pipe_fd, load_tell *tell, void *user, int *ret_status)
{
	OWNS_MEM char *messages = malloc(MESSAGES_BYTES);
	size_t len = 0;
	int bad = messages ? read_until(pipe_fd, messages, MESSAGES_BYTES, &len,
		clock_mono_ms() + PATIENCE_MS) : -ENOMEM;

	if (bad)
		kill(pid, SIGKILL);
	waitpid(pid, ret_status, 0);
	if (messages)
		pass_on(messages, len, tell, user);
	return bad;
}

int reader_read(const char *path, load_tell *tell, void *user, struct reader_result *ret_result,
	int *ret_status)
{
	OWNS_FD int memory = memfd_create("settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	OWNS_FD int in = -1;
	int ends[2], status = 0, answer;
	pid_t pid;

	if (memory < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	in = ends[0];
	pid = fork();
	if (pid == 0)
		be_child(path, memory, ends[1]);
	close(ends[1]);
	if (pid < 0)
		return -errno;
	answer = follow(pid, in, tell, user, &status);
	if (!answer)
		answer = judge(status, memory, ret_result, ret_status);
	if (!answer)
		memory = -1;
	return answer;
}
