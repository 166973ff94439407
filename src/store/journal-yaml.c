/* journal.yaml (docs/journal-format.md): the plan in its one text form, and which of its steps are
 * known to be done. */
#include "store/store.h"

#include "base/yaml.h"

#define JOURNAL_VERSION 1

Journal *journal_new(Plan *plan, const char *operation)
{
    Journal *journal = g_new0(Journal, 1);

    journal->plan = plan;
    journal->operation = g_strdup(operation);
    journal->done = g_array_new(FALSE, TRUE, sizeof(gboolean));
    g_array_set_size(journal->done, plan->steps->len);
    return journal;
}

void journal_free(Journal *journal)
{
    if (!journal)
        return;
    plan_free(journal->plan);
    g_array_unref(journal->done);
    g_free(journal->operation);
    g_free(journal->head);
    g_free(journal);
}

void journal_set(Journal *journal, guint step, const char *key, const char *value)
{
    step_set(journal->plan->steps->pdata[step], key, value);
    g_clear_pointer(&journal->head, g_free);
}

/* The operation is what a user typed; only people read it again. */
static char *print_head(const Journal *journal)
{
    g_autoptr(YamlWriter) writer = yaml_writer_new();
    g_autofree char *operation = g_utf8_make_valid(journal->operation, -1);
    g_autofree char *plan = plan_print(journal->plan);

    yaml_writer_begin_map(writer);
    yaml_writer_entry_u64(writer, "version", JOURNAL_VERSION);
    yaml_writer_entry(writer, "operation", operation);
    yaml_writer_key(writer, "plan");
    yaml_writer_block(writer, plan);
    yaml_writer_end_map(writer);
    return yaml_writer_finish(writer);
}

/* The marks are a key of the same map, printed here: they are all that differs from one save to the
 * next, and there is a save for every step. */
char *journal_to_yaml(Journal *journal)
{
    GString *text;
    bool any = false;

    if (!journal->head)
        journal->head = print_head(journal);
    text = g_string_new(journal->head);
    g_string_append(text, "done:");
    for (guint i = 0; i < journal->done->len; i++) {
        if (!g_array_index(journal->done, gboolean, i))
            continue;
        g_string_append_printf(text, "\n- %u", i + 1);
        any = true;
    }
    g_string_append(text, any ? "\n" : " []\n");
    return g_string_free(text, FALSE);
}

static bool check_version(const YamlNode *map, GError **error)
{
    const YamlNode *node = yaml_need(map, "version", error);
    uint64_t version;

    if (!yaml_u64(node, &version, error))
        return false;
    if (version > JOURNAL_VERSION)
        return yaml_error_code(node, ERR_UNSUPPORTED, error,
                               "this is a journal of version %" G_GUINT64_FORMAT
                               ", and this program knows %d: use a newer vmsnapfs",
                               version, JOURNAL_VERSION);
    if (version < 1)
        return yaml_error(node, error, "there is no version 0");
    return true;
}

static Plan *read_plan(const YamlNode *node, GError **error)
{
    const char *text;
    g_autoptr(GError) why = NULL;
    g_autoptr(Plan) plan = NULL;

    if (!yaml_text(node, &text, error))
        return NULL;
    plan = plan_parse(text, &why);
    if (!plan)
        yaml_error(node, error, "the plan: %s", why->message);
    return g_steal_pointer(&plan);
}

static bool read_done(const YamlNode *list, Journal *journal, GError **error)
{
    if (!yaml_is_list(list, error))
        return false;
    for (guint i = 0; i < list->items->len; i++) {
        const YamlNode *node = list->items->pdata[i];
        uint64_t number;

        if (!yaml_u64(node, &number, error))
            return false;
        if (number < 1 || number > journal->done->len)
            return yaml_error(node, error, "the plan has no step %" G_GUINT64_FORMAT, number);
        if (g_array_index(journal->done, gboolean, number - 1))
            return yaml_error(node, error, "step %" G_GUINT64_FORMAT " stands twice", number);
        g_array_index(journal->done, gboolean, number - 1) = TRUE;
    }
    return true;
}

Journal *journal_from_yaml(const char *text, gsize length, GError **error)
{
    static const char *const keys[] = {"version", "operation", "plan", "done", NULL};
    g_autoptr(YamlNode) root = yaml_parse(text, length, error);
    g_autoptr(Journal) journal = NULL;
    const char *operation = NULL;
    Plan *plan;

    if (!yaml_is_map(root, error) || !check_version(root, error) ||
        !yaml_check_keys(root, keys, error) ||
        !yaml_text(yaml_need(root, "operation", error), &operation, error))
        return NULL;
    plan = read_plan(yaml_need(root, "plan", error), error);
    if (!plan)
        return NULL;
    journal = journal_new(plan, operation);
    return read_done(yaml_need(root, "done", error), journal, error) ? g_steal_pointer(&journal)
                                                                     : NULL;
}
