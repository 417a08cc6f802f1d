/* Names of signals as kill(1) has them, with and without SIG. */
#include "config/signals.h"
#include "common/base.h"
#include "common/parse.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#define SIGNAL_MAX 64

/* Whoever gets one of these goes on, or sleeps: nothing would ever end. */
static bool ends_nobody(uint32_t number)
{
	static const uint32_t signals[] = {
		SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD, SIGURG};

	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		if (number == signals[i])
			return true;
	return false;
}

const char *signal_name(uint32_t number)
{
	return number < SIGNAL_MAX ? sigabbrev_np((int)number) : NULL;
}

static uint32_t find_name(const char *text)
{
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (uint32_t i = 1; i < SIGNAL_MAX; i++) {
		const char *name = signal_name(i);

		if (name && !strcasecmp(name, text))
			return i;
	}
	return 0;
}

int signal_parse(const char *text, uint32_t *ret_number)
{
	uint64_t number;

	if (parse_u64(text, &number))
		number = find_name(text);
	if (number < 1 || number > SIGNAL_MAX || ends_nobody((uint32_t)number))
		return -EINVAL;
	*ret_number = (uint32_t)number;
	return 0;
}
