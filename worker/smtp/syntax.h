/* The grammar of SMTP's commands (RFC 5321, 6531): pure, keeps nothing. */
#ifndef WORKER_SMTP_SYNTAX_H
#define WORKER_SMTP_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYNTAX_TEXT_BYTES 320 /* an address as it was written, with its NUL */

struct address {
	char text[SYNTAX_TEXT_BYTES];  /* as between < and >, without a source route */
	char local[SYNTAX_TEXT_BYTES]; /* without its quotes */
	char domain[256];              /* in lower case; empty for <> and <postmaster> */
	bool utf8;                     /* has more than ASCII */
};

struct mail_options {
	uint64_t size; /* 0: not said */
	bool eight_bit, utf8, auth;
};

/* Each returns NULL, or the reply to what is wrong. Texts are cut in place. */
const char *syntax_mail(char *args, struct address *ret_from, struct mail_options *ret_options);
const char *syntax_rcpt(char *args, struct address *ret_to);
const char *syntax_bdat(char *args, uint64_t *ret_octets, bool *ret_last);

/* A name or address literal that HELO may be given, and that may stand in a header. */
bool syntax_is_host(const char *text);
/* An empty text, too, and "=" for an empty answer. */
bool syntax_is_base64(const char *text);
/* Cuts the first word off: *text goes on behind it. */
char *syntax_word(char **text);
/* Digits alone. */
bool syntax_number(const char *text, uint64_t *ret_number);

#endif
