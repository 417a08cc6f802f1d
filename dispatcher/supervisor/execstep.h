/* The role "spawn": turns a fresh process into what a spec says, and execs it. */
#ifndef SUPERVISOR_EXECSTEP_H
#define SUPERVISOR_EXECSTEP_H

int execstep_main(int argc, char **argv);

#endif
