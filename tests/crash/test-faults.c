/* Every function of the three tables goes wrong once in every operation, at each of its calls, in
 * every way that fits it: an error of each kind, an answer that is lost after the effect, a call
 * that hangs until its deadline. Nobody's guest stands still at once, the answer is true, and once
 * the fault is gone the same command, or the next daemon, brings everything to where it would be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "faults.h"
#include "workers.h"

#define COMPLAINTS 12 /* of one worker; the rest is counted */

/* Of all workers. */
typedef struct {
    gint faults, failures, retries, plans, broken;
    gint hits[64]; /* by member */
} Counts;

static Counts *counts;
static bool
    full; /* FAULTS_FULL: each fault both with a retry and with a new daemon, not by turns */

/* ---- in which ways ---- */

typedef struct {
    FaultMode mode;
    ErrorCode code;
    bool hangs;
    unsigned tables;  /* bits of MemberTable */
    bool for_effects; /* no question is answered so */
    bool stays;       /* until the operation has ended */
    unsigned times;   /* calls in a row; 0: one */
} Way;

#define HV     (1U << MEMBER_HV)
#define AGENT  (1U << MEMBER_AGENT)
#define IMAGES (1U << MEMBER_IMAGES)
#define FILES  (1U << MEMBER_FILES)
#define LETGO  (1U << 8) /* of those, what lets a guest go on */

static const Way ways[] = {
    {FAULT_FAIL, ERR_IO, false, HV | AGENT | IMAGES | FILES, false, false, 0},
    {FAULT_LOST, ERR_IO, false, HV | AGENT | IMAGES | FILES, true, false, 0},
    {FAULT_FAIL, ERR_HOST_DOWN, false, HV | AGENT, false, false, 0},
    {FAULT_LOST, ERR_HOST_DOWN, false, HV | AGENT, true, false, 0},
    {FAULT_FAIL, ERR_TIMEOUT, true, HV | AGENT, false, false, 0},
    {FAULT_LOST, ERR_TIMEOUT, true, HV | AGENT, true, false, 0},
    {FAULT_FAIL, ERR_BUSY, false, HV | IMAGES, true, false, 0},
    {FAULT_FAIL, ERR_UNSUPPORTED, false, AGENT, false, false, 0},
    {FAULT_FAIL, ERR_NO_SPACE, false, IMAGES | FILES, true, false, 0},
    {FAULT_FAIL, ERR_READ_ONLY, false, FILES, true, false, 0},
    {FAULT_SLOW, ERR_TIMEOUT, true, HV | IMAGES | FILES, false, false, 0},
    {FAULT_FAIL, ERR_ACCESS, false, IMAGES, true, true, 0},
    {FAULT_FAIL, ERR_IO, false, LETGO, true, false, 2},
    {FAULT_FAIL, ERR_TIMEOUT, true, LETGO, true, false, 2},
    {FAULT_FAIL, ERR_IO, false, LETGO, true, false, 3},
    {FAULT_FAIL, ERR_IO, false, LETGO, true, false, 6},
    {FAULT_FAIL, ERR_IO, false, LETGO, true, true, 0},
    {FAULT_FAIL, ERR_HOST_DOWN, false, LETGO, true, true, 0},
};

static bool fits(const Way *way, const Member *member)
{
    bool lets_go = strcmp(member->name, "hv.resume") == 0 || strcmp(member->name, "hv.thaw") == 0;

    return (way->tables & ((1U << member->table) | (lets_go ? LETGO : 0))) &&
           (member->nature == MEMBER_EFFECT || !way->for_effects);
}

/* ---- one operation ---- */

typedef struct {
    const FaultCase *the;
    char *from, *done, *goal;
    unsigned calls[64]; /* of each member when nothing goes wrong */
    unsigned complaints;
} Subject;

static bool complain(Subject *subject, char *why)
{
    g_autofree char *text = why;

    if (!text)
        return true;
    g_atomic_int_inc(&counts->broken);
    if (subject->complaints++ < COMPLAINTS)
        fprintf(stderr, "%s\n", text);
    return false;
}

/* How it goes when nothing goes wrong. */
static char *learn(Subject *subject)
{
    guint n;
    const Member *all = members(&n);
    char *why = NULL;
    g_autoptr(Lab) lab = faults_prepare(subject->the, &why);
    g_autoptr(GError) error = NULL;

    if (why)
        return why;
    subject->from = faults_state(lab);
    fault_arm(lab->fault, FAULT_NONE, 0);
    if (!faults_act(lab, subject->the, &error))
        return g_strdup_printf("[%s | %s] %s", subject->the->before,
                               subject->the->word ? subject->the->word : subject->the->name,
                               error->message);
    for (guint i = 0; i < n; i++)
        subject->calls[i] = fault_member_calls(lab->fault, all[i].name);
    subject->done = faults_state(lab);
    if (!faults_recover(lab, subject->the, &error))
        return g_strdup(error->message);
    subject->goal = faults_state(lab);
    return NULL;
}

static void run_one(Subject *subject, guint index, const Way *way, unsigned call, bool restart)
{
    guint n;
    const Member *member = &members(&n)[index];
    const FaultRun run = {
        .the = subject->the,
        .target = {.member = member->name,
                   .mode = way->mode,
                   .call = call,
                   .code = way->code,
                   .hangs = way->hangs,
                   .stays = way->stays,
                   .times = way->times},
        .restart = restart,
        .from = subject->from,
        .done = subject->done,
        .goal = subject->goal,
    };
    bool hit = false, failed = false;

    if (!complain(subject, faults_run(&run, &hit, &failed)))
        return;
    if (!hit)
        complain(subject, g_strdup_printf("call %u of %s was not reached", call, member->name));
    g_atomic_int_inc(&counts->faults);
    g_atomic_int_add(&counts->failures, failed);
    g_atomic_int_add(&counts->retries, failed && !restart);
    g_atomic_int_inc(&counts->hits[index]);
}

static void break_subject(Subject *subject, unsigned *turn, unsigned worker, unsigned workers)
{
    guint n;
    const Member *all = members(&n);

    for (guint i = 0; i < n; i++)
        for (unsigned call = 1; call <= subject->calls[i]; call++)
            for (guint w = 0; w < G_N_ELEMENTS(ways) && all[i].nature != MEMBER_SAFE; w++)
                if (fits(&ways[w], &all[i]) && (*turn)++ % workers == worker) {
                    if (full || (call + w) % 2)
                        run_one(subject, i, &ways[w], call, false);
                    if (full || (call + w) % 2 == 0)
                        run_one(subject, i, &ways[w], call, true);
                }
}

static bool break_all(unsigned worker, unsigned workers)
{
    guint n;
    const FaultCase *all = faults_cases(&n);
    unsigned turn = 0, complaints = 0;

    for (guint i = 0; i < n; i++) {
        Subject subject = {.the = &all[i], .complaints = complaints};

        if (complain(&subject, learn(&subject)))
            break_subject(&subject, &turn, worker, workers);
        complaints = subject.complaints;
        if (worker == 0)
            g_atomic_int_inc(&counts->plans);
        g_free(subject.from);
        g_free(subject.done);
        g_free(subject.goal);
    }
    return complaints == 0;
}

static void every_operation_survives_every_single_fault(void **state)
{
    workers_run(break_all);
}

/* ---- requests ---- */

static const FaultRequest requests[] = {
    {"w", REQUEST_POWER, NULL, "running", DOMAIN_RUNNING},
    {"w S", REQUEST_POWER, NULL, "paused", DOMAIN_PAUSED},
    {"w S Z", REQUEST_POWER, NULL, "running", DOMAIN_RUNNING},
    {"w S", REQUEST_POWER, NULL, "shutoff", DOMAIN_OFF},
    {"w S", REQUEST_POWER, NULL, "off", DOMAIN_OFF},
    {"w S", REQUEST_CREATE, "s1", "", DOMAIN_RUNNING},
    {"w c1 w", REQUEST_REVERT, "s1", NULL, DOMAIN_OFF},
    {"w c1 w S", REQUEST_REMOVE, "s1", NULL, DOMAIN_RUNNING},
    {"w c1 w", REQUEST_RENAME, "s1", "t1", DOMAIN_OFF},
    {"w c1 w", REQUEST_POLICY, "max_depth", "50", DOMAIN_OFF},
    {"w c1 w", REQUEST_MOVE, NULL, "another", DOMAIN_OFF},
    {"w c1 w S", REQUEST_RESCAN, NULL, NULL, DOMAIN_RUNNING},
};

static bool break_request(const FaultRequest *what, guint index, const Way *way)
{
    guint n;
    const Member *member = &members(&n)[index];
    const FaultTarget target = {.member = member->name,
                                .mode = way->mode,
                                .call = 1,
                                .code = way->code,
                                .hangs = way->hangs,
                                .times = way->times};
    bool hit = false;
    g_autofree char *why = faults_request(what, &target, &hit);

    if (why) {
        g_atomic_int_inc(&counts->broken);
        fprintf(stderr, "[%s | request %d %s] call 1 of %s, way %d with %d: %s\n", what->before,
                what->kind, what->text ? what->text : "", member->name, way->mode, way->code, why);
    } else if (hit) {
        g_atomic_int_inc(&counts->faults);
        g_atomic_int_inc(&counts->hits[index]);
    }
    return !why;
}

/* Looks that nobody asked for run beside a request, so only effects can be told to be its own. */
static bool calls(const FaultRequest *what, const Member *member)
{
    const FaultTarget target = {.member = member->name, .call = 1};
    bool hit = false;
    g_autofree char *why = faults_request(what, &target, &hit);

    return hit;
}

static bool break_requests(unsigned worker, unsigned workers)
{
    guint n;
    const Member *all = members(&n);
    unsigned turn = 0;
    bool good = true;

    for (guint r = 0; r < G_N_ELEMENTS(requests); r++)
        for (guint i = 0; i < n; i++)
            if (all[i].nature == MEMBER_EFFECT && turn++ % workers == worker &&
                calls(&requests[r], &all[i]))
                for (guint w = 0; w < G_N_ELEMENTS(ways); w++)
                    if (fits(&ways[w], &all[i]))
                        good &= break_request(&requests[r], i, &ways[w]);
    return good;
}

/* What is asked for comes to be, or is refused with a line in errors. */
static void every_request_is_answered_truly(void **state)
{
    workers_run(break_requests);
}

/* A function that no operation here calls would never go wrong. */
static void every_function_of_the_tables_went_wrong(void **state)
{
    guint n, missed = 0;
    const Member *all = members(&n);

    g_assert(n <= G_N_ELEMENTS(counts->hits));
    for (guint i = 0; i < n; i++)
        if (all[i].nature != MEMBER_SAFE && !counts->hits[i]) {
            fprintf(stderr, "no operation calls %s\n", all[i].name);
            missed++;
        }
    assert_int_equal(missed, 0);
}

/* The log is for people who watch a daemon. */
static GLogWriterOutput log_nothing(GLogLevelFlags level, const GLogField *fields, gsize count,
                                    gpointer data)
{
    return G_LOG_WRITER_HANDLED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_survives_every_single_fault),
        cmocka_unit_test(every_request_is_answered_truly),
        cmocka_unit_test(every_function_of_the_tables_went_wrong),
    };
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_log_set_writer_func(log_nothing, NULL, NULL);
    full = g_getenv("FAULTS_FULL") != NULL;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    printf("# faults %d in %d plans, failures %d, retries %d, broken laws %d\n", counts->faults,
           counts->plans, counts->failures, counts->retries, counts->broken);
    return failed;
}
