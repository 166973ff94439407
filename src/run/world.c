#include "run/world.h"

int64_t world_now(const World *world)
{
    return world->now(world->data);
}

uint64_t world_random(const World *world)
{
    return world->random(world->data);
}

static int64_t clock_now(void *data)
{
    return g_get_real_time();
}

/* Ids need only be unlikely to meet, also after a fork or on two hosts: GLib's generator is seeded
 * from the kernel. */
static uint64_t machine_random(void *data)
{
    return ((uint64_t)g_random_int() << 32) | g_random_int();
}

void world_init_real(World *world)
{
    *world = (World){
        .now = clock_now,
        .random = machine_random,
        .job_poll_ms = 1000,
        .lock_wait_ms = 5000,
    };
}
