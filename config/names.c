/* The names behind the ids of a finished block, looked up where the files are read: who prints the
 * settings later may neither open the databases of users nor wait for a name service. */
#include "config/build.h"
#include "common/base.h"

#include <grp.h>
#include <pwd.h>

struct names {
	struct build *b;
	struct vec list; /* of struct settings_name */
};

static bool is_known(const struct names *n, uint32_t id, bool is_group)
{
	for (size_t i = 0; i < n->list.count; i++) {
		const struct settings_name *has = vec_at(&n->list, i);

		if (has->id == id && has->is_group == is_group)
			return true;
	}
	return false;
}

static void add(struct names *n, uint32_t id, bool is_group, const char *name)
{
	struct settings_name *slot = name ? vec_push(&n->list) : NULL;

	if (slot)
		*slot = (struct settings_name){id, is_group, block_text(&n->b->block, name)};
	else if (name)
		n->b->block.failed = true;
}

static void add_user(struct names *n, uint32_t id)
{
	const struct passwd *entry;

	if (id == SETTINGS_NO_ID || is_known(n, id, false))
		return;
	entry = getpwuid(id);
	add(n, id, false, entry ? entry->pw_name : NULL);
}

static void add_group(struct names *n, uint32_t id)
{
	const struct group *entry;

	if (id == SETTINGS_NO_ID || is_known(n, id, true))
		return;
	entry = getgrgid(id);
	add(n, id, true, entry ? entry->gr_name : NULL);
}

struct settings_list names_build(struct build *b, const struct settings *head, const struct vec *services)
{
	struct names n = {.b = b, .list.elem = sizeof(struct settings_name)};
	struct settings_list list;

	add_user(&n, head->uid);
	add_group(&n, head->gid);
	add_group(&n, head->admin_gid);
	add_group(&n, head->status_gid);
	for (size_t i = 0; i < services->count; i++) {
		const struct service_settings *svc = vec_at(services, i);

		add_user(&n, svc->uid);
		add_group(&n, svc->gid);
		add_user(&n, svc->socket_uid);
		add_group(&n, svc->socket_gid);
	}
	list = block_list(&b->block, &n.list);
	vec_free(&n.list);
	return list;
}
