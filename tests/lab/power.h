/* A disk that loses its power. power-calls.c stands between our own code and the kernel: the linker
 * gives it every open, write, fsync, link, rename, unlink, mkdir… of src/ (meson.build lists them),
 * so what is tested is src/store/files-real.c, src/image/state.c and so on as they are. Calls for
 * paths below a root go to a scratch directory, and every effect is written down.
 *
 * What is promised of a disk is no more than POSIX does:
 * - what is in a file is durable by an fsync of the file, a name in a directory (made, removed,
 * moved) by an fsync of that directory, and by nothing else: not by the order of the calls, not by
 * an fsync of something above or below. A move between two directories needs both;
 * - one link, unlink, rename or exchange happens whole or not at all;
 * - any effect that is not durable has happened or not, each independently of the others. What was
 * written is there, is not there, has its length but zeros in it, or is there by half.
 *
 * Modes, owners and times are not modelled. One thread at a time. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Paths below @root (absolute; it need not exist) are in a new directory below @scratch from now
 * on. */
void power_begin(const char *root, const char *scratch);
/* @path as the kernel is given it; yours. */
char *power_real_path(const char *path);
/* Nothing is left of it, also in @scratch. */
void power_end(void);
/* The system was idle for a while: all that was done is on the disk. */
void power_settle(void);

/* Called before each effect, and by power_other_effect: here the power may go. NULL: nobody. */
typedef void (*PowerWatch)(void *data);
void power_watch(PowerWatch watch, void *data);
/* Something is about to be changed that is not on this disk: what the disk may have now is worth
 * another look. */
void power_other_effect(void);
/* Another program may have written to files that we know: its writes are effects as well. */
void power_rescan(void);

/* To see that the laws are able to break: fsync of what @ignored says yes to does nothing. The path
 * is relative to the root. NULL: none. */
typedef bool (*PowerIgnored)(const char *path, bool directory);
void power_ignore(PowerIgnored ignored);
unsigned power_ignored(void); /* how many were not done */

/* What may be on the disk when the power goes now, of PowerState *.
 * Those that were given out since power_settle or power_other_effect are left out. @few: nothing
 * that is not durable, everything, and everything with what was written torn. */
typedef struct PowerState PowerState;
GPtrArray *power_states(bool few);
char *power_describe(const PowerState *state); /* yours */
/* The root is another directory from now on, named @name below the scratch directory, in which is
 * what
 * @state says, all of it durable. What had it open before still has the old one. */
void power_lose(const PowerState *state, const char *name);
/* Remove a directory of that name below the scratch directory. */
void power_remove(const char *name);
/* The same with everything in it, and what is not durable stays so: only the program died. */
void power_kill(const char *name);
/* Is below the root what we know of? Else calls are made that are not seen; yours. */
char *power_blind_spot(void);
