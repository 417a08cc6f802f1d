/* Execution of other programs: the environment that they need to be a part of the worker, or none
 * of ours.
 *
 * Those that are a part inherit our own descriptors as well. For the moment of the call these lose
 * FD_CLOEXEC; a thread that executes another program in this moment lets it inherit them too, which
 * harms nobody. */
#include "common/base.h"
#include "worker/adapter/conns.h"
#include "worker/adapter/environment.h"
#include "worker/adapter/real.h"
#include "worker/adapter/shim.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>

extern char **environ;

static void set_own_cloexec(int flag)
{
	for (unsigned i = 0; i < OWN_SILENCE; i++)
		REAL(fcntl)(atomic_load(&shim.own[i]), F_SETFD, flag);
}

static int prepare(char *const *envp, bool in_place, struct environment *e)
{
	int bad = environment_make(envp, in_place, e);

	if (bad < 0) {
		errno = -bad;
		return -1;
	}
	if (e->is_part)
		set_own_cloexec(0);
	return 0;
}

static void finish(struct environment *e)
{
	int before = errno;

	if (e->is_part)
		set_own_cloexec(FD_CLOEXEC);
	environment_free(e);
	errno = before;
}

enum how { BY_PATH, BY_SEARCH, BY_FD, AT };

struct execution {
	enum how how;
	int fd, flags;
	const char *path;
	char *const *argv;
};

static int real_exec(const struct execution *x, char *const *envp)
{
	switch (x->how) {
	case BY_SEARCH:
		return REAL(execvpe)(x->path, x->argv, envp);
	case BY_FD:
		return REAL(fexecve)(x->fd, x->argv, envp);
	case AT:
		return REAL(execveat)(x->fd, x->path, x->argv, envp, x->flags);
	default:
		return REAL(execve)(x->path, x->argv, envp);
	}
}

static int execute(const struct execution *x, char *const *envp)
{
	struct environment e;

	if (!shim_is_on())
		return real_exec(x, envp);
	if (prepare(envp, true, &e) < 0)
		return -1;
	conns_prepare_exec();
	real_exec(x, e.envp);
	conns_undo_exec();
	finish(&e);
	return -1;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	return execute(&(struct execution){.path = path, .argv = argv}, envp);
}

int execv(const char *path, char *const argv[])
{
	return execute(&(struct execution){.path = path, .argv = argv}, environ);
}

int execvp(const char *file, char *const argv[])
{
	return execute(&(struct execution){BY_SEARCH, .path = file, .argv = argv}, environ);
}

int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return execute(&(struct execution){BY_SEARCH, .path = file, .argv = argv}, envp);
}

int fexecve(int fd, char *const argv[], char *const envp[])
{
	return execute(&(struct execution){BY_FD, .fd = fd, .argv = argv}, envp);
}

int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return execute(
		&(struct execution){AT, .fd = fd, .flags = flags, .path = path, .argv = argv},
		envp);
}

static size_t count_words(va_list args)
{
	size_t count = 1; /* the first is a named parameter */

	while (va_arg(args, char *))
		count++;
	return count;
}

/* The words of an execl() with their NULL, on the caller's stack. */
#define GATHER(argv, first, last)                                                                  \
	do {                                                                                       \
		va_list args_;                                                                     \
		size_t count_;                                                                     \
		va_start(args_, last);                                                             \
		count_ = count_words(args_);                                                       \
		va_end(args_);                                                                     \
		argv = alloca((count_ + 1) * sizeof(char *));                                      \
		argv[0] = (char *)(first);                                                         \
		va_start(args_, last);                                                             \
		for (size_t i_ = 1; i_ <= count_; i_++)                                            \
			argv[i_] = va_arg(args_, char *);                                          \
		if (ret_envp)                                                                      \
			*ret_envp = va_arg(args_, char **);                                        \
		va_end(args_);                                                                     \
	} while (0)

int execl(const char *path, const char *arg, ...)
{
	char **argv, ***ret_envp = NULL;

	GATHER(argv, arg, arg);
	return execv(path, argv);
}

int execlp(const char *file, const char *arg, ...)
{
	char **argv, ***ret_envp = NULL;

	GATHER(argv, arg, arg);
	return execvp(file, argv);
}

int execle(const char *path, const char *arg, ...)
{
	char **argv, **envp = NULL, ***ret_envp = &envp;

	GATHER(argv, arg, arg);
	return execve(path, argv, envp);
}

typedef int spawn_function(pid_t *restrict, const char *restrict,
	const posix_spawn_file_actions_t *, const posix_spawnattr_t *restrict, char *const[],
	char *const[]);

static int spawn(spawn_function *real, pid_t *ret_pid, const char *path,
	const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
	char *const argv[], char *const envp[])
{
	struct environment e;
	int bad;

	if (!shim_is_on())
		return real(ret_pid, path, actions, attr, argv, envp);
	if (prepare(envp, false, &e) < 0)
		return errno;
	conns_prepare_spawn();
	bad = real(ret_pid, path, actions, attr, argv, e.envp);
	if (bad)
		conns_undo_spawn();
	finish(&e);
	return bad;
}

int posix_spawn(pid_t *restrict ret_pid, const char *restrict path,
	const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attr,
	char *const argv[restrict], char *const envp[restrict])
{
	return spawn(REAL(posix_spawn), ret_pid, path, actions, attr, argv, envp);
}

int posix_spawnp(pid_t *restrict ret_pid, const char *restrict file,
	const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attr,
	char *const argv[restrict], char *const envp[restrict])
{
	return spawn(REAL(posix_spawnp), ret_pid, file, actions, attr, argv, envp);
}
