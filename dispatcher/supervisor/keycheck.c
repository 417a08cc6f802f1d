/* Nothing is in force here, and what is read is let go at once. A certificate that has ended is wrong:
 * whoever checks wants to know. */
#include "dispatcher/supervisor/keycheck.h"
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/supervisor/keyring.h"
#include "dispatcher/supervisor/sealed.h"

#include <string.h>

static void tell(void *user, enum load_severity severity, const char *text)
{
	fprintf(user, "%s%s\n", severity == LOAD_WARNING ? "warning: " : "", text);
}

static bool is_in_force(void *user, const char *service, uint64_t digest)
{
	return false;
}

int keycheck(const struct settings *s, FILE *err)
{
	OWNS_FD int fd = sealed_memory("settings");
	struct keyring_request request = {
		.settings = s, .settings_fd = fd, .tell = tell, .is_in_force = is_in_force, .user = err};
	char text[LOG_STATUS_BYTES];
	struct keyring ring = {0};
	int status = 0, answer = fd < 0 ? fd : sealed_fill(fd, s, s->bytes);

	if (!answer)
		answer = keyring_read(&request, &ring, &status);
	if (answer == KEYRING_CRASHED)
		fprintf(err, "the reader of the certificates ended by %s\n", log_status(status, text));
	else if (answer < 0)
		fprintf(err, "the certificates cannot be read: %s\n", strerror(-answer));
	keyring_free(&ring);
	return answer != 0;
}
