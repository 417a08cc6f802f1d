/* dispatcher-keys: reads the certificates and keys of every service, as who started the dispatcher, checks
 * them, leaves them in sealed memory and ends. OpenSSL has no place in the processes that everything hangs
 * on; and what a file makes it do ends with this one. */
#include "common/base.h"
#include "dispatcher/keys/bundle.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static const struct settings *map_settings(void)
{
	struct stat st;
	void *block;

	if (fstat(KEYS_SETTINGS, &st) < 0 || !st.st_size)
		return NULL;
	block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, KEYS_SETTINGS, 0);
	if (block == MAP_FAILED || settings_check(block, (size_t)st.st_size))
		return NULL;
	return block;
}

static int do_all(struct say *say, const struct settings *s)
{
	int bad = 0;

	for (uint32_t i = 0; !bad && i < s->services.count; i++) {
		const struct service_settings *svc = settings_service(s, i);

		say->service = i;
		say->errors = 0;
		if (svc->enabled && settings_has_tls(s, svc))
			bad = bundle_make(say, s, svc);
	}
	if (!bad)
		say_end(say);
	return bad ? bad : say->bad;
}

int main(int argc, char **argv)
{
	struct say say = {.channel = KEYS_CHANNEL};
	const struct settings *s;
	int bad;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	alarm(KEYS_LIFE_S);
	s = map_settings();
	if (!s) {
		fprintf(stderr, KEYS_PROGRAM " " VERSION ": the dispatcher that starts it is of another version\n");
		return KEYS_EXIT_OTHER;
	}
	bad = do_all(&say, s);
	say_free(&say);
	if (bad)
		fprintf(stderr, KEYS_PROGRAM ": %s\n", strerror(-bad));
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
