/* The collected messages. A default is looked at once per service that inherits it, so the same
 * message is added many times and kept once. The number of messages is bounded: a file that is no
 * configuration at all would otherwise be told line by line. */
#include "config/report.h"
#include "common/base.h"

#include <stdarg.h>
#include <string.h>

#define REPORT_MAX 1000

struct message {
	char *text;
	enum load_severity severity;
	uint32_t seq, order;
};

void report_init(struct report *r)
{
	*r = (struct report){.messages.elem = sizeof(struct message)};
}

void report_deinit(struct report *r)
{
	for (size_t i = 0; i < r->messages.count; i++)
		free(((struct message *)vec_at(&r->messages, i))->text);
	vec_free(&r->messages);
}

const char *where_format(const struct where *where, char ret_text[WHERE_BYTES])
{
	if (where->line)
		snprintf(ret_text, WHERE_BYTES, "%.490s:%u", where->file, where->line);
	else
		snprintf(ret_text, WHERE_BYTES, "%.500s", where->file);
	return ret_text;
}

static bool is_known(const struct report *r, const struct message *m)
{
	for (size_t i = r->messages.count; i-- > 0;) {
		const struct message *other = vec_at(&r->messages, i);

		if (other->seq == m->seq && other->severity == m->severity &&
			!strcmp(other->text, m->text))
			return true;
	}
	return false;
}

/* Owns m's text. */
static void keep(struct report *r, struct message *m)
{
	bool has_room = r->messages.count < REPORT_MAX;
	struct message *slot = NULL;

	if (!is_known(r, m)) {
		r->errors += m->severity == LOAD_ERROR;
		slot = has_room ? vec_push(&r->messages) : NULL;
		r->failed = r->failed || (has_room && !slot);
	}
	if (!slot) {
		free(m->text);
		return;
	}
	m->order = (uint32_t)r->messages.count;
	*slot = *m;
}

void report_add(struct report *r, enum load_severity severity, const struct where *where,
	const char *format, ...)
{
	struct message m = {.severity = severity, .seq = where ? where->seq : 0};
	char place[WHERE_BYTES];
	OWNS_MEM char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len >= 0)
		len = asprintf(&m.text, "%s%s%s%s",
			severity == LOAD_NOT_ENFORCED ? "NOT ENFORCED: " : "",
			where ? where_format(where, place) : "", where ? ": " : "", text);
	else
		text = NULL;
	if (len < 0) {
		r->failed = true;
		return;
	}
	keep(r, &m);
}

static int by_place(const void *a, const void *b)
{
	const struct message *x = *(const struct message *const *)a,
			     *y = *(const struct message *const *)b;
	bool x_first = x->severity == LOAD_NOT_ENFORCED, y_first = y->severity == LOAD_NOT_ENFORCED;

	if (x_first != y_first)
		return x_first ? -1 : 1;
	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The messages in order; NULL: no memory. */
static const struct message **sorted(const struct report *r)
{
	const struct message **list = calloc(r->messages.count + 1, sizeof(*list));

	for (size_t i = 0; list && i < r->messages.count; i++)
		list[i] = vec_at(&r->messages, i);
	if (list)
		qsort(list, r->messages.count, sizeof(*list), by_place);
	return list;
}

/* Without memory for the order, they come as they were added. */
static const struct message *message_at(
	const struct report *r, const struct message *const *order, size_t index)
{
	return order ? order[index] : vec_at(&r->messages, index);
}

void report_tell(const struct report *r, load_tell *tell, void *user)
{
	OWNS_MEM const struct message **order = sorted(r);

	for (size_t i = 0; i < r->messages.count; i++) {
		const struct message *m = message_at(r, order, i);

		tell(user, m->severity, m->text);
	}
	if (r->messages.count >= REPORT_MAX)
		tell(user, LOAD_WARNING, "there is more to tell, but this is enough");
}

void report_each(const struct report *r, enum load_severity severity,
	void (*found)(void *user, const char *text), void *user)
{
	OWNS_MEM const struct message **order = sorted(r);

	for (size_t i = 0; i < r->messages.count; i++) {
		const struct message *m = message_at(r, order, i);

		if (m->severity == severity)
			found(user, m->text);
	}
}
