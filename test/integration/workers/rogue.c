/* A worker that breaks one rule, named by PARAMETER=MODE=..., and otherwise echoes honestly. With
 * PARAMETER=ONLY=n the first n workers of the service misbehave and their successors are honest. Used by
 * the integration tests to show what the dispatcher does about it. */
#include "common/base.h"
#include "test/integration/workers/raw.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

static long number(const struct raw *r, const char *name, long otherwise)
{
	const char *text = raw_param(r, name);

	return text ? atol(text) : otherwise;
}

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

_Noreturn static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

_Noreturn static void serve(struct raw *r)
{
	for (;;)
		raw_turn(r, -1);
}

/* Honest until the first client has been taken. */
static void serve_until_first(struct raw *r)
{
	page_set_ready(r->page);
	raw_ring(r);
	while (!r->count)
		raw_turn(r, -1);
}

/* --- starting --- */

static void never_ready(struct raw *r)
{
	sleep_for_ever();
}

static void slow_start(struct raw *r)
{
	sleep_ms(number(r, "MILLISECONDS", 1000));
}

static void dies_at_first(struct raw *r)
{
	serve_until_first(r);
	_exit(3);
}

/* --- hanging --- */

_Noreturn static void spins(struct raw *r)
{
	serve_until_first(r);
	warnx("last words");
	for (;;)
		__asm__ volatile("");
}

static void deadlocks(struct raw *r)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	serve_until_first(r);
	warnx("last words");
	pthread_mutex_lock(&lock);
	pthread_mutex_lock(&lock);
}

/* --- false reports --- */

static void overclaims_done(struct raw *r)
{
	serve_until_first(r);
	atomic_fetch_add(&r->page->done, 1000);
	raw_ring(r);
}

static void overclaims_taken(struct raw *r)
{
	serve_until_first(r);
	page_add_taken(r->page, 1000);
	raw_ring(r);
}

static bool owns(const struct raw *r, uint32_t slot)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->conns[i].slot == slot)
			return true;
	return false;
}

/* Reports somebody else's connection as done. */
static void claims_foreign(struct raw *r)
{
	uint32_t slot = 0;

	serve_until_first(r);
	while (owns(r, slot))
		slot++;
	page_add_done(r->page, slot);
	raw_ring(r);
}

static void claims_no_slot(struct raw *r)
{
	serve_until_first(r);
	page_add_done(r->page, UINT32_MAX);
	raw_ring(r);
}

/* Reports the same connection twice: the second time it is no longer its own. */
static void claims_twice(struct raw *r)
{
	serve_until_first(r);
	page_add_taken(r->page, 1);
	page_add_done(r->page, r->conns[0].slot);
	page_add_done(r->page, r->conns[0].slot);
	raw_ring(r);
}

static void goes_back(struct raw *r)
{
	serve_until_first(r);
	atomic_store(&r->page->taken, 0);
	raw_ring(r);
}

_Noreturn static void noise(struct raw *r)
{
	uint32_t *word = (uint32_t *)r->page, seed = 1;
	size_t count = page_bytes(r->ring_len) / sizeof(*word);

	page_set_ready(r->page);
	for (;;) {
		for (size_t i = 0; i < count; i++)
			word[i] = seed = seed * 1664525 + 1013904223;
		atomic_store(&r->page->ready, 1);
		raw_ring(r);
	}
}

/* --- the channel --- */

static void never_reads(struct raw *r)
{
	page_set_ready(r->page);
	raw_ring(r);
	sleep_for_ever();
}

/* Reads offers and keeps them to itself. */
_Noreturn static void hoards(struct raw *r)
{
	page_set_ready(r->page);
	raw_ring(r);
	for (;;) {
		char buf[4096];

		recv(RAW_CHANNEL, buf, sizeof(buf), 0);
	}
}

/* As before, but answers when it is asked. */
_Noreturn static void hoards_and_answers(struct raw *r)
{
	page_set_ready(r->page);
	for (;;) {
		raw_ring(r);
		raw_wait(RAW_CHANNEL);
		raw_read(r);
		atomic_store(&r->page->taken, 0);
	}
}

/* Receives into memory whose pages never come, while it holds the socket's lock. */
_Noreturn static void silent_memory(struct raw *r)
{
	int fd = open(raw_param(r, "FILE"), O_RDWR | O_CLOEXEC);
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	if (memory == MAP_FAILED)
		err(1, "FILE");
	page_set_ready(r->page);
	raw_ring(r);
	fcntl(RAW_CHANNEL, F_SETFL, 0);
	for (;;)
		if (recv(RAW_CHANNEL, memory, 4096, 0) < 0)
			sleep_ms(10);
}

static void closes_channel(struct raw *r)
{
	page_set_ready(r->page);
	raw_ring(r);
	close(RAW_CHANNEL);
	sleep_for_ever();
}

/* The outcome goes to the log for the test to see. */
static void passes_descriptor(struct raw *r)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char room[CMSG_SPACE(sizeof(int))] = {0}, text[] = "take this";
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
		.msg_controllen = sizeof(room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	for (unsigned i = 0; i < 100; i++)
		if (sendmsg(RAW_CHANNEL, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			warn("passed nothing");
			return;
		}
	warnx("passed descriptors");
}

/* --- the doorbell --- */

_Noreturn static void rings_always(struct raw *r)
{
	page_set_ready(r->page);
	for (;;) {
		for (unsigned i = 0; i < 1000; i++)
			(void)!write(RAW_DOORBELL, "", 1);
		raw_turn(r, 0);
	}
}

_Noreturn static void drains_bell(struct raw *r)
{
	char path[40], buf[4096];
	int bell;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", RAW_DOORBELL);
	bell = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (bell < 0)
		warn("the doorbell cannot be read");
	page_set_ready(r->page);
	for (;;) {
		raw_turn(r, 1);
		(void)!read(bell, buf, sizeof(buf));
	}
}

static void blocks_bell(struct raw *r)
{
	char full[4096] = {0};

	while (write(RAW_DOORBELL, full, sizeof(full)) > 0)
		;
	fcntl(RAW_DOORBELL, F_SETFL, 0);
}

/* The number is taken by something else, so that no client's socket gets it. */
static void closes_bell(struct raw *r)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, RAW_DOORBELL);
}

/* --- ending --- */

static void ignores_term(struct raw *r)
{
	signal(SIGTERM, SIG_IGN);
	r->deaf = true;
}

/* A child of its own in the process group, which a kill must reach too. */
static void leaves_child(struct raw *r)
{
	signal(SIGTERM, SIG_IGN);
	r->deaf = true;
	if (!fork())
		sleep_for_ever();
}

static void shrinks_page(struct raw *r)
{
	if (ftruncate(RAW_PAGE, 0) < 0)
		warn("cannot shrink");
	else
		warnx("shrunk the page");
}

/* 32 MiB for each client, until there is no more. */
_Noreturn static void leaks(struct raw *r)
{
	static void *last; /* a chain: for a sanitizer nothing is lost */

	page_set_ready(r->page);
	for (;;) {
		uint64_t before = atomic_load(&r->page->taken);
		char *memory;

		raw_turn(r, -1);
		for (; before < atomic_load(&r->page->taken); before++) {
			memory = malloc(32 << 20);
			if (!memory)
				abort();
			memset(memory, 1, 32 << 20);
			memcpy(memory, &last, sizeof(last));
			last = memory;
		}
	}
}

static const struct mode {
	const char *name;
	void (*act)(struct raw *r); /* before it is ready; returning: honest from then on */
} modes[] = {
	{"honest", NULL},
	{"never_ready", never_ready},
	{"slow_start", slow_start},
	{"dies_at_first", dies_at_first},
	{"spins", spins},
	{"deadlocks", deadlocks},
	{"overclaims_done", overclaims_done},
	{"overclaims_taken", overclaims_taken},
	{"claims_foreign", claims_foreign},
	{"claims_no_slot", claims_no_slot},
	{"claims_twice", claims_twice},
	{"goes_back", goes_back},
	{"noise", noise},
	{"never_reads", never_reads},
	{"hoards", hoards},
	{"hoards_and_answers", hoards_and_answers},
	{"silent_memory", silent_memory},
	{"closes_channel", closes_channel},
	{"passes_descriptor", passes_descriptor},
	{"rings_always", rings_always},
	{"drains_bell", drains_bell},
	{"blocks_bell", blocks_bell},
	{"closes_bell", closes_bell},
	{"ignores_term", ignores_term},
	{"leaves_child", leaves_child},
	{"shrinks_page", shrinks_page},
	{"leaks", leaks},
};

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (name && !strcmp(modes[i].name, name))
			return &modes[i];
	errx(1, "no such MODE: %s", name ? name : "(none)");
}

int main(void)
{
	struct raw r;
	const struct mode *mode;

	signal(SIGPIPE, SIG_IGN);
	raw_init(&r);
	mode = find_mode(raw_param(&r, "MODE"));
	if (mode->act && (long)r.serial <= number(&r, "ONLY", INT32_MAX))
		mode->act(&r);
	page_set_ready(r.page);
	raw_ring(&r);
	serve(&r);
}
