/* Where lines go by the words of the configuration: stderr, syslog or a file that may be moved away. */
#ifndef SUPERVISOR_LOGFILE_H
#define SUPERVISOR_LOGFILE_H

#include <stdbool.h>

struct logfile {
	char *name; /* "stderr", "syslog" or a path; NULL: nothing */
	int fd;	    /* -1: syslog, or nothing */
	bool astray; /* a file that cannot be opened: its lines go to stderr */
};

/* Opens it, again if it was open. False: astray, which is logged. */
bool logfile_open(struct logfile *f);

/* Looks whether its path is another file by now, or can be opened at last. True: fd is another. */
bool logfile_follow(struct logfile *f);

#endif
