/* What diff.c and the words of the result share. */
#ifndef CONFIG_DIFF_INNER_H
#define CONFIG_DIFF_INNER_H

#include "config/block.h"
#include "config/diff.h"

struct diff_maker {
	struct block block;
	const struct settings *old, *next;
	struct vec services; /* of struct diff_service */
	struct vec refusals; /* of texts */
	/* what is being compared: a service, NULL where there is none; both NULL: the dispatcher itself */
	const struct service_settings *was, *is;
	struct settings_list listeners; /* in the block: of struct diff_listener */
	bool ports_said;
	FILE *out; /* the words so far */
	char *text;
	size_t size;
};

void diff_words_begin(struct diff_maker *m);
uint32_t diff_words_end(struct diff_maker *m); /* as a text of the block */

/* An option that differs, as it prints before and after. */
void diff_say_option(struct diff_maker *m, const struct schema_option *option, const char *before,
	const char *after);
void diff_say_whole(struct diff_maker *m); /* a service that is new or gone */

/* `wants` cannot listen on `wanted` because `holds` does on `open`. */
void diff_refuse_address(struct diff_maker *m, const struct service_settings *wants,
	const struct settings_listener *wanted, const struct service_settings *holds,
	const struct settings_listener *open);

#endif
