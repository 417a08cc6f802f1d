/* Gives files, or all files of directories, to a fuzz target: how a corpus runs as a test, and how
 * a finding is looked at in a debugger. usage: replay FILE|DIRECTORY... */
#include "test/fuzz/target.h"

#include "common/base.h"

#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

/* ftw() has no argument for its caller; the count is the whole state. */
static unsigned replayed;

static int replay(const char *path, const struct stat *st, int type)
{
	OWNS_FILE FILE *file = type == FTW_F ? fopen(path, "re") : NULL;
	OWNS_MEM uint8_t *data = NULL;
	size_t size = (size_t)st->st_size;

	if (type != FTW_F)
		return 0;
	data = malloc(size ? size : 1);
	if (!file || !data || fread(data, 1, size, file) != size) {
		fprintf(stderr, "cannot read %s\n", path);
		return 1;
	}
	LLVMFuzzerTestOneInput(data, size);
	replayed++;
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (ftw(argv[i], replay, 8))
			return 1;
	printf("%u inputs\n", replayed);
	return replayed ? 0 : 1;
}
