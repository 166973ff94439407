/* Do two images show the same, with what is below them? */
#pragma once
#include "run/vm-private.h"

/* Both are read, as fast as that goes, with progress on the disk @target. ERR_INTERRUPTED: the
 * operation was told to stop. */
bool compare_images(Operation *op, const char *target, const char *a, const char *a_format,
                    const char *b, const char *b_format, bool *out_same, GError **error);
/* The step compare. ERR_DRIFT: they do not. */
bool compare_merged(Operation *op, const Step *step, GError **error);
