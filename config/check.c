/* settings_check(): a block comes from another process, so every offset, list and number is looked
 * at once, before anybody follows it or sizes a table by it. */
#include "config/settings.h"
#include "config/schema.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

static bool text_is_whole(const struct settings *s, uint32_t at)
{
	if (!at)
		return true;
	return at >= sizeof(*s) && at < s->bytes &&
	       memchr((const char *)s + at, '\0', s->bytes - at);
}

static bool list_is_whole(const struct settings *s, struct settings_list list, size_t elem)
{
	if (!list.count)
		return true;
	return list.at >= sizeof(*s) && list.at % 8 == 0 && list.at < s->bytes &&
	       list.count <= (s->bytes - list.at) / elem;
}

static bool texts_are_whole(const struct settings *s, struct settings_list list)
{
	const uint32_t *texts = settings_list_data(s, list);

	if (!list_is_whole(s, list, sizeof(*texts)))
		return false;
	for (uint32_t i = 0; i < list.count; i++)
		if (!texts[i] || !text_is_whole(s, texts[i]))
			return false;
	return true;
}

static bool listeners_are_whole(const struct settings *s, const struct service_settings *svc)
{
	const struct settings_listener *list = settings_listeners(s, svc);

	if (!list_is_whole(s, svc->listeners, sizeof(*list)))
		return false;
	for (uint32_t i = 0; i < svc->listeners.count; i++)
		if (!text_is_whole(s, list[i].path) || !text_is_whole(s, list[i].name) ||
			!text_is_whole(s, list[i].where) || !list[i].name ||
			(list[i].addr.family == AF_UNIX && !list[i].path))
			return false;
	return true;
}

static bool said_is_whole(const struct settings *s, const struct settings_said *said)
{
	return text_is_whole(s, said->text) && text_is_whole(s, said->where);
}

static bool files_are_whole(const struct settings *s, struct settings_list list)
{
	const struct settings_said *files = settings_list_data(s, list);

	if (!list_is_whole(s, list, sizeof(*files)))
		return false;
	for (uint32_t i = 0; i < list.count; i++)
		if (!files[i].text || !files[i].where || !said_is_whole(s, &files[i]))
			return false;
	return true;
}

static bool snis_are_whole(const struct settings *s, struct settings_list list)
{
	const struct settings_sni *snis = settings_list_data(s, list);

	if (!list_is_whole(s, list, sizeof(*snis)))
		return false;
	for (uint32_t i = 0; i < list.count; i++)
		if (!snis[i].name || !snis[i].cert || !snis[i].key || !snis[i].where ||
			!text_is_whole(s, snis[i].name) || !text_is_whole(s, snis[i].cert) ||
			!text_is_whole(s, snis[i].key) || !text_is_whole(s, snis[i].where))
			return false;
	return true;
}

static bool tls_is_whole(const struct settings *s, const struct service_settings *svc)
{
	return files_are_whole(s, svc->tls_certs) && files_are_whole(s, svc->tls_keys) &&
	       svc->tls_certs.count == svc->tls_keys.count && snis_are_whole(s, svc->tls_snis) &&
	       texts_are_whole(s, svc->tls_alpn) && said_is_whole(s, &svc->tls_ciphers) &&
	       said_is_whole(s, &svc->tls_ciphersuites) && said_is_whole(s, &svc->tls_groups) &&
	       said_is_whole(s, &svc->tls_client_ca) &&
	       svc->tls_min_version <= TLS_VERSION_1_3 &&
	       svc->tls_client_auth <= CLIENT_AUTH_REQUIRE;
}

/* Tables are sized by the numbers, so they must be in the ranges that keep the sizes sane. */
static bool numbers_are_in_range(const struct service_settings *svc)
{
	for (unsigned i = 0; i < schema_count(); i++) {
		const struct schema_option *o = schema_at(i);
		uint64_t value;

		if (!o->service_at)
			continue;
		if (o->type == SCHEMA_WORD) {
			if (*((const uint8_t *)svc + o->service_at) > o->max)
				return false;
			continue;
		}
		if (o->type != SCHEMA_NUMBER && o->type != SCHEMA_SIGNAL)
			continue;
		value = *(const uint32_t *)((const char *)svc + o->service_at);
		if (value < o->min || value > o->max)
			return false;
	}
	return svc->min_procs <= svc->max_procs && svc->min_conns <= svc->max_conns;
}

/* A server that is started has a program, and the marks of its connections hold their slots. */
static bool adapter_is_whole(const struct service_settings *svc)
{
	if (svc->adapter != ADAPTER_SERVER)
		return true;
	return settings_conn_slots(svc) <= SETTINGS_SERVER_SLOTS && svc->adapter_method &&
	       (!svc->enabled || (svc->image && svc->command.count));
}

static bool service_is_whole(const struct settings *s, const struct service_settings *svc)
{
	const uint32_t texts[] = {svc->name, svc->where, svc->off_where, svc->image, svc->logfile,
		svc->user_name, svc->working_directory, svc->refuse_text};

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		if (!text_is_whole(s, texts[i]))
			return false;
	return svc->name && svc->where && numbers_are_in_range(svc) && adapter_is_whole(svc) &&
	       tls_is_whole(s, svc) &&
	       listeners_are_whole(s, svc) && texts_are_whole(s, svc->command) &&
	       texts_are_whole(s, svc->parameters) && texts_are_whole(s, svc->environment) &&
	       list_is_whole(s, svc->groups, sizeof(uint32_t)) &&
	       list_is_whole(s, svc->exempt_sources, sizeof(struct settings_prefix));
}

static bool names_are_whole(const struct settings *s)
{
	const struct settings_name *names = settings_list_data(s, s->names);

	if (!list_is_whole(s, s->names, sizeof(*names)))
		return false;
	for (uint32_t i = 0; i < s->names.count; i++)
		if (!names[i].name || !text_is_whole(s, names[i].name))
			return false;
	return true;
}

static bool head_is_whole(const struct settings *s)
{
	const uint32_t texts[] = {s->config_file, s->run_dir, s->state_dir, s->control_socket,
		s->worker_dir, s->log_dir, s->logfile};

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		if (!texts[i] || !text_is_whole(s, texts[i]))
			return false;
	return s->hash[SETTINGS_HASH_BYTES - 1] == '\0' && texts_are_whole(s, s->files) &&
	       list_is_whole(s, s->stamps, sizeof(struct settings_stamp)) &&
	       s->stamps.count == s->files.count && names_are_whole(s) &&
	       texts_are_whole(s, s->not_enforced) && texts_are_whole(s, s->warnings) &&
	       list_is_whole(s, s->services, sizeof(struct service_settings));
}

int settings_check(const void *block, size_t bytes)
{
	const struct settings *s = block;
	uint64_t conns = 0;

	if (bytes < sizeof(*s) || s->magic != SETTINGS_MAGIC || s->bytes < sizeof(*s) ||
		s->bytes > bytes || !head_is_whole(s))
		return -EBADMSG;
	for (uint32_t i = 0; i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);

		if (!service_is_whole(s, svc))
			return -EBADMSG;
		conns += settings_conn_slots(svc);
	}
	return conns <= INT32_MAX ? 0 : -EBADMSG;
}
