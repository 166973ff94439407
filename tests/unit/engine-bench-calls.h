/* What a bench's engine asks of the guest and of files, in order; and calls that fail. */
#pragma once

#include "engine-bench.h"

/* Before bench_start(); bench_unwatch() comes after bench_free(). One bench at a time. Words:
 * frozen (is it?), freeze, suspend, vars, tpm (a copy is put), write (catalog or journal),
 * snapshot, resume, thaw, sync; one that repeats stands once. */
void bench_watch(Bench *bench);
void bench_unwatch(void);
/* What was asked since the last call; yours. */
char *bench_calls(void);
/* The next @times calls of @word fail; @happens: their answers are lost. "read": of variables and
 * vTPM state while the guest is paused. */
void bench_break_call(const char *word, unsigned times, bool happens);
