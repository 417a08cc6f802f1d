/* One pair with the defaults of dispatcher.cnf, for tests and debuggers. Whether the key is that of
 * the certificate is found out by whoever uses them. */
#include "worker/handtls.h"
#include "common/base.h"
#include "common/chan.h"
#include "common/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#define FILE_BYTES           (1u << 20)
#define HANDSHAKE_TIMEOUT_MS 10000
#define TICKET_LIFETIME_MS   (12 * 3600 * 1000ul)

/* NULL with errno. */
static char *read_file(const char *path)
{
	OWNS_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t got;
	char *text;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES) {
		errno = EINVAL;
		return NULL;
	}
	text = calloc(1, (size_t)st.st_size + 1);
	got = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (got >= 0)
		return text;
	free(text);
	return NULL;
}

static int send_sealed(int channel, enum msg_type type, const struct msg_writer *record)
{
	OWNS_FD int fd = memfd_create("worker-tls", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int64_t len = msg_end(record);
	uint8_t head[16];
	struct msg_writer m;

	if (fd < 0 || len < 0)
		return fd < 0 ? -errno : (int)len;
	if (write(fd, record->buf, (size_t)len) != len)
		return -EIO;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	msg_begin(&m, head, sizeof(head), type);
	return chan_send(channel, head, (size_t)msg_end(&m), &fd, 1);
}

static int send_bundle(int channel, const char *chain, const char *key)
{
	size_t size = strlen(chain) + strlen(key) + 256;
	OWNS_MEM uint8_t *buf = malloc(size);
	struct msg_writer w;
	int bad;

	if (!buf)
		return -ENOMEM;
	msg_begin(&w, buf, size, MSG_TLS);
	tls_put_u32(&w, TLS_MIN_VERSION, 0x0303);
	tls_put_u64(&w, TLS_HANDSHAKE_TIMEOUT, HANDSHAKE_TIMEOUT_MS);
	tls_put_text(&w, TLS_CHAIN, chain);
	tls_put_text(&w, TLS_KEY, key);
	bad = send_sealed(channel, MSG_TLS, &w);
	explicit_bzero(buf, size);
	return bad;
}

static int send_tickets(int channel)
{
	struct tls_ticket_key key;
	uint8_t buf[TLS_TICKETS_BYTES];
	struct msg_writer w;
	int bad;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return -errno;
	msg_begin(&w, buf, sizeof(buf), MSG_TICKETS);
	tls_put_u64(&w, TLS_LIFETIME, TICKET_LIFETIME_MS);
	tls_put(&w, TLS_TICKET, &key, sizeof(key));
	bad = send_sealed(channel, MSG_TICKETS, &w);
	explicit_bzero(&key, sizeof(key));
	explicit_bzero(buf, sizeof(buf));
	return bad;
}

int handtls_send(int channel, const char *program, const char *cert_path, const char *key_path)
{
	OWNS_MEM char *chain = read_file(cert_path);
	OWNS_MEM char *key = chain ? read_file(key_path) : NULL;
	int bad = chain && key ? 0 : -errno;

	if (bad) {
		fprintf(stderr, "%s: %s: %s\n", program, chain ? key_path : cert_path,
			strerror(-bad));
		return bad;
	}
	bad = send_bundle(channel, chain, key);
	explicit_bzero(key, strlen(key));
	if (!bad)
		bad = send_tickets(channel);
	if (bad)
		fprintf(stderr, "%s: no TLS: %s\n", program, strerror(-bad));
	return bad;
}
