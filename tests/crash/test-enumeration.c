/* Every plan that the enumeration of small trees knows, VM off and running, is cut after every
 * effect and recovered; and that recovery is cut at one of its effects, another one each time, and
 * recovered again. A third of the VMs have UEFI variables and a vTPM. All laws of design 5 hold.
 * One process a CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "broken.h"
#include "trees.h"
#include "workers.h"

typedef struct {
    unsigned worker, workers, seen;
} Share;

static char *cut_once(BrokenRun *run, unsigned *out_recovery)
{
    run->recovery_mode = FAULT_NONE;
    run->mode = FAULT_CUT_AFTER;
    return broken_run(run, out_recovery);
}

static char *cut_twice(BrokenRun *run, unsigned recovery)
{
    unsigned ignored;

    run->recovery_mode = FAULT_CUT_AFTER;
    run->recovery_call = 1 + (run->call * 7) % recovery;
    return broken_run(run, &ignored);
}

static char *cut_everywhere(BrokenRun *run)
{
    unsigned effects = 0, recovery = 0;
    char *wrong = broken_count(run, &effects);

    for (run->call = 1; !wrong && run->call <= effects; run->call++) {
        wrong = cut_once(run, &recovery);
        if (!wrong && recovery > 0)
            wrong = cut_twice(run, recovery);
    }
    return wrong;
}

static char *cut_request(const char *script, const char *word, unsigned disks, void *data)
{
    Share *share = data;
    const char *firmware = share->seen / share->workers % 3 == 0 ? "U " : "";
    g_autofree char *stopped = g_strconcat(firmware, script, NULL);
    g_autofree char *running = g_strdup_printf("%s S w", stopped);
    BrokenRun off = {.before = stopped, .word = word, .disks = disks, .speed = 1000};
    BrokenRun on = {.before = running, .word = word, .disks = disks, .speed = 1000};
    char *wrong;

    if (share->seen++ % share->workers != share->worker)
        return NULL;
    wrong = cut_everywhere(&off);
    return wrong || word[0] == 'r' ? wrong : cut_everywhere(&on);
}

static bool cut_share(unsigned worker, unsigned workers)
{
    Share share = {.worker = worker, .workers = workers};
    unsigned trees = 0, requests = 0;
    g_autofree char *wrong = trees_visit(1, cut_request, &share, &trees, &requests);

    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    else
        fprintf(stderr, "# worker %u: %u broken runs on %u trees\n", worker, broken_runs(), trees);
    return !wrong;
}

static void every_plan_of_the_enumeration_survives_every_cut(void **state)
{
    workers_run(cut_share);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plan_of_the_enumeration_survives_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
