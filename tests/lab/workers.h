/* Long tests on all CPUs: one process each. A worker does its share (every @workers'th piece, from
 * its own number on), says on stderr what is wrong, and returns whether all was well. */
#pragma once

#include <stdbool.h>

/* Fails the running test if a worker failed or died. */
void workers_run(bool (*work)(unsigned worker, unsigned workers));
