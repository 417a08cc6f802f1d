/* From options to settings: what the builders of single parts share. Internal to config/. */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include "config/block.h"
#include "config/host.h"
#include "config/report.h"
#include "config/schema.h"
#include "config/source.h"

#define ADAPTER_EXEC "dispatcher-exec" /* the image of ADAPTER=inetd */

enum build_answer {
	BUILD_WRONG = 1, /* told; go on with the next option */
};

struct build {
	const struct host *host;
	struct report *report;
	struct block block;
	char *config_dir, *worker_dir, *log_dir; /* owned; what logical names stand for */
	uint32_t acceptor_uid;                   /* SETTINGS_NO_ID: without root */
	struct vec taken;                        /* of struct port_taken: addresses so far */
};

/* What a section says, and what is said for it before the first section (NULL: nothing). */
struct scope {
	const struct source_section *own, *defaults;
	enum schema_scope top; /* SCHEMA_TOP_...: which options count there */
};

/* --- build.c: which lines count --- */
/* The section whose lines of this option count; NULL: nobody gives it. */
const struct source_section *scope_section(
	const struct scope *s, const struct schema_option *option);
/* The last line that counts, NULL: nobody gives it. */
const struct source_line *scope_line(const struct scope *s, const char *name);
/* The place of that line, or of the section itself. */
const struct where *scope_where(const struct scope *s, const char *name);
/* Lines of one option in a section, in order: *index is 0 at first; NULL: no more. */
const struct source_line *section_next(
	const struct source_section *section, const struct schema_option *option, size_t *index);
/* Finds each line's option; tells what is unknown, misplaced or without meaning. */
void build_classify(struct source *source, struct report *report);

/* --- names.c --- */
/* Of every id in head and services (of struct service_settings). */
struct settings_list names_build(
	struct build *b, const struct settings *head, const struct vec *services);

/* --- value.c: single options --- */
/* Stores a line's value at field. 0 or BUILD_WRONG. */
int value_store(struct build *b, const struct schema_option *option, const struct source_line *line,
	void *field);
/* Stores the default; inetd: that of an adapted service. */
void value_store_initial(
	struct build *b, const struct schema_option *option, bool inetd, void *field);
bool value_is_single(enum schema_type type);

/* --- lists.c --- */
bool value_is_list(enum schema_type type);
int value_store_list(struct build *b, const struct schema_option *option,
	const struct source_section *section, struct settings_list *field);

/* Cuts the next element out of a list of words parted by blanks and commas; NULL: no more. */
char *list_next(char **rest);

/* --- paths.c --- */
/* Puts directories for logical names; a new string that must be an absolute path, or NULL: told. */
char *path_resolve(struct build *b, const struct schema_option *option, const struct where *where,
	const char *value);
/* Image, command and adapter; warns of programs that are not there. */
void image_build(struct build *b, const struct scope *s, struct service_settings *svc);

/* --- adapter.c --- */
/* What kind of program serves, by ADAPTER or by what else is said. */
enum settings_adapter adapter_of(const struct scope *s);
/* Tells of IMAGE and COMMAND that do not fit it. */
void adapter_check_pair(struct build *b, const struct scope *s);
/* The method, and what does not go with ADAPTER=server; behind listeners, image and limits. */
void adapter_build(struct build *b, const struct scope *s, struct service_settings *svc);

/* --- listeners.c --- */
/* Listeners, and whether PORT=0 disables the service. */
void ports_build(struct build *b, const struct scope *s, struct service_settings *svc);

/* --- tlsopts.c --- */
int tls_store_said(struct build *b, const struct schema_option *option, const struct source_line *line,
	void *field);
int tls_store_file(struct build *b, const struct schema_option *option, const struct source_line *line,
	void *field);
/* Elements of lists, as lists.c wants them. */
int tls_add_file(struct build *b, const struct schema_option *option, const struct source_line *line,
	struct vec *elements);
int tls_add_sni(struct build *b, const struct schema_option *option, const struct source_line *line,
	struct vec *elements);
int tls_add_protocols(struct build *b, const struct schema_option *option,
	const struct source_line *line, struct vec *elements);
/* Whether what is said of TLS makes sense together. */
void tls_check(struct build *b, const struct scope *s, const struct service_settings *svc);

/* --- account.c --- */
int account_user(struct build *b, const struct schema_option *option,
	const struct source_line *line, uint32_t *ret_uid);
int account_group(struct build *b, const struct schema_option *option,
	const struct source_line *line, uint32_t *ret_gid);
void account_build_dispatcher(struct build *b, const struct scope *s, struct settings *head);
void account_build(struct build *b, const struct scope *s, struct service_settings *svc);

/* --- reach.c --- */
/* Warns of a program or directory that the service's user cannot get at. */
void reach_check(struct build *b, const struct scope *s, const struct service_settings *svc);

/* --- service.c --- */
/* Stores the options that stand for themselves; alone, it checks a section without a service. */
void service_store(struct build *b, const struct scope *s, struct service_settings *svc);
void service_build(struct build *b, const struct scope *s, struct service_settings *ret_svc);

/* --- self.c: the dispatcher itself --- */
void self_build(struct build *b, const struct scope *s, struct settings *ret_head);

/* --- mappings.c --- */
/* Tells of a PORT_ACCESS table in a file `mappings` of the directory. */
void mappings_look(const char *dir, struct report *report);

#endif
