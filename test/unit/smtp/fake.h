/* The owner of a session that writes down what he is told: for unit, property and fuzz tests. */
#ifndef TEST_UNIT_SMTP_FAKE_H
#define TEST_UNIT_SMTP_FAKE_H

#include "worker/smtp/session.h"

#define FAKE_BYTES (1 << 17)

struct fake {
	struct session session;
	struct session_options options;
	const char *begin_reply; /* what he says to a message that begins; NULL: nothing */
	bool begun;              /* a message, neither ended nor reset */
	size_t replies_len, text_len, log_len; /* each text ends with NUL */
	char replies[FAKE_BYTES];              /* all that was sent to the client */
	char text[FAKE_BYTES / 16];            /* of the message that comes */
	char log[FAKE_BYTES / 4];              /* "from > to, to: text|" for each that has ended */
};

/* A session that has not greeted. Recipients whose local part begins with x do not exist, those
 * with y must wait; AUTH takes "Z29vZA==" ("good") and has a challenge for who says nothing. */
struct fake *fake_new(bool lmtp, bool starttls, bool tls);
struct fake *fake_free(struct fake *f);
void fake_feed(struct fake *f, const char *data, size_t len);
void fake_say(struct fake *f, const char *text);
const char *fake_replies(struct fake *f); /* since the last call */

#endif
