/* Texts and lists are compared by what they hold; all other bytes of a service as they are, so that a
 * member that is added later is compared without being named here. */
#include "test/unit/config/same.h"

#include "common/base.h"

#include <string.h>

struct both {
	const struct settings *a, *b;
};

static bool same_text(const struct both *x, uint32_t a, uint32_t b)
{
	const char *one = settings_text(x->a, a), *other = settings_text(x->b, b);

	return one && other ? !strcmp(one, other) : one == other;
}

static bool same_texts(const struct both *x, struct settings_list a, struct settings_list b)
{
	if (a.count != b.count)
		return false;
	for (uint32_t i = 0; i < a.count; i++)
		if (strcmp(settings_list_text(x->a, a, i), settings_list_text(x->b, b, i)))
			return false;
	return true;
}

static bool same_bytes(
	const struct both *x, struct settings_list a, struct settings_list b, size_t elem)
{
	return a.count == b.count && !memcmp(settings_list_data(x->a, a), settings_list_data(x->b, b),
					     a.count * elem);
}

static bool same_files(const struct both *x, struct settings_list a, struct settings_list b)
{
	const struct settings_said *one = settings_list_data(x->a, a);
	const struct settings_said *other = settings_list_data(x->b, b);

	for (uint32_t i = 0; a.count == b.count && i < a.count; i++)
		if (!same_text(x, one[i].text, other[i].text))
			return false;
	return a.count == b.count;
}

static bool same_snis(const struct both *x, struct settings_list a, struct settings_list b)
{
	const struct settings_sni *one = settings_list_data(x->a, a);
	const struct settings_sni *other = settings_list_data(x->b, b);

	for (uint32_t i = 0; a.count == b.count && i < a.count; i++)
		if (!same_text(x, one[i].name, other[i].name) ||
			!same_text(x, one[i].cert, other[i].cert) ||
			!same_text(x, one[i].key, other[i].key))
			return false;
	return a.count == b.count;
}

static const char *same_tls(const struct both *x, const struct service_settings *a,
	const struct service_settings *b)
{
	if (!same_files(x, a->tls_certs, b->tls_certs) || !same_files(x, a->tls_keys, b->tls_keys))
		return "certificates";
	if (!same_snis(x, a->tls_snis, b->tls_snis))
		return "tls_snis";
	if (!same_texts(x, a->tls_alpn, b->tls_alpn))
		return "tls_alpn";
	if (!same_text(x, a->tls_ciphers.text, b->tls_ciphers.text) ||
		!same_text(x, a->tls_ciphersuites.text, b->tls_ciphersuites.text) ||
		!same_text(x, a->tls_groups.text, b->tls_groups.text) ||
		!same_text(x, a->tls_client_ca.text, b->tls_client_ca.text))
		return "a text of TLS";
	return NULL;
}

static bool same_listeners(const struct both *x, const struct service_settings *a,
	const struct service_settings *b)
{
	const struct settings_listener *one = settings_listeners(x->a, a);
	const struct settings_listener *other = settings_listeners(x->b, b);

	if (a->listeners.count != b->listeners.count)
		return false;
	for (uint32_t i = 0; i < a->listeners.count; i++)
		if (!settings_same_listener(x->a, &one[i], x->b, &other[i]) ||
			one[i].tls != other[i].tls ||
			!same_text(x, one[i].name, other[i].name) ||
			!same_text(x, one[i].path, other[i].path))
			return false;
	return true;
}

/* Zeroes what only has a meaning within the block, and what names places. */
static struct service_settings without_offsets(const struct service_settings *svc)
{
	struct service_settings bare;
	const struct settings_list none = {0};

	memcpy(&bare, svc, sizeof(bare));
	bare.name = bare.where = bare.off_where = bare.image = bare.logfile = bare.user_name = 0;
	bare.working_directory = bare.refuse_text = 0;
	bare.exempt_sources = bare.listeners = bare.command = bare.parameters = none;
	bare.environment = bare.groups = none;
	bare.tls_certs = bare.tls_keys = bare.tls_snis = bare.tls_alpn = none;
	bare.tls_ciphers = bare.tls_ciphersuites = bare.tls_groups = bare.tls_client_ca =
		(struct settings_said){0};
	return bare;
}

static const char *same_service(
	const struct both *x, const struct service_settings *a, const struct service_settings *b)
{
	struct service_settings bare_a = without_offsets(a), bare_b = without_offsets(b);

	if (!same_text(x, a->name, b->name))
		return "name";
	if (!same_text(x, a->image, b->image))
		return "image";
	if (!same_text(x, a->logfile, b->logfile))
		return "logfile";
	if (!same_text(x, a->user_name, b->user_name))
		return "user_name";
	if (!same_text(x, a->working_directory, b->working_directory))
		return "working_directory";
	if (!same_text(x, a->refuse_text, b->refuse_text))
		return "refuse_text";
	if (!same_texts(x, a->command, b->command))
		return "command";
	if (!same_texts(x, a->parameters, b->parameters))
		return "parameters";
	if (!same_texts(x, a->environment, b->environment))
		return "environment";
	if (!same_bytes(x, a->groups, b->groups, sizeof(uint32_t)))
		return "groups";
	if (!same_bytes(x, a->exempt_sources, b->exempt_sources, sizeof(struct settings_prefix)))
		return "exempt_sources";
	if (!same_listeners(x, a, b))
		return "listeners";
	if (same_tls(x, a, b))
		return same_tls(x, a, b);
	return memcmp(&bare_a, &bare_b, sizeof(bare_a)) ? "a number" : NULL;
}

const char *same_settings(const struct settings *a, const struct settings *b)
{
	const struct both x = {a, b};
	const uint32_t texts[][2] = {{a->run_dir, b->run_dir}, {a->state_dir, b->state_dir},
		{a->control_socket, b->control_socket}, {a->worker_dir, b->worker_dir},
		{a->log_dir, b->log_dir}, {a->logfile, b->logfile}};
	const uint64_t numbers[][2] = {{a->admin_gid, b->admin_gid}, {a->status_gid, b->status_gid},
		{a->uid, b->uid}, {a->gid, b->gid}, {a->debug, b->debug},
		{a->shutdown_ms, b->shutdown_ms}, {a->kill_ms, b->kill_ms}};
	const char *wrong = NULL;

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		if (!same_text(&x, texts[i][0], texts[i][1]))
			return "a text of the dispatcher";
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i][0] != numbers[i][1])
			return "a number of the dispatcher";
	if (a->services.count != b->services.count)
		return "the number of services";
	for (uint32_t i = 0; !wrong && i < a->services.count; i++)
		wrong = same_service(&x, settings_service(a, i), settings_service(b, i));
	return wrong;
}
