/* Reading the flat block. Whoever got it from another process has called settings_check, which
 * looks at every offset once; so the accessors need no checks. */
#include "config/settings.h"
#include "common/base.h"

#include <string.h>

const char *settings_text(const struct settings *s, uint32_t at)
{
	return at ? (const char *)s + at : NULL;
}

const void *settings_list_data(const struct settings *s, struct settings_list list)
{
	return (const char *)s + list.at;
}

const struct service_settings *settings_service(const struct settings *s, uint32_t index)
{
	ASSERT(index < s->services.count);
	return (const struct service_settings *)settings_list_data(s, s->services) + index;
}

const struct settings_listener *settings_listeners(
	const struct settings *s, const struct service_settings *svc)
{
	return settings_list_data(s, svc->listeners);
}

bool settings_same_listener(const struct settings *a, const struct settings_listener *one,
	const struct settings *b, const struct settings_listener *other)
{
	return addr_equal(&one->addr, &other->addr) &&
	       (one->addr.family != AF_UNIX ||
		       !strcmp(settings_text(a, one->path), settings_text(b, other->path)));
}

const char *settings_list_text(const struct settings *s, struct settings_list list, uint32_t index)
{
	ASSERT(index < list.count);
	return settings_text(s, ((const uint32_t *)settings_list_data(s, list))[index]);
}

const char *settings_name(const struct settings *s, uint32_t id, bool is_group)
{
	const struct settings_name *names = settings_list_data(s, s->names);

	for (uint32_t i = 0; i < s->names.count; i++)
		if (names[i].id == id && names[i].is_group == is_group)
			return settings_text(s, names[i].name);
	return NULL;
}

bool settings_has_tls(const struct settings *s, const struct service_settings *svc)
{
	const struct settings_listener *list = settings_listeners(s, svc);

	if (!svc->tls_certs.count || svc->adapter != ADAPTER_INETD)
		return svc->tls_certs.count && svc->adapter == ADAPTER_NATIVE;
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		if (list[i].tls)
			return true;
	return false;
}

uint32_t settings_worker_slots(const struct service_settings *svc)
{
	return 3 * svc->max_procs + svc->max_shutdown;
}

uint32_t settings_conn_slots(const struct service_settings *svc)
{
	uint64_t living = 2 * (uint64_t)svc->max_procs + svc->max_shutdown;

	uint64_t queued = svc->when_full == FULL_REFUSE ? svc->queue_size + SETTINGS_BETWEEN : 0;

	return (uint32_t)MIN(living * svc->max_conns + queued, (uint64_t)INT32_MAX);
}
