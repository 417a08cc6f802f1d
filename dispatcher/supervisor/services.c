/* A service is open with every listener that its host can have, or it has none at all: a port with
 * nobody behind it would swallow clients. What cannot be opened is tried again, and logged once for as
 * long as the reason stays the same.
 *
 *     CLOSED -> OPEN <-> CLOSING -> CLOSED      (CLOSING -> OPEN once its old listeners are given up)
 *       |       |  ^       ^
 *       +-> FAILED-+-------+                   (FAILED -> CLOSED when nothing of it is left)
 */
#include "dispatcher/supervisor/services_inner.h"
#include "common/base.h"
#include "common/clock.h"
#include "common/log.h"
#include "dispatcher/supervisor/adopted.h"
#include "dispatcher/supervisor/closures.h"
#include "dispatcher/supervisor/watch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const unsigned may_follow[] = {
	[LINK_CLOSED] = BIT(LINK_OPEN) | BIT(LINK_FAILED),
	[LINK_OPEN] = BIT(LINK_FAILED) | BIT(LINK_CLOSING),
	[LINK_FAILED] = BIT(LINK_OPEN) | BIT(LINK_FAILED) | BIT(LINK_CLOSING) | BIT(LINK_CLOSED),
	[LINK_CLOSING] = BIT(LINK_CLOSED) | BIT(LINK_OPEN), /* OPEN: its listeners are given up */
};

static void service_announce(struct service *svc)
{
	svc->said = 0;
	outlet_push(svc->all->outlet, &svc->news);
}

static void service_set(struct service *svc, enum link_service_state state)
{
	ASSERT(may_follow[svc->state] & BIT(state));
	svc->state = state;
	svc->idle = false;
	service_announce(svc);
}

static void put_closure(const struct service *svc, struct link_record *r)
{
	const struct closure *c = closures_find(svc->all->closures, svc->name);

	if (!c)
		return;
	snprintf(r->text, sizeof(r->text), "%s", *c->by ? c->by : "unknown");
	r->created_wall_ms = c->at_wall_ms;
	r->status = c->lasts;
}

static int say_state(struct service *svc, int fd)
{
	struct link_record r = {.type = LINK_SERVICE,
		.service = svc->index,
		.number = svc->state,
		.listener_count = svc->state == LINK_OPEN ? svc->open_count : 0,
		.round = svc->round,
		.tries = svc->tries,
		.reopened_ms = svc->all->reopened_ms,
		.deadline_ms = svc->deadline_ms};

	if (svc->state == LINK_FAILED)
		snprintf(r.text, sizeof(r.text), "%s", svc->why);
	else if (svc->state != LINK_OPEN)
		put_closure(svc, &r);
	return link_send(fd, &r, NULL, 0);
}

static int say_listener(struct service *svc, uint32_t index, int fd)
{
	struct link_record r = {.type = LINK_LISTENER, .service = svc->index, .number = index};

	if (svc->bindings[index].sock.fd < 0)
		return 0;
	return link_send(fd, &r, &svc->bindings[index].sock.fd, 1);
}

/* A closing service whose listeners are still there names them to a new acceptor, which has to drain
 * them; who has them gets them no second time, or a port would stay open in an unread message. Once they
 * are given up nothing was said, or those that are opened later never would be. */
static bool has_listeners_to_say(const struct service *svc)
{
	return (svc->state == LINK_OPEN || svc->state == LINK_CLOSING) && svc->open_count &&
		!svc->listeners_said;
}

static int say_service(struct news *news, int fd)
{
	struct service *svc = (struct service *)news;
	uint32_t records = 1;

	if (has_listeners_to_say(svc))
		records += svc->settings->listeners.count;
	for (; svc->said < records; svc->said++) {
		int answer = svc->said ? say_listener(svc, svc->said - 1, fd) : say_state(svc, fd);

		if (answer)
			return answer;
	}
	svc->listeners_said |= records > 1;
	return 0;
}

static void close_listeners(struct service *svc)
{
	for (uint32_t i = 0; i < svc->settings->listeners.count; i++)
		binding_close(&svc->bindings[i]);
	svc->open_count = 0;
	svc->listeners_said = false;
}

/* The same reason as before is not logged again: why may have grown by who holds the port. */
static void fail(struct service *svc, const char *why, pid_t owner)
{
	char quoted[LOG_QUOTE_BYTES];
	bool known = svc->state == LINK_FAILED && strncmp(svc->why, why, strlen(why)) == 0;

	close_listeners(svc);
	if (!known) {
		if (owner)
			snprintf(svc->why, sizeof(svc->why), "%.200s (pid %d listens there)", why, owner);
		else
			snprintf(svc->why, sizeof(svc->why), "%s", why);
		log_event(EV_SERVICE_FAILED, "service=%s why=%s retry_ms=%d", svc->name,
			log_quote(svc->why, quoted), RETRY_MS);
		service_set(svc, LINK_FAILED);
	}
	timer_in(svc->retry, RETRY_MS);
}

static bool image_is_usable(struct service *svc, char *ret_why, size_t size)
{
	const char *image = settings_text(svc->all->config->settings, svc->settings->image);
	struct stat st;
	const char *why = NULL;

	if (!image)
		why = "not set";
	else if (stat(image, &st) < 0)
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		why = "not an executable file";
	if (why)
		snprintf(ret_why, size, "IMAGE %s: %s", image ? image : "", why);
	return !why;
}

static bool open_listener(struct service *svc, uint32_t index, char ret_why[LINK_TEXT_BYTES],
	pid_t *ret_owner)
{
	const struct settings *s = svc->all->config->settings;
	const struct settings_listener *l = &settings_listeners(s, svc->settings)[index];
	int answer = binding_open(&svc->bindings[index], svc->all->adopted, s, svc->settings, l);

	if (answer >= 0) {
		svc->open_count += !answer;
		return true;
	}
	snprintf(ret_why, LINK_TEXT_BYTES, "%.150s: %s", settings_text(s, l->name), strerror(-answer));
	if (answer == -EADDRINUSE && l->addr.family != AF_UNIX && svc->state != LINK_FAILED)
		*ret_owner = binding_owner(&l->addr);
	return false;
}

void service_log_listener(const struct service *svc, uint32_t index)
{
	const struct binding *b = &svc->bindings[index];
	const char *name = settings_text(svc->all->config->settings, b->listener->name);

	if (b->sock.fd >= 0)
		log_event(EV_SERVICE_OPEN, "service=%s listener=%s", svc->name, name);
	else if (!svc->all->adopted || !adopted_covers(svc->all->adopted, &b->listener->addr))
		log_event(EV_CONFIG_WARNING,
			"text=\"service %s: %s left out: this host has no such address family\"",
			svc->name, name);
}

void service_is_open(struct service *svc)
{
	timer_stop(svc->retry);
	svc->deadline_ms = CLOCK_NEVER;
	for (uint32_t i = 0; i < svc->settings->listeners.count; i++)
		if (!svc->bindings[i].listener->leaving)
			service_log_listener(svc, i);
	service_set(svc, LINK_OPEN);
}

bool service_is_wanted(const struct services *all, const struct settings *s,
	const struct service_settings *svc)
{
	return svc->enabled && !svc->leaving &&
		!closures_find(all->closures, settings_text(s, svc->name));
}

/* All of them, or none. */
static bool open_listeners(struct service *svc, char ret_why[LINK_TEXT_BYTES], pid_t *ret_owner)
{
	bool good = image_is_usable(svc, ret_why, LINK_TEXT_BYTES);

	*ret_owner = 0;
	for (uint32_t i = 0; good && i < svc->settings->listeners.count; i++)
		if (!svc->bindings[i].listener->leaving)
			good = open_listener(svc, i, ret_why, ret_owner);
	if (good && !svc->open_count) {
		snprintf(ret_why, LINK_TEXT_BYTES, "none of its addresses exists on this host");
		good = false;
	}
	if (!good)
		close_listeners(svc);
	return good;
}

static void open_service(struct service *svc)
{
	char why[LINK_TEXT_BYTES];
	pid_t owner;

	if (open_listeners(svc, why, &owner))
		service_is_open(svc);
	else
		fail(svc, why, owner);
}

static void on_retry(void *user)
{
	struct service *svc = user;

	if (svc->state != LINK_FAILED)
		return;
	if (svc->all->next)
		timer_in(svc->retry, RETRY_MS); /* what was prepared counts on its present listeners */
	else
		open_service(svc);
}

void service_retry(struct service *svc)
{
	timer_in(svc->retry, 1);
}

struct service *service_free(struct service *svc)
{
	if (!svc)
		return NULL;
	outlet_forget(svc->all->outlet, &svc->news);
	outlet_forget(svc->all->outlet, &svc->gone);
	outlet_forget(svc->all->outlet, &svc->queue_news);
	queue_close(svc);
	if (svc->bindings)
		close_listeners(svc);
	free(svc->bindings);
	timer_free(svc->retry);
	free(svc);
	return NULL;
}

struct service *service_new(struct services *all, const struct settings *s, uint32_t index)
{
	struct service *svc = calloc(1, sizeof(*svc));

	if (!svc)
		return NULL;
	svc->all = all;
	svc->index = index;
	svc->settings = settings_service(s, index);
	svc->name = settings_text(s, svc->settings->name);
	svc->news.say = say_service;
	svc->gone.say = leaving_say;
	svc->queue_news.say = queue_say;
	svc->queue[0] = svc->queue[1] = -1;
	svc->deadline_ms = CLOCK_NEVER;
	svc->bindings = calloc(svc->settings->listeners.count + 1, sizeof(*svc->bindings));
	for (uint32_t i = 0; svc->bindings && i < svc->settings->listeners.count; i++)
		svc->bindings[i] = (struct binding){
			.listener = &settings_listeners(s, svc->settings)[i], .sock.fd = -1};
	if (!svc->bindings || queue_open(svc, svc->settings) || timer_new(all->loop, on_retry, svc, &svc->retry))
		return service_free(svc);
	return svc;
}

static int make_services(struct services *all, uint32_t count)
{
	all->services = calloc(count + 1, sizeof(struct service *));
	if (!all->services)
		return -ENOMEM;
	while (all->count < count) {
		struct service *svc = service_new(all, all->config->settings, all->count);

		if (!svc)
			return -ENOMEM;
		all->services[all->count++] = svc;
	}
	return 0;
}

int services_new(struct uv_loop_s *loop, const struct reader_result *config, const struct closures *closures,
	struct outlet *outlet, struct adopted *adopted, struct services **ret_services)
{
	struct services *all = calloc(1, sizeof(*all));
	int bad;

	if (!all)
		return -ENOMEM;
	all->loop = loop;
	all->config = config;
	all->closures = closures;
	all->outlet = outlet;
	all->adopted = adopted;
	bad = make_services(all, config->settings->services.count);
	if (!bad)
		bad = timer_new(loop, leaving_look, all, &all->look);
	if (bad)
		services_free(all);
	else
		*ret_services = all;
	return bad;
}

struct services *services_free(struct services *all)
{
	if (!all)
		return NULL;
	services_discard(all);
	for (uint32_t i = 0; i < all->count; i++)
		service_free(all->services[i]);
	timer_free(all->look);
	free(all->services);
	free(all);
	return NULL;
}

void services_open(struct services *all)
{
	for (uint32_t i = 0; i < all->count; i++) {
		struct service *svc = all->services[i];

		if (svc->settings->enabled && !closures_find(all->closures, svc->name))
			open_service(svc);
	}
}

uint32_t services_count(const struct services *all)
{
	return all->count;
}

const struct service_settings *services_settings(const struct services *all, uint32_t service)
{
	return all->services[service]->settings;
}

const char *services_name(const struct services *all, uint32_t service)
{
	return all->services[service]->name;
}

const char *services_why(const struct services *all, uint32_t service)
{
	return all->services[service]->why;
}

enum link_service_state services_state(const struct services *all, uint32_t service)
{
	return all->services[service]->state;
}

void services_failed(struct services *all, uint32_t service, const char *why)
{
	if (all->services[service]->state == LINK_OPEN)
		fail(all->services[service], why, 0);
}

static int reopen(struct service *svc, char ret_why[LINK_TEXT_BYTES])
{
	pid_t owner;

	if (!svc->drained)
		return SERVICES_LATER;
	if (!open_listeners(svc, ret_why, &owner))
		return SERVICES_FAILED;
	service_is_open(svc);
	return 0;
}

int services_start(struct services *all, uint32_t service, char ret_why[LINK_TEXT_BYTES])
{
	struct service *svc = all->services[service];

	if (svc->state == LINK_CLOSING)
		return reopen(svc, ret_why);
	if (svc->state == LINK_OPEN) {
		svc->tries++;
		service_announce(svc);
		return 0;
	}
	open_service(svc);
	if (svc->state == LINK_OPEN)
		return 0;
	snprintf(ret_why, LINK_TEXT_BYTES, "%s", svc->why);
	return SERVICES_FAILED;
}

static void hurry(struct service *svc, uint64_t deadline_ms)
{
	if (deadline_ms >= svc->deadline_ms)
		return;
	svc->deadline_ms = deadline_ms;
	service_announce(svc);
}

void services_closing(struct services *all, uint32_t service, uint64_t deadline_ms)
{
	struct service *svc = all->services[service];

	if (svc->state == LINK_CLOSING)
		hurry(svc, deadline_ms);
	if (svc->state != LINK_OPEN && svc->state != LINK_FAILED)
		return;
	timer_stop(svc->retry);
	svc->round++;
	svc->drained = svc->idle = false;
	for (uint32_t i = 0; i < svc->settings->listeners.count; i++)
		binding_stop(&svc->bindings[i]);
	svc->deadline_ms = deadline_ms;
	service_set(svc, LINK_CLOSING);
}

uint64_t services_deadline(const struct services *all, uint32_t service)
{
	return all->services[service]->deadline_ms;
}

static bool is_this_round(const struct service *svc, uint32_t round)
{
	return svc->state == LINK_CLOSING && svc->round == round;
}

void services_drained(struct services *all, uint32_t service, uint32_t round)
{
	struct service *svc = all->services[service];

	if (!is_this_round(svc, round))
		return;
	close_listeners(svc);
	svc->drained = true;
}

void services_idle(struct services *all, uint32_t service, uint32_t round)
{
	if (is_this_round(all->services[service], round))
		all->services[service]->idle = true;
}

bool services_is_idle(const struct services *all, uint32_t service)
{
	return all->services[service]->idle;
}

void services_closed(struct services *all, uint32_t service)
{
	struct service *svc = all->services[service];

	if (svc->state == LINK_CLOSED)
		return;
	timer_stop(svc->retry);
	close_listeners(svc);
	log_event(EV_SERVICE_CLOSED, "service=%s", svc->name);
	service_set(svc, LINK_CLOSED);
}

bool services_all_closed(const struct services *all)
{
	for (uint32_t i = 0; i < all->count; i++)
		if (all->services[i]->state != LINK_CLOSED)
			return false;
	return true;
}

void services_announce(struct services *all)
{
	for (uint32_t i = 0; i < all->count; i++) {
		all->services[i]->listeners_said = false;
		leaving_said(all->services[i]);
		service_announce(all->services[i]);
		outlet_push(all->outlet, &all->services[i]->queue_news);
	}
}

void services_announce_one(struct services *all, uint32_t service)
{
	service_announce(all->services[service]);
}

void services_reopen_logs(struct services *all)
{
	uint64_t now_ms = clock_mono_ms();

	all->reopened_ms = MAX(now_ms, all->reopened_ms + 1); /* each time is another */
	for (uint32_t i = 0; i < all->count; i++)
		service_announce(all->services[i]);
}
