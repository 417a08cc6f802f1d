/* A piece ends when it is long enough for a write, or has taken its time: a large table that is nearly
 * empty makes pieces of no length. Without memory an answer ends early; the client sees that its JSON is cut. */
#include "dispatcher/acceptor/answer.h"
#include "common/base.h"

#include <jansson.h>
#include <string.h>

#define PIECE_BYTES 32768
#define PIECE_CALLS 64

static void replace(struct answer *an, char *text, size_t len)
{
	free(an->text);
	an->text = text;
	an->len = text ? len : 0;
	an->sent = 0;
}

void answer_head(struct answer *an, int status, const char *error, const char *more)
{
	json_t *said = error ? json_string(error) : json_null();
	char *quoted = said ? json_dumps(said, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	char *line = NULL;
	int len = asprintf(&line, "{\"status\":%d,\"error\":%s%s}\n", status, quoted ? quoted : "null",
		more ? more : "");

	replace(an, len < 0 ? NULL : line, len < 0 ? 0 : (size_t)len);
	free(quoted);
	json_decref(said);
}

void answer_add(struct answer *an, const char *text)
{
	size_t more = strlen(text);
	char *longer = realloc(an->text, an->len + more + 1);

	if (!longer)
		return;
	memcpy(longer + an->len, text, more + 1);
	an->text = longer;
	an->len += more;
}

bool answer_next(struct answer *an)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = an->more ? open_memstream(&text, &len) : NULL;

	if (!out)
		return false;
	for (unsigned i = 0; an->more && i < PIECE_CALLS && ftell(out) < PIECE_BYTES; i++)
		if (!an->more(an, out))
			an->more = NULL;
	if (fclose(out)) {
		free(text);
		return false;
	}
	replace(an, text, len);
	return len || an->more;
}

void answer_deinit(struct answer *an)
{
	free(an->text);
	*an = (struct answer){0};
}
