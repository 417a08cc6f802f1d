/* An ordinary server, linked statically, that was never written for us. Arguments are words:
 *
 *	port=N any six		where it listens: 127.0.0.1, every address, every address of both
 *kinds epoll [early] [edge] [one]	how: an epoll set that knows the listener before listen(),
 *by edges, one accept() per event; else accept() blocks threads=N procs=N	so many accept at
 *the same listener dup			listens by a duplicate, of which it closes the first close=N
 *[stay]		closes the listener after N connections, and counts the events that follow
 *	files=N			has no more than N descriptors
 *	plain			says nothing by itself
 *	daemon			goes into the background
 *
 * A client reads "PID TASK PEER LOCAL LISTENER TYPE LISTENING FLAGS", then what it sends, until it
 *closes; "exit N" and "abort" end the server. TERM makes it exit with status 7. */
#include <arpa/inet.h>
#include <errno.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
	int port, threads, procs, close_after, files;
	bool any, six, uses_epoll, early, edge, one, dup, plain, daemon;
	int listener, set, served;
};

static bool number(const char *word, const char *name, int *ret_number)
{
	size_t len = strlen(name);

	if (strncmp(word, name, len) != 0 || word[len] != '=')
		return false;
	*ret_number = atoi(word + len + 1);
	return true;
}

static void read_word(struct server *s, const char *word)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {{"any", &s->any}, {"six", &s->six}, {"epoll", &s->uses_epoll},
		{"early", &s->early}, {"edge", &s->edge}, {"one", &s->one}, {"dup", &s->dup},
		{"plain", &s->plain}, {"daemon", &s->daemon}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (!strcmp(word, flags[i].name)) {
			*flags[i].flag = true;
			return;
		}
	if (!number(word, "port", &s->port) && !number(word, "threads", &s->threads) &&
		!number(word, "procs", &s->procs) && !number(word, "close", &s->close_after) &&
		!number(word, "files", &s->files))
		errx(2, "%s: what is that?", word);
}

static const char *text_of(const struct sockaddr_storage *sa, char ret_text[80])
{
	char ip[INET6_ADDRSTRLEN] = "?";
	int port = 0;

	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *four = (const struct sockaddr_in *)sa;

		inet_ntop(AF_INET, &four->sin_addr, ip, sizeof(ip));
		port = ntohs(four->sin_port);
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)sa;

		inet_ntop(AF_INET6, &six->sin6_addr, ip, sizeof(ip));
		port = ntohs(six->sin6_port);
	}
	snprintf(ret_text, 80, "%s:%d", ip, port);
	return ret_text;
}

static const char *name_of(int fd, char ret_text[80])
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len);
	return text_of(&sa, ret_text);
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	getsockopt(fd, SOL_SOCKET, name, &value, &len);
	return value;
}

static void obey(const char *text, ssize_t len)
{
	if (len >= 6 && !memcmp(text, "exit ", 5))
		exit(atoi(text + 5));
	if (len >= 5 && !memcmp(text, "abort", 5))
		abort();
}

static void greet(struct server *s, int fd, const struct sockaddr_storage *peer)
{
	char texts[3][80];

	dprintf(fd, "%d %d %s %s %s %d %d %d\n", (int)getpid(), (int)gettid(),
		text_of(peer, texts[0]), name_of(fd, texts[1]), name_of(s->listener, texts[2]),
		option(s->listener, SO_TYPE), option(s->listener, SO_ACCEPTCONN),
		fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void serve(struct server *s, int fd, const struct sockaddr_storage *peer)
{
	char buf[512];
	ssize_t got;

	if (!s->plain)
		greet(s, fd, peer);
	while ((got = read(fd, buf, sizeof(buf))) > 0) {
		obey(buf, got);
		if (write(fd, buf, (size_t)got) < 0)
			break;
	}
	close(fd);
	s->served++;
}

/* False: there was none. */
static bool accept_one(struct server *s)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(peer);
	int fd = s->uses_epoll ? accept4(s->listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC)
			       : accept(s->listener, (struct sockaddr *)&peer, &len);

	if (fd >= 0) {
		serve(s, fd, &peer);
		return true;
	}
	if (errno == EMFILE)
		usleep(20000);
	else if (errno != EAGAIN && errno != EINTR) {
		warn("accept");
		exit(9);
	}
	return false;
}

static void *accept_for_ever(void *server)
{
	struct server own = *(struct server *)server;

	while (true)
		accept_one(&own);
	return NULL;
}

static void watch(struct server *s)
{
	struct epoll_event event = {
		.events = EPOLLIN | (s->edge ? EPOLLET : 0), .data.u64 = 0x1122334455667788};

	if (epoll_ctl(s->set, EPOLL_CTL_ADD, s->listener, &event) < 0)
		err(1, "epoll_ctl");
}

/* The listener is closed: events of it are a fault, and are told. */
static void stay(struct server *s)
{
	struct epoll_event event;

	close(s->listener);
	for (int i = 0; i < 100 && epoll_wait(s->set, &event, 1, 50) == 0; i++)
		if (i == 20) {
			warnx("quiet");
			exit(5);
		}
	warnx("an event of a closed listener");
	exit(6);
}

static void loop(struct server *s)
{
	struct epoll_event event;

	for (;;) {
		if (epoll_wait(s->set, &event, 1, -1) < 0)
			continue;
		if (event.data.u64 != 0x1122334455667788)
			errx(8, "wrong data");
		while (accept_one(s) && !s->one)
			;
		if (s->close_after && s->served >= s->close_after)
			stay(s);
	}
}

static void on_term(int signal)
{
	_exit(7);
}

static void bind_it(struct server *s)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)s->port)};
	int one = 1;

	four.sin_addr.s_addr = htonl(s->any ? INADDR_ANY : INADDR_LOOPBACK);
	s->listener = socket(s->six ? AF_INET6 : AF_INET,
		SOCK_STREAM | SOCK_CLOEXEC | (s->uses_epoll ? SOCK_NONBLOCK : 0), 0);
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->six ? bind(s->listener, (struct sockaddr *)&six, sizeof(six))
		   : bind(s->listener, (struct sockaddr *)&four, sizeof(four)))
		err(1, "bind");
}

static void listen_it(struct server *s)
{
	if (s->dup) {
		int second = fcntl(s->listener, F_DUPFD_CLOEXEC, 40);

		close(s->listener);
		s->listener = second;
	}
	if (s->uses_epoll) {
		s->set = epoll_create1(EPOLL_CLOEXEC);
		if (s->early)
			watch(s);
	}
	if (listen(s->listener, 128) < 0)
		err(1, "listen");
	if (listen(s->listener, 64) < 0)
		err(1, "listen again");
	if (s->uses_epoll && !s->early)
		watch(s);
	if (s->dup) {
		int third = dup(s->listener);

		close(s->listener);
		s->listener = third;
	}
}

int main(int argc, char **argv)
{
	struct server s = {.threads = 1, .procs = 1};
	pthread_t thread;

	for (int i = 1; i < argc; i++)
		read_word(&s, argv[i]);
	signal(SIGTERM, on_term);
	signal(SIGPIPE, SIG_IGN);
	bind_it(&s);
	listen_it(&s);
	if (s.files)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)s.files, (rlim_t)s.files});
	if (s.daemon && fork() > 0)
		exit(0);
	while (--s.procs > 0)
		if (fork() == 0)
			break;
	while (--s.threads > 0)
		pthread_create(&thread, NULL, accept_for_ever, &s);
	if (s.uses_epoll)
		loop(&s);
	accept_for_ever(&s);
}
