/* A settings block from elsewhere: what passes the check can be read through without leaving it.
 * The input is a list of patches, each an offset and a value of four bytes, to a block that is
 * whole; so the corpus outlives changes of the layout. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "config/host.h"
#include "config/load.h"

#include <string.h>
#include <sys/mman.h>

static const char sample[] =
	"[SERVICE=A]\nPORT=7007,unix:/x\nIMAGE=/bin/true\nPARAMETER=A=b\nENVIRONMENT=C=d\n"
	"EXEMPT_SOURCES=::1\nLIMIT_CPU=9\nTLS_PORT=8\nTLS_CERT=/a\nTLS_KEY=/b\nTLS_SNI=x /c /d\n"
	"TLS_ALPN=e f\nTLS_CIPHERSUITES=g\n[SERVICE=B]\nPORT=7008\nCOMMAND=/bin/sh -c x\n"
	"REFUSE_TEXT=421 x\n[SERVICE=C]\nPORT=7009\nADAPTER=server\nCOMMAND=/bin/true\n"
	"DNS_VERIFY_DOMAIN=x\nLOGFILE=syslog\n";

static void ignore(void *user, enum load_severity severity, const char *text)
{
}

static struct settings *load_sample(void)
{
	struct host host = {
		.uid = 1234, .gid = 1234, .run_dir = "/run/test", .worker_dir = "/nowhere"};
	OWNS_FD int fd = memfd_create("sample", MFD_CLOEXEC);
	struct settings *s = NULL;
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT(write(fd, sample, strlen(sample)) == (ssize_t)strlen(sample));
	ASSERT(!load_settings_on(&host, path, ignore, NULL, &s));
	return s;
}

static void read_texts(const struct settings *s, struct settings_list list, FILE *out)
{
	for (uint32_t i = 0; i < list.count; i++)
		fputs(settings_list_text(s, list, i), out);
}

static void read_through(const struct settings *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	settings_print(s, NULL, out);
	read_texts(s, s->files, out);
	read_texts(s, s->warnings, out);
	read_texts(s, s->not_enforced, out);
	fclose(out);
	free(text);
}

static void patch(char *block, size_t bytes, const uint8_t *data)
{
	uint32_t at;

	memcpy(&at, data, sizeof(at));
	at %= (uint32_t)bytes - 3;
	memcpy(block + at, data + 4, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNS_MEM struct settings *s = load_sample();
	size_t bytes = s->bytes;

	ASSERT(!settings_check(s, bytes));
	for (; size >= 8; size -= 8, data += 8)
		patch((char *)s, bytes, data);
	if (!settings_check(s, bytes))
		read_through(s);
	return 0;
}
