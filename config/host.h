/* What loading needs to know of the machine and of who runs it; tests make their own facts. */
#ifndef CONFIG_HOST_H
#define CONFIG_HOST_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define HOST_NAME_BYTES 256

struct host {
	bool is_root;
	uint32_t uid, gid;    /* effective */
	uint64_t descriptors; /* highest limit to be had: RLIMIT_NOFILE hard, or nr_open for root */
	uint64_t memory_bytes; /* of the machine */
	uint64_t somaxconn;
	uint64_t queue_bytes; /* of records that may wait in a channel */
	char name[HOST_NAME_BYTES]; /* for %s in LOGFILE */
	char run_dir[PATH_MAX];     /* defaults of the options of these names */
	char state_dir[PATH_MAX];
	char log_dir[PATH_MAX];
	char worker_dir[PATH_MAX];
};

void host_facts(struct host *ret_host);

#endif
