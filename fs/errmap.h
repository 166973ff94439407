/* From outcomes to errno: the one table (design 2.2). */
#pragma once

#include "base/error.h"

int errmap_errno(const GError *error);
/* rename(2) never answers EXDEV nor EINVAL: mv(1) would fall back to mkdir and copy, or print
 * nonsense. */
int errmap_rename_errno(const GError *error);
