/* The bar of a job, one line a disk: "merge vda  [####------]  42 %  1.3 GiB of 3.1 GiB  410 MiB/s
 * 4 s". */
#pragma once

#include "engine.h"

void progress_draw(GString *out, EngineJob *job);
