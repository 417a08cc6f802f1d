/* See client.h. */
#include "test/unit/worker/client.h"
#include "common/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define PATIENCE_SECONDS 10

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->session);
	c->session = session;
	return 1;
}

void client_open_on(struct client *c, int fd, int version)
{
	struct timeval patience = {.tv_sec = PATIENCE_SECONDS};

	*c = (struct client){.fd = fd, .ctx = SSL_CTX_new(TLS_client_method())};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	SSL_CTX_set_min_proto_version(c->ctx, version);
	SSL_CTX_set_max_proto_version(c->ctx, version);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
	c->ssl = SSL_new(c->ctx);
	SSL_set_app_data(c->ssl, c);
	SSL_set_fd(c->ssl, fd);
	SSL_set_connect_state(c->ssl);
}

void client_open(struct client *c, struct fake *f, int version)
{
	int fd;

	fake_offer_tcp(f, 1, &fd);
	client_open_on(c, fd, version);
}

int client_shake(struct client *c)
{
	return SSL_do_handshake(c->ssl);
}

void client_end(struct client *c)
{
	SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	SSL_SESSION_free(c->session);
	close(c->fd);
}

void client_say(struct client *c, const char *text)
{
	assert_int_equal(SSL_write(c->ssl, text, (int)strlen(text)), strlen(text));
}

void client_read(struct client *c, void *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		int got = SSL_read(c->ssl, (char *)buf + have, (int)(len - have));

		if (got <= 0)
			fail_msg("%zu of %zu bytes came, then error %d", have, len,
				SSL_get_error(c->ssl, got));
		have += (size_t)got;
	}
}

void client_expect(struct client *c, const char *question, const char *answer)
{
	char buf[1000];

	client_say(c, question);
	client_read(c, buf, strlen(answer));
	assert_memory_equal(buf, answer, strlen(answer));
}

int client_get(struct client *c, void *buf, size_t size)
{
	return SSL_read(c->ssl, buf, (int)size);
}

const char *client_peer_name(struct client *c, char ret_name[100])
{
	X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(c->ssl)),
		NID_commonName, ret_name, 100);
	return ret_name;
}
