/* The few words that every file speaks: assertions, array lengths, owned locals. */
#ifndef COMMON_BASE_H
#define COMMON_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h> /* MIN, MAX: libuv includes it too */
#include <unistd.h>

/* Our own promises; stays in release builds. Input is checked, never asserted. */
#define ASSERT(claim) \
	do { \
		if (__builtin_expect(!(claim), 0)) \
			base_assert_failed(#claim, __FILE__, __LINE__); \
	} while (0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1u << (n))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))

/* A local that owns a descriptor or memory, released when it goes out of scope; that may be all that
 * it is for. */
#define OWNS_FD __attribute__((cleanup(base_close_local), unused))
#define OWNS_MEM __attribute__((cleanup(base_free_local), unused))
#define OWNS_FILE __attribute__((cleanup(base_fclose_local), unused))

_Noreturn void base_assert_failed(const char *claim, const char *file, int line);

/* Closes *fd unless it is -1, sets it to -1; keeps errno. */
void base_close(int *fd);

static inline void base_close_local(int *fd)
{
	base_close(fd);
}

static inline void base_free_local(void *where)
{
	free(*(void **)where);
}

static inline void base_fclose_local(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* Takes the descriptor out of an owning local. */
static inline int base_steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Smallest power of two that is at least n; 1 for 0. n must be at most 2^31. */
static inline uint32_t base_pow2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p <<= 1;
	return p;
}

#endif
