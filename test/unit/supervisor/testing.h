/* cmocka and the few helpers that every test here needs. */
#ifndef TEST_SUPERVISOR_TESTING_H
#define TEST_SUPERVISOR_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <sys/types.h>

long testing_pidfd(pid_t pid);
int testing_wait(pid_t pid); /* wait status; fails the test after 5 s */
void testing_print(const char *path);
void testing_await_text(const char *path, const char *text); /* in a file, 5 s at most */
void testing_await_either(const char *path, const char *one, const char *other);
void testing_await_stuck(pid_t pid); /* until it waits in a way that no signal but KILL ends */
bool testing_is_dead(pid_t pid); /* gone or a zombie within 5 s */
void testing_pair(int ret_ends[2]); /* a connected pair of stream sockets */
bool testing_same(int a, int b); /* the same open socket: what goes in at a's peer is at b */

#endif
