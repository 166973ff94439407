/* The parts of step_apply (step.h) that lie in files of their own. Inside plan/ only.
 *
 * Each changes @catalog, which is a copy, as @step says; false with ERR_INVALID if it does not fit.
 */
#pragma once

#include "plan/step.h"

/* Set @error: @step does not fit, because @what. Always false. */
bool step_misfit(const Step *step, GError **error, const char *what);

/* apply-adopt.c: what adopt found. */
bool apply_found(const Step *step, Catalog *catalog, GError **error);
bool apply_layers(const Step *step, Catalog *catalog, GError **error);
bool apply_tree(const Step *step, Catalog *catalog, GError **error);
