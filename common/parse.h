/* Pure text parsers: numbers, times, sizes, booleans, command lines. No locale, no allocation. */
#ifndef COMMON_PARSE_H
#define COMMON_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every parser reads the whole text (no blanks around it) or answers one of these; its outputs are
 * then untouched. */
enum parse_answer {
	PARSE_BAD = 1,     /* not of this form */
	PARSE_TOO_BIG,     /* of this form, but does not fit */
	PARSE_OPEN_QUOTE,  /* a quote is never closed */
	PARSE_OPEN_ESCAPE, /* a backslash stands at the end */
};

/* "10", or "16%ff": value ff in base 16; bases 2 to 36, in decimal. */
int parse_u64(const char *text, uint64_t *ret_number);

/* As parse_u64 with an optional sign. */
int parse_i64(const char *text, int64_t *ret_number);

/* Octal digits as in chmod(1), "022" or "22", or "b%v". */
int parse_octal(const char *text, uint64_t *ret_number);

/* A number and nothing (seconds), "ms", "s", "m", "h" or "d". */
int parse_time(const char *text, uint64_t *ret_ms);

/* A number and nothing (bytes), "K", "M", "G" or "T" (powers of 1024). */
int parse_size(const char *text, uint64_t *ret_bytes);

/* 1, yes, true, on; 0, no, false, off; in any case. */
int parse_bool(const char *text, bool *ret_value);

/* Splits a command line as a shell would, without any expansion: blanks split, '...' is literal, in
 * "..." a backslash escapes " and \, outside it escapes anything. The words come one after another,
 * each with its NUL; strlen(text) + 1 bytes are always enough, and less is a broken promise. */
int parse_words(const char *text, char *ret_words, size_t size, unsigned *ret_count);

/* How many letters must be changed, added, left out or swapped to make b of a, in any case; texts
 * longer than 40 letters are cut. */
unsigned parse_distance(const char *a, const char *b);

#endif
