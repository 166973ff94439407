/* The text form of plans: every kind goes there and back, and no text does harm. */
#include "testing.h"

#include "base/error.h"
#include "model/domain.h"
#include "plan/step.h"

#define ID "aaaaaaaaaa"

/* One line of every kind, as it is printed. */
static const char *const lines[] = {
    "overlay target=vda path=/i/a\\040b.qcow2 backing=/i/a.raw backing_format=raw capacity=4096",
    "freeze timeout=10 required=no",
    "suspend",
    "keep-vars snapshot=" ID " path=/n/web01_VARS.fd",
    "keep-tpm snapshot=" ID " path=/t/tpm2",
    "snapshot snapshot=" ID " switch.vda=/i/b.qcow2 switch.vdb=/i/c.qcow2 exclude.sda=",
    "resume",
    "thaw timeout=10",
    "sync-sidecar snapshot=" ID " required=no vars_size=1 vars_sha256=ab tpm_size=2 tpm_sha256=cd",
    "redefine switch.vda=/i/b.qcow2 format.vda=raw",
    "settle switch.vda=/i/b.qcow2",
    "commit-active lane=" ID " disk=" ID " target=vda top=/i/b.qcow2 base=/i/a.qcow2",
    "commit-live lane=" ID " disk=" ID " target=vda top=/i/b.qcow2 base=/i/a.qcow2",
    "commit-offline disk=" ID " top=/i/b top_format=qcow2 base=/i/a base_format=raw",
    "compare disk=" ID " top=/i/b top_format=qcow2 base=/i/a base_format=raw",
    "repoint disk=" ID " path=/i/c backing=/i/a backing_format=qcow2",
    "unlink path=/i/=\\040\\134",
    "place-vars snapshot=" ID " path=/n/a.fd like=/n/b.fd",
    "stage-tpm snapshot=" ID " path=/t/tpm2.a like=/t/tpm2",
    "exchange-tpm snapshot=" ID " path=/t/tpm2 staged=/t/tpm2.a",
    "return-tpm snapshot=" ID " path=/t/tpm2 staged=/t/tpm2.a",
    "drop-state path=/t/tpm2.a snapshot=" ID,
    "drop-sidecar snapshot=" ID,
    "undefine host=a\\040host vars=/n/web_VARS.fd known=/i/web.fd tpm=/t/" ID,
    "record-freezing",
    "record-thawed",
    "record-create snapshot=" ID " name=grün parent=bbbbbbbbbb created=1 consistency=crash "
    "description=one\\012two uid=1000 mode=0750 disk." ID "=vda frozen." ID "=cccccccccc path." ID
    "=/i/a format." ID "=raw capacity." ID "=512 active." ID "=dddddddddd active_path." ID
    "=/i/b active_capacity." ID "=512 nvram=/n/web01_VARS.fd vars_size=1 vars_sha256=ab "
    "tpm_size=2 tpm_sha256=cd tpm_version=2.0 tpm_secret=ef error=none",
    "record-revert snapshot=" ID " active." ID "=dddddddddd active_path." ID
    "=/i/b active_capacity." ID "=9223372036854775807",
    "record-rename snapshot=" ID " name=a\\040b",
    "record-describe snapshot=" ID " description=",
    "record-mode snapshot=" ID " mode=0550",
    "record-policy key=max_depth value=10",
    "record-removing snapshot=" ID,
    "record-hidden snapshot=" ID,
    "record-pivot disk=" ID " into=bbbbbbbbbb",
    "record-committed disk=" ID " into=bbbbbbbbbb",
    "record-merged snapshot=" ID " disk=" ID " layer=bbbbbbbbbb into=cccccccccc format=qcow2 "
    "capacity=0",
    "record-dropped snapshot=" ID " disk=" ID " layer=bbbbbbbbbb",
    "record-removed snapshot=" ID,
    "record-failed snapshot=" ID " error=no\\040space",
    "record-warning snapshot=" ID " text=late\\040thaw",
    "record-attached disk=" ID " target=vda attached=yes",
    "record-found snapshot=" ID " name=found-1 created=1 consistency=crash uid=0 mode=0750",
    "record-layers disk=" ID " target=vda active=bbbbbbbbbb path.bbbbbbbbbb=/i/b "
    "format.bbbbbbbbbb=qcow2 capacity.bbbbbbbbbb=512 parent.bbbbbbbbbb=cccccccccc "
    "path.cccccccccc=/i/c format.cccccccccc=raw capacity.cccccccccc=512 owner.cccccccccc=" ID,
    "record-tree current=" ID " parent." ID "=dddddddddd",
    "record-nvram path=/i/web_VARS.fd",
};

static char *whole_plan(void)
{
    GString *text = g_string_new("plan merge snapshot=" ID "\n");

    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
        if (i == 3)
            g_string_append(text, "--\n");
        g_string_append_printf(text, "%s\n", lines[i]);
    }
    return g_string_free(text, FALSE);
}

static void every_kind_goes_to_text_and_back(void **state)
{
    g_autofree char *text = whole_plan();
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = plan_parse(text, &error);
    g_autofree char *again = NULL;

    if (!plan)
        fail_msg("%s", error->message);
    assert_int_equal(G_N_ELEMENTS(lines), N_STEP_KINDS);
    for (unsigned i = 0; i < plan->steps->len; i++)
        assert_int_equal(((Step *)plan->steps->pdata[i])->kind, i);
    assert_int_equal(plan->commit, 3);
    again = plan_print(plan);
    assert_string_equal(again, text);
}

static void every_kind_has_its_word_and_a_line_of_documentation(void **state)
{
    for (unsigned kind = 0; kind < N_STEP_KINDS; kind++) {
        g_auto(GStrv) words = g_strsplit(lines[kind], " ", 2);

        assert_string_equal(words[0], step_kind_name(kind));
        assert_int_equal(step_is_record(&(Step){.kind = kind}),
                         g_str_has_prefix(words[0], "record-"));
        assert_true(strlen(step_kind_doc(kind)) > 10);
    }
}

static void any_value_survives(void **state)
{
    g_autoptr(Plan) plan = plan_new(PLAN_LABEL, NULL);
    static const char nasty[] = " \t\n\\=--\x01\x7f\\040 ünï=\r";
    g_autofree char *text = NULL;
    g_autoptr(Plan) again = NULL;
    Step *step = plan_add(plan, STEP_RECORD_DESCRIBE);

    step_set(step, "snapshot", ID);
    step_set(step, "description", nasty);
    step = plan_add(plan, STEP_SETTLE);
    step_set_sub(step, "switch", "a.b=c d", "/x");
    text = plan_print(plan);
    again = plan_parse(text, NULL);
    assert_non_null(again);
    assert_string_equal(step_get(again->steps->pdata[0], "description"), nasty);
    assert_string_equal(step_get_sub(again->steps->pdata[1], "switch", "a.b=c d"), "/x");
}

static void accessors_find_what_was_set(void **state)
{
    Step *step = step_new(STEP_REDEFINE);
    g_autoptr(GPtrArray) switches = NULL;
    g_autoptr(GPtrArray) targets = NULL;

    step_set_sub(step, "switch", "vda", "/a");
    step_set_sub(step, "switch", "vdb", "/b");
    step_set_sub(step, "format", "vdb", "raw");
    step_set_sub(step, "switch", "vda", "/c");
    targets = step_suffixes(step, "switch");
    assert_int_equal(targets->len, 2);
    switches = step_switches(step);
    assert_string_equal(((DiskSwitch *)switches->pdata[0])->path, "/c");
    assert_string_equal(((DiskSwitch *)switches->pdata[0])->format, "qcow2");
    assert_string_equal(((DiskSwitch *)switches->pdata[1])->format, "raw");
    assert_null(step_get(step, "nothing"));
    assert_int_equal(step_get_number(step, "nothing"), 0);
    assert_null(step_undo(step));
    step_free(step);
}

static void an_overlay_is_undone_by_its_unlink(void **state)
{
    Step *step = step_new(STEP_OVERLAY);
    Step *undo;

    step_set(step, "path", "/i/b.qcow2");
    undo = step_undo(step);
    assert_int_equal(undo->kind, STEP_UNLINK);
    assert_string_equal(step_get(undo, "path"), "/i/b.qcow2");
    step_free(undo);
    step_free(step);
}

static void hostile_text_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"", "line 1"},
        {"\n", "line 1"},
        {"plan", "line 1"},
        {"plan \n--\n", "line 1"},
        {"plan dance\n--\n", "line 1"},
        {"plan merge snapshot=\n--\n", "line 1"},
        {"plan merge snapshot=../x\n--\n", "line 1"},
        {"plan merge disk=" ID "\n--\n", "line 1"},
        {"plan merge snapshot=" ID " x=y\n--\n", "line 1"},
        {"plan merge\n", "line 2"},
        {"plan merge\nunlink path=/x\n", "line 3"},
        {"plan merge\n--\n--\n", "line 3"},
        {"plan merge\n--\n\nunlink path=/x\n", "line 3"},
        {"plan merge\n--\nfly path=/x\n", "line 3"},
        {"plan merge\n--\n path=/x\n", "line 3"},
        {"plan merge\n--\nunlink\n", "line 3"},
        {"plan merge\n--\nunlink path=\n", "line 3"},
        {"plan merge\n--\nunlink path=x\n", "line 3"},
        {"plan merge\n--\nunlink path=/x\\012y\n", "line 3"},
        {"plan merge\n--\nunlink path=/x path=/y\n", "line 3"},
        {"plan merge\n--\nunlink path=/x lane=a/b\n", "line 3"},
        {"plan merge\n--\nunlink lane=" ID " lane=" ID " path=/x\n", "line 3"},
        {"plan merge\n--\nunlink path=/x more=1\n", "line 3"},
        {"plan merge\n--\nunlink path.x=/x\n", "line 3"},
        {"plan merge\n--\nunlink path=/x =y\n", "line 3"},
        {"plan merge\n--\nunlink path=/x  \n", "line 3"},
        {"plan merge\n--\nunlink path=/x\\\n", "line 3"},
        {"plan merge\n--\nunlink path=/x\\999\n", "line 3"},
        {"plan merge\n--\nunlink path=/\xff\n", "line 3"},
        {"plan merge\n--\nrepoint disk=" ID " path=/c backing=/a backing_format=vmdk\n", "line 3"},
        {"plan merge\n--\nsettle switch.=/x\n", "line 3"},
        {"plan merge\n--\nsettle switch=/x\n", "line 3"},
        {"plan merge\n--\nsettle format.vda=raw\n", "line 3"},
        {"plan merge\n--\nrecord-mode snapshot=" ID " mode=888\n", "line 3"},
        {"plan merge\n--\nrecord-mode snapshot=" ID " mode=10000\n", "line 3"},
        {"plan merge\n--\nrecord-rename snapshot=" ID " name=..\n", "line 3"},
        {"plan merge\n--\nrecord-attached disk=" ID " target=vda attached=maybe\n", "line 3"},
        {"plan merge\n--\noverlay target=vda path=/b backing=/a backing_format=raw capacity=-1\n",
         "line 3"},
        {"plan merge\n--\noverlay target=vda path=/b backing=/a backing_format=raw capacity=010\n",
         "line 3"},
        {"plan merge\n--\noverlay target=vda path=/b backing=/a backing_format=raw "
         "capacity=9223372036854775808\n",
         "line 3"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Plan) plan = plan_parse(cases[i].text, &error);

        if (plan || !error_is(error, ERR_INVALID) || !strstr(error->message, cases[i].line))
            fail_msg("case %u: %s", i, error ? error->message : "it was accepted");
    }
}

static void a_value_over_64_kib_is_refused(void **state)
{
    g_autofree char *value = g_strnfill(64 * 1024 + 1, 'x');
    g_autofree char *text =
        g_strdup_printf("plan label\n--\nrecord-describe snapshot=" ID " description=%s\n", value);
    g_autoptr(GError) error = NULL;

    assert_null(plan_parse(text, &error));
    assert_true(error_is(error, ERR_INVALID));
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void mutate(GString *text, uint64_t *seed)
{
    static const char *const pieces[] = {"=", " ", "\n", "--\n", "\\", "\\000", "plan ", "lane="};
    uint64_t random = next_random(seed);
    gsize at = next_random(seed) % (text->len + 1);
    gsize length = next_random(seed) % 40;

    if (random % 3 == 0 && at < text->len)
        text->str[at] = (char)(1 + next_random(seed) % 255);
    else if (random % 3 == 1)
        g_string_erase(text, (gssize)at,
                       (gssize)(length < text->len - at ? length : text->len - at));
    else
        g_string_insert(text, (gssize)at, pieces[next_random(seed) % G_N_ELEMENTS(pieces)]);
}

/* What is accepted must print to something that is accepted and prints the same. */
static void mutated_text_gives_a_plan_or_an_error(void **state)
{
    g_autofree char *text = whole_plan();
    uint64_t seed = 88172645463325252;
    unsigned accepted = 0;

    for (unsigned i = 0; i < 20000; i++) {
        g_autoptr(GString) mutated = g_string_new(text);
        g_autoptr(GError) error = NULL;
        g_autoptr(Plan) plan = NULL;

        for (unsigned n = next_random(&seed) % 3; n < 3; n++)
            mutate(mutated, &seed);
        plan = plan_parse(mutated->str, &error);
        assert_true((plan == NULL) == (error != NULL));
        if (plan) {
            g_autofree char *once = plan_print(plan);
            g_autoptr(Plan) again = plan_parse(once, NULL);
            g_autofree char *twice = again ? plan_print(again) : NULL;

            assert_non_null(twice);
            assert_string_equal(once, twice);
            accepted++;
        }
    }
    assert_true(accepted > 100);
}

/* A revert's warning names the image that uses a file, and an image's name may be any bytes. */
static void texts_for_people_are_read_again_whatever_they_quote(void **state)
{
    Plan *plan = plan_new(PLAN_REVERT, ID);
    Step *step = plan_add(plan, STEP_RECORD_WARNING);

    step_set(step, "snapshot", ID);
    step_set(step, "text", "it is used by image /i/\xff\xc3.qcow2");
    g_autofree char *text = plan_print(plan);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) again = plan_parse(text, &error);

    assert_null(error);
    assert_non_null(again);
    plan_free(plan);
}

static void a_complaint_about_a_plan_is_one_line_of_utf8(void **state)
{
    static const char *const texts[] = {"plan merge\n--\nun\033link path=/a\n",
                                        "plan merge\n--\nunlink "
                                        "pxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\303\251\n",
                                        "plan \xff\n"};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(plan_parse(texts[i], &error));
        assert_true(g_utf8_validate(error->message, -1, NULL));
        for (const char *c = error->message; *c; c++)
            assert_false(g_ascii_iscntrl(*c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_goes_to_text_and_back),
        cmocka_unit_test(every_kind_has_its_word_and_a_line_of_documentation),
        cmocka_unit_test(any_value_survives),
        cmocka_unit_test(accessors_find_what_was_set),
        cmocka_unit_test(an_overlay_is_undone_by_its_unlink),
        cmocka_unit_test(hostile_text_is_refused_with_its_line),
        cmocka_unit_test(a_value_over_64_kib_is_refused),
        cmocka_unit_test(texts_for_people_are_read_again_whatever_they_quote),
        cmocka_unit_test(a_complaint_about_a_plan_is_one_line_of_utf8),
        cmocka_unit_test(mutated_text_gives_a_plan_or_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
