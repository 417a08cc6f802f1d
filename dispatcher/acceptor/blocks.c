/* A table that is walked: there are few, and who is not blocked anywhere pays one look at the count. */
#include "dispatcher/acceptor/blocks.h"
#include "common/base.h"
#include "common/parse.h"

#include <errno.h>
#include <string.h>

#define LOG_EVERY_MS 60000
#define MAPPED_BITS 96 /* in front of the IPv4 address in an IPv4-mapped one */

static bool is_used(const struct ledger_block *block)
{
	return block->prefix.family != 0;
}

void blocks_init(struct blocks *b, struct ledger_block *table)
{
	*b = (struct blocks){.table = table};
	for (uint32_t i = 0; i < LEDGER_BLOCKS; i++)
		b->count += is_used(&table[i]);
}

/* How many bits the text behind the slash stands for. False: for none that there can be. */
static bool read_bits(const char *text, bool is_mapped, unsigned most, uint32_t *ret_bits)
{
	uint64_t bits, skipped = is_mapped ? MAPPED_BITS : 0;

	if (parse_u64(text, &bits) || bits < skipped || bits - skipped > most)
		return false;
	*ret_bits = (uint32_t)(bits - skipped);
	return true;
}

int blocks_parse(const char *text, struct ledger_block *ret_block)
{
	struct ledger_block block = {0};
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char ip[ADDR_TEXT_BYTES];
	unsigned most;

	if (len >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (addr_parse_ip(ip, &block.prefix) < 0)
		return -EINVAL;
	most = block.prefix.family == AF_INET ? 32 : 128;
	block.bits = most;
	if (slash && !read_bits(slash + 1, most == 32 && strchr(ip, ':'), most, &block.bits))
		return -EINVAL;
	addr_mask(&block.prefix, block.bits);
	*ret_block = block;
	return 0;
}

const char *blocks_format(const struct ledger_block *block, char ret_text[BLOCKS_TEXT_BYTES])
{
	char ip[ADDR_TEXT_BYTES];

	snprintf(ret_text, BLOCKS_TEXT_BYTES, "%s/%u", addr_format_ip(&block->prefix, ip), block->bits);
	return ret_text;
}

static struct ledger_block *same(const struct blocks *b, const struct ledger_block *block)
{
	for (uint32_t i = 0; i < LEDGER_BLOCKS; i++)
		if (is_used(&b->table[i]) && b->table[i].bits == block->bits &&
			addr_equal(&b->table[i].prefix, &block->prefix))
			return &b->table[i];
	return NULL;
}

static struct ledger_block *unused(const struct blocks *b)
{
	for (uint32_t i = 0; i < LEDGER_BLOCKS; i++)
		if (!is_used(&b->table[i]))
			return &b->table[i];
	return NULL;
}

static void forget(struct blocks *b, struct ledger_block *block)
{
	*block = (struct ledger_block){0};
	b->count--;
}

void blocks_expire(struct blocks *b, uint64_t now_ms)
{
	for (uint32_t i = 0; i < LEDGER_BLOCKS; i++)
		if (is_used(&b->table[i]) && now_ms >= b->table[i].until_ms)
			forget(b, &b->table[i]);
}

int blocks_add(struct blocks *b, const struct ledger_block *block, uint64_t now_ms)
{
	struct ledger_block *place;

	blocks_expire(b, now_ms);
	place = same(b, block);
	if (place) {
		place->until_ms = block->until_ms;
		return 0;
	}
	place = unused(b);
	if (!place)
		return -ENOSPC;
	*place = *block;
	b->count++;
	return 0;
}

int blocks_remove(struct blocks *b, const struct ledger_block *block)
{
	struct ledger_block *place = same(b, block);

	if (!place)
		return -ENOENT;
	forget(b, place);
	return 0;
}

struct ledger_block *blocks_find(struct blocks *b, const struct addr *peer, uint64_t now_ms)
{
	blocks_expire(b, now_ms);
	for (uint32_t i = 0; i < LEDGER_BLOCKS; i++)
		if (is_used(&b->table[i]) && addr_in_prefix(peer, &b->table[i].prefix, b->table[i].bits))
			return &b->table[i];
	return NULL;
}

bool blocks_may_log(struct ledger_block *block, uint64_t now_ms)
{
	if (block->logged_ms && now_ms - block->logged_ms < LOG_EVERY_MS)
		return false;
	block->logged_ms = now_ms;
	return true;
}

const struct ledger_block *blocks_next(const struct blocks *b, const struct ledger_block *before)
{
	const struct ledger_block *end = b->table + LEDGER_BLOCKS;

	for (before = before ? before + 1 : b->table; before < end; before++)
		if (is_used(before))
			return before;
	return NULL;
}
