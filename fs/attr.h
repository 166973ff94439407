/* Attributes: mode, owner, size, times of a node at a place. */
#pragma once

#include "fs/nodes.h"
#include <sys/stat.h>

void attr_fill(struct stat *attr, const Node *node, const Place *place);
/* How long the kernel may rely on the attributes and on the name, in seconds. */
double attr_timeout(const Node *node);
double attr_entry_timeout(const Node *node);
