/* Loads a file as the daemon's -t does and prints what is in force: for tests and for curious
 * people. usage: config-show FILE [SERVICE]; exit status 78 when the file is refused. */
#include "config/load.h"
#include "common/base.h"

#include <string.h>

static void tell(void *user, enum load_severity severity, const char *text)
{
	static const char *const names[] = {"", "warning: ", "error: "};

	fprintf(stderr, "%s%s\n", names[severity], text);
}

int main(int argc, char **argv)
{
	struct settings *s = NULL;
	int r;

	if (argc < 2) {
		fprintf(stderr, "usage: config-show FILE [SERVICE]\n");
		return 64;
	}
	r = load_settings(argv[1], tell, NULL, &s);
	if (!r && settings_check(s, s->bytes) < 0)
		r = -1;
	if (!r)
		r = settings_print(s, argv[2], stdout);
	if (!r)
		r = load_check_derived(s, tell, NULL, stdout);
	free(s);
	if (r < 0)
		fprintf(stderr, "config-show: %s\n", strerror(-r));
	return r ? 78 : 0;
}
