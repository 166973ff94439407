/* Who may do what with a file: its owner, group, mode and security label, which a new file takes
 * over from the one that it stands beside or in for (rule 13). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Give the file or directory open at @to the owner, group, label and access list of the one open at
 * @from, and its mode as far as @mask goes. False with errno. */
bool looks_copy(int from, int to, mode_t mask);
