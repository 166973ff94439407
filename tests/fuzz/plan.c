/* Plans: what is read is printed as it was; and its records, applied one after the other to a
 * catalog, change nothing or make one that can be written and read. */
#include "fuzz.h"
#include "store/store.h"

#include <string.h>

/* The snapshots s1, s2, s3 of two disks: s2 and s3 are children of s1. */
static const char catalog_text[] =
    "version: 1\n"
    "uuid: 8e3b0b56-7c0e-4d2b-9f6a-2d1c5a7e9b01\n"
    "name: web01\n"
    "generation: 7\n"
    "current: s3\n"
    "disks:\n"
    "- {id: d1, target: vda, attached: true, active: a4, layers: [\n"
    "    {id: a1, path: /images/a, format: raw, capacity: 1000},\n"
    "    {id: a2, parent: a1, path: /images/a.2, format: qcow2, capacity: 1000},\n"
    "    {id: a3, parent: a1, path: /images/a.3, format: qcow2, capacity: 1000},\n"
    "    {id: a4, parent: a3, path: /images/a.4, format: qcow2, capacity: 1000}]}\n"
    "- {id: d2, target: vdb, attached: true, active: b4, layers: [\n"
    "    {id: b1, path: /images/b, format: qcow2, capacity: 2000},\n"
    "    {id: b2, parent: b1, path: /images/b.2, format: qcow2, capacity: 2000},\n"
    "    {id: b3, parent: b1, path: /images/b.3, format: qcow2, capacity: 2000},\n"
    "    {id: b4, parent: b3, path: /images/b.4, format: qcow2, capacity: 2000}]}\n"
    "snapshots:\n"
    "- {id: s1, name: one, state: ready, hidden: false, created: \"2026-11-21T14:30:01.000001Z\",\n"
    "   consistency: crash, description: \"\", warnings: \"\", error: \"\", uid: 0, mode: "
    "\"0750\",\n"
    "   disks: [{disk: d1, layer: a1}, {disk: d2, layer: b1}]}\n"
    "- {id: s2, name: two, parent: s1, state: ready, hidden: false,\n"
    "   created: \"2026-11-21T14:30:02.000001Z\", consistency: off, description: \"\",\n"
    "   warnings: \"\", error: \"\", uid: 0, mode: \"0750\",\n"
    "   disks: [{disk: d1, layer: a2}, {disk: d2, layer: b2}]}\n"
    "- {id: s3, name: three, parent: s1, state: removing, hidden: true,\n"
    "   created: \"2026-11-21T14:30:03.000001Z\", consistency: frozen, description: \"\",\n"
    "   warnings: \"\", error: \"\", uid: 1000, mode: \"0750\",\n"
    "   disks: [{disk: d1, layer: a3}, {disk: d2, layer: b3}]}\n";

static Catalog *read_back(const Catalog *catalog)
{
    g_autofree char *text = catalog_to_yaml(catalog);
    g_autoptr(GError) error = NULL;
    Catalog *again = catalog_from_yaml(text, strlen(text), &error);

    fuzz_check(again, "a catalog that was made cannot be read: %s: %s", error->message, text);
    fuzz_check(catalog_equal(catalog, again), "a catalog that was made came back as another: %s",
               text);
    return again;
}

static void apply(const Step *step, Catalog *catalog)
{
    g_autoptr(Catalog) before = catalog_copy(catalog);
    g_autoptr(GError) error = NULL;

    if (step_apply(step, catalog, &error)) {
        catalog_free(read_back(catalog));
        fuzz_check(step_is_record(step) || catalog_equal(before, catalog),
                   "a step without a record changed the catalog");
        return;
    }
    fuzz_error(error);
    fuzz_check(catalog_equal(before, catalog), "a refused step changed the catalog");
}

static Catalog *a_catalog(void)
{
    return catalog_from_yaml(catalog_text, strlen(catalog_text), NULL);
}

static void apply_all(const Plan *plan)
{
    g_autoptr(Catalog) catalog = a_catalog();

    for (guint i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];
        Step *undo = step_undo(step);

        apply(step, catalog);
        g_ptr_array_unref(step_switches(step));
        if (undo)
            step_free(undo);
    }
}

/* A warning may quote anything, and is recorded all the same. */
static void warn(const char *text)
{
    g_autoptr(Catalog) catalog = a_catalog(), again = NULL;
    g_autoptr(GError) error = NULL;
    Step *step = step_new(STEP_RECORD_WARNING);

    step_set(step, "snapshot", "s1");
    step_set(step, "text", text);
    fuzz_check(step_apply(step, catalog, &error), "%s", error->message);
    again = read_back(catalog);
    step_free(step);
}

static void round_trip(const Plan *plan)
{
    g_autofree char *text = plan_print(plan);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) again = plan_parse(text, &error);
    g_autofree char *same = NULL;

    fuzz_check(again, "what was printed cannot be read: %s: %s", error->message, text);
    same = plan_print(again);
    fuzz_check(!strcmp(text, same), "printed twice it differs: %s%s", text, same);
    fuzz_check(plan->commit == again->commit && plan->steps->len == again->steps->len,
               "the commit point moved: %s", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = plan_parse(text, &error);

    warn(text);
    if (!plan) {
        fuzz_error(error);
        return 0;
    }
    round_trip(plan);
    apply_all(plan);
    return 0;
}
