/* Greylisting for Postfix: check_policy_service inet:127.0.0.1:10023, PARAMETER=DIR=/var/lib/greylist */
#include <dispatcher/worker.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* An empty file for each client, sender and recipient remembers when they were first seen. */
static const char *judge(const char *dir, const char *client, const char *from, const char *to)
{
	char path[1024];
	struct stat st;
	int dir_len = snprintf(path, sizeof(path), "%.600s/", dir ? dir : ".");

	snprintf(path + dir_len, 256, "%s %s %s", client, from, to);
	for (char *slash = path + dir_len; (slash = strchr(slash, '/'));)
		*slash = '\\';
	if (stat(path, &st) < 0)
		return mknod(path, S_IFREG | 0600, 0) < 0 ? "dunno" : "defer_if_permit Greylisted";
	return time(NULL) - st.st_mtime < 300 ? "defer_if_permit Greylisted" : "dunno";
}

static void handle(struct worker_conn *c)
{
	char line[512], client[50] = "", from[100] = "", to[100] = "";

	while (worker_read_line(c, line, sizeof(line)) >= 0) {
		sscanf(line, "client_address=%49s", client);
		sscanf(line, "sender=%99s", from);
		sscanf(line, "recipient=%99s", to);
		if (*line)
			continue;
		worker_printf(c, "action=%s\n\n",
			judge(worker_param(worker_of(c), "DIR"), client, from, to));
		*from = '\0'; /* the next one may have none */
	}
}

int main(int argc, char **argv)
{
	static const struct worker_ops ops = {.size = sizeof(ops), .handle = handle};

	return worker_main(argc, argv, &ops);
}
