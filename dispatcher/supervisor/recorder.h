/* The role "recorder": writes down what a worker that is about to be killed is doing. */
#ifndef SUPERVISOR_RECORDER_H
#define SUPERVISOR_RECORDER_H

#define RECORDER_DIR "records" /* below STATE_DIR */
#define RECORDER_KEPT 20       /* records; the oldest are removed */

/* Descriptors of a recorder: lines about the worker; its last log lines, to the end of file; the ledger.
 * Its arguments: pid and name of the worker, its service and slot, STATE_DIR/records/file. */
enum { RECORDER_FACTS = 3, RECORDER_TAIL, RECORDER_LEDGER, RECORDER_FDS };

int recorder_main(int argc, char **argv);

#endif
