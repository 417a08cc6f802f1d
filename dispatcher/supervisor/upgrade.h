/* This process becomes the installed binary, with the same pid, children and listeners. */
#ifndef SUPERVISOR_UPGRADE_H
#define SUPERVISOR_UPGRADE_H

#define UPGRADE_STATE_VERSION 1 /* of what is written */
#define UPGRADE_STATE_NEEDS 1	/* whoever reads must know this version at least */
#define UPGRADE_PROVEN "fit "	/* what a probe says on its standard output, and its version */

/* What the old image leaves to the new one in the arguments behind the role. */
enum upgrade_argument { UPGRADE_ARG_STATE = 2, UPGRADE_ARG_WHY };

/* The role "resume": goes on where the image before this one stopped. Returns as supervisor_main. The
 * third argument, if any, tells why the image that was to take our place could not. */
int upgrade_resume(int argc, char **argv);

/* The role "probe": does all that "resume" does before anybody could notice, says whether it can be
 * done, and exits. */
int upgrade_probe(int argc, char **argv);

#endif
