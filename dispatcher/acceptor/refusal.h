/* What a client is told that nobody has room for. */
#ifndef ACCEPTOR_REFUSAL_H
#define ACCEPTOR_REFUSAL_H

#include <stddef.h>

#define REFUSAL_BYTES 1024

/* The bytes of a REFUSE_TEXT (NULL: none): \n in it ends a line, \\ is a backslash, CRLF comes at its
 * end. Returns how many; 0: nothing is said. */
size_t refusal_make(const char *text, char ret_bytes[REFUSAL_BYTES]);

/* Says it, as far as it goes at once, and that nothing follows. */
void refusal_say(int fd, const char *bytes, size_t len);

/* What has come is unread no more, and nobody has read it. */
void refusal_throw_away(int fd);

#endif
