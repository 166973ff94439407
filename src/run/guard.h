/* QEMU's image locks that an offline operation holds, so that the VM cannot be started under it
 * (rule 8). A file that qemu-img has to work on is lent and taken back. Thread-safe: the lanes of a
 * merge share one guard. */
#pragma once
#include "run/world.h"

typedef struct Guard Guard;

/* All its locks together are waited for no longer than world->lock_wait_ms, and none beyond
 * @answer_by (monotonic µs; 0: whenever): somebody waits for the operation's answer. */
Guard *guard_new(const World *world, int64_t answer_by);
/* From now on each lock may be waited for so long: for merges, for whose answer nobody waits. */
void guard_be_patient(Guard *guard);
/* Releases every lock. */
void guard_free(Guard *guard);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guard, guard_free)

/* Hold @path; success if it is held already. ERR_BUSY if somebody else has it. */
bool guard_hold(Guard *guard, const char *path, GError **error);
/* Let go of @path, which is to be unlinked, and wait until nobody else has it: unlinking would wait
 * too, but for its own time. A file that is not there is free. */
bool guard_await_free(Guard *guard, const char *path, GError **error);
/* Let go of @path; true if it was held. */
bool guard_release(Guard *guard, const char *path);
/* Let go of two files that qemu-img works on; which of them were held is for guard_take_back. */
typedef struct {
    bool top, base;
} GuardLoan;
GuardLoan guard_lend(Guard *guard, const char *top, const char *base);
/* ERR_BUSY as guard_hold. */
bool guard_take_back(Guard *guard, GuardLoan loan, const char *top, const char *base,
                     GError **error);
void guard_release_all(Guard *guard);
