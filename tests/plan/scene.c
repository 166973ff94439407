#include "scene.h"

#include "testing.h"

#include "base/error.h"
#include "base/str.h"

static Domain *parse(const char *disks)
{
    g_autofree char *xml =
        g_strdup_printf("<domain type='kvm'><name>web01</name>"
                        "<uuid>11111111-2222-4333-8444-555555555555</uuid><memory>65536</memory>"
                        "<os><type>hvm</type></os><devices>%s</devices></domain>",
                        disks);
    Domain *domain = domain_parse(xml, NULL);

    assert_non_null(domain);
    return domain;
}

Scene *scene_new(void)
{
    Scene *scene = g_new0(Scene, 1);
    FreeSpace *space = g_new0(FreeSpace, 1);

    scene->seen = observation_new();
    scene->seen->persistent = true;
    scene->seen->inactive = parse("");
    scene->catalog = catalog_new(scene->seen->inactive->uuid, "web01");
    space->bytes = 100 * SCENE_GIB;
    g_hash_table_insert(scene->seen->free_space, g_strdup("/images"), space);
    return scene;
}

void scene_free(Scene *scene)
{
    catalog_free(scene->catalog);
    observation_free(scene->seen);
    g_free(scene);
}

ImageFacts *scene_file(Scene *scene, const char *path)
{
    ImageFacts *facts = g_hash_table_lookup(scene->seen->files, path);

    if (facts)
        return facts;
    facts = image_facts_new();
    facts->exists = true;
    facts->probed = g_strdup("qcow2");
    facts->capacity = SCENE_GIB;
    facts->allocation = 1024 * 1024;
    facts->device = 1;
    facts->inode = 1000 + g_hash_table_size(scene->seen->files);
    g_hash_table_insert(scene->seen->files, g_strdup(path), facts);
    return facts;
}

static void add_to(Domain *domain, const char *target, const char *path, const char *format)
{
    g_autofree char *text = g_strdup_printf(
        "<disk type='file' device='disk'><driver name='qemu' type='%s'/><source file='%s'/>"
        "<target dev='%s' bus='virtio'/></disk>",
        format, path, target);
    g_autoptr(Domain) one = parse(text);

    g_ptr_array_add(domain->disks, g_ptr_array_steal_index(one->disks, 0));
}

void scene_add_disk(Scene *scene, const char *target, const char *format)
{
    g_autofree char *path = g_strdup_printf("/images/web01-%s.%s", target, format);

    str_set(&scene_file(scene, path)->probed, format);
    add_to(scene->seen->inactive, target, path, format);
    if (scene->seen->live)
        add_to(scene->seen->live, target, path, format);
}

DomainDisk *scene_disk(Scene *scene, const char *target)
{
    DomainDisk *disk = domain_disk(scene->seen->inactive, target);

    assert_non_null(disk);
    return disk;
}

void scene_start(Scene *scene)
{
    assert_null(scene->seen->live);
    scene->seen->live = domain_copy(scene->seen->inactive);
    scene->seen->state = DOMAIN_RUNNING;
}

static void run_record(Scene *scene, const Step *step)
{
    g_autoptr(GError) error = NULL;

    if (!step_apply(step, scene->catalog, &error))
        fail_msg("%s", error->message);
    if (!catalog_check(scene->catalog, &error))
        fail_msg("%s", error->message);
}

static void record_pivot(Scene *scene, const char *disk, const char *into)
{
    Step *step = step_new(STEP_RECORD_PIVOT);

    step_set(step, "disk", disk);
    if (into)
        step_set(step, "into", into);
    run_record(scene, step);
    step_free(step);
}

/* As run/pivot.c does: no guest writes in a scene, so the two files are the same. */
static void settle_pivots(Scene *scene)
{
    for (unsigned i = 0; i < scene->catalog->disks->len; i++) {
        const Disk *disk = scene->catalog->disks->pdata[i];
        g_autofree char *doubt = plan_doubt(scene->catalog, scene->seen, disk);

        if (doubt)
            record_pivot(scene, disk->id, NULL);
    }
}

void scene_stop(Scene *scene)
{
    g_clear_pointer(&scene->seen->live, domain_free);
    g_hash_table_remove_all(scene->seen->jobs);
    scene->seen->state = DOMAIN_OFF;
    settle_pivots(scene);
}

void scene_job(Scene *scene, const char *target, const char *kind, const char *mirror)
{
    BlockJobFacts *job = g_new0(BlockJobFacts, 1);
    DomainDisk *disk = domain_disk(scene->seen->live, target);

    job->target = g_strdup(target);
    job->kind = g_strdup(kind);
    g_hash_table_replace(scene->seen->jobs, g_strdup(target), job);
    str_set(&disk->mirror_path, mirror);
    str_set(&disk->mirror_job, mirror ? kind : NULL);
}

void scene_foreign_overlay(Scene *scene, const char *target, const char *name)
{
    Domain *domains[] = {scene->seen->inactive, scene->seen->live};
    const DomainDisk *disk = scene_disk(scene, target);
    g_autofree char *path = g_strconcat(disk->path, ".", name, NULL);
    ImageFacts *facts = scene_file(scene, path);

    str_set(&facts->backing, disk->path);
    str_set(&facts->backing_format, disk->format);
    for (unsigned i = 0; i < G_N_ELEMENTS(domains) && domains[i]; i++) {
        str_set(&domain_disk(domains[i], target)->path, path);
        str_set(&domain_disk(domains[i], target)->format, "qcow2");
    }
}

/* --- UEFI and TPM --- */

static Capabilities *able_host(void)
{
    Capabilities *host = capabilities_new();

    host->uefi = host->secure_boot = host->tpm = true;
    host->nvram_directory = g_strdup("/nvram");
    host->tpm_directory = g_strdup("/swtpm");
    capabilities_add_firmware(host, "/firmware/CODE.fd", "/firmware/VARS.fd", false, false);
    return host;
}

static Domain *parse_state(bool automatic)
{
    g_autofree char *xml = g_strdup_printf(
        "<domain type='kvm'><name>web01</name><uuid>11111111-2222-4333-8444-555555555555</uuid>"
        "%s</os><devices><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
        "</devices></domain>",
        automatic ? "<os firmware='efi'>"
                  : "<os><loader readonly='yes' type='pflash'>/firmware/CODE.fd</loader>"
                    "<nvram>" SCENE_VARS "</nvram>");
    Domain *domain = domain_parse(xml, NULL);

    assert_non_null(domain);
    return domain;
}

void scene_give_state(Scene *scene, bool automatic)
{
    g_autoptr(Domain) given = parse_state(automatic);
    Domain *domain = scene->seen->inactive;

    assert_null(scene->seen->live);
    domain->firmware = g_steal_pointer(&given->firmware);
    domain->tpm = g_steal_pointer(&given->tpm);
    capabilities_unref(scene->seen->capabilities);
    scene->seen->capabilities = able_host();
    str_set(&scene_file(scene, SCENE_VARS)->probed, "raw");
}

void scene_show_state(Scene *scene)
{
    VarsFacts *vars = g_new0(VarsFacts, 1);
    TpmFacts *tpm = g_new0(TpmFacts, 1);

    *vars = (VarsFacts){.path = g_strdup(SCENE_VARS),
                        .template = g_strdup(SCENE_TEMPLATE),
                        .template_size = SCENE_STORE,
                        .state = VARS_READY,
                        .size = SCENE_STORE};
    *tpm = (TpmFacts){.path = g_strdup(SCENE_TPM), .sha256 = g_strnfill(64, 'a')};
    scene->seen->vars = vars;
    scene->seen->tpm = tpm;
}

void scene_keep(Scene *scene, const char *name)
{
    Snapshot *snapshot = scene_snapshot(scene, name);
    g_autofree char *sum = g_strnfill(64, 'a');

    snapshot->vars = sidecar_new(540672, sum, NULL, NULL);
    snapshot->tpm = sidecar_new(6098, sum, "2.0", NULL);
}

static const char *store_of(const Domain *domain)
{
    return domain && domain->firmware ? domain->firmware->path : NULL;
}

/* --- plans --- */

Plan *scene_plan_adopt(Scene *scene, GError **error)
{
    AdoptRequest request = {.uid = 0, .mode = 0750, .now = 1790000000000000};

    for (unsigned i = 0; i < 64; i++)
        request.random[i] = ++scene->count;
    return plan_adopt(scene->catalog, scene->seen, &request, error);
}

Plan *scene_plan_create(Scene *scene, const char *name, GError **error)
{
    g_autofree char *id = names_make_id(++scene->count);
    CreateRequest request = {.name = (char *)name,
                             .description = (char *)"",
                             .uid = 1000,
                             .mode = 0750,
                             .snapshot_id = id,
                             .now = 1790000000000000};

    for (unsigned i = 0; i < 64; i++)
        request.random[i] = ++scene->count;
    return plan_create(scene->catalog, scene->seen, &request, error);
}

Plan *scene_plan_revert(Scene *scene, const char *name, GError **error)
{
    const Snapshot *snapshot = catalog_named(scene->catalog, name);
    uint64_t random[64];

    for (unsigned i = 0; i < 64; i++)
        random[i] = ++scene->count;
    return plan_revert(scene->catalog, scene->seen, snapshot ? snapshot->id : name, random, error);
}

Plan *scene_plan_remove(Scene *scene, const char *name, GError **error)
{
    const Snapshot *snapshot = catalog_named(scene->catalog, name);

    return plan_remove(scene->catalog, scene->seen, snapshot ? snapshot->id : name, error);
}

/* --- effects --- */

static void run_overlay(Scene *scene, const Step *step)
{
    const char *path = step_get(step, "path");
    ImageFacts *facts;

    assert_null(observation_file(scene->seen, path));
    assert_non_null(observation_file(scene->seen, step_get(step, "backing")));
    facts = scene_file(scene, path);
    str_set(&facts->backing, step_get(step, "backing"));
    str_set(&facts->backing_format, step_get(step, "backing_format"));
    facts->capacity = step_get_number(step, "capacity");
    facts->allocation = 4096;
}

static void state_chain(Scene *scene, DomainDisk *disk, bool stated)
{
    g_autoptr(GPtrArray) chain = observation_chain(scene->seen, disk->path);

    g_ptr_array_set_size(disk->chain, 0);
    disk->chain_stated = stated;
    for (unsigned i = 1; stated && i < chain->len; i++) {
        ChainLink *link = g_new0(ChainLink, 1);
        const ImageFacts *above = observation_file(scene->seen, chain->pdata[i - 1]);

        link->path = g_strdup(chain->pdata[i]);
        link->format = g_strdup(above->backing_format);
        g_ptr_array_add(disk->chain, link);
    }
}

static void switch_domain(Scene *scene, Domain *domain, const Step *step, bool stated)
{
    g_autoptr(GPtrArray) switches = step_switches(step);

    for (unsigned i = 0; i < switches->len; i++) {
        const DiskSwitch *change = switches->pdata[i];
        DomainDisk *disk = domain_disk(domain, change->target);

        assert_non_null(disk);
        assert_non_null(observation_file(scene->seen, change->path));
        str_set(&disk->path, change->path);
        str_set(&disk->format, change->format);
        state_chain(scene, disk, stated);
    }
}

/* libvirt 9.0 writes the whole chain into the persistent definition at a live snapshot. */
static void run_snapshot(Scene *scene, const Step *step)
{
    assert_non_null(scene->seen->live);
    switch_domain(scene, scene->seen->live, step, true);
    switch_domain(scene, scene->seen->inactive, step, true);
}

/* The file right above the base of a commit, in the chain of its top: nothing else stands on what
 * is between. */
static const ImageFacts *above_base(Scene *scene, const Step *step)
{
    const char *path = step_get(step, "top");
    const ImageFacts *facts = observation_file(scene->seen, path);

    while (facts && g_strcmp0(facts->backing, step_get(step, "base")) != 0)
        facts = observation_file(scene->seen, facts->backing);
    if (!facts)
        fail_msg("%s is not in the chain of %s", step_get(step, "base"), path);
    return facts;
}

static void run_commit(Scene *scene, const Step *step)
{
    ImageFacts *top = scene_file(scene, step_get(step, "top"));
    ImageFacts *base = scene_file(scene, step_get(step, "base"));

    assert_non_null(above_base(scene, step));
    base->capacity = MAX(base->capacity, top->capacity);
}

/* As run/pivot.c does before it asks QEMU. */
static void note_pivot(Scene *scene, const Step *commit)
{
    Layer *layer = NULL;

    assert_non_null(catalog_disk_of_path(scene->catalog, step_get(commit, "base"), &layer));
    record_pivot(scene, step_get(commit, "disk"), layer->id);
}

static void pivot(Scene *scene, const Step *step)
{
    DomainDisk *disk = domain_disk(scene->seen->live, step_get(step, "target"));

    assert_string_equal(disk->path, step_get(step, "top"));
    note_pivot(scene, step);
    str_set(&disk->path, step_get(step, "base"));
    str_set(&disk->format, above_base(scene, step)->backing_format);
    state_chain(scene, disk, true);
}

static void relink(Scene *scene, const Step *step)
{
    DomainDisk *disk = domain_disk(scene->seen->live, step_get(step, "target"));
    g_autoptr(GPtrArray) chain = observation_chain(scene->seen, disk->path);
    const ImageFacts *last = above_base(scene, step);

    for (unsigned i = 0; i + 1 < chain->len; i++)
        if (g_str_equal(chain->pdata[i + 1], step_get(step, "top"))) {
            ImageFacts *above = scene_file(scene, chain->pdata[i]);

            str_set(&above->backing, last->backing);
            str_set(&above->backing_format, last->backing_format);
            state_chain(scene, disk, true);
            return;
        }
    fail_msg("%s is not inside the chain of %s", step_get(step, "top"), disk->target);
}

static bool holds(Scene *scene, const Domain *domain, const char *path)
{
    for (unsigned i = 0; domain && i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];
        g_autoptr(GPtrArray) chain = observation_chain(scene->seen, disk->path);

        if (g_ptr_array_find_with_equal_func(chain, path, g_str_equal, NULL))
            return true;
        for (unsigned j = 0; j < disk->chain->len; j++)
            if (g_str_equal(((ChainLink *)disk->chain->pdata[j])->path, path))
                return true;
    }
    return false;
}

static void run_unlink(Scene *scene, const Step *step)
{
    const char *path = step_get(step, "path");

    if (holds(scene, scene->seen->live, path) || holds(scene, scene->seen->inactive, path) ||
        g_strcmp0(store_of(scene->seen->live), path) == 0 ||
        g_strcmp0(store_of(scene->seen->inactive), path) == 0 ||
        catalog_disk_of_path(scene->catalog, path, NULL))
        fail_msg("%s is unlinked while something names it", path);
    g_hash_table_remove(scene->seen->files, path);
}

static void run_repoint(Scene *scene, const Step *step)
{
    const char *path = step_get(step, "path");

    assert_false(holds(scene, scene->seen->live, path));
    assert_non_null(observation_file(scene->seen, step_get(step, "backing")));
    str_set(&scene_file(scene, path)->backing, step_get(step, "backing"));
    str_set(&scene_file(scene, path)->backing_format, step_get(step, "backing_format"));
}

static void run_offline(Scene *scene, const Step *step)
{
    assert_false(holds(scene, scene->seen->live, step_get(step, "top")));
    assert_false(holds(scene, scene->seen->live, step_get(step, "base")));
    run_commit(scene, step);
}

void scene_run_step(Scene *scene, const Step *step)
{
    Domain *inactive = scene->seen->inactive;

    if (step_is_record(step)) {
        run_record(scene, step);
    } else if (step->kind == STEP_OVERLAY) {
        run_overlay(scene, step);
    } else if (step->kind == STEP_SNAPSHOT) {
        run_snapshot(scene, step);
    } else if (step->kind == STEP_REDEFINE || step->kind == STEP_SETTLE) {
        if (step->kind == STEP_REDEFINE)
            assert_null(scene->seen->live);
        switch_domain(scene, inactive, step, false);
        if (step_get(step, "nvram"))
            str_set(&inactive->firmware->path, step_get(step, "nvram"));
    } else if (step->kind == STEP_COMMIT_ACTIVE) {
        run_commit(scene, step);
        pivot(scene, step);
    } else if (step->kind == STEP_COMMIT_LIVE) {
        run_commit(scene, step);
        relink(scene, step);
    } else if (step->kind == STEP_COMMIT_OFFLINE) {
        run_offline(scene, step);
    } else if (step->kind == STEP_COMPARE) {
        assert_non_null(above_base(scene, step));
    } else if (step->kind == STEP_REPOINT) {
        run_repoint(scene, step);
    } else if (step->kind == STEP_PLACE_VARS) {
        assert_null(observation_file(scene->seen, step_get(step, "path")));
        str_set(&scene_file(scene, step_get(step, "path"))->probed, "raw");
    } else if (step->kind == STEP_UNLINK) {
        run_unlink(scene, step);
    }
}

void scene_run(Scene *scene, const Plan *plan)
{
    for (unsigned i = 0; i < plan->steps->len; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    scene_check(scene);
}

/* --- laws --- */

static bool is_first_file(const char *path)
{
    return g_str_has_prefix(path, "/images/web01-") && strchr(path, '.') == strrchr(path, '.');
}

static bool is_store(Scene *scene, const char *path)
{
    const char *stated = store_of(scene->seen->inactive);

    return g_str_equal(path, stated ? stated : SCENE_VARS);
}

void scene_check(Scene *scene)
{
    g_autofree char *drift = plan_drift(scene->catalog, scene->seen);
    GHashTableIter iter;
    void *path;

    if (drift)
        fail_msg("%s", drift);
    for (unsigned i = 0; i < scene->catalog->disks->len; i++) {
        const Disk *disk = scene->catalog->disks->pdata[i];

        for (unsigned j = 0; j < disk->layers->len; j++)
            assert_non_null(observation_file(scene->seen, ((Layer *)disk->layers->pdata[j])->path));
    }
    g_hash_table_iter_init(&iter, scene->seen->files);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        if (!is_first_file(path) && !is_store(scene, path) &&
            !catalog_disk_of_path(scene->catalog, path, NULL))
            fail_msg("%s was left behind", (char *)path);
}

/* --- whole operations --- */

static void run_taken(Scene *scene, Plan *plan, GError *error)
{
    if (!plan)
        fail_msg("%s", error->message);
    scene_run(scene, plan);
    plan_free(plan);
}

void scene_create(Scene *scene, const char *name)
{
    g_autoptr(GError) error = NULL;

    run_taken(scene, scene_plan_create(scene, name, &error), error);
}

void scene_accept(Scene *scene, const char *name)
{
    g_autoptr(GError) error = NULL;

    run_taken(scene, scene_plan_remove(scene, name, &error), error);
}

static void run_work(Scene *scene)
{
    for (;;) {
        g_autoptr(GError) error = NULL;
        Plan *plan = plan_next(scene->catalog, scene->seen, &error);

        if (!plan && !error)
            return;
        run_taken(scene, plan, error);
    }
}

void scene_revert(Scene *scene, const char *name)
{
    g_autoptr(GError) error = NULL;

    run_taken(scene, scene_plan_revert(scene, name, &error), error);
    run_work(scene);
}

void scene_remove(Scene *scene, const char *name)
{
    scene_accept(scene, name);
    run_work(scene);
}

Snapshot *scene_snapshot(Scene *scene, const char *name)
{
    for (unsigned i = 0; i < scene->catalog->snapshots->len; i++) {
        Snapshot *snapshot = scene->catalog->snapshots->pdata[i];

        if (g_str_equal(snapshot->name, name))
            return snapshot;
    }
    return NULL;
}
