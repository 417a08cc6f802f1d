/* A program that reads what others wrote is not believed more than it must be: what it says is copied
 * into our own form, and there is a limit to how much that may be. */
#include "dispatcher/supervisor/keyrecords.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>

#define MOST_MESSAGES 4096
#define MOST_CERTS 1024 /* of a service */

void keyring_service_free(struct keyring_service *svc)
{
	for (uint32_t i = 0; i < svc->cert_count; i++) {
		free(svc->certs[i].file);
		free(svc->certs[i].names);
	}
	free(svc->certs);
	free(svc->name);
	base_close(&svc->bundle_fd);
	*svc = (struct keyring_service){.bundle_fd = -1};
}

void keyring_free(struct keyring *ring)
{
	for (uint32_t i = 0; i < ring->count; i++)
		keyring_service_free(&ring->services[i]);
	free(ring->services);
	*ring = (struct keyring){0};
}

int keyrecords_init(struct keyrecords *k, const struct settings *s)
{
	*k = (struct keyrecords){0};
	k->ring.services = calloc(s->services.count + 1, sizeof(*k->ring.services));
	if (!k->ring.services)
		return -ENOMEM;
	for (; k->ring.count < s->services.count; k->ring.count++) {
		struct keyring_service *svc = &k->ring.services[k->ring.count];

		svc->bundle_fd = -1;
		svc->name = strdup(settings_text(s, settings_service(s, k->ring.count)->name));
		if (!svc->name) {
			keyring_free(&k->ring);
			return -ENOMEM;
		}
	}
	return 0;
}

void keyrecords_free(struct keyrecords *k)
{
	keyring_free(&k->ring);
	for (size_t i = 0; i < k->message_count; i++)
		free(k->messages[i].text);
	free(k->messages);
	*k = (struct keyrecords){0};
}

static int add_message(struct keyrecords *k, const struct key_record *r)
{
	struct keyrecords_message *more;

	if (k->message_count == MOST_MESSAGES || r->severity > LOAD_ERROR)
		return -EBADMSG;
	more = reallocarray(k->messages, k->message_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	k->messages = more;
	more[k->message_count] = (struct keyrecords_message){
		r->service, (enum load_severity)r->severity, r->is_dated, strdup(r->text)};
	if (!more[k->message_count].text)
		return -ENOMEM;
	k->message_count++;
	return 0;
}

static int add_cert(struct keyring_service *svc, const struct key_record *r)
{
	struct keyring_cert *more, *mine;

	if (svc->cert_count == MOST_CERTS)
		return -EBADMSG;
	more = reallocarray(svc->certs, svc->cert_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	svc->certs = more;
	mine = &more[svc->cert_count++];
	*mine = (struct keyring_cert){.file = strdup(r->text),
		.names = strdup(r->names),
		.not_after_s = r->not_after_s,
		.stamp = r->stamp};
	return mine->file && mine->names ? 0 : -ENOMEM;
}

static int add_bundle(struct keyring_service *svc, const struct key_record *r, int *fd)
{
	if (*fd < 0 || svc->bundle_fd >= 0)
		return -EBADMSG;
	svc->bundle_fd = base_steal_fd(fd);
	svc->digest = r->digest;
	return 0;
}

int keyrecords_add_consume(struct keyrecords *k, struct key_record *r, size_t len, int fd)
{
	OWNS_FD int owned = fd;

	if (len != sizeof(*r) || r->version != KEYS_VERSION || k->ended)
		return -EBADMSG;
	r->text[sizeof(r->text) - 1] = r->names[sizeof(r->names) - 1] = '\0';
	if (r->type == KEYS_END) {
		k->ended = true;
		return 0;
	}
	if (r->service >= k->ring.count)
		return -EBADMSG;
	switch (r->type) {
	case KEYS_MESSAGE:
		return add_message(k, r);
	case KEYS_CERT:
		return add_cert(&k->ring.services[r->service], r);
	case KEYS_BUNDLE:
		return add_bundle(&k->ring.services[r->service], r, &owned);
	default:
		return -EBADMSG;
	}
}

static enum load_severity severity_of(const struct keyrecords *k, const struct keyrecords_message *m,
	const struct keyring_request *request)
{
	const struct keyring_service *svc = &k->ring.services[m->service];

	if (!m->is_dated)
		return m->severity;
	if (!request->is_in_force || request->is_in_force(request->user, svc->name, svc->digest))
		return LOAD_WARNING;
	return LOAD_ERROR;
}

bool keyrecords_tell(const struct keyrecords *k, const struct keyring_request *request)
{
	bool any = false;

	for (size_t i = 0; i < k->message_count; i++) {
		enum load_severity severity = severity_of(k, &k->messages[i], request);

		request->tell(request->user, severity, k->messages[i].text);
		any |= severity == LOAD_ERROR;
	}
	return any;
}

struct keyring keyrecords_steal(struct keyrecords *k)
{
	struct keyring ring = k->ring;

	k->ring = (struct keyring){0};
	return ring;
}
