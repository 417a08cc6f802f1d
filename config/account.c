/* Names of users and groups become numbers here, in the short-lived process that loads: what hangs
 * or crashes a name service never reaches the supervisor. */
#include "config/build.h"
#include "common/base.h"
#include "common/parse.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#define GROUPS_MAX 1024

/* The entry of a name or a number; NULL: none. */
static const struct passwd *find_user(const char *text)
{
	const struct passwd *entry = getpwnam(text);
	uint64_t uid;

	if (!entry && !parse_u64(text, &uid) && uid < SETTINGS_NO_ID)
		entry = getpwuid((uid_t)uid);
	return entry;
}

int account_user(struct build *b, const struct schema_option *o, const struct source_line *line,
	uint32_t *ret_uid)
{
	const struct passwd *entry = find_user(line->value);
	uint64_t uid = SETTINGS_NO_ID;

	if (entry)
		uid = entry->pw_uid;
	else if (parse_u64(line->value, &uid) || uid >= SETTINGS_NO_ID) {
		report_error(b->report, &line->where,
			"%s=%.60s: there is no such user; see getent passwd", o->name, line->value);
		return BUILD_WRONG;
	}
	if (!b->host->is_root && uid != b->host->uid) {
		report_error(b->report, &line->where,
			"%s=%.60s is another user, which needs root; take the line out or start as "
			"root",
			o->name, line->value);
		return BUILD_WRONG;
	}
	*ret_uid = (uint32_t)uid;
	return 0;
}

static int find_group(struct build *b, const struct schema_option *o, const struct where *where,
	const char *text, uint32_t *ret_gid)
{
	const struct group *entry = getgrnam(text);
	uint64_t gid = SETTINGS_NO_ID;

	if (entry)
		gid = entry->gr_gid;
	else if (parse_u64(text, &gid) || gid >= SETTINGS_NO_ID) {
		report_error(b->report, where, "%s=%.60s: there is no such group; see getent group",
			o->name, text);
		return BUILD_WRONG;
	}
	*ret_gid = (uint32_t)gid;
	return 0;
}

int account_group(struct build *b, const struct schema_option *o, const struct source_line *line,
	uint32_t *ret_gid)
{
	return find_group(b, o, &line->where, line->value, ret_gid);
}

/* GROUP; without root only the group that everything runs as anyway. */
static int own_group(struct build *b, const struct source_line *line, uint32_t *ret_gid)
{
	uint32_t gid;

	if (account_group(b, line->option, line, &gid))
		return BUILD_WRONG;
	if (b->host->is_root || gid == b->host->gid) {
		*ret_gid = gid;
		return 0;
	}
	report_error(b->report, &line->where,
		"GROUP=%.60s is another group, which needs root; take the line out or start as "
		"root",
		line->value);
	return BUILD_WRONG;
}

static void add_group(struct build *b, struct vec *groups, uint32_t gid)
{
	uint32_t *slot = vec_push(groups);

	if (slot)
		*slot = gid;
	else
		b->block.failed = true;
}

static void named_groups(struct build *b, const struct source_section *section,
	const struct schema_option *option, struct vec *groups)
{
	const struct source_line *line;
	size_t index = 0;

	while ((line = section_next(section, option, &index))) {
		OWNS_MEM char *copy = block_copy(&b->block, line->value);
		char *rest = copy, *word;
		uint32_t gid;

		if (!b->host->is_root)
			report_error(b->report, &line->where,
				"%s needs root; take the line out or start as root", option->name);
		while (copy && (word = list_next(&rest)))
			if (!find_group(b, option, &line->where, word, &gid))
				add_group(b, groups, gid);
	}
}

static void groups_of_user(struct build *b, const char *user, uint32_t gid, struct vec *groups)
{
	gid_t found[GROUPS_MAX];
	int count = GROUPS_MAX;

	if (!user || getgrouplist(user, gid, found, &count) < 0)
		return;
	for (int i = 0; i < count; i++)
		add_group(b, groups, found[i]);
}

static void build_groups(
	struct build *b, const struct scope *s, const char *user, struct service_settings *svc)
{
	const struct schema_option *option = schema_get("SUPPLEMENTARY_GROUPS");
	const struct source_section *section = scope_section(s, option);
	struct vec groups = {.elem = sizeof(uint32_t)};

	if (section)
		named_groups(b, section, option, &groups);
	else if (b->host->is_root)
		groups_of_user(b, user, svc->gid, &groups);
	svc->groups = block_list(&b->block, &groups);
	vec_free(&groups);
}

/* Who the service runs as, when its USER line (or none) is acceptable. */
static int pick_user(struct build *b, const struct scope *s, const struct source_line *line,
	struct service_settings *svc)
{
	const struct source_line nobody = {.where = s->own->where, .value = "nobody"};

	if (!line && !b->host->is_root)
		return 0;
	if (!line) {
		report_warning(b->report, &s->own->where,
			"service %s has no USER and runs as nobody; write USER=name", s->own->name);
		line = &nobody;
	}
	if (account_user(b, schema_get("USER"), line, &svc->uid))
		return BUILD_WRONG;
	if (b->host->is_root && svc->uid == b->acceptor_uid) {
		report_error(b->report, &line->where,
			"USER=%.60s is who the acceptor runs as, and a worker could then take it "
			"over; "
			"give the service a user of its own",
			line->value);
		return BUILD_WRONG;
	}
	svc->user_name = block_text(&b->block, line->value);
	return 0;
}

static void forget_ids_without_root(struct build *b, uint32_t *uid, uint32_t *gid)
{
	if (!b->host->is_root)
		*uid = *gid = SETTINGS_NO_ID;
}

void account_build(struct build *b, const struct scope *s, struct service_settings *svc)
{
	const struct source_line *user = scope_line(s, "USER"), *group = scope_line(s, "GROUP");
	OWNS_MEM char *login = NULL;
	const struct passwd *entry;

	svc->uid = svc->gid = SETTINGS_NO_ID;
	if (pick_user(b, s, user, svc))
		return;
	entry = svc->uid == SETTINGS_NO_ID ? NULL : find_user(user ? user->value : "nobody");
	if (entry) {
		svc->gid = entry->pw_gid;
		login = block_copy(&b->block, entry->pw_name);
	}
	if (group && own_group(b, group, &svc->gid))
		return;
	if (b->host->is_root && svc->gid == SETTINGS_NO_ID)
		report_error(b->report, scope_where(s, "USER"),
			"user %u is in no user database, so its group is unknown; write GROUP=name",
			svc->uid);
	build_groups(b, s, login, svc);
	forget_ids_without_root(b, &svc->uid, &svc->gid);
}

/* dispatcher where the system has that user, else daemon. */
static void default_acceptor(struct build *b, const struct scope *s, struct settings *head)
{
	const struct passwd *entry = getpwnam("dispatcher");

	if (!entry)
		entry = getpwnam("daemon");
	if (entry) {
		head->uid = entry->pw_uid;
		head->gid = entry->pw_gid;
		return;
	}
	report_error(b->report, &s->own->where,
		"there is neither a user dispatcher nor daemon for the acceptor; write USER=name "
		"in "
		"[SERVICE=DISPATCHER]");
}

static void check_acceptor(struct build *b, const struct scope *s, const struct settings *head)
{
	if (head->uid == 0)
		report_error(b->report, scope_where(s, "USER"),
			"the acceptor faces the network and must not run as root; write another "
			"USER");
	else if (head->uid != SETTINGS_NO_ID && head->gid == SETTINGS_NO_ID)
		report_error(b->report, scope_where(s, "USER"),
			"user %u is in no user database, so its group is unknown; write GROUP=name",
			head->uid);
}

void account_build_dispatcher(struct build *b, const struct scope *s, struct settings *head)
{
	const struct source_line *user = scope_line(s, "USER"), *group = scope_line(s, "GROUP");
	const struct passwd *entry;

	head->uid = head->gid = SETTINGS_NO_ID;
	if (user && !account_user(b, user->option, user, &head->uid)) {
		entry = find_user(user->value);
		head->gid = entry ? entry->pw_gid : SETTINGS_NO_ID;
	} else if (!user && b->host->is_root) {
		default_acceptor(b, s, head);
	}
	if (group)
		own_group(b, group, &head->gid);
	if (b->host->is_root)
		check_acceptor(b, s, head);
	forget_ids_without_root(b, &head->uid, &head->gid);
	b->acceptor_uid = head->uid;
}
