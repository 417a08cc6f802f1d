/* The supervisor tells a new acceptor everything again, so the same result may come twice: it then
 * replaces what is known. A report is copied, as its memory is shared with nobody else's patience. */
#include "dispatcher/acceptor/results.h"
#include "common/base.h"

#include <string.h>
#include <sys/stat.h>

#define REPORT_MOST (1u << 20)

/* To be freed; NULL when there is none to be had. */
static char *read_report(int fd)
{
	struct stat st;
	size_t size;
	ssize_t got;
	char *text;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 0)
		return NULL;
	size = MIN((size_t)st.st_size, (size_t)REPORT_MOST);
	text = malloc(size + 1);
	if (!text)
		return NULL;
	got = pread(fd, text, size, 0);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static struct result *place_for(struct results *all, uint64_t id)
{
	struct result *r;

	for (unsigned i = 0; i < RESULTS_KEPT; i++)
		if (all->kept[i].id == id)
			return &all->kept[i];
	r = &all->kept[all->next];
	all->next = (all->next + 1) % RESULTS_KEPT;
	return r;
}

void results_keep_consume(struct results *all, const struct link_record *record, int fd)
{
	OWNS_FD int owned = fd;
	struct result *r;

	if (!record->id)
		return;
	r = place_for(all, record->id);
	free(r->report);
	*r = (struct result){.id = record->id,
		.status = record->number ? 1 : 0,
		.ended_wall_ms = record->created_wall_ms,
		.report = read_report(owned)};
	snprintf(r->verb, sizeof(r->verb), "%.23s", record->text);
}

const struct result *results_find(const struct results *all, uint64_t id)
{
	for (unsigned i = 0; id && i < RESULTS_KEPT; i++)
		if (all->kept[i].id == id)
			return &all->kept[i];
	return NULL;
}

void results_deinit(struct results *all)
{
	for (unsigned i = 0; i < RESULTS_KEPT; i++)
		free(all->kept[i].report);
	*all = (struct results){0};
}
