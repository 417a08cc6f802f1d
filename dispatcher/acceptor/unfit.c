/* A preloaded program cannot be asked what is wrong, but much can be seen: what the library in it has
 * written into its page; that it reads one offer, and the next only when it has finished; that it reads
 * none, for which the supervisor looks at what it has open. */
#include "dispatcher/acceptor/unfit.h"
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/procs.h"

#include <string.h>

#define LOOK_EVERY_MS 100
#define LOG_EVERY_MS 60000

/* What the library in the program puts before what it has to say. */
static const char own_words[] = "adapter: ";

static void tell(struct service *svc, const struct slot *s, const char *why, const char *remedy)
{
	char quoted[LOG_QUOTE_BYTES], quoted_remedy[LOG_QUOTE_BYTES];

	log_event(EV_WORKER_UNFIT, "worker=%s/%u pid=%d why=%s remedy=%s", svc->name, s->serial, s->pid,
		log_quote(why, quoted), log_quote(remedy, quoted_remedy));
	snprintf(svc->unfit, sizeof(svc->unfit), "%.120s: %.120s", why, remedy);
}

void unfit_told(struct service *svc, const struct link_record *r)
{
	memcpy(svc->unfit, r->text, sizeof(svc->unfit));
	svc->unfit[sizeof(svc->unfit) - 1] = '\0';
}

void unfit_not_ready(struct service *svc, struct slot *s)
{
	char line[PAGE_LINE_BYTES] = "";

	if (!s->kind.is_adapted || !s->page || s->outside.unfit || *svc->unfit)
		return;
	page_copy_line(s->page, line);
	s->outside.unfit = true;
	if (strncmp(line, own_words, sizeof(own_words) - 1) == 0)
		tell(svc, s, line + sizeof(own_words) - 1,
			"PORT and INTERFACE_ADDRESS must be what its own configuration says");
	else if (!s->exited)
		tell(svc, s, "it never listened on a PORT of the service",
			"PORT must be what its own configuration says");
}

/* Its channel has been readable for long: on a busy machine it waits for its turn to read it; one that
 * sleeps meanwhile waits for something else. */
static bool sleeps(const struct slot *s)
{
	struct procs all = {0};
	bool answer;

	if (procs_read(&all))
		return false;
	answer = procs_sleep(&all, s->pid);
	procs_free(&all);
	return answer;
}

static bool is_stranded(const struct service *svc, const struct pool_worker *w, uint64_t now_ms)
{
	return w->unread && w->state == POOL_SERVING &&
		now_ms - w->unread_since_ms >= svc->set->handoff_ms;
}

void unfit_to_read(struct service *svc, struct slot *s, uint64_t now_ms)
{
	bool never_read = !s->book->taken;
	bool one_at_a_time = s->outside.most_served == 1 && slot_served(s) && svc->set->max_conns > 1;

	if (s->outside.unfit || (!never_read && (!one_at_a_time || !sleeps(s))))
		return;
	s->outside.unfit = true;
	if (never_read)
		uplink_examine(svc->uplink, svc->index, s->index, s->serial);
	else if (!svc->unfit_logged_ms || now_ms - svc->unfit_logged_ms >= LOG_EVERY_MS)
		tell(svc, s, "it serves one connection at a time, and others wait for it",
			"MAX_CONNS=1, and as many processes as connections (MAX_PROCS)");
	if (!never_read)
		svc->unfit_logged_ms = now_ms;
}

void unfit_look(struct service *svc, uint64_t now_ms)
{
	if (now_ms - svc->unfit_look_ms < LOOK_EVERY_MS)
		return;
	svc->unfit_look_ms = now_ms;
	for (uint32_t i = 0; i < svc->slot_count; i++) {
		struct slot *s = &svc->slots[i];

		if (s->serial && s->kind.is_adapted && !s->exited &&
			is_stranded(svc, service_pool_worker(s), now_ms))
			unfit_to_read(svc, s, now_ms);
	}
}
