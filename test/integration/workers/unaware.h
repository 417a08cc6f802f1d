/* What the servers of unaware.c do with sockets. */
#ifndef TEST_INTEGRATION_WORKERS_UNAWARE_H
#define TEST_INTEGRATION_WORKERS_UNAWARE_H

#include <stddef.h>
#include <sys/socket.h>

/* A bound socket, and one that listens as well, for a name as "127.0.0.1:25", "[::]:25" or
 * "unix:/x". */
int bound(const char *name, int flags);
int listening(const char *name, int flags);

/* The name of an address. */
void describe(const struct sockaddr_storage *sa, char *text, size_t size);

/* accept4() that is not interrupted; the same, or the program ends. */
int accepted(int listener, int flags);
int next_conn(int listener);

/* Writes the line "LABEL PEER OWN-ADDRESS"; waits until the client closes; both. */
void greet(int fd, const char *label);
void until_closed(int fd);
void attend(int fd, const char *label);

/* Habits of several processes; they get the names that follow theirs on the command line. */
void habit_forks(char **names);
void habit_raw_forks(char **names);
void habit_execs(char **names);
void habit_inetd(char **names);
void habit_shells(char **names);
void habit_passes(char **names);
void habit_hands_on(char **names);
void habit_accepts(char **names);
void habit_passes_to_other(char **names);
void habit_receives(char **names);
void habit_preforks(char **names);
void habit_clones(char **names);
void habit_exclusive(char **names);
void habit_gives(char **names);
void habit_takes(char **names);

#endif
