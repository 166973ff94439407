/* Taking what libvirt has as the truth (rule 10, rule 14).
 *
 * Nothing but the catalog changes, and no file does. Whatever can still be told apart stays: layers
 * that somebody else put between ours become snapshots of their own, snapshots whose files are gone
 * go, and one that may not show any more what it was taken of is listed as failed. */
#include "plan/adopt.h"

#include <string.h>

#include "plan/matching.h"

/* --- refusals --- */

static bool check_idle(const Observation *observation, GError **error)
{
    const Domain *domain = observation_domain(observation);

    for (unsigned i = 0; i < domain->disks->len; i++)
        if (!check_no_block_job(observation, domain->disks->pdata[i], error))
            return false;
    return true;
}

static bool check_vm(const Observation *observation, GError **error)
{
    return check_persistent(observation, error) && check_settled_state(observation, error) &&
           check_no_managed_save(observation, error) && check_same_disks(observation, error) &&
           check_idle(observation, error);
}

static bool check_alone(const Adoption *adoption, const Disk *disk, const DomainDisk *source,
                        GError **error)
{
    const Domain *domain = observation_domain(adoption->observation);

    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *other = domain->disks->pdata[i];
        g_autoptr(GPtrArray) chain = NULL;

        if (other == source || !other->path)
            continue;
        chain = observation_chain(adoption->observation, other->path);
        for (unsigned j = 0; j < chain->len; j++)
            if (catalog_disk_of_path(adoption->catalog, chain->pdata[j], NULL) == disk)
                return refuse(error, ERR_DRIFT,
                              "VM %s cannot adopt disk %s: disk %s is on one of its layers, too "
                              "(%s); detach that one first",
                              observation_name(adoption->observation), source->target,
                              other->target, (char *)chain->pdata[j]);
    }
    return true;
}

/* What cannot be read now is not gone. */
static bool check_readable(const Adoption *adoption, const DomainDisk *source, GError **error)
{
    const ImageFacts *facts = match_unreadable(adoption->observation, source);

    return !facts ||
           refuse(error, ERR_IO, "VM %s cannot adopt disk %s: %s; adopt it when that can be read",
                  observation_name(adoption->observation), source->target, facts->error);
}

/* --- steps --- */

static bool add_layers(Adoption *adoption, const FoundDisk *found, GError **error)
{
    Step *step = step_new(STEP_RECORD_LAYERS);

    step_set(step, "disk", found->disk->id);
    step_set(step, "target", found->source->target);
    step_set(step, "active", ((FoundLayer *)found->layers->pdata[0])->id);
    for (unsigned i = 0; i < found->layers->len; i++) {
        const FoundLayer *layer = found->layers->pdata[i];
        g_autofree char *capacity = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)layer->capacity);

        step_set_sub(step, "path", layer->id, layer->path);
        step_set_sub(step, "format", layer->id, layer->format);
        step_set_sub(step, "capacity", layer->id, capacity);
        if (layer->parent)
            step_set_sub(step, "parent", layer->id, layer->parent);
        if (layer->owner)
            step_set_sub(step, "owner", layer->id, layer->owner);
    }
    return adoption_add(adoption, step, error);
}

/* --- all --- */

static bool look_at_disks(Adoption *adoption, GError **error)
{
    const Catalog *catalog = adoption->catalog;
    const Domain *domain = observation_domain(adoption->observation);

    for (unsigned i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];
        const DomainDisk *source = match_in_domain(catalog, domain, disk, NULL);
        FoundDisk *found;

        if (!source)
            source = match_stranger(catalog, adoption->observation, domain, disk);
        if (!source)
            continue;
        if (!check_readable(adoption, source, error) ||
            !check_alone(adoption, disk, source, error) ||
            !(found = found_disk_new(catalog, adoption->observation, disk, source, &adoption->ids,
                                     error)))
            return false;
        if (found->changed)
            g_ptr_array_add(adoption->disks, found);
        else
            found_disk_free(found);
    }
    return true;
}

static bool plan_steps(Adoption *adoption, GError **error)
{
    const GPtrArray *snapshots = adoption->catalog->snapshots;

    if (!adoption_give_owners(adoption, false, error) ||
        !adoption_give_owners(adoption, true, error))
        return false;
    for (unsigned i = 0; i < adoption->disks->len; i++)
        if (!add_layers(adoption, adoption->disks->pdata[i], error))
            return false;
    for (unsigned i = 0; i < snapshots->len; i++)
        if (!adoption_settle(adoption, snapshots->pdata[i], error))
            return false;
    for (unsigned i = 0; i < adoption->disks->len; i++)
        if (!adoption_settle_left(adoption, adoption->disks->pdata[i], error))
            return false;
    if (!adoption_add_tree(adoption, error))
        return false;
    for (unsigned i = 0; i < adoption->disks->len; i++)
        if (!adoption_tell_left(adoption, adoption->disks->pdata[i], error))
            return false;
    return true;
}

/* What is not answered by the definitions, is by who adopts them: the VM goes on from what they
 * name. While it runs, libvirt may name another file than QEMU writes to. */
static bool settle_pivots(Adoption *adoption, GError **error)
{
    for (unsigned i = 0; i < adoption->catalog->disks->len; i++) {
        const Disk *disk = adoption->catalog->disks->pdata[i];
        const Disk *now = catalog_disk(adoption->view, disk->id);
        Step *step;

        if (!now || !now->pivot)
            continue;
        g_autofree char *doubt = plan_doubt(adoption->view, adoption->observation, now);
        if (doubt && adoption->observation->live)
            return refuse(error, ERR_BUSY, "VM %s must be off to be adopted: %s",
                          observation_name(adoption->observation), doubt);
        step = step_new(STEP_RECORD_PIVOT);
        step_set(step, "disk", disk->id);
        if (!adoption_add(adoption, step, error))
            return false;
    }
    return true;
}

/* What somebody else did may concern what is being removed, of which an adoption says nothing. */
static bool doubt_removals(Adoption *adoption, GError **error)
{
    const GPtrArray *snapshots = adoption->catalog->snapshots;

    for (unsigned i = 0; i < snapshots->len; i++) {
        const Snapshot *snapshot = snapshots->pdata[i];

        if (snapshot->whole && !adoption_doubt(adoption, snapshot, error))
            return false;
    }
    return true;
}

/* The records must fit together, and leave nothing to complain of. */
static bool plan_all(Adoption *adoption, GError **error)
{
    g_autofree char *drift = NULL;

    if (!doubt_removals(adoption, error) || !look_at_disks(adoption, error) ||
        (adoption->disks->len > 0 && !plan_steps(adoption, error)) ||
        !settle_pivots(adoption, error))
        return false;
    drift = plan_drift(adoption->view, adoption->observation);
    if (!drift)
        return true;
    *strchrnul(drift, '\n') = '\0';
    return refuse(error, ERR_DRIFT, "what libvirt has of VM %s cannot be adopted: %s",
                  observation_name(adoption->observation), drift);
}

Plan *plan_adopt(const Catalog *catalog, const Observation *observation,
                 const AdoptRequest *request, GError **error)
{
    g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func((GDestroyNotify)found_disk_free);
    g_autoptr(Catalog) view = catalog_copy(catalog);
    g_autoptr(Plan) plan = plan_new(PLAN_ADOPT, NULL);
    Adoption adoption = {.catalog = catalog,
                         .observation = observation,
                         .request = request,
                         .disks = disks,
                         .view = view,
                         .plan = plan};
    bool good;

    if (!check_vm(observation, error))
        return NULL;
    ids_init(&adoption.ids, catalog, observation, request->random);
    good = plan_all(&adoption, error);
    ids_clear(&adoption.ids);
    return good ? g_steal_pointer(&plan) : NULL;
}
