/* Whether the service's user can get at its program and its directory. A program in a home
 * directory that others may not enter is the commonest reason why a worker does not start, and the
 * kernel's answer does not say which directory it was. Modes are looked at, not access control
 * lists: so it is only a warning. */
#include "config/build.h"
#include "common/base.h"

#include <string.h>
#include <sys/stat.h>

/* The bit of a mode that speaks of the service's user. */
static mode_t bit_for(struct build *b, const struct service_settings *svc, const struct stat *st)
{
	const uint32_t *groups = (const uint32_t *)block_text_at(&b->block, svc->groups.at);

	if (st->st_uid == svc->uid)
		return S_IXUSR;
	if (st->st_gid == svc->gid)
		return S_IXGRP;
	for (uint32_t i = 0; i < svc->groups.count; i++)
		if (groups[i] == st->st_gid)
			return S_IXGRP;
	return S_IXOTH;
}

static bool may_pass(struct build *b, const struct service_settings *svc, const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 || st.st_mode & bit_for(b, svc, &st);
}

/* The first of the directories above a path, or the path itself, that stops the user; in place.
 * NULL: none does. */
static const char *first_stop(struct build *b, const struct service_settings *svc, char *path)
{
	for (char *c = path + 1; *c; c++) {
		bool passes;

		if (*c != '/')
			continue;
		*c = '\0';
		passes = may_pass(b, svc, path);
		if (!passes)
			return path;
		*c = '/';
	}
	return may_pass(b, svc, path) ? NULL : path;
}

static void look_at(struct build *b, const struct scope *s, const struct service_settings *svc,
	const char *option, uint32_t text)
{
	const char *target = block_text_at(&b->block, text);
	OWNS_MEM char *path = target ? block_copy(&b->block, target) : NULL;
	const char *stop = path ? first_stop(b, svc, path) : NULL;

	if (stop)
		report_warning(b->report, scope_where(s, option),
			"user %s cannot get at %s: the mode of %s forbids it; chmod o+x it, or "
			"move "
			"the program",
			block_text_at(&b->block, svc->user_name), target, stop);
}

void reach_check(struct build *b, const struct scope *s, const struct service_settings *svc)
{
	bool by_command = !scope_line(s, "IMAGE");

	if (svc->uid == SETTINGS_NO_ID || svc->uid == 0 || b->block.failed)
		return;
	look_at(b, s, svc, by_command ? "COMMAND" : "IMAGE", svc->image);
	if (svc->command.count)
		look_at(b, s, svc, "COMMAND",
			*(const uint32_t *)block_text_at(&b->block, svc->command.at));
	look_at(b, s, svc, "WORKING_DIRECTORY", svc->working_directory);
}
