/* Catalog and journal as files: the examples of the docs, round trips, hostile YAML, mutations,
 * generations. */
#include "store/store.h"

#include "base/str.h"
#include "base/yaml.h"
#include "plan/step-table.h"
#include "store/faulty.h"
#include <gio/gio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID      "6f1c2a80-93ab-4c35-8d3e-0b6a4c1f2d77"
#define HOME      "/images of \"a\""
#define MUTATIONS 20000

/* ---- the docs ---- */

static char *read_doc(const char *name)
{
    g_autofree char *path = g_build_filename(SOURCE_ROOT, "docs", name, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, &error))
        fail_msg("%s", error->message);
    return text;
}

/* The first ```yaml block of a page. */
static char *doc_example(const char *name)
{
    g_autofree char *text = read_doc(name);
    const char *start = strstr(text, "```yaml\n");
    const char *end = start ? strstr(start, "\n```\n") : NULL;

    assert_non_null(end);
    start += strlen("```yaml\n");
    return g_strndup(start, (gsize)(end + 1 - start));
}

static Catalog *parse_catalog(const char *text)
{
    g_autoptr(GError) error = NULL;
    Catalog *catalog = catalog_from_yaml(text, strlen(text), &error);

    if (!catalog)
        fail_msg("%s", error->message);
    return catalog;
}

static Journal *parse_journal(const char *text)
{
    g_autoptr(GError) error = NULL;
    Journal *journal = journal_from_yaml(text, strlen(text), &error);

    if (!journal)
        fail_msg("%s", error->message);
    return journal;
}

static void the_documented_catalog_is_what_is_written(void **state)
{
    g_autofree char *text = doc_example("catalog-format.md");
    g_autoptr(Catalog) catalog = parse_catalog(text);
    g_autofree char *again = catalog_to_yaml(catalog);
    const Snapshot *first = catalog->snapshots->pdata[0];

    assert_string_equal(again, text);
    assert_int_equal(catalog->generation, 3);
    assert_string_equal(catalog->current, "snapgoodbb");
    assert_int_equal(first->created, G_GINT64_CONSTANT(1795271405123456));
    assert_int_equal(first->mode, 0750);
    assert_string_equal(first->description,
                        "Before the upgrade to 13.\nAsk Ann before removing it.");
    assert_string_equal(catalog_policy(catalog, "max_depth"), "50");
}

static void the_documented_journal_is_what_is_written(void **state)
{
    g_autofree char *text = doc_example("journal-format.md");
    g_autoptr(Journal) journal = parse_journal(text);
    g_autofree char *again = journal_to_yaml(journal);

    assert_string_equal(again, text);
    assert_string_equal(journal->operation, "mkdir web01/snapshots/good");
    assert_int_equal(journal->plan->steps->len, 4);
    assert_int_equal(journal->plan->commit, 2);
    assert_true(g_array_index(journal->done, gboolean, 1));
    assert_false(g_array_index(journal->done, gboolean, 2));
}

static char *keys_row(const StepInfo *info)
{
    GString *row = g_string_new(NULL);

    for (const StepKey *key = info->keys; key->name; key++) {
        const char *suffix = key->suffix == SUFFIX_DISK       ? ".DISK"
                             : key->suffix == SUFFIX_TARGET   ? ".TARGET"
                             : key->suffix == SUFFIX_LAYER    ? ".LAYER"
                             : key->suffix == SUFFIX_SNAPSHOT ? ".SNAPSHOT"
                                                              : "";

        g_string_append_printf(row, "%s`%s%s%s`", row->len ? " " : "", key->name, suffix,
                               key->optional ? "?" : "");
    }
    return g_string_free(row, FALSE);
}

static void every_kind_of_step_stands_in_the_docs(void **state)
{
    g_autofree char *text = read_doc("journal-format.md");

    for (unsigned kind = 0; kind < N_STEP_KINDS; kind++) {
        const StepInfo *info = step_info((StepKind)kind);
        g_autofree char *keys = keys_row(info);
        g_autofree char *row =
            g_strdup_printf("\n| `%s` | %s | %s |\n", info->word, keys, info->doc);

        if (!strstr(text, row))
            fail_msg("docs/journal-format.md lacks this line: %s", row);
    }
}

static void every_policy_stands_in_the_docs(void **state)
{
    g_autofree char *text = read_doc("catalog-format.md");

    for (const char *const *key = catalog_policy_keys(); *key; key++) {
        g_autofree char *quoted = g_strdup_printf("`%s`", *key);

        assert_non_null(strstr(text, quoted));
    }
}

/* ---- round trips ---- */

static Catalog *sample(void)
{
    g_autofree char *text = doc_example("catalog-format.md");

    return parse_catalog(text);
}

static Snapshot *snapshot_at(Catalog *catalog, unsigned i)
{
    return catalog->snapshots->pdata[i];
}

static void assert_round_trip(const Catalog *catalog)
{
    g_autofree char *text = catalog_to_yaml(catalog);
    g_autoptr(Catalog) again = parse_catalog(text);
    g_autofree char *twice = catalog_to_yaml(again);

    assert_true(g_utf8_validate(text, -1, NULL));
    assert_true(catalog_equal(catalog, again));
    assert_int_equal(catalog->generation, again->generation);
    assert_string_equal(text, twice);
}

static const char *const odd_texts[] = {
    "",
    " ",
    "\n",
    "\n\n  x\n\n",
    "trailing space ",
    " leading",
    "tab\tend\t",
    "a: b",
    "- a",
    "# no comment",
    "'",
    "\"",
    "it's \"quoted\" \\ back",
    "null",
    "~",
    "true",
    "no",
    "1",
    "1e5",
    "0x10",
    "2026-11-21",
    "&a",
    "*a",
    "!tag",
    "%x",
    "@x",
    "`x",
    "{}",
    "[",
    "|",
    ">",
    "---",
    "...\n---\n",
    "<<",
    "größe",
    "快照\n快照",
    "\U0001F600 smile",
    "\xC2\x85 next line",
    "\xE2\x80\xA8line\xE2\x80\xA9paragraph",
    "\357\273\277bom",
    "\xEF\xBF\xBE",
    "cr\rlf\r\n",
    "\x01\x1B[2J\x7F",
};

static void every_text_comes_back_byte_for_byte(void **state)
{
    g_autofree char *text = g_strnfill(4095, 'x');
    g_autoptr(Catalog) catalog = sample();

    for (unsigned i = 0; i < G_N_ELEMENTS(odd_texts); i++) {
        str_set(&snapshot_at(catalog, 0)->description, odd_texts[i]);
        str_set(&snapshot_at(catalog, 1)->warnings, odd_texts[i]);
        str_set(&snapshot_at(catalog, 1)->error, odd_texts[i]);
        assert_round_trip(catalog);
    }
    str_set(&snapshot_at(catalog, 0)->description, text);
    assert_round_trip(catalog);
}

static void every_legal_name_comes_back(void **state)
{
    static const char *const names[] = {
        "~", "null", "yes", "1", "a: b", "# a", "'", "\"", "json:{}", "größe", "x ", "a\\b", "*",
    };
    g_autoptr(Catalog) catalog = sample();

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        str_set(&snapshot_at(catalog, 0)->name, names[i]);
        str_set(&catalog->name, names[i]);
        assert_round_trip(catalog);
    }
}

static void every_path_comes_back_also_if_it_is_no_utf_8(void **state)
{
    static const char *const paths[] = {
        "/a b",      "/größe",      "/a\\b", "/a\\040b",    "/\xFF\xFE",
        "/half\xC3", "/\"'&<>:#{}", "/-rf",  "/\U0001F600", "/trailing ",
    };
    g_autoptr(Catalog) catalog = sample();

    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        Layer *layer = ((Disk *)catalog->disks->pdata[0])->layers->pdata[0];

        str_set(&layer->path, paths[i]);
        assert_round_trip(catalog);
    }
}

static void numbers_and_flags_come_back_at_their_limits(void **state)
{
    g_autoptr(Catalog) catalog = sample();
    Disk *disk = catalog->disks->pdata[0];
    Layer *layer = disk->layers->pdata[0];

    layer->capacity = G_MAXINT64;
    str_set(&layer->format, "raw");
    disk->attached = false;
    catalog->generation = G_MAXINT64;
    str_set(&catalog->current, NULL);
    snapshot_at(catalog, 0)->created = 0;
    snapshot_at(catalog, 0)->mode = 0;
    snapshot_at(catalog, 0)->uid = G_MAXUINT32;
    snapshot_at(catalog, 1)->mode = 07777;
    snapshot_at(catalog, 1)->created = G_GINT64_CONSTANT(253402300799999999);
    snapshot_at(catalog, 1)->state = SNAPSHOT_REMOVING;
    snapshot_at(catalog, 1)->hidden = true;
    assert_round_trip(catalog);
}

static void an_empty_catalog_comes_back(void **state)
{
    g_autoptr(Catalog) catalog = catalog_new(UUID, "new");

    assert_round_trip(catalog);
}

/* ---- versions and unknown keys ---- */

static char *with_extra(const char *extra)
{
    g_autofree char *text = doc_example("catalog-format.md");

    return g_strconcat(text, extra, NULL);
}

static void unknown_top_level_keys_are_kept(void **state)
{
    static const char *const extras[] = {
        "future: 1\n",
        "future: \"1\"\n",
        "future: 'it''s'\n",
        "future:\n",
        "future: ~\n",
        "future: []\nother: {}\n",
        "future: a\n  folded text\n",
        "future: |\n  two\n  lines\n",
        "future: >\n  folded\n  lines\n",
        "zeta: x\nalpha:\n- a: 1\n  b: [x, 'y', \"z\\n\"]\n- {}\n",
        "future: {a: {b: {c: [1, [2, [3]]]}}}\n",
        "\"odd: key\": \U0001F600\n",
        "'': empty\n",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(extras); i++) {
        g_autofree char *text = with_extra(extras[i]);
        g_autoptr(Catalog) catalog = parse_catalog(text);

        assert_true(g_hash_table_size(catalog->unknown) > 0);
        assert_round_trip(catalog);
    }
}

static void an_unknown_number_stays_a_number(void **state)
{
    g_autofree char *text = with_extra("future: 1\nother: \"1\"\n");
    g_autoptr(Catalog) catalog = parse_catalog(text);
    g_autofree char *again = catalog_to_yaml(catalog);

    assert_true(g_str_has_suffix(again, "\nfuture: 1\nother: '1'\n"));
}

static void a_newer_version_is_refused_as_unsupported(void **state)
{
    static const char catalog[] = "version: 2\nshape: new\n";
    g_autoptr(GError) first = NULL;
    g_autoptr(GError) second = NULL;

    assert_null(catalog_from_yaml(catalog, strlen(catalog), &first));
    assert_true(error_is(first, ERR_UNSUPPORTED));
    assert_null(journal_from_yaml(catalog, strlen(catalog), &second));
    assert_true(error_is(second, ERR_UNSUPPORTED));
}

/* ---- hostile YAML ---- */

typedef struct {
    const char *text;
    gsize length; /* 0: of the string */
    const char *place;
} Hostile;

static const Hostile hostile[] = {
    {"", 0, "line 1, column 1"},
    {"\n\n", 0, "line 1, column 1"},
    {"x", 0, "line 1, column 1"},
    {"- version: 1", 0, "line 1, column 1"},
    {"a\0b", 3, "line 1, column 2"},
    {"version: 1\nna\xFFme: x\n", 0, "line 2, column 3"},
    {"größe: \xC3", 0, "line 1, column 8"},
    {"version: 1\n\x01: x\n", 0, "line 2, column 1"},
    {"version: \"1\"\n", 0, "line 1, column 10"},
    {"version: one\n", 0, "line 1, column 10"},
    {"version: -1\n", 0, "line 1, column 10"},
    {"version: 0\n", 0, "line 1, column 10"},
    {"version: 18446744073709551616\n", 0, "line 1, column 10"},
    {"version: [1]\n", 0, "line 1, column 10"},
    {"name: x\n", 0, "line 1, column 1"},
    {"version: 1\nversion: 1\n", 0, "line 2, column 1"},
    {"version: 1\n\"version\": 1\n", 0, "line 2, column 1"},
    {"? [a]\n: b\n", 0, "line 1, column 3"},
    {"? {a: b}\n: b\n", 0, "line 1, column 3"},
    {"version: &a 1\n", 0, "line 1, column 10"},
    {"version: 1\nuuid: *a\n", 0, "line 2, column 7"},
    {"version: !!int 1\n", 0, "line 1, column 10"},
    {"version: ! 1\n", 0, "line 1, column 10"},
    {"&a\nversion: 1\n", 0, "line 1, column 1"},
    {"!!map\nversion: 1\n", 0, "line 1, column 1"},
    {"%YAML 1.1\n---\nversion: 1\n", 0, "line 1, column 1"},
    {"%TAG ! tag:x:\n---\nversion: 1\n", 0, "line 1, column 1"},
    {"version: 1\n---\nversion: 1\n", 0, "line 2, column 1"},
    {"version: 1\n...\nversion: 1\n", 0, "line 3, column 1"},
    {"version: \"\\0\"\n", 0, "line 1, column 10"},
    {"version: 1\nuuid: [\n", 0, "line 3, column 1"},
    {"version: 1\nuuid: \"\\ud800\"\n", 0, "line 2, column"},
    {"version: 1\n\tuuid: x\n", 0, "line 2, column 1"},
    {"version: 1\nuuid: ~\n", 0, "line 2, column 7"},
    {"version: 1\nuuid:\n", 0, "line 2, column 6"},
    {"version: 1\nuuid: x\nname: null\n", 0, "line 3, column 7"},
    {"version: 1\nuuid: x\nname: {}\n", 0, "line 3, column 7"},
    {"\xEF\xBB\xBFversion: 0", 0, "line 1, column"},
};

static void hostile_yaml_is_refused_with_its_place(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
        const Hostile *one = &hostile[i];
        gsize length = one->length ? one->length : strlen(one->text);
        g_autoptr(GError) error = NULL;

        assert_null(catalog_from_yaml(one->text, length, &error));
        assert_true(error_is(error, ERR_INVALID));
        assert_true(g_utf8_validate(error->message, -1, NULL));
        if (!g_str_has_prefix(error->message, one->place))
            fail_msg("case %u says: %s", i, error->message);
        g_clear_error(&error);
        assert_null(journal_from_yaml(one->text, length, &error));
        assert_true(error_is(error, ERR_INVALID));
    }
}

/* What is wrong inside a catalog that is otherwise the documented one. */
static void a_wrong_value_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *from, *to, *place;
    } cases[] = {
        {"generation: 3", "generation: x", "line 4, column 13"},
        {"generation: 3", "generation: 9223372036854775808", "line 4, column 13"},
        {"disks:\n- id: diskvdaaaa", "disks:\n- x: 1\n  id: diskvdaaaa", "line 8, column 3"},
        {"attached: true", "attached: yes", "line 10, column 13"},
        {"attached: true", "attached: \"true\"", "line 10, column 13"},
        {"path: /var/lib/libvirt/images/web01.qcow2", "path: /a\\9", "line 14, column 11"},
        {"path: /var/lib/libvirt/images/web01.qcow2", "path: \"/a\\\\000\"", "line 14, column 11"},
        {"  target: vda\n", "", "line 8, column 3"},
        {"state: ready", "state: gone", "line 30, column 10"},
        {"hidden: false", "hidden: 0", "line 31, column 11"},
        {"14:30:05.123456Z", "14:30:05Z", "line 32, column 12"},
        {"2026-11-21T14:30", "2026-13-21T14:30", "line 32, column 12"},
        {"2026-11-21T14:30", "2026-11-21 14:30", "line 32, column 12"},
        {"uid: 1000", "uid: 4294967296", "line 37, column 8"},
        {"mode: \"0750\"", "mode: \"750\"", "line 38, column 9"},
        {"mode: \"0750\"", "mode: \"0790\"", "line 38, column 9"},
        {"disks:\n  - disk: diskvdaaaa\n    layer: layervdaaa", "disks: none",
         "line 39, column 10"},
        {"size: 540672", "size: many", "line 43, column 11"},
        {"size: 540672", "length: 540672", "line 43, column 5"},
        {"    size: 6098\n", "", "line 46, column 5"},
        {"bandwidth: \"52428800\"", "bandwidth: fast", "line 66, column 14"},
        {"bandwidth: \"52428800\"", "colour: red", "line 66, column 3"},
        {"current: snapgoodbb", "current: nobody", "the catalog is damaged"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = doc_example("catalog-format.md");
        g_auto(GStrv) parts = g_strsplit(text, cases[i].from, 2);
        g_autofree char *broken = g_strjoinv(cases[i].to, parts);
        g_autoptr(GError) error = NULL;

        assert_int_equal(g_strv_length(parts), 2);
        assert_null(catalog_from_yaml(broken, strlen(broken), &error));
        assert_true(error_is(error, ERR_INVALID));
        if (!g_str_has_prefix(error->message, cases[i].place))
            fail_msg("case %u says: %s", i, error->message);
    }
}

static char *repeated(const char *head, const char *part, unsigned times, const char *tail)
{
    GString *text = g_string_new(head);

    for (unsigned i = 0; i < times; i++)
        g_string_append(text, part);
    g_string_append(text, tail);
    return g_string_free(text, FALSE);
}

static void depth_size_and_number_of_nodes_are_limited(void **state)
{
    static const struct {
        const char *head, *part;
        unsigned times;
        const char *tail, *says;
    } cases[] = {
        {"version: ", "[", 100000, "", "32 levels"},
        {"version: ", "{a: ", 50, "", "32 levels"},
        {"", "- ", 1000, "", "32 levels"},
        {"version: [", "a,", 1000001, "]", "a million nodes"},
        {"version: 1\nname: ", "xxxxxxxxxxxxxxxx", 1 << 20, "\n", "16 MiB"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text =
            repeated(cases[i].head, cases[i].part, cases[i].times, cases[i].tail);
        g_autoptr(GError) error = NULL;

        assert_null(catalog_from_yaml(text, strlen(text), &error));
        assert_true(error_is(error, ERR_INVALID));
        if (!strstr(error->message, cases[i].says))
            fail_msg("case %u says: %s", i, error->message);
    }
}

static void a_wrong_journal_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *from, *to, *place;
    } cases[] = {
        {"- 1\n", "- 0\n", "line 11, column 3"},
        {"- 1\n", "- 5\n", "line 11, column 3"},
        {"- 1\n", "- 2\n", "line 12, column 3"},
        {"- 1\n", "- one\n", "line 11, column 3"},
        {"done:", "did:", "line 10, column 1"},
        {"plan create", "plan destroy", "line 3, column 7"},
        {"overlay target=vda", "overlay", "line 3, column 7"},
        {"plan: |", "plan: []\nnote: |", "line 4, column 1"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = doc_example("journal-format.md");
        g_auto(GStrv) parts = g_strsplit(text, cases[i].from, 2);
        g_autofree char *broken = g_strjoinv(cases[i].to, parts);
        g_autoptr(GError) error = NULL;

        assert_int_equal(g_strv_length(parts), 2);
        assert_null(journal_from_yaml(broken, strlen(broken), &error));
        assert_true(error_is(error, ERR_INVALID));
        if (!g_str_has_prefix(error->message, cases[i].place))
            fail_msg("case %u says: %s", i, error->message);
    }
}

/* ---- mutations: any bytes give a refusal or a whole catalog ---- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* One change: a byte for another, a byte or a piece of the text put in, a piece cut out. */
static void mutate(GString *text, uint64_t *seed)
{
    static const char bytes[] = "\0\n\t \"'\\:-#[]{},&*!|>%@`~?0123456789azAZ_/.\x80\xC3\xFF\x7F";
    gsize at = next_random(seed) % text->len;
    gsize wanted = next_random(seed) % 40 + 1;
    gsize span = MIN(wanted, text->len - at);
    char byte = bytes[next_random(seed) % (sizeof bytes - 1)];

    switch (next_random(seed) % 5) {
    case 0:
        text->str[at] = byte;
        break;
    case 1:
        text->str[at] = (char)next_random(seed);
        break;
    case 2:
        g_string_insert_c(text, (gssize)at, byte);
        break;
    case 3: {
        g_autofree char *piece = g_strndup(text->str + at, span);

        g_string_insert(text, (gssize)(next_random(seed) % text->len), piece);
        break;
    }
    default:
        if (span < text->len)
            g_string_erase(text, (gssize)at, (gssize)span);
    }
}

static GString *mutant(const char *text, uint64_t *seed)
{
    GString *copy = g_string_new(text);

    for (unsigned i = next_random(seed) % 3 + 1; i > 0; i--)
        mutate(copy, seed);
    return copy;
}

static void a_mutated_catalog_is_refused_or_whole(void **state)
{
    g_autofree char *text = doc_example("catalog-format.md");
    uint64_t seed = 20261121;
    unsigned whole = 0;

    for (unsigned i = 0; i < MUTATIONS; i++) {
        g_autoptr(GString) bytes = mutant(text, &seed);
        g_autoptr(GError) error = NULL;
        g_autoptr(Catalog) catalog = catalog_from_yaml(bytes->str, bytes->len, &error);

        if (!catalog) {
            assert_true(error_is(error, ERR_INVALID) || error_is(error, ERR_UNSUPPORTED));
            continue;
        }
        whole++;
        assert_true(catalog_check(catalog, NULL));
        assert_round_trip(catalog);
    }
    assert_in_range(whole, 100, MUTATIONS - 100);
}

static void a_mutated_journal_is_refused_or_whole(void **state)
{
    g_autofree char *text = doc_example("journal-format.md");
    uint64_t seed = 20261122;
    unsigned whole = 0;

    for (unsigned i = 0; i < MUTATIONS; i++) {
        g_autoptr(GString) bytes = mutant(text, &seed);
        g_autoptr(GError) error = NULL;
        g_autoptr(Journal) journal = journal_from_yaml(bytes->str, bytes->len, &error);
        g_autoptr(Journal) again = NULL;
        g_autofree char *first = NULL, *second = NULL;

        if (!journal) {
            assert_true(error_is(error, ERR_INVALID) || error_is(error, ERR_UNSUPPORTED));
            continue;
        }
        whole++;
        first = journal_to_yaml(journal);
        again = parse_journal(first);
        second = journal_to_yaml(again);
        assert_string_equal(first, second);
    }
    assert_in_range(whole, 100, MUTATIONS - 100);
}

/* ---- files ---- */

static char *catalog_path(void)
{
    g_autofree char *directory = store_directory(HOME, UUID);

    return g_build_filename(directory, "catalog.yaml", NULL);
}

static void the_directory_is_named_by_uuid(void **state)
{
    g_autofree char *directory = store_directory(HOME, UUID);

    assert_string_equal(directory, HOME "/.vmsnapfs/" UUID);
}

static void an_absent_file_is_no_error(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(GError) error = NULL;

    assert_null(store_load_catalog(files, HOME, UUID, &error));
    assert_null(error);
    assert_null(store_load_journal(files, HOME, UUID, &error));
    assert_null(error);
    assert_true(store_clear_journal(files, HOME, UUID, &error));
}

static void each_save_is_the_next_generation(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(Catalog) catalog = catalog_new(UUID, "web01");

    for (unsigned generation = 1; generation < 4; generation++) {
        g_autoptr(Catalog) loaded = NULL;

        g_hash_table_insert(catalog->policy, g_strdup("max_depth"),
                            g_strdup_printf("%u", generation));
        assert_true(store_save_catalog(files, HOME, catalog, NULL, NULL));
        assert_int_equal(catalog->generation, generation);
        loaded = store_load_catalog(files, HOME, UUID, NULL);
        assert_int_equal(loaded->generation, generation);
        assert_true(catalog_equal(loaded, catalog));
    }
}

static void names_for_people_are_read_again_whatever_they_hold(void **state)
{
    static const char *const names[] = {
        "a\tb", "\r", "\x7f", "\xc2\x85 x", "\xe2\x80\xa8", "\xef\xbb\xbf", "- a: 'b' \"c\" #d",
        " ",    "~",  "\\t"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Files) files = files_memory();
        g_autoptr(Catalog) catalog = catalog_new(UUID, names[i]);
        g_autoptr(Catalog) loaded = NULL;

        assert_true(store_save_catalog(files, HOME, catalog, NULL, NULL));
        loaded = store_load_catalog(files, HOME, UUID, NULL);
        assert_non_null(loaded);
        assert_string_equal(loaded->name, names[i]);
    }
}

static void a_catalog_changed_by_another_host_is_not_overwritten(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(Catalog) ours = catalog_new(UUID, "web01");
    g_autoptr(Catalog) theirs = NULL;
    g_autoptr(Catalog) loaded = NULL;
    g_autoptr(GError) error = NULL;

    assert_true(store_save_catalog(files, HOME, ours, NULL, NULL));
    theirs = catalog_copy(ours);
    str_set(&theirs->name, "theirs");
    assert_true(store_save_catalog(files, HOME, theirs, NULL, NULL));
    str_set(&ours->name, "ours");
    assert_false(store_save_catalog(files, HOME, ours, NULL, &error));
    assert_true(error_is(error, ERR_DRIFT));
    assert_int_equal(ours->generation, 1);
    loaded = store_load_catalog(files, HOME, UUID, NULL);
    assert_string_equal(loaded->name, "theirs");
}

static GBytes *catalog_text(Files *files)
{
    g_autofree char *path = catalog_path();
    gsize length = 0;
    char *text = files->ops->read(files, path, &length, NULL);

    assert_non_null(text);
    return g_bytes_new_take(text, length);
}

static void what_the_file_was_known_to_say_is_compared(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(Catalog) ours = catalog_new(UUID, "web01");
    g_autoptr(Catalog) theirs = NULL;
    g_autoptr(GError) error = NULL;

    assert_true(store_save_catalog(files, HOME, ours, NULL, NULL));
    g_autoptr(GBytes) first = catalog_text(files);
    assert_true(store_save_catalog(files, HOME, ours, first, NULL));
    assert_int_equal(ours->generation, 2);
    g_autoptr(GBytes) second = catalog_text(files);
    theirs = catalog_copy(ours);
    str_set(&theirs->name, "theirs");
    assert_true(store_save_catalog(files, HOME, theirs, first, NULL)); /* reads it, then */
    assert_false(store_save_catalog(files, HOME, ours, second, &error));
    assert_true(error_is(error, ERR_DRIFT));
    assert_int_equal(ours->generation, 2);
}

static void a_catalog_that_vanished_is_not_made_anew(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(Catalog) catalog = catalog_new(UUID, "web01");
    g_autofree char *path = catalog_path();
    g_autoptr(GError) error = NULL;

    assert_true(store_save_catalog(files, HOME, catalog, NULL, NULL));
    assert_true(files->ops->remove(files, path, NULL));
    assert_false(store_save_catalog(files, HOME, catalog, NULL, &error));
    assert_true(error_is(error, ERR_DRIFT));
}

static void a_save_whose_answer_was_lost_can_be_repeated(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(Catalog) catalog = catalog_new(UUID, "web01");
    g_autoptr(Catalog) loaded = NULL;
    Fault *fault = fault_new();
    g_autoptr(Files) faulty = files_faulty(files, fault);
    unsigned lost = 0;

    assert_true(store_save_catalog(faulty, HOME, catalog, NULL, NULL));
    for (unsigned call = 1; call <= 3; call++) {
        g_hash_table_insert(catalog->policy, g_strdup("max_depth"), g_strdup_printf("%u", call));
        fault_arm(fault, FAULT_LOST, call);
        lost += !store_save_catalog(faulty, HOME, catalog, NULL, NULL);
        fault_arm(fault, FAULT_NONE, 0);
        assert_true(store_save_catalog(faulty, HOME, catalog, NULL, NULL));
        loaded = store_load_catalog(files, HOME, UUID, NULL);
        assert_int_equal(loaded->generation, catalog->generation);
        assert_true(catalog_equal(loaded, catalog));
        g_clear_pointer(&loaded, catalog_free);
    }
    assert_true(lost > 0);
    fault_free(fault);
}

static void a_damaged_catalog_is_never_overwritten(void **state)
{
    static const char *const texts[] = {"", "damaged", "version: 2\n"};
    g_autofree char *path = catalog_path();
    g_autofree char *directory = store_directory(HOME, UUID);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Files) files = files_memory();
        g_autoptr(Catalog) catalog = catalog_new(UUID, "web01");
        g_autoptr(GError) error = NULL;
        g_autofree char *present = NULL;
        gsize length = 0;

        assert_true(files->ops->make_directory(files, directory, NULL));
        assert_true(files->ops->replace(files, path, texts[i], -1, NULL));
        assert_false(store_save_catalog(files, HOME, catalog, NULL, &error));
        assert_non_null(strstr(error->message, path));
        present = files->ops->read(files, path, &length, NULL);
        assert_string_equal(present, texts[i]);
    }
}

static void a_catalog_of_another_domain_is_refused(void **state)
{
    static const char other[] = "00000000-93ab-4c35-8d3e-0b6a4c1f2d77";
    g_autoptr(Files) files = files_memory();
    g_autoptr(Catalog) catalog = catalog_new(other, "web02");
    g_autofree char *text = catalog_to_yaml(catalog);
    g_autofree char *path = catalog_path();
    g_autofree char *directory = store_directory(HOME, UUID);
    g_autoptr(GError) error = NULL;

    assert_true(files->ops->make_directory(files, directory, NULL));
    assert_true(files->ops->replace(files, path, text, -1, NULL));
    assert_null(store_load_catalog(files, HOME, UUID, &error));
    assert_true(error_is(error, ERR_INVALID));
    assert_non_null(strstr(error->message, other));
}

static void a_catalog_that_breaks_a_rule_is_not_saved(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(Catalog) catalog = catalog_new(UUID, "web01");
    g_autoptr(GError) error = NULL;

    catalog->current = g_strdup("nobody");
    assert_false(store_save_catalog(files, HOME, catalog, NULL, &error));
    assert_true(error_is(error, ERR_INVALID));
    assert_null(store_load_catalog(files, HOME, UUID, NULL));
}

static void a_journal_says_each_mark_and_each_changed_value(void **state)
{
    g_autofree char *text = doc_example("journal-format.md");
    g_autoptr(Journal) journal = parse_journal(text);
    g_autofree char *first = journal_to_yaml(journal);
    g_autoptr(Journal) loaded = NULL;

    g_array_index(journal->done, gboolean, 3) = TRUE;
    journal_set(journal, 3, "vars_size", "131072");
    g_autofree char *second = journal_to_yaml(journal);
    loaded = parse_journal(second);
    assert_string_not_equal(first, second);
    assert_string_equal(step_get(loaded->plan->steps->pdata[3], "vars_size"), "131072");
    assert_true(g_array_index(loaded->done, gboolean, 3));
    memset(journal->done->data, 0, journal->done->len * sizeof(gboolean));
    g_autofree char *none = journal_to_yaml(journal);
    assert_true(g_str_has_suffix(none, "\ndone: []\n"));
    journal_free(parse_journal(none));
}

static void a_journal_is_saved_read_and_cleared(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autofree char *text = doc_example("journal-format.md");
    g_autoptr(Journal) journal = parse_journal(text);
    g_autoptr(Journal) loaded = NULL;
    g_autofree char *again = NULL;

    str_set(&journal->operation, "mkdir \"\xFF\"\n");
    assert_true(store_save_journal(files, HOME, UUID, journal, NULL));
    loaded = store_load_journal(files, HOME, UUID, NULL);
    assert_string_equal(loaded->operation, "mkdir \"\xEF\xBF\xBD\"\n");
    str_set(&loaded->operation, "mkdir web01/snapshots/good");
    again = journal_to_yaml(loaded);
    assert_string_equal(again, text);
    assert_true(store_clear_journal(files, HOME, UUID, NULL));
    assert_null(store_load_journal(files, HOME, UUID, NULL));
}

static void the_reserve_is_there_once_it_was_made_and_goes_with_the_rest(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autofree char *directory = store_directory(HOME, UUID);
    g_autofree char *path = g_build_filename(directory, "reserve", NULL);

    store_keep_reserve(files, HOME, UUID); /* no directory yet: no reserve, no error */
    assert_false(store_spend_reserve(files, HOME, UUID));
    assert_true(files->ops->make_directory(files, directory, NULL));
    store_keep_reserve(files, HOME, UUID);
    store_keep_reserve(files, HOME, UUID);
    assert_true(files->ops->exists(files, path));
    assert_true(store_spend_reserve(files, HOME, UUID));
    assert_false(store_spend_reserve(files, HOME, UUID));
    store_keep_reserve(files, HOME, UUID);
    assert_true(store_forget(files, HOME, UUID, NULL));
    assert_false(files->ops->exists(files, path));
}

static void the_reserve_takes_room_also_where_files_are_compressed(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(GZlibCompressor) zip = g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_RAW, -1);
    g_autofree char *directory = store_directory(HOME, UUID), *packed = NULL, *text = NULL;
    g_autofree char *path = g_build_filename(directory, "reserve", NULL);
    gsize length = 0, taken = 0, made = 0;

    assert_true(files->ops->make_directory(files, directory, NULL));
    store_keep_reserve(files, HOME, UUID);
    text = files->ops->read(files, path, &length, NULL);
    assert_int_equal(length, 256 * 1024);
    packed = g_malloc(2 * length);
    assert_int_equal(g_converter_convert(G_CONVERTER(zip), text, length, packed, 2 * length,
                                         G_CONVERTER_INPUT_AT_END, &taken, &made, NULL),
                     G_CONVERTER_FINISHED);
    assert_true(made > length / 10 * 9);
}

static void two_writers_do_not_hold_the_lock_together(void **state)
{
    g_autoptr(Files) files = files_memory();
    g_autoptr(GError) error = NULL;
    FilesLock *lock = store_lock(files, HOME, UUID, NULL);

    assert_non_null(lock);
    assert_null(store_lock(files, HOME, UUID, &error));
    assert_true(error_is(error, ERR_BUSY));
    files->ops->unlock(files, lock);
    lock = store_lock(files, HOME, UUID, NULL);
    assert_non_null(lock);
    files->ops->unlock(files, lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_catalog_is_what_is_written),
        cmocka_unit_test(the_documented_journal_is_what_is_written),
        cmocka_unit_test(every_kind_of_step_stands_in_the_docs),
        cmocka_unit_test(every_policy_stands_in_the_docs),
        cmocka_unit_test(every_text_comes_back_byte_for_byte),
        cmocka_unit_test(every_legal_name_comes_back),
        cmocka_unit_test(every_path_comes_back_also_if_it_is_no_utf_8),
        cmocka_unit_test(numbers_and_flags_come_back_at_their_limits),
        cmocka_unit_test(an_empty_catalog_comes_back),
        cmocka_unit_test(unknown_top_level_keys_are_kept),
        cmocka_unit_test(an_unknown_number_stays_a_number),
        cmocka_unit_test(a_newer_version_is_refused_as_unsupported),
        cmocka_unit_test(hostile_yaml_is_refused_with_its_place),
        cmocka_unit_test(a_wrong_value_is_refused_with_its_place),
        cmocka_unit_test(depth_size_and_number_of_nodes_are_limited),
        cmocka_unit_test(a_wrong_journal_is_refused_with_its_place),
        cmocka_unit_test(a_mutated_catalog_is_refused_or_whole),
        cmocka_unit_test(a_mutated_journal_is_refused_or_whole),
        cmocka_unit_test(the_directory_is_named_by_uuid),
        cmocka_unit_test(an_absent_file_is_no_error),
        cmocka_unit_test(each_save_is_the_next_generation),
        cmocka_unit_test(a_catalog_changed_by_another_host_is_not_overwritten),
        cmocka_unit_test(what_the_file_was_known_to_say_is_compared),
        cmocka_unit_test(a_catalog_that_vanished_is_not_made_anew),
        cmocka_unit_test(a_save_whose_answer_was_lost_can_be_repeated),
        cmocka_unit_test(a_damaged_catalog_is_never_overwritten),
        cmocka_unit_test(a_catalog_of_another_domain_is_refused),
        cmocka_unit_test(a_catalog_that_breaks_a_rule_is_not_saved),
        cmocka_unit_test(a_journal_says_each_mark_and_each_changed_value),
        cmocka_unit_test(a_journal_is_saved_read_and_cleared),
        cmocka_unit_test(names_for_people_are_read_again_whatever_they_hold),
        cmocka_unit_test(the_reserve_is_there_once_it_was_made_and_goes_with_the_rest),
        cmocka_unit_test(the_reserve_takes_room_also_where_files_are_compressed),
        cmocka_unit_test(two_writers_do_not_hold_the_lock_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
