/* A TLS client of a worker under test. What does not happen within some seconds fails the test. */
#ifndef TEST_UNIT_WORKER_CLIENT_H
#define TEST_UNIT_WORKER_CLIENT_H

#include "test/unit/worker/fake.h"

#include <openssl/ssl.h>

struct client {
	SSL_CTX *ctx;
	SSL *ssl;
	SSL_SESSION *session; /* the last one that the server gave */
	int fd;
};

/* version: TLS1_2_VERSION or TLS1_3_VERSION, no other is offered. Settings go to c->ssl, before: */
void client_open(struct client *c, struct fake *f, int version);
void client_open_on(struct client *c, int fd, int version); /* owns fd */
int client_shake(struct client *c);                         /* 1: done; else an error */
void client_end(struct client *c);                          /* says goodbye, closes, frees */

void client_say(struct client *c, const char *text);
void client_read(struct client *c, void *buf, size_t len);
void client_expect(struct client *c, const char *question, const char *answer);
int client_get(struct client *c, void *buf, size_t size); /* as SSL_read */

/* The name that the server's certificate is for. */
const char *client_peer_name(struct client *c, char ret_name[100]);

#endif
