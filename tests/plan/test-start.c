/* What a start needs first: every kind of firmware × what the definition and the catalog say × what
 * is there × what the host can do. */
#include "testing.h"

#include "base/error.h"
#include "plan/firmware.h"
#include "plan/start.h"

#include <string.h>

#define NAME     "web"
#define UUID     "aaaaaaaa-0000-4000-8000-000000000001"
#define STATED   "/stated/web.fd"
#define MOVED    "/moved/web.fd"
#define DEFAULT  "/nvram/web_VARS.fd"
#define BESIDE   "/images/web_VARS.aaaaaaaa.fd"
#define LOADER   "/ovmf/code.fd"
#define TEMPLATE "/ovmf/vars.fd"

typedef enum { BIOS, STATELESS, COMBINED, EXPLICIT, AUTOMATIC, AUTOMATIC_STATED, N_STYLES } Style;
typedef enum { UNKNOWN, KNOWN, KNOWN_ELSEWHERE, N_KNOWN } Known;
static const VarsState states[] = {VARS_MISSING, VARS_READY, VARS_EMPTY, VARS_BADSIZE};
#define N_STATES G_N_ELEMENTS(states)

typedef struct {
    unsigned style, known, store, beside;
    unsigned secure, tpm, host_uefi, host_tpm, disk, saved, kept_tpm, tpm_there;
} Case;

static char *definition(const Case *c)
{
    static const char *const os[N_STYLES] = {
        [BIOS] = "<os><type>hvm</type></os>",
        [STATELESS] = "<os firmware='efi'><loader stateless='yes'/></os>",
        [COMBINED] = "<os><loader type='pflash' readonly='no'>" LOADER "</loader></os>",
        [EXPLICIT] = "<os><loader type='pflash' readonly='yes'>" LOADER "</loader><nvram>" STATED
                     "</nvram></os>",
        [AUTOMATIC] = "<os firmware='efi'></os>",
        [AUTOMATIC_STATED] = "<os firmware='efi'><nvram>" STATED "</nvram></os>",
    };
    static const char *const secure[N_STYLES] = {
        [AUTOMATIC] = "<os firmware='efi'><loader secure='yes'/></os>",
        [AUTOMATIC_STATED] =
            "<os firmware='efi'><loader secure='yes'/><nvram>" STATED "</nvram></os>",
    };

    return g_strdup_printf(
        "<domain type='qemu'><name>" NAME "</name><uuid>" UUID "</uuid>%s<devices>%s%s</devices>"
        "</domain>",
        c->secure && secure[c->style] ? secure[c->style] : os[c->style],
        c->disk ? "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
                  "<source file='/images/web.qcow2'/><target dev='vda'/></disk>"
                : "",
        c->tpm ? "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>" : "");
}

static Catalog *know(const Case *c)
{
    Catalog *catalog = catalog_new(UUID, NAME);
    bool stated = c->style == EXPLICIT || c->style == AUTOMATIC_STATED;

    if (c->known == KNOWN)
        catalog->vars = g_strdup(stated ? STATED : DEFAULT);
    if (c->known == KNOWN_ELSEWHERE)
        catalog->vars = g_strdup(MOVED);
    if (c->kept_tpm) {
        Snapshot *snapshot = snapshot_new("bbbbbbbbbb", "s1");
        snapshot->tpm = sidecar_new(1, "0", "2.0", NULL);
        g_ptr_array_add(catalog->snapshots, snapshot);
    }
    return catalog;
}

/* As observe_firmware does it. */
static void look(const Case *c, Observation *seen)
{
    g_autoptr(Catalog) catalog = know(c);

    if (domain_needs_vars(seen->inactive)) {
        seen->vars = g_new0(VarsFacts, 1);
        seen->vars->path = firmware_vars_path(NULL, seen->inactive, seen->capabilities, catalog);
        seen->vars->state = seen->vars->path ? states[c->store] : VARS_MISSING;
    }
    if (domain_needs_tpm(seen->inactive)) {
        seen->tpm = g_new0(TpmFacts, 1);
        seen->tpm->path = firmware_tpm_path(seen->inactive, seen->capabilities);
        seen->tpm->sha256 = c->tpm_there ? g_strdup("0") : NULL;
    }
}

static Observation *observe(const Case *c)
{
    Observation *seen = observation_new();
    g_autofree char *xml = definition(c);
    Capabilities *host = seen->capabilities;

    seen->state = DOMAIN_OFF;
    seen->persistent = true;
    seen->managed_save = c->saved;
    seen->inactive = domain_parse(xml, NULL);
    assert_non_null(seen->inactive);
    host->uefi = host->secure_boot = c->host_uefi;
    host->tpm = c->host_tpm;
    host->nvram_directory = g_strdup("/nvram");
    host->tpm_directory = g_strdup("/swtpm");
    if (c->host_uefi)
        capabilities_add_firmware(host, LOADER, TEMPLATE, false, false);
    look(c, seen);
    return seen;
}

/* ---- what has to be so, said in other words than the code's ---- */

static bool needs_store(const Case *c)
{
    return c->style == EXPLICIT || c->style == AUTOMATIC || c->style == AUTOMATIC_STATED;
}

static const char *wanted_place(const Case *c)
{
    if (c->style != AUTOMATIC)
        return STATED;
    return c->known == KNOWN_ELSEWHERE ? MOVED : DEFAULT;
}

static bool host_can(const Case *c)
{
    return (!c->tpm || c->host_tpm) && (c->style == BIOS || c->style == STATELESS || c->host_uefi);
}

static bool was_lost(const Case *c)
{
    bool here = c->known == KNOWN || (c->known == KNOWN_ELSEWHERE && c->style == AUTOMATIC);

    return here && states[c->store] == VARS_MISSING;
}

/* Where a new store goes beside the root disk. */
static bool goes_beside(const Case *c)
{
    return c->style == AUTOMATIC && c->known == UNKNOWN && c->disk && !c->saved &&
           states[c->store] == VARS_MISSING;
}

static VarsState counts(const Case *c)
{
    return goes_beside(c) ? states[c->beside] : states[c->store];
}

static bool may_start(const Case *c)
{
    if (!host_can(c) || (c->tpm && c->kept_tpm && !c->tpm_there))
        return false;
    if (!needs_store(c))
        return true;
    return !was_lost(c) && (counts(c) == VARS_READY || counts(c) == VARS_MISSING);
}

static void check_refusal(const Case *c, const GError *error)
{
    assert_non_null(strstr(error->message, "VM " NAME " "));
    assert_true(error_is(error, ERR_UNSUPPORTED) || error_is(error, ERR_IO) ||
                error_is(error, ERR_NOT_FOUND));
    if (host_can(c) && needs_store(c) && was_lost(c) && !(c->tpm && c->kept_tpm)) {
        assert_int_equal(error_code(error), ERR_NOT_FOUND);
        assert_non_null(strstr(error->message, wanted_place(c)));
        assert_non_null(strstr(error->message, "rm nvram/vars.fd"));
    }
    if (!host_can(c))
        assert_int_equal(error_code(error), ERR_UNSUPPORTED);
}

static void check_decision(const Case *c, const StartDecision *decision)
{
    const char *place = goes_beside(c) ? BESIDE : wanted_place(c);

    if (!needs_store(c)) {
        assert_null(decision->store);
        assert_false(decision->stated || decision->made);
        return;
    }
    assert_string_equal(decision->store, place);
    assert_int_equal(decision->made, counts(c) == VARS_MISSING);
    assert_int_equal(decision->stated,
                     c->style == AUTOMATIC && !c->saved && strcmp(place, DEFAULT));
}

static bool check_case(const Case *c)
{
    g_autoptr(Observation) seen = observe(c);
    g_autoptr(Catalog) catalog = know(c);
    g_auto(StartPlaces) places = {0};
    g_autoptr(GError) error = NULL;
    StartDecision decision = {0};

    start_places(seen, catalog, &places);
    const StartFacts facts = {.beside = states[c->beside]};
    bool starts = start_decide(seen, catalog, &places, &facts, &decision, &error);
    assert_int_equal(starts, may_start(c));
    assert_int_equal(starts, !error);
    if (starts)
        check_decision(c, &decision);
    else
        check_refusal(c, error);
    return starts;
}

static void check_flags(Case *c, unsigned *seen)
{
    for (unsigned flags = 0; flags < 256; flags++) {
        c->secure = flags & 1;
        c->tpm = flags >> 1 & 1;
        c->host_uefi = flags >> 2 & 1;
        c->host_tpm = flags >> 3 & 1;
        c->disk = flags >> 4 & 1;
        c->saved = flags >> 5 & 1;
        c->kept_tpm = flags >> 6 & 1;
        c->tpm_there = flags >> 7 & 1;
        seen[check_case(c)]++;
    }
}

static void every_case_is_decided_as_said_NV_01_to_05_NV_12_NV_14_NV_24(void **state)
{
    unsigned seen[2] = {0};
    Case c;

    for (c.style = 0; c.style < N_STYLES; c.style++)
        for (c.known = 0; c.known < N_KNOWN; c.known++)
            for (c.store = 0; c.store < N_STATES; c.store++)
                for (c.beside = 0; c.beside < N_STATES; c.beside++)
                    check_flags(&c, seen);
    assert_int_equal(seen[0] + seen[1], N_STYLES * N_KNOWN * N_STATES * N_STATES * 256);
    assert_true(seen[0] > 1000 && seen[1] > 1000);
}

/* ---- the four cells of the need matrix (NV-21) ---- */

static const Case able = {.host_uefi = true, .host_tpm = true, .disk = true, .tpm_there = true};

typedef struct {
    char *store;
    bool stated, made;
} Decided;

static void decided_clear(Decided *decided)
{
    g_free(decided->store);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Decided, decided_clear)

static Decided decide(Case c)
{
    g_autoptr(Observation) seen = observe(&c);
    g_autoptr(Catalog) catalog = know(&c);
    g_auto(StartPlaces) places = {0};
    StartDecision decision = {0};
    const StartFacts facts = {.beside = states[c.beside]};

    start_places(seen, catalog, &places);
    assert_true(start_decide(seen, catalog, &places, &facts, &decision, NULL));
    return (Decided){g_strdup(decision.store), decision.stated, decision.made};
}

static void needed_and_absent_is_made_NV_01_NV_21(void **state)
{
    Case c = able;

    c.style = EXPLICIT;
    g_auto(Decided) decision = decide(c);
    assert_true(decision.made);
    assert_string_equal(decision.store, STATED);
}

static void needed_and_ready_is_left_alone_NV_02_NV_21(void **state)
{
    Case c = able;

    c.style = EXPLICIT;
    c.store = 1;
    g_auto(Decided) decision = decide(c);
    assert_false(decision.made || decision.stated);
}

static void not_needed_and_absent_is_nothing_NV_03_NV_21(void **state)
{
    g_auto(Decided) decision = decide(able);

    assert_null(decision.store);
    assert_false(decision.made || decision.stated);
}

/* It was an UEFI VM once: what it had is neither looked at nor touched. */
static void not_needed_and_present_hinders_nothing_NV_04_NV_21(void **state)
{
    Case c = able;

    c.known = KNOWN;
    c.store = 1;
    g_auto(Decided) decision = decide(c);
    assert_null(decision.store);
    assert_false(decision.made || decision.stated);
}

/* ---- what else there is ---- */

static void assert_refused(const Observation *seen, ErrorCode code, const char *why)
{
    g_autoptr(Catalog) catalog = catalog_new(UUID, NAME);
    const StartFacts facts = {.beside = VARS_MISSING};
    g_auto(StartPlaces) places = {0};
    g_autoptr(GError) error = NULL;
    StartDecision decision;

    start_places(seen, catalog, &places);
    assert_false(start_decide(seen, catalog, &places, &facts, &decision, &error));
    assert_int_equal(error_code(error), code);
    if (!strstr(error->message, why))
        fail_msg("no \"%s\" in: %s", why, error->message);
}

static void other_storage_is_refused_by_name_NV_09_NV_17(void **state)
{
    Case c = able;

    c.style = EXPLICIT;
    g_autoptr(Observation) seen = observe(&c);
    g_free(seen->inactive->firmware->storage);
    seen->inactive->firmware->storage = g_strdup("network");
    assert_refused(seen, ERR_UNSUPPORTED, "network storage");
    g_free(seen->inactive->firmware->storage);
    seen->inactive->firmware->storage = g_strdup("file");
    g_free(seen->inactive->firmware->format);
    seen->inactive->firmware->format = g_strdup("qcow2");
    assert_refused(seen, ERR_UNSUPPORTED, "format qcow2");
}

static void a_firmware_that_is_gone_is_named(void **state)
{
    Case c = able;

    c.style = EXPLICIT;
    c.host_uefi = false;
    g_autoptr(Observation) seen = observe(&c);
    assert_refused(seen, ERR_UNSUPPORTED, LOADER);
    c.style = AUTOMATIC;
    g_autoptr(Observation) automatic = observe(&c);
    assert_refused(automatic, ERR_UNSUPPORTED, "package ovmf");
}

/* A firmware of one's own is in no list of libvirt's. */
static void a_firmware_of_ones_own_starts_NV_18(void **state)
{
    g_autoptr(Catalog) catalog = catalog_new(UUID, NAME);
    const StartFacts facts = {.loader = true, .beside = VARS_MISSING};
    g_auto(StartPlaces) places = {0};
    StartDecision decision;
    Case c = able;

    c.style = EXPLICIT;
    c.host_uefi = false;
    g_autoptr(Observation) seen = observe(&c);
    start_places(seen, catalog, &places);
    assert_string_equal(places.loader, LOADER);
    assert_true(start_decide(seen, catalog, &places, &facts, &decision, NULL));
}

/* Where libvirt keeps its own is not known: perhaps there is one. */
static void none_is_put_in_the_place_of_one_that_cannot_be_seen(void **state)
{
    g_autoptr(Catalog) catalog = catalog_new(UUID, NAME);
    g_auto(StartPlaces) places = {0};
    Case c = able;

    c.style = AUTOMATIC;
    g_autoptr(Observation) seen = observe(&c);
    g_clear_pointer(&seen->vars->path, g_free);
    start_places(seen, catalog, &places);
    assert_null(places.beside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_decided_as_said_NV_01_to_05_NV_12_NV_14_NV_24),
        cmocka_unit_test(needed_and_absent_is_made_NV_01_NV_21),
        cmocka_unit_test(needed_and_ready_is_left_alone_NV_02_NV_21),
        cmocka_unit_test(not_needed_and_absent_is_nothing_NV_03_NV_21),
        cmocka_unit_test(not_needed_and_present_hinders_nothing_NV_04_NV_21),
        cmocka_unit_test(other_storage_is_refused_by_name_NV_09_NV_17),
        cmocka_unit_test(a_firmware_that_is_gone_is_named),
        cmocka_unit_test(a_firmware_of_ones_own_starts_NV_18),
        cmocka_unit_test(none_is_put_in_the_place_of_one_that_cannot_be_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
