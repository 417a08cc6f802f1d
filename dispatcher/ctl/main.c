/* dispatcherctl: asks a running dispatcher. */
#include "dispatcher/ctl/ctl.h"
#include "dispatcher/ctl/request.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	int status = ctl_run(argc, argv, REQUEST_SILENCE_MS, stdout, stderr);

	if (fflush(stdout) || ferror(stdout)) {
		perror("dispatcherctl");
		return status ? status : EXIT_FAILURE;
	}
	return status;
}
