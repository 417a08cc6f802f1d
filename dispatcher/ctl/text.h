/* Pieces of text for people: durations, counts, times, wrapped lines; nothing that moves a cursor. */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <jansson.h>
#include <stdio.h>

#define TEXT_COLUMNS 80
#define TEXT_SHORT_BYTES 40

/* "7s", "2m 5s", "3h 4m", "12d 3h", "400d": at most 7 characters. */
const char *text_duration(double seconds, char ret_text[TEXT_SHORT_BYTES]);

/* "12345", "1234k", "56M": at most 5 characters. */
const char *text_count(double count, char ret_text[TEXT_SHORT_BYTES]);

/* "2026-02-03 04:05:06" of an ISO 8601 time; what is none as it is. */
const char *text_time(const char *iso, char ret_text[TEXT_SHORT_BYTES]);

/* Cut to `width` characters, with ~ as the last one if something is missing. */
const char *text_cut(const char *text, unsigned width, char ret_text[TEXT_SHORT_BYTES]);

/* Prints words in lines of TEXT_COLUMNS: the first begins with `first`, the others with as many
 * blanks. Control characters become question marks. */
void text_wrap(FILE *out, const char *first, const char *words);

/* Prints text as it is, except that control characters other than line feeds and tabs become
 * question marks: what a worker or a client has chosen must not command a terminal. */
void text_print(FILE *out, const char *text);

/* Members of an object; 0 or `otherwise` when absent or of another kind. */
double text_number(const json_t *object, const char *key);
const char *text_string(const json_t *object, const char *key, const char *otherwise);

#endif
