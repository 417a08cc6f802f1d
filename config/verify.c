/* The settings first, then the numbers that follow from them, which can still be refused. */
#include "config/verify.h"
#include "config/load.h"
#include "common/base.h"

#include <string.h>

static void tell(void *user, enum load_severity severity, const char *text)
{
	fprintf(user, "%s%s\n", severity == LOAD_WARNING ? "warning: " : "", text);
}

int verify_file(const char *path, FILE *out, FILE *err, verify_more *more)
{
	OWNS_MEM struct settings *s = NULL;
	int answer = load_settings(path, tell, err, &s);

	if (!answer) {
		settings_print(s, NULL, out);
		answer = load_check_derived(s, tell, err, out);
	}
	if (!answer && more)
		answer = more(s, err);
	if (answer < 0)
		fprintf(err, "%s: %s\n", path, strerror(-answer));
	return answer ? 1 : 0;
}
