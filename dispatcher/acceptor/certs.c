/* The text is read when the status is asked for: most of the time nobody asks. */
#include "dispatcher/acceptor/certs.h"
#include "common/base.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MOST_BYTES (4u << 20)

void certs_forget(struct service *svc)
{
	free(svc->certs);
	svc->certs = NULL;
}

void certs_keep_consume(struct service *svc, int fd)
{
	OWNS_FD int owned = fd;
	struct stat st;
	ssize_t got;

	certs_forget(svc);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > MOST_BYTES)
		return;
	svc->certs = malloc((size_t)st.st_size + 1);
	if (!svc->certs)
		return;
	got = pread(fd, svc->certs, (size_t)st.st_size, 0);
	svc->certs[got > 0 ? got : 0] = '\0';
}

static json_t *day_of(const json_t *seconds)
{
	time_t when = (time_t)json_integer_value(seconds);
	char text[32] = "";
	struct tm tm;

	if (!when || !gmtime_r(&when, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

json_t *certs_status(const struct service *svc)
{
	json_t *root = svc->certs ? json_loads(svc->certs, 0, NULL) : NULL, *cert;
	size_t i;

	if (!root)
		return json_null();
	json_array_foreach(json_object_get(root, "certificates"), i, cert) {
		json_object_set_new(cert, "not_after", day_of(json_object_get(cert, "not_after_s")));
		json_object_del(cert, "not_after_s");
	}
	return root;
}
