/* Names, dates and reasons of certificates as text. */
#ifndef KEYS_PAIRTEXT_H
#define KEYS_PAIRTEXT_H

#include "dispatcher/keylink.h"

#include <openssl/x509.h>

#define PAIR_NAME_BYTES 128
#define PAIR_DAY_BYTES 32

const char *pair_subject(const X509 *cert, char ret_text[PAIR_NAME_BYTES]);
void pair_names(const X509 *cert, char ret_names[KEYS_NAMES_BYTES]); /* of hosts, parted by blanks */
const char *pair_day(const ASN1_TIME *when, char ret_text[PAIR_DAY_BYTES]);
uint64_t pair_seconds(const ASN1_TIME *when); /* since 1970; 0: before, or unreadable */

/* ": what OpenSSL says", or "" when it says nothing; forgets its errors. Not for long: one buffer. */
const char *pair_reason(void);

#endif
