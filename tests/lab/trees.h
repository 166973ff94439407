/* Every tree of at most four snapshots that operations can make — every shape, every place of
 * current, every set of hidden ones — and every request on each. */
#pragma once

#include "lab.h"

/* @script leads to a tree (VM off), @word is a request on it; a revert among them needs the VM off.
 * Returns NULL, or what is wrong; yours. */
typedef char *(*TreeVisit)(const char *script, const char *word, unsigned disks, void *data);

/* Visits all; stops at the first text, which is returned with its script. Numbers are counted up.
 */
char *trees_visit(unsigned disks, TreeVisit visit, void *data, unsigned *out_trees,
                  unsigned *out_requests);
