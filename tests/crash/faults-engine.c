/* The same through the engine: requests, their answers, and what stands in `errors`. */
#include "broken.h"
#include "faults.h"
#include "run/engine-priv.h"

#include <string.h>

#define DEADLINE_US (60 * G_USEC_PER_SEC)
#define TRIES       200 /* libvirt is tried again after milliseconds */

typedef struct {
    GMutex lock;
    GCond answered;
    bool done;
    GError *error;
} Answer;

static void take_answer(const GError *error, void *data)
{
    Answer *answer = data;

    g_mutex_lock(&answer->lock);
    answer->done = true;
    answer->error = error ? g_error_copy(error) : NULL;
    g_cond_signal(&answer->answered);
    g_mutex_unlock(&answer->lock);
}

static Request *request_of(const FaultRequest *what)
{
    Request *request = request_new(what->kind, LAB_UUID);

    request->name = g_strdup(what->name);
    request->new_name = g_strdup(what->text);
    request->text = g_strdup(what->text);
    request->mode = 0750;
    request->sync = true;
    request->operation = g_strdup("a request");
    return request;
}

static bool ask(Engine *engine, const FaultRequest *what, GError **error)
{
    Answer answer = {.done = false};
    int64_t deadline = g_get_monotonic_time() + DEADLINE_US;

    g_mutex_init(&answer.lock);
    g_cond_init(&answer.answered);
    engine_submit(engine, request_of(what), take_answer, &answer);
    g_mutex_lock(&answer.lock);
    while (!answer.done)
        if (!g_cond_wait_until(&answer.answered, &answer.lock, deadline))
            g_error("A request was not answered within a minute");
    g_mutex_unlock(&answer.lock);
    g_mutex_clear(&answer.lock);
    g_cond_clear(&answer.answered);
    if (answer.error)
        g_propagate_error(error, answer.error);
    return !answer.error;
}

static Engine *start_engine(Lab *lab)
{
    Engine *engine = engine_new_on(lab->faulty_hv, lab->faulty_images, lab->faulty_files);

    engine->world.job_poll_ms = 1;
    engine->world.lock_wait_ms = 0;
    engine->retry_ms = 1;
    if (!engine_start(engine, NULL))
        g_error("The engine does not start");
    return engine;
}

/* It is done already, by the request whose answer was an error. */
static bool is_done_already(const GError *error)
{
    return error_is(error, ERR_EXISTS) || error_is(error, ERR_NOT_FOUND);
}

/* What is down for a moment comes up again. */
static char *ask_again(Engine *engine, const FaultRequest *what)
{
    g_autofree char *last = NULL;

    for (unsigned tries = 0; tries < TRIES; tries++) {
        g_autoptr(GError) error = NULL;

        if (ask(engine, what, &error) || is_done_already(error))
            return NULL;
        g_free(last);
        last = g_strdup(error->message);
        if (!error_is(error, ERR_HOST_DOWN) && tries > 1)
            break;
        g_usleep(1000);
    }
    return g_strdup_printf("asked again: %s", last);
}

static char *check_told(Engine *engine, const GError *failure)
{
    g_autofree char *errors = engine_errors(engine, LAB_UUID);

    return !failure || strstr(errors, failure->message)
               ? NULL
               : g_strdup_printf("it said \"%s\", and in errors stands:\n%s", failure->message,
                                 errors);
}

static char *check_power(Lab *lab, const FaultRequest *what, const GError *failure,
                         DomainState before)
{
    DomainState now = simhost_state(lab->host, LAB_UUID);
    bool done = now == what->goal;

    if (done || (failure && now == before))
        return NULL;
    return g_strdup_printf("it %s, and the VM went from %d to %d", failure ? "failed" : "is done",
                           before, now);
}

static char *settle(Lab *lab, const FaultRequest *what)
{
    g_autoptr(GError) error = NULL;
    char *why = NULL;

    lab_restart(lab);
    lab->paused = what->goal == DOMAIN_PAUSED;
    if (!broken_recover(lab, &error))
        return g_strdup(error->message);
    why = lab_follow(lab);
    if (!why && simhost_state(lab->host, LAB_UUID) != what->goal)
        why = g_strdup("the VM is not in the state that was asked for");
    return why ? why : lab_broken_law(lab);
}

char *faults_request(const FaultRequest *what, const FaultTarget *target, bool *out_hit)
{
    g_autoptr(Lab) lab = lab_new(1, 7);
    g_autoptr(GError) failure = NULL;
    char *why = NULL;

    if (!lab_script(lab, what->before, NULL))
        return g_strdup("it cannot be prepared");
    DomainState before = simhost_state(lab->host, LAB_UUID);
    g_autoptr(Engine) engine = start_engine(lab);
    fault_arm_member(lab->fault, target);
    ask(engine, what, &failure);
    *out_hit = fault_member_calls(lab->fault, target->member) >= target->call;
    fault_arm(lab->fault, FAULT_NONE, 0);
    why = check_told(engine, failure);
    if (!why)
        why = check_power(lab, what, failure, before);
    if (!why && failure)
        why = ask_again(engine, what);
    g_clear_pointer(&engine, engine_free);
    return why ? why : settle(lab, what);
}
