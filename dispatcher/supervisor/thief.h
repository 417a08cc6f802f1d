/* The role "thief": takes unread offers out of one worker's channel and gives them to others. */
#ifndef SUPERVISOR_THIEF_H
#define SUPERVISOR_THIEF_H

/* Descriptors of a thief; targets follow, in the order of the rooms in its arguments. */
enum { THIEF_VICTIM_IN = 3, THIEF_VICTIM_OUT, THIEF_LOOT, THIEF_TARGETS };

/* link_loot.phase. Only a thief that READS can be abandoned, and one that was abandoned moves nothing
 * any more: a worker that holds the lock of its socket can stop a read, nothing stops a move.
 *
 *     BEGINS -> READS <-> MOVES
 *                 +----------> ABANDONED (by the supervisor)
 */
enum thief_phase { THIEF_BEGINS, THIEF_READS, THIEF_MOVES, THIEF_ABANDONED };

int thief_main(int argc, char **argv);

#endif
