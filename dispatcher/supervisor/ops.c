/* A table of fixed size, so that no acceptor, even a compromised one, can make it grow. Ended
 * operations leave it oldest first. The text of a result is sealed memory, because the acceptor that it
 * is given to shares it with the ones that follow. */
#include "dispatcher/supervisor/ops.h"
#include "dispatcher/supervisor/sealed.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

struct ops {
	struct outlet *outlet;
	uint64_t next_seq;
	struct op table[OPS_KEPT + OPS_RUNNING];
};

static const unsigned may_follow[] = {
	[OP_FREE] = BIT(OP_RUNS) | BIT(OP_ENDED), /* ENDED: of an earlier supervisor */
	[OP_RUNS] = BIT(OP_ENDED) | BIT(OP_FREE), /* FREE: a signal */
	[OP_ENDED] = BIT(OP_FREE),
};

static void op_set(struct ops *ops, struct op *op, enum op_state state)
{
	ASSERT(may_follow[op->state] & BIT(state));
	op->state = state;
	op->seq = ops->next_seq++;
}

static const char *verb_of(const struct link_record *order)
{
	bool lasts = order->number == LINK_LASTS_DISABLE;

	switch (order->type) {
	case LINK_RESTART:
		return "restart";
	case LINK_CLOSE:
		return lasts ? "disable" : "shutdown";
	case LINK_START:
		return lasts ? "enable" : "start";
	case LINK_RENEW:
		return "restart-acceptor";
	case LINK_RELOAD:
		if (order->number & LINK_RELOAD_DRY)
			return order->number & LINK_RELOAD_TLS ? "reload-tls-dry-run" : "reload-dry-run";
		return order->number & LINK_RELOAD_TLS ? "reload-tls" : "reload";
	case LINK_UPGRADE:
		return "upgrade";
	case LINK_REOPEN:
		return "reopen";
	default:
		return "kill";
	}
}

static int say_result(struct news *news, int fd)
{
	const struct op *op = (const struct op *)news;
	struct link_record r = {.type = LINK_RESULT,
		.id = op->id,
		.number = (uint32_t)op->status,
		.created_wall_ms = op->ended_wall_ms};

	snprintf(r.text, sizeof(r.text), "%s", op->verb);
	return link_send(fd, &r, &op->text_fd, op->text_fd >= 0);
}

/* --- the table --- */

static struct op *op_of(struct ops *ops, uint64_t id)
{
	struct op *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(ops->table); i++) {
		struct op *op = &ops->table[i];

		if (op->state != OP_FREE && op->id == id && (!found || op->seq > found->seq))
			found = op;
	}
	return found;
}

static unsigned count(const struct ops *ops, enum op_state state)
{
	unsigned found = 0;

	for (size_t i = 0; i < ARRAY_LEN(ops->table); i++)
		found += ops->table[i].state == state;
	return found;
}

static struct op *oldest(struct ops *ops, enum op_state state)
{
	struct op *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(ops->table); i++) {
		struct op *op = &ops->table[i];

		if (op->state == state && (!found || op->seq < found->seq))
			found = op;
	}
	return found;
}

static void forget(struct ops *ops, struct op *op)
{
	outlet_forget(ops->outlet, &op->news);
	base_close(&op->text_fd);
	op_set(ops, op, OP_FREE);
}

static void make_room(struct ops *ops)
{
	while (count(ops, OP_ENDED) >= OPS_KEPT)
		forget(ops, oldest(ops, OP_ENDED));
}

/* --- results --- */

/* -1 when there is no memory: the status alone is told then. */
static int text_memory(const char *text)
{
	OWNS_FD int fd = sealed_memory("result");

	if (fd < 0 || sealed_fill(fd, text, strnlen(text, OPS_TEXT_BYTES)))
		return -1;
	return base_steal_fd(&fd);
}

static void log_result(const struct op *op, const char *text)
{
	char quoted[LOG_QUOTE_BYTES], by[LOG_QUOTE_BYTES];

	log_event(EV_CONTROL_RESULT, "verb=%s subject=%s id=%016" PRIx64 " by=%s status=%d text=%s",
		op->verb, op->subject, op->id, log_quote(op->by, by), op->status,
		log_quote(text, quoted));
}

static void end(struct ops *ops, struct op *op, int status, const char *text)
{
	op->status = status;
	op->ended_wall_ms = clock_wall_ms();
	log_result(op, text);
	if (!op->id) {
		forget(ops, op);
		return;
	}
	make_room(ops);
	op->text_fd = text_memory(text);
	op_set(ops, op, OP_ENDED);
	outlet_push(ops->outlet, &op->news);
}

void ops_end(struct ops *ops, uint64_t id, int status, const char *text)
{
	struct op *op = op_of(ops, id);

	if (op && op->state == OP_RUNS)
		end(ops, op, status, text);
}

void ops_end_f(struct ops *ops, uint64_t id, int status, const char *format, ...)
{
	OWNS_MEM char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	ops_end(ops, id, status, len < 0 ? "out of memory" : text);
	if (len < 0)
		text = NULL;
}

bool ops_runs(const struct ops *ops, uint64_t id)
{
	const struct op *op = op_of((struct ops *)ops, id);

	return op && op->state == OP_RUNS;
}

/* --- orders --- */

static bool is_known(struct ops *ops, uint64_t id)
{
	struct op *op = id ? op_of(ops, id) : NULL;

	if (op && op->state == OP_ENDED)
		outlet_push(ops->outlet, &op->news);
	return op;
}

int ops_begin(struct ops *ops, const struct link_record *order, const char *subject)
{
	char by[LOG_QUOTE_BYTES];
	struct op *op;
	bool refused;

	if (is_known(ops, order->id))
		return OPS_KNOWN;
	refused = count(ops, OP_RUNS) >= OPS_RUNNING;
	make_room(ops);
	op = oldest(ops, OP_FREE);
	ASSERT(op);
	op_set(ops, op, OP_RUNS);
	op->id = order->id;
	op->text_fd = -1;
	snprintf(op->verb, sizeof(op->verb), "%s", verb_of(order));
	snprintf(op->subject, sizeof(op->subject), "%s", subject ? subject : "dispatcher");
	snprintf(op->by, sizeof(op->by), "%s", order->text);
	log_event(EV_CONTROL_ORDER, "verb=%s subject=%s id=%016" PRIx64 " by=%s", op->verb, op->subject,
		op->id, log_quote(op->by, by));
	if (refused)
		end(ops, op, 1, "refused: too many operations run");
	return refused ? OPS_REFUSED : 0;
}

void ops_announce(struct ops *ops)
{
	for (size_t i = 0; i < ARRAY_LEN(ops->table); i++)
		if (ops->table[i].state == OP_ENDED)
			outlet_push(ops->outlet, &ops->table[i].news);
}

/* --- over an exec --- */

const struct op *ops_at(const struct ops *ops, unsigned index)
{
	uint64_t above = 0;
	const struct op *found;

	do {
		found = NULL;
		for (size_t i = 0; i < ARRAY_LEN(ops->table); i++) {
			const struct op *op = &ops->table[i];

			if (op->state != OP_FREE && op->seq >= above && (!found || op->seq < found->seq))
				found = op;
		}
		above = found ? found->seq + 1 : 0;
	} while (found && index--);
	return found;
}

int ops_restore_consume(struct ops *ops, const struct op *op)
{
	struct op *slot = oldest(ops, OP_FREE);
	int text_fd = op->text_fd;

	if (!slot || op->state == OP_FREE) {
		base_close(&text_fd);
		return -ENOSPC;
	}
	op_set(ops, slot, op->state);
	slot->id = op->id;
	slot->ended_wall_ms = op->ended_wall_ms;
	slot->status = op->status;
	slot->text_fd = text_fd;
	memcpy(slot->verb, op->verb, sizeof(slot->verb));
	memcpy(slot->subject, op->subject, sizeof(slot->subject));
	memcpy(slot->by, op->by, sizeof(slot->by));
	return 0;
}

int ops_new(struct outlet *outlet, struct ops **ret_ops)
{
	struct ops *ops = calloc(1, sizeof(*ops));

	if (!ops)
		return -ENOMEM;
	ops->outlet = outlet;
	for (size_t i = 0; i < ARRAY_LEN(ops->table); i++) {
		ops->table[i].news.say = say_result;
		ops->table[i].text_fd = -1;
	}
	*ret_ops = ops;
	return 0;
}

struct ops *ops_free(struct ops *ops)
{
	for (size_t i = 0; ops && i < ARRAY_LEN(ops->table); i++) {
		outlet_forget(ops->outlet, &ops->table[i].news);
		base_close(&ops->table[i].text_fd);
	}
	free(ops);
	return NULL;
}
