/* A certificate may hold any bytes as names: what is not printable is left out. */
#include "dispatcher/keys/pairtext.h"
#include "common/base.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

const char *pair_subject(const X509 *cert, char ret_text[PAIR_NAME_BYTES])
{
	ret_text[0] = '\0';
	X509_NAME_oneline(X509_get_subject_name(cert), ret_text, PAIR_NAME_BYTES);
	for (char *c = ret_text; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	return ret_text;
}

static void add_name(const ASN1_IA5STRING *name, char ret_names[KEYS_NAMES_BYTES])
{
	const unsigned char *data = ASN1_STRING_get0_data(name);
	size_t len = (size_t)ASN1_STRING_length(name), used = strlen(ret_names);

	if (!len || used + len + 2 > KEYS_NAMES_BYTES)
		return;
	for (size_t i = 0; i < len; i++)
		if (!isgraph(data[i]))
			return;
	snprintf(ret_names + used, KEYS_NAMES_BYTES - used, "%s%.*s", used ? " " : "", (int)len, data);
}

void pair_names(const X509 *cert, char ret_names[KEYS_NAMES_BYTES])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	ret_names[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_name(name->d.dNSName, ret_names);
	}
	GENERAL_NAMES_free(names);
}

const char *pair_day(const ASN1_TIME *when, char ret_text[PAIR_DAY_BYTES])
{
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) != 1 || !strftime(ret_text, PAIR_DAY_BYTES, "%Y-%m-%d", &tm))
		snprintf(ret_text, PAIR_DAY_BYTES, "an unreadable date");
	return ret_text;
}

uint64_t pair_seconds(const ASN1_TIME *when)
{
	struct tm tm;
	time_t seconds;

	if (ASN1_TIME_to_tm(when, &tm) != 1)
		return 0;
	seconds = timegm(&tm);
	return seconds > 0 ? (uint64_t)seconds : 0;
}

const char *pair_reason(void)
{
	static char text[200];
	const char *reason = ERR_reason_error_string(ERR_get_error());

	ERR_clear_error();
	snprintf(text, sizeof(text), "%s%s", reason ? ": " : "", reason ? reason : "");
	return text;
}
