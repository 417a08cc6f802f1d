/* What operators have ordered, by id: begun once however often it is asked for, its result kept and
 * told to every acceptor, so that who asked hears of it even when the acceptor was replaced meanwhile. */
#ifndef SUPERVISOR_OPS_H
#define SUPERVISOR_OPS_H

#include "common/base.h"
#include "dispatcher/link.h"
#include "dispatcher/supervisor/outlet.h"

#define OPS_KEPT 16    /* results */
#define OPS_RUNNING 16 /* at a time */
#define OPS_TEXT_BYTES 65536
#define OPS_VERB_BYTES 20

enum ops_answer {
	OPS_KNOWN = 1,	 /* runs or has ended already; its result is told again */
	OPS_REFUSED = 2, /* too many run; that is its result */
};

/*  FREE -> RUNS -> ENDED -> FREE (when OPS_KEPT newer ones have ended) */
enum op_state { OP_FREE, OP_RUNS, OP_ENDED };

/* One operation; what a later supervisor must know of it, too. */
struct op {
	struct news news;
	enum op_state state;
	uint64_t id;  /* 0: a signal, nobody asks for its result */
	uint64_t seq; /* order of beginning, then of ending */
	uint64_t ended_wall_ms;
	int status;  /* 0 done, 1 refused or failed */
	int text_fd; /* sealed memory; -1: none */
	char verb[OPS_VERB_BYTES];
	char subject[LINK_TEXT_BYTES]; /* service or worker */
	char by[LINK_TEXT_BYTES];      /* who asked */
};

struct ops;

/* outlet is borrowed. 0 or -ENOMEM. */
int ops_new(struct outlet *outlet, struct ops **ret_ops);
struct ops *ops_free(struct ops *ops); /* NULL is fine; returns NULL */

/* An order has come (its text says who asks); subject: whom it means, NULL: the dispatcher. 0: begin, and
 * call ops_end when it is over, now or later; or an answer above: do nothing. */
int ops_begin(struct ops *ops, const struct link_record *order, const char *subject);

/* Its end; text is for the operator, lines without a prefix, cut at OPS_TEXT_BYTES. Of id 0 the signal
 * that came last. An id that does not run is ignored. */
void ops_end(struct ops *ops, uint64_t id, int status, const char *text);
void ops_end_f(struct ops *ops, uint64_t id, int status, const char *format, ...) PRINTF_LIKE(4, 5);
bool ops_runs(const struct ops *ops, uint64_t id);

/* Tells the acceptor every result again. */
void ops_announce(struct ops *ops);

/* All that run or have ended, in the order of seq; NULL behind the last. To carry them over an exec. */
const struct op *ops_at(const struct ops *ops, unsigned index);
int ops_restore_consume(struct ops *ops, const struct op *op); /* owns its text_fd; 0 or -ENOSPC */

#endif
