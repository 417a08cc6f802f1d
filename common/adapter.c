/* The text for adapted servers and the layout of their memory. Pure: names and numbers in, names
 * and numbers out. Parsing allocates nothing and calls nothing that a preloaded library could not
 * call before the program's main(). */
#include "common/adapter.h"
#include "common/base.h"
#include "common/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define ADAPTER_VERSION 1
#define UNIX_PREFIX     "unix:"
#define NO_LISTENER     "-"
#define ALIGNMENT       64u

struct text {
	char *at;
	size_t left;
	bool fits;
};

static void PRINTF_LIKE(2, 3) put(struct text *t, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(t->at, t->left, format, args);
	va_end(args);
	t->fits = t->fits && len >= 0 && (size_t)len < t->left;
	if (!t->fits)
		return;
	t->at += len;
	t->left -= (size_t)len;
}

int64_t adapter_write(const struct adapter_head *head, const char *const *names, unsigned count,
	char *ret_text, size_t size)
{
	struct text t = {.at = ret_text, .left = size, .fits = true};
	struct adapter_listener read;

	if (count > ADAPTER_MAX_LISTENERS)
		return -E2BIG;
	put(&t, "%d %d %d %d %d %u %s %d", ADAPTER_VERSION, head->channel, head->page, head->bell,
		head->doorbell, head->ring_len, head->ends_by_eof ? "eof" : "silent",
		head->stop_signal);
	for (unsigned i = 0; i < count; i++) {
		if (strchr(names[i], '\n') || adapter_read_listener(names[i], &read) < 0)
			return -EINVAL;
		put(&t, "\n%s", names[i]);
	}
	return t.fits ? t.at - ret_text : -ENOBUFS;
}

/* Copies the next word or line, up to a character of `ends`, and steps behind what ended it. */
static int next_part(const char **text, const char *ends, char *ret_part, size_t size)
{
	size_t len = strcspn(*text, ends);

	if (!len || len >= size)
		return -EINVAL;
	memcpy(ret_part, *text, len);
	ret_part[len] = '\0';
	*text += len + ((*text)[len] == ' ');
	return 0;
}

static int next_number(const char **text, uint64_t max, uint64_t *ret_number)
{
	char word[24];

	if (next_part(text, " \n", word, sizeof(word)) < 0 || parse_u64(word, ret_number))
		return -EINVAL;
	return *ret_number > max ? -EINVAL : 0;
}

static int read_unix(const char *path, struct adapter_listener *ret)
{
	struct adapter_listener l = {.addr.family = AF_UNIX};
	size_t len = strlen(path);

	if (!len || len >= sizeof(l.path))
		return -EINVAL;
	memcpy(l.path, path, len);
	*ret = l;
	return 0;
}

int adapter_read_listener(const char *name, struct adapter_listener *ret_listener)
{
	struct adapter_listener l = {0};
	char ip[ADDR_TEXT_BYTES] = {0};
	const char *colon = strrchr(name, ':');
	size_t len;
	uint64_t port;
	bool in_brackets = name[0] == '[';

	if (!strcmp(name, NO_LISTENER)) {
		*ret_listener = l;
		return 0;
	}
	if (!strncmp(name, UNIX_PREFIX, strlen(UNIX_PREFIX)))
		return read_unix(name + strlen(UNIX_PREFIX), ret_listener);
	len = colon ? (size_t)(colon - name) : 0;
	if (len >= sizeof(ip) || len < 3 || (in_brackets && colon[-1] != ']'))
		return -EINVAL;
	memcpy(ip, name + in_brackets, len - 2 * in_brackets);
	if (addr_parse_ip(ip, &l.addr) < 0 || parse_u64(colon + 1, &port) || port > UINT16_MAX)
		return -EINVAL;
	l.addr.port = (uint16_t)port;
	*ret_listener = l;
	return 0;
}

static int read_head(const char **text, struct adapter_head *ret)
{
	uint64_t n[7];
	char style[8];

	for (unsigned i = 0; i < 6; i++)
		if (next_number(text, i == 5 ? UINT32_MAX : INT32_MAX, &n[i]) < 0)
			return -EINVAL;
	if (next_part(text, " \n", style, sizeof(style)) < 0 || next_number(text, 64, &n[6]) < 0)
		return -EINVAL;
	if (n[0] != ADAPTER_VERSION || !n[5] || (n[5] & (n[5] - 1)))
		return -EINVAL;
	*ret = (struct adapter_head){.channel = (int)n[1],
		.page = (int)n[2],
		.bell = (int)n[3],
		.doorbell = (int)n[4],
		.ring_len = (uint32_t)n[5],
		.ends_by_eof = !strcmp(style, "eof"),
		.stop_signal = (int)n[6]};
	return ret->ends_by_eof || !strcmp(style, "silent") ? 0 : -EINVAL;
}

int adapter_read(const char *text, struct adapter *ret_adapter)
{
	char line[sizeof(ret_adapter->listeners[0].path) + sizeof(UNIX_PREFIX)];

	ret_adapter->listener_count = 0;
	if (read_head(&text, &ret_adapter->head) < 0)
		return -EINVAL;
	while (*text == '\n') {
		unsigned i = ret_adapter->listener_count++;

		text++;
		if (i == ADAPTER_MAX_LISTENERS)
			return -EINVAL;
		if (next_part(&text, "\n", line, sizeof(line)) < 0 ||
			adapter_read_listener(line, &ret_adapter->listeners[i]) < 0)
			return -EINVAL;
	}
	return *text || !ret_adapter->listener_count ? -EINVAL : 0;
}

uint64_t adapter_covers(const struct adapter *a, const struct addr *bound, bool is_dual)
{
	struct addr any4 = {.family = AF_INET, .port = bound->port};
	struct addr any6 = {.family = AF_INET6, .port = bound->port};
	uint64_t covered = 0;

	is_dual = is_dual && addr_equal(bound, &any6);
	for (unsigned i = 0; i < a->listener_count; i++) {
		const struct addr *one = &a->listeners[i].addr;

		if (one->family == AF_UNIX)
			continue;
		if (addr_overlaps(one, bound) || (is_dual && addr_overlaps(one, &any4)))
			covered |= UINT64_C(1) << i;
	}
	return covered;
}

uint64_t adapter_every(const struct adapter *a)
{
	uint64_t every = 0;

	for (unsigned i = 0; i < a->listener_count; i++)
		every |= a->listeners[i].addr.family ? UINT64_C(1) << i : 0;
	return every;
}

static size_t area_at(uint32_t ring_len)
{
	return (page_bytes(ring_len) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t puts_at(uint32_t ring_len)
{
	return area_at(ring_len) + sizeof(struct adapter_area);
}

static size_t entries_at(uint32_t ring_len)
{
	return puts_at(ring_len) + ring_len * sizeof(_Atomic uint64_t);
}

size_t adapter_page_bytes(uint32_t ring_len)
{
	return entries_at(ring_len) + ADAPTER_SLOTS * sizeof(struct adapter_entry);
}

struct adapter_area *adapter_area(struct page *page, uint32_t ring_len)
{
	return (void *)((char *)page + area_at(ring_len));
}

_Atomic uint64_t *adapter_puts(struct page *page, uint32_t ring_len)
{
	return (void *)((char *)page + puts_at(ring_len));
}

struct adapter_entry *adapter_entries(struct page *page, uint32_t ring_len)
{
	return (void *)((char *)page + entries_at(ring_len));
}
