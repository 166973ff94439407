/* A VM's own UEFI variables, replaced and reset by hand on a simulated host, and what is read of
 * them. */
#include "engine-bench.h"

#include "model/vars.h"

#include <string.h>

#define STORE SIM_NVRAM_DIRECTORY "/web_VARS.fd"
#define SIZE  4096

/* A variable store that begins with @mark; without, it is none. */
static GBytes *store(char mark, gsize size)
{
    char *content = g_malloc0(SIZE * 2);

    content[0] = mark;
    if (mark)
        memcpy(content + 40, "_FVH", 4);
    g_autoptr(GBytes) whole = g_bytes_new_take(content, SIZE * 2);
    return g_bytes_new_from_bytes(whole, 0, size);
}

static void put(Bench *bench, const char *path, char mark, gsize size)
{
    g_autoptr(GBytes) content = store(mark, size);

    simhost_set_state_bytes(bench->host, path, content);
}

static void look_again(Bench *bench)
{
    assert_string_equal(bench_answer(bench_submit(bench, request_new(REQUEST_RESCAN, WEB))), "ok");
}

/* web has UEFI firmware and variables that begin with "o". */
static int set_up(void **state)
{
    Bench *bench = bench_new();

    simhost_set_firmware(bench->host, WEB, SIM_LOADER, false);
    put(bench, SIM_TEMPLATE, 't', SIZE);
    put(bench, STORE, 'o', SIZE);
    bench_start(bench);
    *state = bench;
    return 0;
}

static const char *set_to(Bench *bench, const char *vm, char mark, gsize size)
{
    Request *request = request_new(REQUEST_SET_VARS, vm);

    request->content = store(mark, size);
    return bench_answer(bench_submit(bench, request));
}

static const char *reset(Bench *bench, const char *vm)
{
    return bench_answer(bench_submit(bench, request_new(REQUEST_RESET_VARS, vm)));
}

/* '\0': there is none. */
static void assert_holds(Bench *bench, char mark)
{
    g_autoptr(GBytes) content = simhost_state_content(bench->host, STORE);
    const char *bytes = content ? g_bytes_get_data(content, NULL) : "";

    assert_int_equal(bytes[0], mark);
}

static void assert_state(Bench *bench, const char *state, bool exists, bool vanished)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    assert_string_equal(view->nvram->state, state);
    assert_int_equal(view->nvram->exists, exists);
    assert_int_equal(view->nvram->vanished, vanished);
}

static void assert_said(Bench *bench, const char *part)
{
    g_autofree char *errors = engine_errors(bench->engine, WEB);

    if (!strstr(errors, part))
        fail_msg("no \"%s\" in: %s", part, errors);
}

/* There is a catalog from now on, which can know where the variables are. */
static void make_home(Bench *bench)
{
    Request *request = bench_request(REQUEST_POLICY, WEB, "max_depth");

    request->text = g_strdup("50");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
}

/* ---- reading ---- */

typedef struct {
    Bench *bench;
    const Request *request;
    GBytes *content;
    bool answered;
    ErrorCode code;
} Reading;

static void take_content(const GError *error, void *data)
{
    Reading *reading = data;

    g_mutex_lock(&reading->bench->lock);
    reading->content = reading->request->content ? g_bytes_ref(reading->request->content) : NULL;
    reading->code = error ? error_code(error) : ERR_IO;
    reading->answered = true;
    g_cond_broadcast(&reading->bench->changed);
    g_mutex_unlock(&reading->bench->lock);
}

/* NULL: refused, with *out_code. */
static GBytes *read_file(Bench *bench, const char *snapshot, const char *file, ErrorCode *out_code)
{
    Request *request = bench_request(REQUEST_READ, WEB, snapshot);
    request->text = g_strdup(file);
    Reading reading = {.bench = bench, .request = request};

    int64_t deadline = g_get_monotonic_time() + 60 * G_TIME_SPAN_SECOND;

    engine_submit(bench->engine, request, take_content, &reading);
    g_mutex_lock(&bench->lock);
    while (!reading.answered && g_cond_wait_until(&bench->changed, &bench->lock, deadline))
        ;
    g_mutex_unlock(&bench->lock);
    assert_true(reading.answered);
    *out_code = reading.code;
    return reading.content;
}

static GBytes *read_vars(Bench *bench, const char *snapshot, ErrorCode *out_code)
{
    return read_file(bench, snapshot, NULL, out_code);
}

static void assert_reads(Bench *bench, char mark)
{
    ErrorCode code;
    g_autoptr(GBytes) content = read_vars(bench, NULL, &code);

    assert_non_null(content);
    assert_int_equal(g_bytes_get_size(content), SIZE);
    assert_int_equal(((const char *)g_bytes_get_data(content, NULL))[0], mark);
}

static void variables_are_read_also_while_the_vm_runs_and_libvirt_is_down(void **state)
{
    Bench *bench = *state;

    assert_reads(bench, 'o');
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_reads(bench, 'o');
    simhost_set_down(bench->host, true);
    bench_wait(bench, is_stale, WEB);
    assert_reads(bench, 'o');
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "EHOSTDOWN");
}

/* NV-13: somebody deletes them while they are listed. */
static void nv_13_variables_that_are_gone_are_named(void **state)
{
    Bench *bench = *state;
    ErrorCode code;

    simhost_set_state(bench->host, STORE, NULL);
    g_autoptr(GBytes) content = read_vars(bench, NULL, &code);
    assert_null(content);
    assert_int_equal(code, ERR_NOT_FOUND);
    assert_said(bench, "NVRAM " STORE " of VM web is not there");
    g_autoptr(GBytes) of_nobody = read_vars(bench, "aaaaaaaaaa", &code);
    assert_null(of_nobody);
    assert_int_equal(code, ERR_NOT_FOUND);
}

/* ---- what snapshots keep ---- */

#define STATE "tpm2-00.permall"

/* A snapshot "a" of a VM with a vTPM; its id. */
static char *keep(Bench *bench)
{
    simhost_set_tpm(bench->host, WEB, true);
    simhost_set_state_directory(bench->host, SIM_TPM_DIRECTORY "/" WEB "/tpm2", true);
    simhost_set_state(bench->host, SIM_TPM_DIRECTORY "/" WEB "/tpm2/" STATE, "secret");
    look_again(bench);
    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    return g_strdup(vm_view_named(view, "a")->id);
}

static void assert_text(GBytes *content, const char *text)
{
    assert_non_null(content);
    assert_int_equal(g_bytes_get_size(content), strlen(text));
    assert_memory_equal(g_bytes_get_data(content, NULL), text, strlen(text));
}

static void nv_25_what_a_snapshot_keeps_is_listed_and_read(void **state)
{
    Bench *bench = *state;
    ErrorCode code;
    g_autofree char *id = keep(bench);

    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    bench_restart(bench);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    const SnapshotView *snapshot = vm_view_named(view, "a");
    assert_int_equal(snapshot->vars->size, SIZE);
    assert_int_equal(snapshot->tpm_files->len, 1);
    const StateFileView *file = snapshot->tpm_files->pdata[0];
    assert_string_equal(file->name, STATE);
    assert_int_equal(file->size, strlen("secret"));
    g_autoptr(GBytes) vars = read_vars(bench, id, &code);
    assert_int_equal(((const char *)g_bytes_get_data(vars, NULL))[0], 'o');
    g_autoptr(GBytes) tpm = read_file(bench, id, STATE, &code);
    assert_text(tpm, "secret");
    g_autoptr(GBytes) other = read_file(bench, id, "other", &code);
    assert_null(other);
    assert_int_equal(code, ERR_NOT_FOUND);
}

/* Nobody is given something else for what was kept. */
static void what_was_kept_and_is_spoiled_is_not_read(void **state)
{
    Bench *bench = *state;
    Files *files = bench->files;
    ErrorCode code;
    g_autofree char *id = keep(bench);
    g_autofree char *vars = g_strdup_printf("/images/.vmsnapfs/" WEB "/vars/%s.fd", id);
    g_autofree char *tpm = g_strdup_printf("/images/.vmsnapfs/" WEB "/tpm/%s/" STATE, id);

    assert_true(files->ops->exists(files, vars) && files->ops->exists(files, tpm));
    assert_true(files->ops->replace(files, vars, "else", 4, NULL));
    assert_true(files->ops->replace(files, tpm, "public", 6, NULL));
    g_autoptr(GBytes) spoiled_vars = read_vars(bench, id, &code);
    assert_null(spoiled_vars);
    assert_int_equal(code, ERR_IO);
    g_autoptr(GBytes) spoiled_tpm = read_file(bench, id, STATE, &code);
    assert_null(spoiled_tpm);
    assert_int_equal(code, ERR_IO);
    assert_true(files->ops->remove(files, vars, NULL));
    g_autoptr(GBytes) gone = read_vars(bench, id, &code);
    assert_null(gone);
    assert_int_equal(code, ERR_NOT_FOUND);
}

/* Of firmware='efi' the template is known while the VM runs only: the size is that of what the
 * snapshots keep. */
static void variables_that_vanished_can_be_put_back_from_a_snapshot(void **state)
{
    Bench *bench = *state;

    simhost_set_firmware(bench->host, WEB, SIM_EFI, false);
    look_again(bench);
    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    simhost_set_state(bench->host, STORE, NULL);
    look_again(bench);
    assert_state(bench, "missing", false, true);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(view->nvram->whole, SIZE);
    assert_string_equal(set_to(bench, WEB, 'm', SIZE), "ok");
    assert_state(bench, "ready", true, false);
}

/* ---- replacing ---- */

static void variables_are_replaced_and_that_is_an_event(void **state)
{
    Bench *bench = *state;
    g_autoptr(GBytes) content = store('n', SIZE);
    g_autofree char *sha256 = state_digest(content);

    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    assert_holds(bench, 'n');
    assert_reads(bench, 'n');
    bench_wait(bench, has_event, "\"type\":\"nvram-replaced\"");
    bench_wait(bench, has_event, sha256);
    assert_null(simhost_misuse(bench->host));
}

static void only_a_store_of_the_right_size_is_taken(void **state)
{
    Bench *bench = *state;

    assert_string_equal(set_to(bench, WEB, 'n', SIZE - 1), "EINVAL");
    assert_said(bench, "that of another firmware");
    assert_string_equal(set_to(bench, WEB, 'n', SIZE + 1), "EINVAL");
    assert_string_equal(set_to(bench, WEB, 'n', 0), "EINVAL");
    assert_string_equal(set_to(bench, WEB, '\0', SIZE), "EINVAL");
    assert_said(bench, "_FVH");
    assert_string_equal(set_to(bench, DB, 'n', SIZE), "EOPNOTSUPP");
    assert_holds(bench, 'o');
    assert_false(bench_has_event(bench, "nvram-replaced"));
}

/* NV-05 */
static void nv_05_a_spoiled_store_is_mended(void **state)
{
    Bench *bench = *state;

    put(bench, STORE, 'o', SIZE / 2);
    look_again(bench);
    assert_state(bench, "badsize", true, false);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE / 2), "EINVAL");
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    assert_state(bench, "ready", true, false);
    simhost_set_state(bench->host, STORE, "");
    look_again(bench);
    assert_state(bench, "empty", true, false);
    assert_string_equal(set_to(bench, WEB, 'm', SIZE), "ok");
    assert_state(bench, "ready", true, false);
}

static void who_is_not_off_keeps_its_variables(void **state)
{
    Bench *bench = *state;

    simhost_start(bench->host, WEB);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "EBUSY");
    assert_string_equal(reset(bench, WEB), "EBUSY");
    simhost_stop(bench->host, WEB);
    simhost_set_managed_save(bench->host, WEB, true);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "EBUSY");
    assert_string_equal(reset(bench, WEB), "EBUSY");
    simhost_set_managed_save(bench->host, WEB, false);
    assert_holds(bench, 'o');
    /* Another VM has the same file. */
    simhost_set_firmware(bench->host, DB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, DB, STORE);
    simhost_start(bench->host, DB);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "EBUSY");
    assert_string_equal(reset(bench, WEB), "EBUSY");
    assert_holds(bench, 'o');
}

static void without_room_the_old_variables_stay(void **state)
{
    Bench *bench = *state;

    simhost_set_free(bench->host, 0);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ENOSPC");
    assert_holds(bench, 'o');
    assert_state(bench, "ready", true, false);
}

/* ---- resetting ---- */

static void a_reset_forgets_where_they_were(void **state)
{
    Bench *bench = *state;

    make_home(bench);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    assert_string_equal(reset(bench, WEB), "ok");
    assert_holds(bench, '\0');
    assert_state(bench, "missing", false, false);
    bench_wait(bench, has_event, "\"type\":\"nvram-reset\"");
    bench_wait(bench, has_event, "\"type\":\"nvram\"");
    assert_string_equal(set_to(bench, WEB, 'm', SIZE), "ok");
    assert_holds(bench, 'm');
}

static bool write_nothing(Files *files, const char *path, const char *content, gssize length,
                          GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_NO_SPACE, "There is no room to write %s", path);
    return false;
}

/* The mark goes first. One that cannot be set is only missed. */
static void a_reset_that_cannot_be_recorded_changes_nothing(void **state)
{
    Bench *bench = *state;
    const FilesOps *whole = bench->files->ops;
    FilesOps full = *whole;

    make_home(bench);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    full.replace = write_nothing;
    bench->files->ops = &full;
    assert_string_equal(reset(bench, WEB), "ENOSPC");
    assert_holds(bench, 'n');
    bench->files->ops = whole;
    assert_string_equal(reset(bench, WEB), "ok");
    bench->files->ops = &full;
    assert_string_equal(set_to(bench, WEB, 'm', SIZE), "ok");
    bench->files->ops = whole;
    assert_holds(bench, 'm');
    assert_state(bench, "ready", true, false);
}

/* NV-24: what was there and is not is told apart from what never was, and needs a word. */
static void nv_24_variables_that_vanished_are_taken_back_or_given_up(void **state)
{
    Bench *bench = *state;

    make_home(bench);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    simhost_set_state(bench->host, STORE, NULL);
    bench_restart(bench);
    assert_state(bench, "missing", false, true);
    assert_string_equal(set_to(bench, WEB, 'm', SIZE), "ok");
    assert_state(bench, "ready", true, false);
    simhost_set_state(bench->host, STORE, NULL);
    look_again(bench);
    assert_state(bench, "missing", false, true);
    assert_string_equal(reset(bench, WEB), "ok");
    assert_state(bench, "missing", false, false);
}

/* NV-04: kept, and removed on request only. */
static void nv_04_variables_that_nothing_needs_go_on_request(void **state)
{
    Bench *bench = *state;

    make_home(bench);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    simhost_set_firmware(bench->host, WEB, SIM_BIOS, false);
    look_again(bench);
    assert_state(bench, "unused", true, false);
    assert_string_equal(set_to(bench, WEB, 'm', SIZE), "EOPNOTSUPP");
    assert_holds(bench, 'n');
    assert_string_equal(reset(bench, WEB), "ok");
    assert_holds(bench, '\0');
    assert_state(bench, "none", false, false);
    assert_string_equal(reset(bench, WEB), "ENOENT");
}

/* A definition that names the firmware's own template as its store: other VMs are made from it. */
static void a_template_is_neither_replaced_nor_reset(void **state)
{
    Bench *bench = *state;

    simhost_set_nvram(bench->host, WEB, SIM_TEMPLATE);
    look_again(bench);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "EOPNOTSUPP");
    assert_said(bench, SIM_TEMPLATE ", which belongs to the firmware");
    assert_string_equal(reset(bench, WEB), "EOPNOTSUPP");
    g_autoptr(GBytes) content = simhost_state_content(bench->host, SIM_TEMPLATE);
    assert_non_null(content);
    assert_int_equal(((const char *)g_bytes_get_data(content, NULL))[0], 't');
}

/* ---- definitions that name what is not the VM's ---- */

/* By the last line of `errors`. */
static void assert_said_last(Bench *bench, const char *part)
{
    g_autofree char *errors = g_strchomp(engine_errors(bench->engine, WEB));
    const char *line = strrchr(errors, '\n');

    if (!strstr(line ? line : errors, part))
        fail_msg("no \"%s\" at the end of: %s", part, errors);
}

static void assert_unread(Bench *bench, const char *why)
{
    ErrorCode code = ERR_IO;
    g_autoptr(GBytes) content = read_vars(bench, NULL, &code);

    assert_null(content);
    assert_int_equal(code, ERR_UNSUPPORTED);
    assert_said_last(bench, why);
}

static void assert_refused_as_store(Bench *bench, const char *path, const char *why)
{
    simhost_set_nvram(bench->host, WEB, path);
    look_again(bench);
    assert_unread(bench, why);
    assert_string_equal(bench_revert(bench, WEB, "a"), "EOPNOTSUPP");
    assert_said_last(bench, "cannot be put aside");
    assert_said_last(bench, why);
    assert_string_equal(bench_create(bench, WEB, "b"), "EOPNOTSUPP");
    assert_said_last(bench, why);
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "EOPNOTSUPP");
    assert_said_last(bench, why);
    assert_string_equal(reset(bench, WEB), "EOPNOTSUPP");
    assert_said_last(bench, why);
    assert_string_equal(bench_power(bench, WEB, "running"), "EIO");
    assert_said_last(bench, why);
}

/* A slip in <nvram>, or worse: a revert, cp and rm would take away somebody's file. */
static void attack_a_file_that_is_no_store_is_not_shown_replaced_or_removed(void **state)
{
    Bench *bench = *state;
    const char *const others[] = {"/etc/passwd", "/images/disk.raw"};

    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    simhost_set_state(bench->host, others[0], "root:x:0:0");
    simhost_set_state(bench->host, others[1], "\x33\xc0\x8e");
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(GBytes) before = simhost_state_content(bench->host, others[i]);

        assert_refused_as_store(bench, others[i], "holds something else than UEFI variables");
        g_autoptr(GBytes) after = simhost_state_content(bench->host, others[i]);
        assert_non_null(after);
        assert_true(g_bytes_equal(before, after));
    }
    simhost_set_nvram(bench->host, WEB, STORE);
    look_again(bench);
    assert_string_equal(bench_revert(bench, WEB, "a"), "ok");
    assert_null(simhost_misuse(bench->host));
}

/* S-29: where a store of the VM is known to have been, it is the VM's own, only spoiled. */
static void what_is_known_as_the_vms_own_is_mended_whatever_is_in_it(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    simhost_set_state(bench->host, STORE, "corrupt");
    look_again(bench);
    assert_string_equal(bench_power(bench, WEB, "running"), "EIO");
    assert_said_last(bench, "no UEFI variables in it");
    assert_string_equal(set_to(bench, WEB, 'n', SIZE), "ok");
    simhost_set_state(bench->host, STORE, "corrupt");
    assert_string_equal(bench_revert(bench, WEB, "a"), "ok");
    g_autoptr(GBytes) old = simhost_state_content(bench->host, STORE);
    assert_null(old);
}

static void attack_a_snapshots_copy_is_no_store(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    assert_refused_as_store(bench, "/images/.vmsnapfs/" WEB "/vars/k123456789.fd",
                            "a copy that belongs to a snapshot");
}

static void attack_a_relative_path_is_no_store(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    assert_refused_as_store(bench, "web_VARS.fd", "is no absolute path");
}

/* What a VM's first start would be given is not read to the next best snapshot. */
static void attack_a_template_that_is_no_store_is_not_kept(void **state)
{
    Bench *bench = *state;

    simhost_set_state(bench->host, STORE, NULL);
    simhost_set_state(bench->host, SIM_TEMPLATE, "root:$6$salt$hash");
    look_again(bench);
    assert_string_equal(bench_create(bench, WEB, "a"), "EOPNOTSUPP");
    assert_listed(bench, WEB, "");
}

/* Looking at it would cost the guest time, and show what is over in milliseconds. */
static void nobody_looks_at_a_vm_while_we_suspend_it(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    bench_tell_at_commit(bench);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_false(bench_has_event(bench, "paused"));
    assert_true(is_running(bench, WEB));
    assert_string_equal(bench_power(bench, WEB, "paused"), "ok");
    bench_wait(bench, has_event, "paused");
}

#define started(name) cmocka_unit_test_setup_teardown(name, set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(variables_are_read_also_while_the_vm_runs_and_libvirt_is_down),
        started(nv_25_what_a_snapshot_keeps_is_listed_and_read),
        started(what_was_kept_and_is_spoiled_is_not_read),
        started(variables_that_vanished_can_be_put_back_from_a_snapshot),
        started(nv_13_variables_that_are_gone_are_named),
        started(variables_are_replaced_and_that_is_an_event),
        started(only_a_store_of_the_right_size_is_taken),
        started(nv_05_a_spoiled_store_is_mended),
        started(who_is_not_off_keeps_its_variables),
        started(without_room_the_old_variables_stay),
        started(a_template_is_neither_replaced_nor_reset),
        started(a_reset_forgets_where_they_were),
        started(a_reset_that_cannot_be_recorded_changes_nothing),
        started(nv_24_variables_that_vanished_are_taken_back_or_given_up),
        started(nv_04_variables_that_nothing_needs_go_on_request),
        started(attack_a_file_that_is_no_store_is_not_shown_replaced_or_removed),
        started(what_is_known_as_the_vms_own_is_mended_whatever_is_in_it),
        started(attack_a_snapshots_copy_is_no_store),
        started(attack_a_relative_path_is_no_store),
        started(attack_a_template_that_is_no_store_is_not_kept),
        started(nobody_looks_at_a_vm_while_we_suspend_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
