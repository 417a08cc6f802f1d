/* An original installation keeps its access control in a mappings file beside dispatcher.cnf. It is
 * not read here, and whoever moves over must not learn that from an attacker. */
#include "config/build.h"
#include "common/base.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define TABLE "PORT_ACCESS"

static bool begins_table(const char *line)
{
	const char *rest = line + strlen(TABLE);

	return !strncasecmp(line, TABLE, strlen(TABLE)) && !rest[strspn(rest, " \t\r\n")];
}

static void look_through(FILE *file, struct where *where, struct report *report)
{
	OWNS_MEM char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, file) >= 0) {
		where->line++;
		if (begins_table(line))
			report_add(report, LOAD_NOT_ENFORCED, where,
				"the table " TABLE " is not read: no client is refused by it");
	}
}

void mappings_look(const char *dir, struct report *report)
{
	OWNS_MEM char *path = NULL;
	struct where where = {0};
	struct stat st;

	if (asprintf(&path, "%s/mappings", dir) < 0) {
		path = NULL;
		report->failed = true;
		return;
	}
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	OWNS_FILE FILE *file = fopen(path, "re");

	where.file = path;
	if (file)
		look_through(file, &where, report);
	if (!file || ferror(file))
		report_warning(report, &where,
			"cannot be read (%s), so a table " TABLE " in it would not be noticed",
			strerror(errno));
}
