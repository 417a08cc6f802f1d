/* The process's title in ps. */
#ifndef SUPERVISOR_TITLE_H
#define SUPERVISOR_TITLE_H

/* Writes title over the memory of the arguments and, if it needs more, of the environment, which is
 * copied first. argv's texts are gone then. */
void title_set(int argc, char **argv, const char *title);

#endif
