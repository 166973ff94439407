/* Our own reader of image headers: what a file says of itself, without opening its backing files,
 * without locks, and without trusting a length in it. A guest may have written any of it. */
#pragma once

#include "plan/planner.h"

/* Facts of the file at @path (ImageOps.inspect). Never NULL. */
ImageFacts *header_inspect(const char *path);
