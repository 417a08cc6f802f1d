/* The server itself is exec'ed, with the library preloaded; or, where that cannot reach it (a static
 * program), dispatcher-notify, which starts the server as its child and stands in for it. */
#include "dispatcher/supervisor/adaptation.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

#define PRELOADED "dispatcher-preload.so"
#define NOTIFIER "dispatcher-notify"

/* As placed by birth_launch(). */
enum worker_fd { WORKER_CHANNEL = 3, WORKER_PAGE, WORKER_BELL, WORKER_DOORBELL };

static const char *const no_listener = "-"; /* index without a listener */

static int put_text(const struct settings *s, const struct service_settings *svc, uint32_t ring_len,
	struct adaptation *a)
{
	const struct settings_listener *listeners = settings_listeners(s, svc);
	struct adapter_head head = {.channel = WORKER_CHANNEL,
		.page = WORKER_PAGE,
		.bell = WORKER_BELL,
		.doorbell = WORKER_DOORBELL,
		.ring_len = ring_len,
		.ends_by_eof = svc->stop_style == STOP_EOF,
		.stop_signal = (int)svc->stop_signal};
	const char *names[ADAPTER_MAX_LISTENERS];
	int64_t len;

	if (svc->listeners.count > ADAPTER_MAX_LISTENERS)
		return -E2BIG;
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		names[i] = listeners[i].leaving ? no_listener : settings_text(s, listeners[i].name);
	strcpy(a->text, ADAPTER_ENV "=");
	len = adapter_write(&head, names, svc->listeners.count, a->text + strlen(a->text),
		ADAPTER_TEXT_BYTES);
	return (int)MIN(len, 0);
}

static int put_argv(const struct settings *s, const struct service_settings *svc, struct adaptation *a)
{
	a->argv = calloc(svc->command.count + 2, sizeof(*a->argv));
	if (!a->argv)
		return -ENOMEM;
	a->argv[0] = settings_text(s, svc->image);
	for (uint32_t i = 0; i < svc->command.count; i++)
		a->argv[i] = settings_list_text(s, svc->command, i);
	return 0;
}

/* The user's own LD_PRELOAD stays, behind ours. */
static const char *own_preload(const struct settings *s, const struct service_settings *svc)
{
	static const char name[] = "LD_PRELOAD=";

	for (uint32_t i = 0; i < svc->environment.count; i++) {
		const char *text = settings_list_text(s, svc->environment, i);

		if (strncmp(text, name, sizeof(name) - 1) == 0)
			return text + sizeof(name) - 1;
	}
	return "";
}

static void choose_method(const struct settings *s, const struct service_settings *svc,
	struct adaptation *a)
{
	const char *own = own_preload(s, svc), *dir = settings_text(s, s->worker_dir);

	if (svc->adapter_method == METHOD_NOTIFY) {
		snprintf(a->library, sizeof(a->library), "%s/" NOTIFIER, dir);
		strcpy(a->image, a->library);
		return;
	}
	snprintf(a->library, sizeof(a->library), "%s/" PRELOADED, dir);
	snprintf(a->image, sizeof(a->image), "%s", settings_text(s, svc->image));
	snprintf(a->preload, sizeof(a->preload), "LD_PRELOAD=%.4000s%s%s", a->library,
		*own ? ":" : "", own);
}

int adaptation_make(const struct settings *s, const struct service_settings *svc, uint32_t ring_len,
	struct adaptation *ret_adaptation)
{
	struct adaptation *a = ret_adaptation;
	int bad;

	*a = (struct adaptation){0};
	bad = put_text(s, svc, ring_len, a);
	if (!bad)
		bad = put_argv(s, svc, a);
	if (!bad)
		choose_method(s, svc, a);
	return bad;
}

void adaptation_free(struct adaptation *a)
{
	free(a->argv);
	a->argv = NULL;
}

void adaptation_put(const struct adaptation *a, const char **texts)
{
	*texts++ = a->text;
	if (*a->preload)
		*texts++ = a->preload;
	*texts = NULL;
}

uint64_t adaptation_listeners(const struct settings *s, const struct service_settings *svc)
{
	const struct settings_listener *listeners = settings_listeners(s, svc);
	uint64_t known = 0;

	for (uint32_t i = 0; i < svc->listeners.count && i < ADAPTER_MAX_LISTENERS; i++)
		known |= listeners[i].leaving ? 0 : (uint64_t)1 << i;
	return known;
}
