/* What the supervisor is told: messages once each, certificates, bundles. */
#ifndef KEYS_SAY_H
#define KEYS_SAY_H

#include "common/base.h"
#include "dispatcher/keylink.h"

struct say {
	int channel;
	uint32_t service; /* whom what is said concerns */
	unsigned errors;  /* of this service: it gets no bundle */
	char **told;
	size_t told_count;
	int bad; /* -errno: the supervisor cannot be reached */
};

/* where: "file:line"; NULL: none. */
void say_error(struct say *s, const char *where, const char *format, ...) PRINTF_LIKE(3, 4);
void say_warning(struct say *s, const char *where, const char *format, ...) PRINTF_LIKE(3, 4);
/* Wrong is the date alone. */
void say_dated(struct say *s, const char *where, const char *format, ...) PRINTF_LIKE(3, 4);

void say_cert(struct say *s, const char *file, const struct settings_stamp *stamp, uint64_t not_after_s,
	const char *names);
void say_bundle(struct say *s, int fd, uint64_t digest); /* fd is borrowed */
void say_end(struct say *s);
void say_free(struct say *s);

#endif
