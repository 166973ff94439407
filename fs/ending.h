/* The end of the program has a deadline. Who unmounts the tree or stops the service while libvirt
 * or the storage hangs is not to wait for them: what is on disk is whole at every moment, so the
 * next start brings to its end what is left, as after a crash. */
#pragma once

#include "fs/face.h"

/* From now on the process has ENDING_SECONDS. Then it answers what is pending, unmounts the tree,
 * says what hangs, and is gone, with status 1; its guardian resumes and thaws guests. @face: until
 * ending_engine_stopped(). Once; later calls do nothing. */
void ending_begin(Face *face);
/* The engine stands still, and nobody waits for an answer: what may hang now is the way out. */
void ending_engine_stopped(void);
