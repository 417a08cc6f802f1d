/* A list in memory; those of its members that outlast a reboot also stand in a file. Names that no
 * service has are kept: the service may be in the configuration again tomorrow. */
#include "dispatcher/supervisor/closures.h"
#include "common/base.h"
#include "common/log.h"
#include "dispatcher/supervisor/disabled.h"

#include <errno.h>
#include <string.h>

struct closures {
	char *state_dir;
	struct closure *list;
	unsigned count, room;
};

static struct closure *find(const struct closures *all, const char *name)
{
	for (unsigned i = 0; i < all->count; i++)
		if (strcmp(all->list[i].name, name) == 0)
			return &all->list[i];
	return NULL;
}

static struct closure *add(struct closures *all)
{
	if (all->count == all->room) {
		unsigned room = MAX(all->room * 2, 8u);
		struct closure *list = reallocarray(all->list, room, sizeof(*list));

		if (!list)
			return NULL;
		all->list = list;
		all->room = room;
	}
	return &all->list[all->count++];
}

static void on_remembered(void *user, const struct closure *closure)
{
	struct closures *all = user;
	struct closure *slot = find(all, closure->name) ? NULL : add(all);

	if (slot)
		*slot = *closure;
}

static void read_remembered(struct closures *all)
{
	int answer = disabled_read(all->state_dir, on_remembered, all);

	if (answer == DISABLED_UNTRUSTED)
		log_event(EV_CONFIG_WARNING, "text=\"%s/%s is ignored: it must be a file of ours that "
			"nobody else may write\"", all->state_dir, DISABLED_FILE);
	else if (answer)
		log_event(EV_CONFIG_WARNING, "text=\"%s/%s: %s; what was disabled is not known\"",
			all->state_dir, DISABLED_FILE, strerror(-answer));
}

int closures_new(const char *state_dir, struct closures **ret_closures)
{
	struct closures *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->state_dir = strdup(state_dir);
	if (!all->state_dir) {
		free(all);
		return -ENOMEM;
	}
	read_remembered(all);
	*ret_closures = all;
	return 0;
}

struct closures *closures_free(struct closures *all)
{
	if (all) {
		free(all->list);
		free(all->state_dir);
	}
	free(all);
	return NULL;
}

const struct closure *closures_find(const struct closures *all, const char *name)
{
	return find(all, name);
}

const struct closure *closures_at(const struct closures *all, unsigned index)
{
	return index < all->count ? &all->list[index] : NULL;
}

int closures_close(struct closures *all, const struct closure *closure)
{
	struct closure *slot = find(all, closure->name);
	bool is_new = !slot;

	if (is_new)
		slot = add(all);
	if (!slot)
		return -ENOMEM;
	if (is_new || closure->lasts > slot->lasts)
		*slot = *closure;
	return slot->lasts == LINK_LASTS_DISABLE ? disabled_write(all->state_dir, all->list, all->count)
						 : 0;
}

void closures_forget(struct closures *all)
{
	all->count = 0;
}

int closures_restore(struct closures *all, const struct closure *closure)
{
	struct closure *slot = find(all, closure->name);

	if (!slot)
		slot = add(all);
	if (!slot)
		return -ENOMEM;
	*slot = *closure;
	return 0;
}

int closures_open(struct closures *all, const char *name)
{
	struct closure *slot = find(all, name);
	bool remembered = slot && slot->lasts == LINK_LASTS_DISABLE;

	if (!slot)
		return 0;
	all->count--;
	memmove(slot, slot + 1, (size_t)(&all->list[all->count] - slot) * sizeof(*slot));
	return remembered ? disabled_write(all->state_dir, all->list, all->count) : 0;
}
