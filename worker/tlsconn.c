/* OpenSSL with the answers of ours, over a BIO of ours that knows when more will follow at once.
 *
 * Every segment costs both sides as much as the ciphers do, and wakes somebody. So what ends a
 * handshake (tickets) waits in the kernel for the first words behind it, until tlsconn_push() at
 * the latest, and the goodbye waits for the FIN of the close that follows. What it has read from
 * the socket and not yet given to us, epoll does not tell: tlsconn_pending() does, and only as long
 * as the last read was not in vain, since the beginning of a record may be all there is. */
#include "worker/tlsconn.h"
#include "common/base.h"
#include "worker/tlsset.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* OpenSSL reads on until something for us comes, and a client can send for ever what is nothing for
 * us (TLS 1.3 sets no limit to key updates). Enough for a record of which a part is there. */
#define READS_PER_CALL 2

struct tlsconn {
	SSL *ssl;
	struct tlsset *set;
	const char *reason;
	struct facts *facts; /* made when somebody asks */
	uint32_t wants;
	int fd;
	int reads_left; /* of the socket, in this call */
	bool done, broken, more;
	bool more_follows; /* what is sent now may wait */
	bool spoke, waits; /* something was sent; the last of it waits */
	bool refused;      /* a renegotiation */
	bool said_goodbye;
};

struct facts {
	struct worker_tls tls;
	char protocol[UINT8_MAX + 1];
	char *subject, *issuer;
};

/* A client that asks to renegotiate gets a warning and could ask for ever. */
static void on_info(const SSL *ssl, int where, int value)
{
	struct tlsconn *t = SSL_get_app_data(ssl);

	if (where == SSL_CB_WRITE_ALERT && (value & 0xff) == SSL_AD_NO_RENEGOTIATION)
		t->refused = true;
}

int tlsconn_bio_write(BIO *bio, const char *data, int len)
{
	struct tlsconn *t = BIO_get_data(bio);
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (t->more_follows ? MSG_MORE : 0);
	ssize_t sent = send(t->fd, data, (size_t)len, flags);

	BIO_clear_retry_flags(bio);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	if (sent > 0) {
		t->spoke = true;
		t->waits = t->more_follows;
	}
	return (int)sent;
}

int tlsconn_bio_read(BIO *bio, char *data, int size)
{
	struct tlsconn *t = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (!t->reads_left) {
		BIO_set_retry_read(bio);
		return -1;
	}
	t->reads_left--;
	got = recv(t->fd, data, (size_t)size, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	if (!got)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return (int)got;
}

static bool attach(struct tlsconn *t)
{
	BIO *bio = t->ssl ? BIO_new(tlsset_bio(t->set)) : NULL;

	if (!bio)
		return false;
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	return SSL_set_app_data(t->ssl, t);
}

int tlsconn_new(struct tlsset *set, int fd, struct tlsconn **ret_tls)
{
	struct tlsconn *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fd = fd;
	t->set = tlsset_ref(set);
	t->ssl = tlsset_open(set);
	if (!attach(t)) {
		tlsconn_free(t);
		return -ENOMEM;
	}
	SSL_set_info_callback(t->ssl, on_info);
	t->wants = EPOLLIN;
	t->reason = "";
	*ret_tls = t;
	return 0;
}

struct tlsconn *tlsconn_free(struct tlsconn *t)
{
	if (!t)
		return NULL;
	if (t->facts) {
		OPENSSL_free(t->facts->subject);
		OPENSSL_free(t->facts->issuer);
		free(t->facts);
	}
	SSL_free(t->ssl);
	tlsset_unref(t->set);
	free(t);
	return NULL;
}

static int break_off(struct tlsconn *t, const char *reason, int error)
{
	t->broken = true;
	t->reason = reason ? reason : "not TLS";
	return error;
}

static int broken_by(struct tlsconn *t)
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);

	ERR_clear_error();
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return break_off(t, "the client left", -ECONNRESET);
	return break_off(t, ERR_reason_error_string(code), -EPROTO);
}

/* What a call of OpenSSL that returned no success means; 0: the client's end. */
static int answer(struct tlsconn *t, int returned)
{
	int error = errno;

	switch (SSL_get_error(t->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		t->wants = EPOLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->wants = EPOLLOUT;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return break_off(t, "the client left", error ? -error : -ECONNRESET);
	default:
		return broken_by(t);
	}
}

int tlsconn_handshake(struct tlsconn *t)
{
	int returned, bad;

	if (t->done)
		return 0;
	if (t->broken)
		return -EPROTO;
	ERR_clear_error();
	errno = 0;
	t->reads_left = READS_PER_CALL;
	t->more_follows = t->spoke; /* its own first flight is waited for */
	returned = SSL_do_handshake(t->ssl);
	t->more_follows = false;
	if (returned == 1) {
		t->done = true;
		t->more = SSL_has_pending(t->ssl);
		return 0;
	}
	tlsconn_push(t);
	bad = answer(t, returned);
	return bad ? bad : break_off(t, "the client left", -ECONNRESET);
}

void tlsconn_push(struct tlsconn *t)
{
	int on = 1, error = errno;

	if (t->waits)
		setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* tcp(7): flushes */
	t->waits = false;
	errno = error;
}

ssize_t tlsconn_read(struct tlsconn *t, void *buf, size_t size)
{
	int returned;

	t->more = false;
	if (t->broken)
		return -EPROTO;
	ERR_clear_error();
	errno = 0;
	t->reads_left = READS_PER_CALL;
	returned = SSL_read(t->ssl, buf, (int)MIN(size, (size_t)INT_MAX));
	if (t->refused)
		return break_off(t, "renegotiation", -EPROTO);
	if (returned <= 0)
		return answer(t, returned);
	t->more = SSL_has_pending(t->ssl);
	return returned;
}

/* Record by record, until all is taken or the socket is full. */
ssize_t tlsconn_write(struct tlsconn *t, const void *buf, size_t len)
{
	size_t taken = 0;

	while (taken < len) {
		int bad, returned;

		if (t->broken)
			return -EPIPE;
		ERR_clear_error();
		errno = 0;
		returned = SSL_write(
			t->ssl, (const char *)buf + taken, (int)MIN(len - taken, (size_t)INT_MAX));
		if (returned > 0) {
			taken += (size_t)returned;
			continue;
		}
		bad = answer(t, returned);
		if (bad == -EAGAIN && taken)
			break;
		return bad ? bad : -EPIPE;
	}
	return (ssize_t)taken;
}

int tlsconn_goodbye(struct tlsconn *t, bool closes)
{
	int returned;

	if (!t->done || t->broken || t->said_goodbye)
		return 0;
	ERR_clear_error();
	errno = 0;
	t->more_follows = closes;
	returned = SSL_shutdown(t->ssl);
	t->more_follows = false;
	if (returned < 0 && answer(t, returned) == -EAGAIN && t->wants == EPOLLOUT)
		return -EAGAIN;
	t->said_goodbye = true;
	return 0;
}

uint32_t tlsconn_wants(const struct tlsconn *t)
{
	return t->wants;
}

bool tlsconn_pending(const struct tlsconn *t)
{
	return t->more;
}

bool tlsconn_is_done(const struct tlsconn *t)
{
	return t->done;
}

uint64_t tlsconn_handshake_ms(const struct tlsconn *t)
{
	return tlsset_handshake_ms(t->set);
}

const char *tlsconn_reason(const struct tlsconn *t)
{
	return t->reason;
}

/* As in RFC 2253: control characters and separators are escaped. */
static char *name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text = NULL;
	long len;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(bio, &data);
		text = OPENSSL_strndup(data, (size_t)len);
	}
	BIO_free(bio);
	return text;
}

static void add_client(struct facts *f, const SSL *ssl)
{
	const X509 *client = SSL_get0_peer_certificate(ssl);

	if (!client || SSL_get_verify_result(ssl) != X509_V_OK)
		return;
	f->tls.client_subject = f->subject = name_text(X509_get_subject_name(client));
	f->tls.client_issuer = f->issuer = name_text(X509_get_issuer_name(client));
}

static void add_protocol(struct facts *f, const SSL *ssl)
{
	const unsigned char *protocol;
	unsigned len;

	SSL_get0_alpn_selected(ssl, &protocol, &len);
	if (!len || len >= sizeof(f->protocol))
		return;
	memcpy(f->protocol, protocol, len);
	f->tls.protocol = f->protocol;
}

const struct worker_tls *tlsconn_facts(struct tlsconn *t)
{
	struct facts *f = t->facts;
	int algorithm_bits;

	if (!t->done)
		return NULL;
	if (f)
		return &f->tls;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->tls.version = SSL_get_version(t->ssl);
	f->tls.cipher = SSL_get_cipher_name(t->ssl);
	f->tls.cipher_bits = (unsigned)SSL_get_cipher_bits(t->ssl, &algorithm_bits);
	f->tls.algorithm_bits = (unsigned)algorithm_bits;
	f->tls.resumed = SSL_session_reused(t->ssl);
	f->tls.server_name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	add_protocol(f, t->ssl);
	add_client(f, t->ssl);
	t->facts = f;
	return &f->tls;
}
