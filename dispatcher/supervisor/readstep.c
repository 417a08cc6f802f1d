/* Everything that parses, asks name services or takes memory by what a file says happens here. It has
 * no descriptor of the supervisor's but those it is given, since it is executed anew. */
#include "dispatcher/supervisor/readstep.h"
#include "dispatcher/supervisor/sealed.h"
#include "common/base.h"
#include "config/diff.h"
#include "config/load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void tell(void *user, enum load_severity severity, const char *text)
{
	FILE *out = user;

	fputc((int)severity, out);
	fwrite(text, 1, strlen(text) + 1, out);
}

static const struct settings *old_settings(void)
{
	struct stat st;
	void *block;

	if (fstat(READ_OLD, &st) < 0)
		return NULL;
	block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, READ_OLD, 0);
	ASSERT(block != MAP_FAILED && !settings_check(block, (size_t)st.st_size));
	return block;
}

static enum readstep_exit compare(const struct settings *old, const struct settings *next, FILE *out)
{
	OWNS_MEM struct diff *d = diff_make(old, next);

	if (!d)
		return READSTEP_FAILED;
	for (uint32_t i = 0; i < d->refusals.count; i++)
		tell(out, LOAD_ERROR, diff_refusal(d, i));
	if (d->refusals.count)
		return READSTEP_REFUSED;
	return sealed_fill(READ_DIFF, d, d->bytes) ? READSTEP_FAILED : READSTEP_DONE;
}

static enum readstep_exit read_file(const char *path, FILE *out)
{
	const struct settings *old = old_settings();
	OWNS_MEM struct settings *s = NULL;
	enum readstep_exit status = READSTEP_DONE;
	int answer = load_settings(path, tell, out, &s);
	char text[256];

	if (!answer)
		answer = load_check_derived(s, tell, out, NULL);
	if (answer < 0) {
		snprintf(text, sizeof(text), "%.200s: %s", path, strerror(-answer));
		tell(out, LOAD_ERROR, text);
	}
	if (answer)
		return READSTEP_REFUSED;
	if (old)
		status = compare(old, s, out);
	if (!status && sealed_fill(READ_SETTINGS, s, s->bytes))
		status = READSTEP_FAILED;
	return status;
}

int readstep_main(int argc, char **argv)
{
	FILE *out = fdopen(READ_MESSAGES, "w");
	enum readstep_exit status = READSTEP_FAILED;

	if (!out || argc < 3)
		return READSTEP_FAILED;
	alarm(READSTEP_LIFE_S);
	status = read_file(argv[2], out);
	return fclose(out) ? READSTEP_FAILED : (int)status;
}
