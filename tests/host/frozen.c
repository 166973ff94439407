/* frozen URI UUID NAME die|alone|late|thaw: take a snapshot of a VM, with the engine's own parts,
 * and stop where the guest's state is at stake: say "now", wait for a line, and then
 *
 *     die    be killed, with the guest frozen or suspended and the disks about to switch; a
 * guardian is there alone  the same without a guardian late   go on and ask the agent, which is
 * running no more, to freeze thaw   go on and ask the agent, which is running no more, to thaw
 *
 * Exits with 0 if the snapshot was taken, else says why. The VM is started if it is off, and its
 * agent, if it is to have one, waited for. */
#include "image/image.h"
#include "run/guardian.h"
#include "run/users.h"
#include "run/vm.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_US (120 * G_USEC_PER_SEC)

static const HvOps *libvirt;
static HvOps stopping;

static void wait_for_line(void)
{
    char line[16];

    puts("now");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        raise(SIGKILL);
}

static bool snapshot_and_die(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                             const GPtrArray *excluded, GError **error)
{
    wait_for_line();
    raise(SIGKILL);
    return false;
}

static bool freeze_late(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    wait_for_line();
    return libvirt->freeze(hv, uuid, out_count, error);
}

static bool thaw_late(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    wait_for_line();
    return libvirt->thaw(hv, uuid, out_count, error);
}

static void stop_where_it_matters(Hypervisor *hv, const char *how)
{
    libvirt = hv->ops;
    stopping = *libvirt;
    if (strcmp(how, "die") == 0 || strcmp(how, "alone") == 0)
        stopping.snapshot = snapshot_and_die;
    else if (strcmp(how, "late") == 0)
        stopping.freeze = freeze_late;
    else
        stopping.thaw = thaw_late;
    hv->ops = &stopping;
}

/* ---- the VM ---- */

static bool is_ready(Hypervisor *hv, const char *uuid)
{
    g_autofree char *live = NULL, *inactive = NULL, *foreign = NULL;
    g_autoptr(Domain) domain = NULL;
    HvDomain *found = NULL;
    unsigned snapshots;

    if (!hv->ops->inspect(hv, uuid, &found, &live, &inactive, &foreign, &snapshots, NULL))
        return false;
    hv_domain_free(found);
    domain = live ? domain_parse(live, NULL) : NULL;
    return domain && domain->agent != AGENT_DISCONNECTED;
}

static bool run_guest(Hypervisor *hv, const char *uuid)
{
    int64_t deadline = g_get_monotonic_time() + PATIENCE_US;

    hv->ops->start(hv, uuid, NULL); /* it may run already */
    while (!is_ready(hv, uuid))
        if (g_get_monotonic_time() > deadline)
            return false;
        else
            g_usleep(50000);
    return true;
}

static bool take(Hypervisor *hv, const char *uuid, const char *name, Guardian *guardian,
                 GError **error)
{
    World world;
    Vm *vm;
    bool taken;

    world_init_real(&world);
    world.hv = hv;
    world.images = image_real();
    world.files = files_real();
    world.users = users_new();
    world.guardian = guardian;
    vm = vm_new(&world, uuid, uuid);
    taken = vm_create(vm, name, "", 0, 0750, "mkdir", NULL, error);
    vm_free(vm);
    users_free(world.users);
    files_free(world.files);
    images_free(world.images);
    return taken;
}

int main(int argc, char **argv)
{
    bool dies = argc == 5 && strcmp(argv[4], "die") == 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(Guardian) guardian = dies ? guardian_new(argv[1], &error) : NULL;
    g_autoptr(Hypervisor) hv = argc == 5 ? hv_libvirt_open(argv[1], &error) : NULL;

    if (!hv || !run_guest(hv, argv[2]))
        return 2;
    stop_where_it_matters(hv, argv[4]);
    if (take(hv, argv[2], argv[3], guardian, &error))
        return 0;
    fprintf(stderr, "%s\n", error->message);
    return 1;
}
