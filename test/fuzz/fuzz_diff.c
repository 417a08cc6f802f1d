/* The difference of two configurations: it is whole whatever they are, none of a file to itself, and
 * what passes its check can be followed without leaving it. The input is two files and a list of
 * patches to the result, each an offset and a value of four bytes; 0xff bytes part them. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "config/diff.h"
#include "config/host.h"
#include "config/load.h"

#include <netdb.h>
#include <string.h>
#include <sys/mman.h>

int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	return EAI_NONAME;
}

static void ignore(void *user, enum load_severity severity, const char *text)
{
}

/* Other files are never read: a line that would include one has another first letter. */
static void put_text(int fd, const uint8_t *data, size_t size)
{
	OWNS_MEM char *text = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		text[i] = data[i] == '<' ? '!' : (char)data[i];
	ASSERT(write(fd, text, size) == (ssize_t)size);
}

static struct settings *load(const uint8_t *data, size_t size)
{
	struct host host = {.uid = 1234,
		.gid = 1234,
		.descriptors = 1 << 20,
		.memory_bytes = 1ull << 33,
		.somaxconn = 4096,
		.name = "host",
		.run_dir = "/run/test",
		.worker_dir = "/nowhere"};
	OWNS_FD int fd = memfd_create("config", MFD_CLOEXEC);
	struct settings *s = NULL;
	char path[40];

	put_text(fd, data, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return load_settings_on(&host, path, ignore, NULL, &s) ? NULL : s;
}

static void check_none(const struct settings *s)
{
	OWNS_MEM struct diff *d = diff_make(s, s);

	ASSERT(!diff_check(d, d->bytes, s, s) && !d->words && !d->refusals.count);
	for (uint32_t i = 0; i < d->services.count; i++)
		ASSERT(diff_service(d, i)->kind == DIFF_SAME);
}

static void follow(const struct diff *d, const struct settings *old, const struct settings *next)
{
	OWNS_MEM char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (uint32_t i = 0; i < d->services.count; i++) {
		const struct diff_service *svc = diff_service(d, i);

		for (uint32_t n = 0; n < svc->listeners.count; n++) {
			const struct diff_listener *l = &diff_listeners(d, svc)[n];

			if (l->old != DIFF_NONE)
				ASSERT(l->old < settings_service(old, svc->old)->listeners.count);
			if (l->next != DIFF_NONE)
				ASSERT(l->next < settings_service(next, svc->next)->listeners.count);
		}
	}
	for (uint32_t i = 0; i < d->refusals.count; i++)
		fputs(diff_refusal(d, i), out);
	diff_print(d, NULL, out);
	fclose(out);
}

static void patch(struct diff *d, size_t bytes, const uint8_t *data)
{
	uint32_t at;

	memcpy(&at, data, sizeof(at));
	at %= (uint32_t)bytes - 3;
	memcpy((char *)d + at, data + 4, 4);
}

static void compare(const struct settings *old, const struct settings *next, const uint8_t *patches,
	size_t size)
{
	OWNS_MEM struct diff *d = diff_make(old, next);
	size_t bytes = d->bytes;

	ASSERT(!diff_check(d, bytes, old, next));
	follow(d, old, next);
	for (; size >= 8; size -= 8, patches += 8)
		patch(d, bytes, patches);
	if (!diff_check(d, bytes, old, next))
		follow(d, old, next);
}

/* Cuts off what stands before the next 0xff. */
static size_t next_part(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size ? memchr(*data, 0xff, *size) : NULL;
	size_t len = end ? (size_t)(end - *data) : *size;

	*data += end ? len + 1 : len;
	*size -= end ? len + 1 : len;
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNS_MEM struct settings *old = NULL, *next = NULL;
	const uint8_t *at = data;
	size_t len = next_part(&data, &size);

	old = load(at, len);
	at = data;
	len = next_part(&data, &size);
	next = load(at, len);
	if (old && next) {
		check_none(old);
		compare(old, next, data, size);
	}
	return 0;
}
