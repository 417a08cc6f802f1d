/* The folder of the fixtures is given by the build. */
#include "test/unit/ctl/render.h"
#include "common/base.h"
#include "dispatcher/ctl/show.h"

#include <stdio.h>

char *fixture_text(const char *name)
{
	char path[1024], *text = calloc(1, 65536);
	OWNS_FILE FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%s", FIXTURES, name);
	file = fopen(path, "r");
	if (file && text)
		text[fread(text, 1, 65535, file)] = '\0';
	return text;
}

char *rendered_consume(json_t *document, bool detailed)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (json_is_array(document))
		show_connections(document, out);
	else
		show_status(document, detailed, out);
	fclose(out);
	json_decref(document);
	return text;
}
