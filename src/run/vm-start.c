/* Starting a VM that is off. What is decided stands in plan/start.h; here it is looked, stated,
 * started, taken back, and noted.
 *
 * No journal is needed: the one thing that is changed before the start is that the definition names
 * the place of the store, and a definition that names the place of a store that nobody has made yet
 * is whole; the next start makes it. */
#include "run/vm-start.h"

#include "plan/start.h"
#include "run/definition.h"
#include "run/ledger.h"
#include "run/locate.h"
#include "run/observe-firmware.h"
#include "run/observe.h"

/* ---- looking ---- */

static Observation *look(Vm *vm, const Catalog *catalog, GError **error)
{
    Observation *seen = observe_domain(vm->world, vm->uuid, NULL, error);

    if (seen)
        observe_firmware(vm->world, catalog, seen);
    return seen;
}

static bool has_loader(const World *world, const char *path)
{
    ImageFacts *facts = path ? world->images->ops->inspect(world->images, path) : NULL;
    bool exists = facts && facts->exists;

    image_facts_free(facts);
    return exists;
}

/* What cannot be read is there, and is no store. */
static VarsState judge_store(const World *world, const char *path, uint64_t template_size)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GBytes) content = path ? observe_vars(world, path, NULL, &cause) : NULL;
    gsize size = 0;
    const void *bytes = content ? g_bytes_get_data(content, &size) : NULL;

    if (content)
        return vars_judge(size, bytes, MIN(size, VARS_HEAD), template_size);
    return !path || error_is(cause, ERR_NOT_FOUND) ? VARS_MISSING : VARS_EMPTY;
}

/* ---- noting ---- */

/* Where the variables of the running VM are, if that is news to @catalog; borrowed from @seen. */
static const char *news(const Observation *seen, const Catalog *catalog)
{
    const VarsFacts *vars = seen->live && domain_needs_vars(seen->live) ? seen->vars : NULL;

    return vars && vars->state == VARS_READY && g_strcmp0(vars->path, catalog->vars) != 0
               ? vars->path
               : NULL;
}

bool vm_has_news(Vm *vm, const Observation *seen)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autofree char *home = vm_home(vm);

    return home && news(seen, catalog);
}

static bool record(Operation *op, const char *path, GError **error)
{
    Step *step = step_new(STEP_RECORD_NVRAM);

    step_set(step, "path", path);
    bool recorded = operation_ensure_home(op, error) && ledger_record(op->vm, step, error);
    step_free(step);
    if (recorded)
        locate_publish(op->vm, op->seen);
    return recorded;
}

void start_note(Operation *op)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const char *path = news(op->seen, catalog);
    g_autoptr(GError) cause = NULL;

    if (path && !record(op, path, &cause))
        ledger_complain(op->vm, "where its UEFI variables are could not be noted", cause);
}

/* ---- starting ---- */

typedef struct {
    Operation op;
    bool begun; /* the operation has the turn, and its catalog is what stands in the store */
    Observation *seen;
    char *before; /* the definition, if it was changed */
    StartPlaces places;
    StartDecision decision;
} Start;

static void start_clear(Start *start)
{
    if (start->begun)
        operation_end(&start->op);
    observation_free(start->seen);
    start_places_clear(&start->places);
    g_free(start->before);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Start, start_clear)

static bool decide(Start *start, Vm *vm, GError **error)
{
    const World *world = vm->world;
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    Observation *seen = start->seen = look(vm, catalog, error);

    if (!seen)
        return false;
    start_places(seen, catalog, &start->places);
    const StartFacts facts = {
        .loader = has_loader(world, start->places.loader),
        .beside = judge_store(world, start->places.beside, seen->vars ? seen->vars->whole : 0),
    };
    return start_decide(seen, catalog, &start->places, &facts, &start->decision, error);
}

/* Without its catalog nobody knows what was there. What is there can be started all the same. */
static bool check_catalog(const Start *start, GError *problem, GError **error)
{
    if (start->begun || !(start->decision.made || start->decision.stated)) {
        g_clear_error(&problem);
        return true;
    }
    g_propagate_prefixed_error(error, problem,
                               "Whether a variable store was there before cannot be told: ");
    return false;
}

static bool state_place(Start *start, GError **error)
{
    const DomainChange change = {.nvram = start->decision.store};

    if (!start->decision.stated)
        return true;
    start->before = definition_text(&start->op, error);
    return start->before && definition_switch(&start->op, &change, error);
}

/* The VM is seen off, so nobody uses what its start would have used. */
static void take_back(Start *start, Vm *vm)
{
    const World *world = vm->world;
    g_autoptr(GError) cause = NULL;
    g_autoptr(Observation) now = observe_domain(world, vm->uuid, NULL, &cause);

    if (!now || now->state != DOMAIN_OFF) {
        if (cause)
            ledger_complain(vm, "what its failed start has left could not be looked at", cause);
        return;
    }
    if (start->before)
        definition_put_back(&start->op, start->before);
    if (start->decision.made &&
        !world->images->ops->unlink(world->images, start->decision.store, NULL, &cause))
        ledger_complain(vm, "the NVRAM of its failed start could not be removed", cause);
}

static bool run(Start *start, Vm *vm, GError **error)
{
    const World *world = vm->world;

    if (state_place(start, error) && world->hv->ops->start(world->hv, vm->uuid, error))
        return true;
    if (start->before || start->decision.made)
        take_back(start, vm);
    return false;
}

static void note_started(Start *start, Vm *vm)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autoptr(GError) cause = NULL;

    if (!start->begun)
        return;
    start->op.seen = look(vm, catalog, &cause);
    if (start->op.seen)
        start_note(&start->op);
    else
        ledger_complain(vm, "where its UEFI variables are could not be seen", cause);
}

static bool start_prepared(Vm *vm, const char *operation, GError **error)
{
    g_auto(Start) start = {0};
    g_autoptr(GError) problem = NULL;

    start.begun = operation_begin(&start.op, vm, operation, NULL, &problem);
    if (!decide(&start, vm, error) || !check_catalog(&start, g_steal_pointer(&problem), error) ||
        !run(&start, vm, error))
        return false;
    note_started(&start, vm);
    return true;
}

/* Files are looked at only where a merge may be half done. */
static bool check_merges(Vm *vm, const Catalog *catalog, Observation *seen, GError **error)
{
    bool removes = false;

    for (unsigned i = 0; i < catalog->snapshots->len; i++)
        removes |= ((Snapshot *)catalog->snapshots->pdata[i])->state != SNAPSHOT_READY;
    return !removes || (observe_files(vm->world, vm->uuid, catalog, seen, error) &&
                        plan_check_torn(catalog, seen, error));
}

bool vm_start(Vm *vm, const char *operation, GError **error)
{
    const World *world = vm->world;
    g_autofree char *name = NULL;
    g_autoptr(Observation) seen = observe_domain(world, vm->uuid, &name, error);

    if (!seen)
        return false;
    vm_learn_name(vm, name);
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    if (!plan_check_pivots(catalog, seen, error) ||
        (seen->inactive && !observe_check_reach(seen->inactive, error)) ||
        !check_merges(vm, catalog, seen, error))
        return false;
    if (seen->inactive && (domain_needs_vars(seen->inactive) || domain_needs_tpm(seen->inactive)))
        return start_prepared(vm, operation, error);
    return world->hv->ops->start(world->hv, vm->uuid, error);
}
