/* What every connection does often (read, write, close, epoll) is never asked about, and of the
 * options of sockets only those that show what a listener is made of. close() is not needed: the
 * program holds an end of its own, whose last close shows at ours.
 *
 * io_uring accepts past every filter; so it is answered as missing, and programs take what they
 * take on older kernels. */
#include "worker/notify/filter.h"
#include "common/base.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <sys/socket.h>

static int add_calls(scmp_filter_ctx f)
{
	static const int calls[] = {SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept),
		SCMP_SYS(accept4), SCMP_SYS(getsockname), SCMP_SYS(io_uring_setup)};
	int bad = 0;

	for (unsigned i = 0; !bad && i < ARRAY_LEN(calls); i++)
		bad = seccomp_rule_add(f, SCMP_ACT_NOTIFY, calls[i], 0);
	return bad;
}

static int add_option(scmp_filter_ctx f, int call, int level, int option)
{
	return seccomp_rule_add(f, SCMP_ACT_NOTIFY, call, 2,
		SCMP_A1_32(SCMP_CMP_EQ, (scmp_datum_t)level),
		SCMP_A2_32(SCMP_CMP_EQ, (scmp_datum_t)option));
}

static int add_options(scmp_filter_ctx f)
{
	static const int asked[] = {SO_TYPE, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN};
	static const int set[] = {TCP_DEFER_ACCEPT, TCP_FASTOPEN};
	int bad = 0;

	for (unsigned i = 0; !bad && i < ARRAY_LEN(asked); i++)
		bad = add_option(f, SCMP_SYS(getsockopt), SOL_SOCKET, asked[i]);
	for (unsigned i = 0; !bad && i < ARRAY_LEN(set); i++)
		bad = add_option(f, SCMP_SYS(setsockopt), IPPROTO_TCP, set[i]);
	return bad;
}

/* Loads it; who may not without it gives up new privileges by exec. */
static int load(bool gives_up)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int fd = -1, bad = f ? 0 : -ENOMEM;

	if (!bad)
		bad = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, gives_up);
	if (!bad) /* 32-bit programs are left alone, not killed */
		bad = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	if (!bad) /* without it every error is -ECANCELED */
		bad = seccomp_attr_set(f, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (!bad)
		bad = add_calls(f);
	if (!bad)
		bad = add_options(f);
	if (!bad)
		bad = seccomp_load(f);
	if (!bad)
		fd = seccomp_notify_fd(f);
	if (f)
		seccomp_release(f);
	return bad ? bad : fd;
}

int filter_load(void)
{
	int fd = load(false);

	return fd == -EACCES || fd == -EPERM ? load(true) : fd;
}
