/* What a program that reads other people's certificates may say to the supervisor: records one after the
 * other, each a byte for its type, one for the service, one for flags (1: a descriptor comes with it,
 * 2: it is cut short, 4: an error, 8: of its date) and one for how long its texts are. Whatever it says,
 * texts end, and every descriptor is held once or closed. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "dispatcher/supervisor/keyrecords.h"

#include <fcntl.h>
#include <string.h>

enum { HAS_FD = 1, IS_CUT = 2, IS_ERROR = 4, IS_DATED = 8, RECORD_BYTES = 4 };

static void hear(void *user, enum load_severity severity, const char *text)
{
	ASSERT(severity <= LOAD_ERROR && strlen(text) < KEYS_TEXT_BYTES);
}

static bool use_some(void *user, const char *service, uint64_t digest)
{
	return digest % 2;
}

static int say(struct keyrecords *k, const uint8_t *data)
{
	struct key_record r = {.version = KEYS_VERSION,
		.type = data[0],
		.service = data[1],
		.severity = data[2] & IS_ERROR ? LOAD_ERROR : data[2] >> 4,
		.is_dated = data[2] & IS_DATED,
		.digest = data[3]};
	int fd = data[2] & HAS_FD ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
	size_t len = data[2] & IS_CUT ? sizeof(r) - 1 : sizeof(r);
	int answer;

	memset(r.text, 'x', MIN((size_t)data[3] * 8, sizeof(r.text)));
	memset(r.names, 'y', MIN((size_t)data[3] * 2, sizeof(r.names)));
	answer = keyrecords_add_consume(k, &r, len, fd);
	if (answer && fd >= 0)
		ASSERT(fcntl(fd, F_GETFD) < 0);
	return answer;
}

static void look(const struct keyrecords *k)
{
	for (uint32_t i = 0; i < k->ring.count; i++)
		for (uint32_t n = 0; n < k->ring.services[i].cert_count; n++) {
			ASSERT(strlen(k->ring.services[i].certs[n].file) < KEYS_TEXT_BYTES);
			ASSERT(strlen(k->ring.services[i].certs[n].names) < KEYS_NAMES_BYTES);
		}
}

/* Two services, "a" and "b". */
static void begin(struct keyrecords *k)
{
	static _Alignas(8) char block[sizeof(struct settings) + 2 * sizeof(struct service_settings) + 16];
	struct settings *s = (struct settings *)block;
	struct service_settings *services = (struct service_settings *)(s + 1);
	uint32_t texts = sizeof(block) - 16;

	s->services = (struct settings_list){.at = sizeof(*s), .count = 2};
	memcpy(block + texts, "a\0b", 4);
	services[0].name = texts;
	services[1].name = texts + 2;
	ASSERT(!keyrecords_init(k, s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyring_request request = {.tell = hear, .is_in_force = use_some};
	struct keyrecords k;

	begin(&k);
	for (size_t at = 0; at + RECORD_BYTES <= size; at += RECORD_BYTES)
		if (say(&k, data + at))
			break;
	look(&k);
	keyrecords_tell(&k, &request);
	keyrecords_free(&k);
	return 0;
}
