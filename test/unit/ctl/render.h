/* Fixtures of the rendering tests: a document from a file or a text, rendered to a string. */
#ifndef TEST_CTL_RENDER_H
#define TEST_CTL_RENDER_H

#include <jansson.h>
#include <stdbool.h>

/* The contents of a file beside the tests; to be freed. */
char *fixture_text(const char *name);

/* Status or connections (document is an array) as text; to be freed. Owns document. */
char *rendered_consume(json_t *document, bool detailed);

#endif
