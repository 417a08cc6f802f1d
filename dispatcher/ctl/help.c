/* What the table says about verbs and options, for people. */
#include "dispatcher/ctl/help.h"
#include "dispatcher/ctl/verbs.h"

#include <string.h>

static const char common[] =
	"  -s, --socket=PATH  control socket (/run/dispatcher/control; without root in\n"
	"                     $XDG_RUNTIME_DIR/dispatcher or /tmp/dispatcher-UID)\n"
	"  -h, --help         this, or the help of a verb\n"
	"  -V, --version      version of dispatcherctl\n"
	"Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no dispatcher runs.\n";

static void print_verb(const struct verb *verb, FILE *out)
{
	const struct verb_option *o;

	fprintf(out, "usage: dispatcherctl [-s PATH] %s%s%s\n%s", verb->name, *verb->synopsis ? " " : "",
		verb->synopsis, verb->help);
	if (verb->other)
		fprintf(out, "\"%s\" is the same.\n", verb->other);
	for (size_t i = 0; (o = verbs_option(i)); i++)
		if (verb->takes & o->option)
			fprintf(out, "  --%s%-*s %s\n", o->name, 12 - (int)strlen(o->name),
				o->has_value ? " T" : "", o->help);
}

void help_print(const struct verb *verb, FILE *out)
{
	if (verb) {
		print_verb(verb, out);
		return;
	}
	fputs("usage: dispatcherctl [-s PATH] VERB ...\n", out);
	for (size_t i = 0; (verb = verbs_at(i)); i++)
		fprintf(out, "  %s%s%s\n", verb->name, *verb->synopsis ? " " : "", verb->synopsis);
	fputs(common, out);
}
