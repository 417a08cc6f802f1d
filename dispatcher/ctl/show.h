/* Renders the dispatcher's JSON as text for people: pure, from a document to a stream. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The status document. Services in trouble come first; detailed: every figure and every worker, else
 * one line each and what is out of the ordinary. Missing members count as 0 or empty. */
void show_status(const json_t *document, bool detailed, FILE *out);

/* Everything of one service, below its line (part of show_status). */
void show_service_details(const json_t *service, FILE *out);

/* The connections document, longest first. */
void show_connections(const json_t *document, FILE *out);

/* The connections document by source, those with most first. */
void show_sources(const json_t *document, FILE *out);

#endif
