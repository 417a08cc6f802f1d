/* The state of a build of tomorrow: a field more, and a newer version. */
#include "dispatcher/supervisor/snapshot.h"

int __real_snapshot_write(const json_t *root);
int __wrap_snapshot_write(const json_t *root);

int __wrap_snapshot_write(const json_t *root)
{
	json_t *state = (json_t *)root;

	snapshot_put(state, "state_version", snapshot_number(state, "state_version", 0) + 1);
	snapshot_put_text(snapshot_add(state, "list_of_tomorrow"), "of_tomorrow", "unknown today");
	return __real_snapshot_write(root);
}
