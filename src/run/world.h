/* What the engine acts on, handed down to everything in run/. Borrowed tables. */
#pragma once
#include "hv/hypervisor.h"
#include "run/guardian.h"
#include "image/image.h"
#include "store/store.h"

#define CHAIN_LIMIT 300 /* images; libvirt's own is 200, and a longer chain is a loop */

typedef struct Users Users; /* run/users.h */

typedef struct {
    Hypervisor *hv;
    Images *images;
    Files *files;
    Users *users;               /* what is known of other users of image files */
    Guardian *guardian;         /* NULL: there is none */
    const char *uri;            /* of hv, which tells one libvirt of this host from another */
    int64_t (*now)(void *data); /* microseconds since the epoch */
    uint64_t (*random)(void *data);
    void *data;
    unsigned job_poll_ms;  /* longest wait between two looks at a block job that sends no event;
                              tests: 1 */
    unsigned lock_wait_ms; /* how long an operation waits for QEMU's image locks; tests: 0 */
    bool serial;           /* lanes one after another: for tests that must run the same way again */
} World;

int64_t world_now(const World *world);
uint64_t world_random(const World *world);
/* Clock and randomness of the machine. */
void world_init_real(World *world);
