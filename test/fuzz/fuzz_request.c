/* Requests over the control socket: whatever comes in, the answer begins with a line of JSON that has a
 * status, and what a request blocks can be listed. The first byte says who asks. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "common/log.h"
#include "dispatcher/acceptor/state.h"
#include "dispatcher/acceptor/verbs.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>

static void check_head(const struct answer *an)
{
	const char *end = memchr(an->text, '\n', an->len);
	json_t *head = json_loadb(an->text, (size_t)(end - an->text), 0, NULL);
	const json_t *error = json_object_get(head, "error");
	bool done = json_integer_value(json_object_get(head, "status")) == ANSWER_DONE;

	ASSERT(json_is_integer(json_object_get(head, "status")));
	ASSERT(done ? json_is_null(error) : json_is_string(error));
	json_decref(head);
}

/* A dispatcher without services whose supervisor is gone: no order leaves it. */
static struct acceptor *make(struct settings *settings, struct ledger_block *table)
{
	struct acceptor *a = calloc(1, sizeof(*a));

	a->settings = settings;
	blocks_init(&a->blocks, table);
	return a;
}

/* Who asked for what is logged: to nobody here. */
static void log_to_nobody(void)
{
	static int null;

	if (!null) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		log_to(null);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings settings = {.status_gid = SETTINGS_NO_ID, .admin_gid = SETTINGS_NO_ID};
	struct ledger_block table[LEDGER_BLOCKS] = {0};
	struct acceptor *a = make(&settings, table);
	struct verbs_asker who = {.role = size ? (enum verbs_role)(data[0] % 3) : ROLE_NOBODY};
	struct answer an;

	log_to_nobody();
	for (const uint8_t *at = data, *end = data + size; at < end;) {
		const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = newline ? (size_t)(newline - at) + 1 : (size_t)(end - at);
		size_t skip = at == data;

		verbs_run(a, &who, (const char *)at + skip, len - skip, &an);
		check_head(&an);
		while (answer_next(&an))
			continue;
		answer_deinit(&an);
		at += len;
	}
	ASSERT(a->blocks.count <= LEDGER_BLOCKS);
	free(a);
	return 0;
}
