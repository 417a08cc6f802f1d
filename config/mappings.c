/* An original installation keeps its access control in a mappings file beside dispatcher.cnf. It is
 * not read here, and whoever moves over must not learn that from an attacker. */
#include "config/build.h"
#include "common/base.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define TABLE "PORT_ACCESS"

static bool begins_table(const char *line)
{
	const char *rest = line + strlen(TABLE);

	return !strncasecmp(line, TABLE, strlen(TABLE)) && !rest[strspn(rest, " \t\r\n")];
}

void mappings_look(const char *dir, struct report *report)
{
	OWNS_MEM char *path = NULL, *line = NULL;
	struct where where = {0};
	size_t size = 0;
	struct stat st;

	if (asprintf(&path, "%s/mappings", dir) < 0) {
		path = NULL;
		return;
	}
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	OWNS_FILE FILE *file = fopen(path, "re");

	where.file = path;
	while (file && getline(&line, &size, file) >= 0) {
		where.line++;
		if (begins_table(line))
			report_add(report, LOAD_NOT_ENFORCED, &where,
				"the table " TABLE " is not read: no client is refused by it");
	}
}
