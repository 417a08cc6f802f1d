/* The options of TLS: files, names and OpenSSL's own lists, each with the place where it is written.
 * Nothing is opened here: whether a file is a certificate and a list means something to OpenSSL is
 * found out by dispatcher-keys, which blames the same places. */
#include "config/build.h"
#include "common/base.h"
#include "common/tls.h"

#include <ctype.h>
#include <string.h>

#define NAME_BYTES     253 /* longest name in DNS */
#define PROTOCOL_BYTES 255 /* longest name in ALPN */

static uint32_t place_of(struct build *b, const struct source_line *line)
{
	char place[WHERE_BYTES];

	return line->where.seq ? block_text(&b->block, where_format(&line->where, place)) : 0;
}

int tls_store_said(struct build *b, const struct schema_option *o, const struct source_line *line,
	void *field)
{
	if (!*line->value || strpbrk(line->value, " \t")) {
		report_error(b->report, &line->where, "%s=%.60s is wrong; write names parted by colons",
			o->name, line->value);
		return BUILD_WRONG;
	}
	*(struct settings_said *)field = (struct settings_said){
		block_text(&b->block, line->value), place_of(b, line)};
	return 0;
}

/* A path, made full; 0: told. */
static uint32_t full_path(struct build *b, const struct schema_option *o,
	const struct source_line *line, const char *value)
{
	OWNS_MEM char *path = path_resolve(b, o, &line->where, value);

	return block_text(&b->block, path);
}

int tls_store_file(struct build *b, const struct schema_option *o, const struct source_line *line,
	void *field)
{
	uint32_t path = full_path(b, o, line, line->value);

	if (!path)
		return BUILD_WRONG;
	*(struct settings_said *)field = (struct settings_said){path, place_of(b, line)};
	return 0;
}

int tls_add_file(struct build *b, const struct schema_option *o, const struct source_line *line,
	struct vec *elements)
{
	struct settings_said said, *slot;

	if (tls_store_file(b, o, line, &said))
		return BUILD_WRONG;
	slot = vec_push(elements);
	if (slot)
		*slot = said;
	else
		b->block.failed = true;
	return 0;
}

/* --- TLS_SNI --- */

/* A host name in lower case, "*." allowed before it. */
static bool is_name(const char *name)
{
	size_t len = strlen(name), label = 0;

	if (!len || len > NAME_BYTES)
		return false;
	if (!strncmp(name, "*.", 2))
		name += 2;
	for (; *name; name++) {
		if (*name == '.' ? !label : !isalnum((unsigned char)*name) && !strchr("-_", *name))
			return false;
		label = *name == '.' ? 0 : label + 1;
	}
	return label;
}

static void lower(char *name)
{
	for (; *name; name++)
		*name = (char)tolower((unsigned char)*name);
}

/* Cuts three words parted by blanks. */
static bool cut_words(char *text, char *ret_words[3])
{
	char *rest = NULL;

	for (unsigned i = 0; i < 3; i++) {
		ret_words[i] = strtok_r(i ? NULL : text, " \t", &rest);
		if (!ret_words[i])
			return false;
	}
	return !strtok_r(NULL, " \t", &rest);
}

/* A logical name may stand for a directory with blanks. */
static bool is_one_word(struct build *b, const struct schema_option *o,
	const struct source_line *line, uint32_t path)
{
	const char *text = path ? block_text_at(&b->block, path) : NULL;

	if (!text || !strpbrk(text, " \t"))
		return text;
	report_error(b->report, &line->where, "%s: %.60s has a blank in it; use a link without", o->name,
		text);
	return false;
}

static int push_sni(struct build *b, const struct schema_option *o, const struct source_line *line,
	char *words[3], struct vec *elements)
{
	struct settings_sni sni = {.cert = full_path(b, o, line, words[1]),
		.key = full_path(b, o, line, words[2])};
	struct settings_sni *slot;

	if (!is_one_word(b, o, line, sni.cert) || !is_one_word(b, o, line, sni.key))
		return BUILD_WRONG;
	sni.name = block_text(&b->block, words[0]);
	sni.where = place_of(b, line);
	slot = vec_push(elements);
	if (slot)
		*slot = sni;
	else
		b->block.failed = true;
	return 0;
}

int tls_add_sni(struct build *b, const struct schema_option *o, const struct source_line *line,
	struct vec *elements)
{
	OWNS_MEM char *copy = block_copy(&b->block, line->value);
	char *words[3] = {0};

	if (!copy)
		return 0;
	if (!cut_words(copy, words)) {
		report_error(b->report, &line->where,
			"%s=%.60s is wrong; write a name, the file of its certificate and the file of its "
			"key, parted by blanks",
			o->name, line->value);
		return BUILD_WRONG;
	}
	lower(words[0]);
	if (!is_name(words[0])) {
		report_error(b->report, &line->where,
			"%s: %.60s is no name; write mail.example.org or *.example.org", o->name,
			words[0]);
		return BUILD_WRONG;
	}
	return push_sni(b, o, line, words, elements);
}

/* --- TLS_ALPN --- */

int tls_add_protocols(struct build *b, const struct schema_option *o, const struct source_line *line,
	struct vec *elements)
{
	OWNS_MEM char *copy = block_copy(&b->block, line->value);
	char *rest = copy, *word;

	while (copy && (word = list_next(&rest))) {
		uint32_t *slot;

		if (strlen(word) > PROTOCOL_BYTES) {
			report_error(b->report, &line->where, "%s: %.60s... is longer than %u bytes",
				o->name, word, PROTOCOL_BYTES);
			return BUILD_WRONG;
		}
		slot = vec_push(elements);
		if (slot)
			*slot = block_text(&b->block, word);
		else
			b->block.failed = true;
	}
	return 0;
}

/* --- all of it together --- */

static bool has_tls_port(struct build *b, const struct service_settings *svc)
{
	const void *data = block_text_at(&b->block, svc->listeners.at);
	const struct settings_listener *list = data;

	for (uint32_t i = 0; i < svc->listeners.count; i++)
		if (list[i].tls)
			return true;
	return false;
}

static void check_pairs(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	uint32_t certs = svc->tls_certs.count, keys = svc->tls_keys.count;

	if (certs != keys)
		report_error(b->report, scope_where(s, certs > keys ? "TLS_CERT" : "TLS_KEY"),
			"there %s %u TLS_CERT and %u TLS_KEY; write one TLS_KEY for each TLS_CERT, in the "
			"same order (it may be the same file)",
			certs == 1 ? "is" : "are", certs, keys);
	if (!certs && svc->tls_snis.count)
		report_error(b->report, scope_where(s, "TLS_SNI"),
			"TLS_SNI needs a TLS_CERT, for clients that ask for no name or another one");
}

/* What a worker can be told at most, see common/tls.h. */
static void check_counts(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	if (svc->tls_certs.count + svc->tls_snis.count > TLS_MAX_PAIRS)
		report_error(b->report, scope_where(s, "TLS_SNI"),
			"there are %u TLS_CERT and TLS_SNI; at most %u can be used by one service",
			svc->tls_certs.count + svc->tls_snis.count, TLS_MAX_PAIRS);
	if (svc->tls_alpn.count > TLS_MAX_PROTOCOLS)
		report_error(b->report, scope_where(s, "TLS_ALPN"),
			"TLS_ALPN names %u protocols; at most %u can be used", svc->tls_alpn.count,
			TLS_MAX_PROTOCOLS);
}

static void check_clients(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	if (svc->tls_client_auth != CLIENT_AUTH_NONE && !svc->tls_client_ca.text)
		report_error(b->report, scope_where(s, "TLS_CLIENT_AUTH"),
			"TLS_CLIENT_AUTH needs TLS_CLIENT_CA=file, or nobody's certificate could be "
			"checked");
	if (svc->tls_client_auth == CLIENT_AUTH_NONE && scope_line(s, "TLS_CLIENT_CA"))
		report_warning(b->report, scope_where(s, "TLS_CLIENT_CA"),
			"TLS_CLIENT_CA is used by nobody; write TLS_CLIENT_AUTH=require or optional");
}

void tls_check(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	bool has_port = !b->block.failed && has_tls_port(b, svc);

	check_pairs(b, s, svc);
	check_counts(b, s, svc);
	check_clients(b, s, svc);
	if (has_port && svc->adapter == ADAPTER_SERVER)
		report_error(b->report, scope_where(s, "TLS_PORT"),
			"an unmodified server (ADAPTER=server) cannot be given a TLS_PORT; let it speak "
			"TLS itself on a PORT, or use ADAPTER=inetd or native");
	else if (has_port && !svc->tls_certs.count)
		report_error(b->report, scope_where(s, "TLS_PORT"),
			"TLS_PORT needs a certificate; write TLS_CERT=file and TLS_KEY=file");
	if (!has_port && svc->adapter == ADAPTER_INETD && s->own->name &&
		scope_section(s, schema_get("TLS_CERT")) == s->own)
		report_warning(b->report, scope_where(s, "TLS_CERT"),
			"TLS_CERT is used by nobody: a COMMAND speaks TLS on a TLS_PORT only");
}
