/* The wire messages: whatever is read stays inside the record, and an offer that was read and
 * written again is the same offer. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "common/msg.h"

#include <string.h>

static void read_facts(const uint8_t *data, size_t size)
{
	struct msg_reader r;
	struct msg_value v;
	uint32_t small;
	uint64_t large;

	if (msg_open(&r, data, size))
		return;
	while (msg_next(&r, &v) > 0) {
		ASSERT(v.data >= data && v.data + v.len_bytes <= data + size);
		msg_u32(&v, &small);
		msg_u64(&v, &large);
	}
}

static void read_offer(const uint8_t *data, size_t size)
{
	struct msg_conn conns[MSG_MAX_CONNS], again[MSG_MAX_CONNS];
	uint8_t buf[MSG_OFFER_BYTES];
	unsigned count, again_count;
	struct msg_writer w;

	if (msg_read_offer(data, size, conns, MSG_MAX_CONNS, &count))
		return;
	ASSERT(count >= 1 && count <= MSG_MAX_CONNS);
	msg_begin(&w, buf, sizeof(buf), MSG_OFFER);
	for (unsigned i = 0; i < count; i++) {
		if (!conns[i].local.family)
			memset(&conns[i].local, 0, sizeof(conns[i].local));
		msg_put_conn(&w, &conns[i]);
	}
	ASSERT(msg_end(&w) > 0);
	ASSERT(!msg_read_offer(buf, (size_t)msg_end(&w), again, MSG_MAX_CONNS, &again_count));
	ASSERT(count == again_count && !memcmp(conns, again, count * sizeof(*conns)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_facts(data, size);
	read_offer(data, size);
	return 0;
}
