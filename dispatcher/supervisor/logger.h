/* The role "logger": copies lines from the pipes of all processes to where they belong. */
#ifndef SUPERVISOR_LOGGER_H
#define SUPERVISOR_LOGGER_H

int logger_main(int argc, char **argv);

#endif
