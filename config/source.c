/* Giving back what a source holds. */
#include "config/source.h"

#include <string.h>

void source_deinit(struct source *src)
{
	for (size_t i = 0; i < src->sections.count; i++)
		vec_free(&((struct source_section *)vec_at(&src->sections, i))->lines);
	for (size_t i = 0; i < src->files.count; i++)
		file_deinit(vec_at(&src->files, i));
	vec_free(&src->sections);
	vec_free(&src->files);
}

char *source_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}
