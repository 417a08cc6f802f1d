/* What dispatcher-keys says to the supervisor that started it: fixed-size records over a SOCK_SEQPACKET
 * channel. Key bytes are in none of them, only in the memory that comes with a KEYS_BUNDLE. */
#ifndef DISPATCHER_KEYLINK_H
#define DISPATCHER_KEYLINK_H

#include "config/settings.h"

#include <stdint.h>

#define KEYS_VERSION 1
#define KEYS_PROGRAM "dispatcher-keys"
#define KEYS_EXIT_OTHER 3 /* the settings are those of another version, or there are none */
#define KEYS_LIFE_S 60 /* then SIGALRM ends it, even when nobody waits for it any more */
#define KEYS_TEXT_BYTES 1024
#define KEYS_NAMES_BYTES 256

/* Its descriptors beside 0, 1, 2; settings: the whole block, sealed. */
enum { KEYS_CHANNEL = 3, KEYS_SETTINGS };

enum keys_type {
	KEYS_MESSAGE, /* text, complete with "file:line: "; severity; is_dated */
	KEYS_CERT,    /* a certificate of service: text is its file */
	KEYS_BUNDLE,  /* service's memory for its workers (common/tls.h), as descriptor; digest */
	KEYS_END,     /* everything has been said */
};

struct key_record {
	uint16_t version, type;
	uint32_t service;  /* index in the settings */
	uint32_t severity; /* enum load_severity; an error means that there is no bundle, unless it is dated */
	uint32_t is_dated; /* 1: wrong is nothing but the date: the certificate can be used */
	uint64_t digest;   /* changes with every byte of the bundle */
	uint64_t not_after_s;
	struct settings_stamp stamp;  /* of the file of the certificate */
	char text[KEYS_TEXT_BYTES];   /* NUL-terminated */
	char names[KEYS_NAMES_BYTES]; /* of the certificate, parted by blanks; as many as fit */
};

#endif
