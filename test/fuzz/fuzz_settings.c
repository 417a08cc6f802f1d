/* A settings block from elsewhere: what passes the check can be read through without leaving it. */
#include "test/fuzz/target.h"

#include "common/base.h"
#include "config/settings.h"

#include <string.h>

static void read_texts(const struct settings *s, struct settings_list list, FILE *out)
{
	for (uint32_t i = 0; i < list.count; i++)
		fputs(settings_list_text(s, list, i), out);
}

static void read_through(const struct settings *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	settings_print(s, NULL, out);
	read_texts(s, s->files, out);
	read_texts(s, s->warnings, out);
	read_texts(s, s->not_enforced, out);
	fclose(out);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWNS_MEM char *block = malloc(size ? size : 1);

	memcpy(block, data, size);
	if (!settings_check(block, size))
		read_through((const struct settings *)block);
	return 0;
}
