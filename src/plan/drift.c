/* Where libvirt's chains and the catalog differ, and which disks went, came back or changed their
 * label.
 *
 * A catalog disk is looked for in a definition by its active layer's file. The headers below must
 * name the catalog's layers, down to the disk's first one; what is below that is not ours. A layer
 * that a merge in progress may have taken out already may be missing. */
#include "plan/checks.h"
#include "plan/matching.h"

typedef struct {
    const Catalog *catalog;
    const Observation *observation;
    GPtrArray *lines; /* char *, no line twice */
} Drift;

static void add_line(Drift *drift, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add_line(Drift *drift, const char *format, ...)
{
    g_autofree char *line = NULL;
    va_list args;

    va_start(args, format);
    line = g_strdup_vprintf(format, args);
    va_end(args);
    g_strdelimit(line, "\n", ' ');
    if (!g_ptr_array_find_with_equal_func(drift->lines, line, g_str_equal, NULL))
        g_ptr_array_add(drift->lines, g_steal_pointer(&line));
}

/* The header of @above must name @below; or what @below was merged into. The layer that it does
 * name, or NULL. */
static const Layer *check_link(Drift *drift, const Disk *disk, const Layer *above,
                               const char *above_path, const Layer *below)
{
    const ImageFacts *facts = observation_file(drift->observation, above_path);
    const Layer *into = NULL;

    if (!facts || !facts->exists) {
        add_line(drift, "the file %s of disk %s is missing", above_path, disk->target);
        return NULL;
    }
    if (facts->error) {
        add_line(drift, "the file %s of disk %s cannot be read: %s", above_path, disk->target,
                 facts->error);
        return NULL;
    }
    into = match_merged_into(drift->catalog, disk, below, facts->backing);
    if (into)
        below = into;
    if (g_strcmp0(facts->backing, below->path) != 0) {
        add_line(drift, "the backing file of %s (disk %s, layer %s) is %s, but should be %s",
                 above_path, disk->target, above->id, facts->backing ? facts->backing : "none",
                 below->path);
        return NULL;
    }
    if (g_strcmp0(facts->backing_format, below->format) != 0) {
        add_line(drift, "the header of %s (disk %s) says that its backing file is %s, but it is %s",
                 above_path, disk->target,
                 facts->backing_format ? facts->backing_format : "unknown", below->format);
        return NULL;
    }
    return below;
}

static void check_chain(Drift *drift, const Disk *disk, const Layer *layer)
{
    while (layer && layer->parent) {
        const Layer *below = disk_layer(disk, layer->parent);

        layer = check_link(drift, disk, layer, layer->path, below);
    }
    if (layer) {
        const ImageFacts *facts = observation_file(drift->observation, layer->path);

        if (!facts || !facts->exists)
            add_line(drift, "the file %s of disk %s is missing", layer->path, disk->target);
    }
}

static void check_source(Drift *drift, const Disk *disk, const Domain *domain)
{
    const DomainDisk *stranger = match_stranger(drift->catalog, drift->observation, domain, disk);
    const Layer *expected = disk_active(disk);
    bool merged = false;
    const DomainDisk *source = match_in_domain(drift->catalog, domain, disk, &merged);

    if (source) {
        const Layer *layer =
            merged ? match_merged_into(drift->catalog, disk, expected, source->path) : expected;

        if (g_strcmp0(source->format, layer->format) != 0)
            add_line(drift, "disk %s uses %s as %s, but it is %s", source->target, source->path,
                     source->format, layer->format);
        check_chain(drift, disk, layer);
    }
    if (stranger)
        add_line(drift, "disk %s uses %s, which is not the active layer %s of that disk",
                 stranger->target, stranger->path, expected->path);
}

static void check_lost(Drift *drift)
{
    const Domain *live = drift->observation->live;

    for (unsigned i = 0; live && i < live->disks->len; i++) {
        g_autofree char *lost = observation_lost_disk(drift->observation, live->disks->pdata[i]);

        if (lost)
            add_line(drift, "%s", lost);
    }
}

/* A disk that only one of the two definitions has cannot be brought to one state by us (rule 7). */
static void check_both(Drift *drift, const Disk *disk)
{
    const Observation *observation = drift->observation;
    const DomainDisk *live = match_in_domain(drift->catalog, observation->live, disk, NULL);
    const DomainDisk *stored = match_in_domain(drift->catalog, observation->inactive, disk, NULL);

    if (!observation->live || !observation->inactive || !live == !stored)
        return;
    if (live)
        add_line(drift, "disk %s (%s) of the running VM is not in its persistent definition",
                 live->target, live->path);
    else
        add_line(drift, "disk %s (%s) of the persistent definition is not in the running VM",
                 stored->target, stored->path);
}

static void check_pivot(Drift *drift, const Disk *disk)
{
    g_autofree char *doubt = plan_doubt(drift->catalog, drift->observation, disk);

    if (doubt)
        add_line(drift, "%s", doubt);
}

static char *drift_of(const Catalog *catalog, const Observation *observation, bool pivots)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    Drift drift = {.catalog = catalog, .observation = observation, .lines = lines};

    check_lost(&drift);
    for (unsigned i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];
        unsigned before = lines->len;

        if (observation->live)
            check_source(&drift, disk, observation->live);
        if (observation->inactive)
            check_source(&drift, disk, observation->inactive);
        if (lines->len == before)
            check_both(&drift, disk);
        if (pivots)
            check_pivot(&drift, disk);
    }
    if (lines->len == 0)
        return NULL;
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}

char *plan_drift(const Catalog *catalog, const Observation *observation)
{
    return drift_of(catalog, observation, true);
}

char *drift_of_chains(const Catalog *catalog, const Observation *observation)
{
    return drift_of(catalog, observation, false);
}

/* --- attached, detached, relabelled, not redefined --- */

static void add_attached(Plan *plan, const Disk *disk, const char *target, bool attached)
{
    Step *step = plan_add(plan, STEP_RECORD_ATTACHED);

    step_set(step, "disk", disk->id);
    step_set(step, "target", target);
    step_set(step, "attached", attached ? "yes" : "no");
}

/* The VM goes on from its active layer all the same, and what it writes there is nowhere else. */
static bool is_refuted(const Catalog *catalog, const Observation *observation, const Disk *disk)
{
    return !match_is_merged(catalog, observation, disk) &&
           (match_in_domain(catalog, observation->live, disk, NULL) ||
            match_in_domain(catalog, observation->inactive, disk, NULL));
}

static void add_refuted(Plan *plan, const Disk *disk)
{
    step_set(plan_add(plan, STEP_RECORD_COMMITTED), "disk", disk->id);
}

/* A new label may still be another disk's: all that lose theirs let go first, then the new ones are
 * given. */
Plan *plan_attach(const Catalog *catalog, const Observation *observation)
{
    const Domain *domain = observation_domain(observation);
    g_autoptr(Plan) plan = plan_new(PLAN_LABEL, NULL);

    for (unsigned i = 0; domain && i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];
        const DomainDisk *source = match_in_domain(catalog, domain, disk, NULL);
        bool gone = !source && !match_stranger(catalog, observation, domain, disk);
        bool moved = source && g_strcmp0(source->target, disk->target) != 0;

        if (disk->committed && is_refuted(catalog, observation, disk))
            add_refuted(plan, disk);
        if (disk->attached && (gone || moved))
            add_attached(plan, disk, disk->target, false);
    }
    for (unsigned i = 0; domain && i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];
        const DomainDisk *source = match_in_domain(catalog, domain, disk, NULL);

        if (source && (!disk->attached || g_strcmp0(source->target, disk->target) != 0))
            add_attached(plan, disk, source->target, true);
    }
    return plan->steps->len > 0 ? g_steal_pointer(&plan) : NULL;
}
