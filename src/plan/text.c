/* The one text form of a plan: golden tests, the journal, logs and dry runs. Parsing takes any
 * text: every line is checked against the table of step kinds, so that what parses has every key
 * that running or applying it needs. */
#include "plan/step.h"

#include <string.h>

#include "base/error.h"
#include "model/names.h"
#include "plan/step-table.h"

#define VALUE_MAX (64 * 1024)
#define WORD_MAX  64
#define SEPARATOR "--"

static char *key_escape(const char *key)
{
    g_autofree char *escaped = text_escape(key);

    if (!strchr(escaped, '='))
        return g_steal_pointer(&escaped);
    g_auto(GStrv) parts = g_strsplit(escaped, "=", -1);
    return g_strjoinv("\\075", parts);
}

static void print_pair(GString *out, const char *key, const char *value)
{
    g_autofree char *safe_key = key_escape(key);
    g_autofree char *safe_value = text_escape(value);

    g_string_append_c(out, ' ');
    g_string_append(out, safe_key);
    g_string_append_c(out, '=');
    g_string_append(out, safe_value);
}

char *step_print(const Step *step)
{
    GString *out = g_string_new(step_kind_name(step->kind));

    if (step->lane)
        print_pair(out, "lane", step->lane);
    for (unsigned i = 0; i < step->keys->len; i++)
        print_pair(out, step->keys->pdata[i], step->values->pdata[i]);
    return g_string_free(out, FALSE);
}

char *plan_print(const Plan *plan)
{
    GString *out = g_string_new("plan ");

    g_string_append(out, plan_kind_name(plan->kind));
    if (plan->snapshot)
        print_pair(out, "snapshot", plan->snapshot);
    g_string_append_c(out, '\n');
    for (unsigned i = 0; i <= plan->steps->len; i++) {
        if (i == plan->commit)
            g_string_append(out, SEPARATOR "\n");
        if (i < plan->steps->len) {
            g_autofree char *line = step_print(plan->steps->pdata[i]);

            g_string_append_printf(out, "%s\n", line);
        }
    }
    return g_string_free(out, FALSE);
}

/* --- checks of values --- */

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static bool is_number(const char *text, unsigned base, uint64_t max)
{
    char *end;
    uint64_t value;

    if (!g_ascii_isdigit(*text) || strlen(text) > 19 ||
        (base == 10 && text[0] == '0' && text[1] != '\0'))
        return false;
    value = g_ascii_strtoull(text, &end, base);
    return *end == '\0' && value <= max;
}

/* Ids are words: they stand in file names, keys and lanes (as catalog_check wants them). */
static bool is_word(const char *text)
{
    if (*text == '\0' || *text == '-' || strlen(text) > WORD_MAX)
        return false;
    for (; *text; text++)
        if (!g_ascii_isalnum(*text) && *text != '-' && *text != '_')
            return false;
    return true;
}

static bool is_one_of(const char *text, const char *const *words)
{
    return g_strv_contains(words, text);
}

static bool value_fits(ValueType type, const char *text)
{
    static const char *const formats[] = {"qcow2", "raw", NULL};
    static const char *const answers[] = {"yes", "no", NULL};
    static const char *const consistencies[] = {"off", "paused", "crash", "frozen", NULL};

    switch (type) {
    case VALUE_TEXT:
        return true;
    case VALUE_NONE:
        return *text == '\0';
    case VALUE_ID:
        return is_word(text);
    case VALUE_NAME:
        return name_check(text, NULL);
    case VALUE_PATH:
        return *text == '/' && !has_control(text);
    case VALUE_FORMAT:
        return is_one_of(text, formats);
    case VALUE_NUMBER:
        return is_number(text, 10, G_MAXINT64);
    case VALUE_UID:
        return is_number(text, 10, G_MAXUINT32);
    case VALUE_MODE:
        return is_number(text, 8, 07777);
    case VALUE_TARGET:
    case VALUE_WORD:
        return *text && !has_control(text);
    case VALUE_YES_NO:
        return is_one_of(text, answers);
    case VALUE_CONSISTENCY:
        return is_one_of(text, consistencies);
    }
    return false;
}

static bool suffix_fits(SuffixType type, const char *suffix)
{
    switch (type) {
    case SUFFIX_NONE:
        return suffix == NULL;
    case SUFFIX_TARGET:
        return suffix && value_fits(VALUE_TARGET, suffix);
    case SUFFIX_DISK:
    case SUFFIX_LAYER:
    case SUFFIX_SNAPSHOT:
        return suffix && is_word(suffix);
    }
    return false;
}

const StepKey *step_key(StepKind kind, const char *key)
{
    const StepInfo *info = step_info(kind);
    const char *dot = strchr(key, '.');
    size_t length = dot ? (size_t)(dot - key) : strlen(key);

    for (const StepKey *each = info->keys; each->name; each++)
        if (strlen(each->name) == length && strncmp(each->name, key, length) == 0 &&
            suffix_fits(each->suffix, dot ? dot + 1 : NULL))
            return each;
    return NULL;
}

/* --- parsing --- */

static bool is_text(const char *text)
{
    return strlen(text) <= VALUE_MAX && g_utf8_validate(text, -1, NULL);
}

/* One word "key=value" into its unescaped halves. */
static bool split_pair(const char *word, char **out_key, char **out_value, GError **error)
{
    const char *equals = strchr(word, '=');
    g_autofree char *raw_key = NULL;
    g_autofree char *key = NULL;
    g_autofree char *value = NULL;

    if (!equals || equals == word) {
        error_set(error, ERR_INVALID, "\"%.40s\" is not of the form key=value", word);
        return false;
    }
    raw_key = g_strndup(word, (size_t)(equals - word));
    key = text_unescape(raw_key);
    value = text_unescape(equals + 1);
    if (!key || !value) {
        error_set(error, ERR_INVALID, "\"%.40s\" has a malformed escape", word);
        return false;
    }
    if (!is_text(key) || !is_text(value)) {
        error_set(error, ERR_INVALID, "the value of \"%.40s\" is too long or is not UTF-8",
                  raw_key);
        return false;
    }
    *out_key = g_steal_pointer(&key);
    *out_value = g_steal_pointer(&value);
    return true;
}

static bool check_pair(const Step *step, const char *key, const char *value, GError **error)
{
    const StepKey *known = step_key(step->kind, key);

    if (!known) {
        error_set(error, ERR_INVALID, "%s has no parameter \"%.40s\"", step_kind_name(step->kind),
                  key);
        return false;
    }
    if (!value_fits(known->type, value)) {
        error_set(error, ERR_INVALID,
                  "\"%.40s\" is no legal value for the parameter \"%.40s\" of %s", value, key,
                  step_kind_name(step->kind));
        return false;
    }
    return true;
}

static bool check_lane(const char *lane, GError **error)
{
    if (is_word(lane))
        return true;
    error_set(error, ERR_INVALID, "the lane \"%.40s\" is not a disk id", lane);
    return false;
}

static bool parse_pair(Step *step, const char *word, GError **error)
{
    g_autofree char *key = NULL;
    g_autofree char *value = NULL;
    bool is_lane;

    if (!split_pair(word, &key, &value, error))
        return false;
    is_lane = g_str_equal(key, "lane");
    if (is_lane ? step->lane != NULL : step_get(step, key) != NULL) {
        error_set(error, ERR_INVALID, "the parameter \"%.40s\" stands twice", key);
        return false;
    }
    if (is_lane ? !check_lane(value, error) : !check_pair(step, key, value, error))
        return false;
    if (is_lane) {
        step->lane = g_steal_pointer(&value);
        return true;
    }
    g_ptr_array_add(step->keys, g_steal_pointer(&key));
    g_ptr_array_add(step->values, g_steal_pointer(&value));
    return true;
}

/* With any suffix. */
static bool has_key(const Step *step, const char *name)
{
    size_t length = strlen(name);

    for (unsigned i = 0; i < step->keys->len; i++) {
        const char *key = step->keys->pdata[i];

        if (strncmp(key, name, length) == 0 && (key[length] == '\0' || key[length] == '.'))
            return true;
    }
    return false;
}

static bool has_required(const Step *step, GError **error)
{
    for (const StepKey *key = step_info(step->kind)->keys; key->name; key++)
        if (!key->optional && !has_key(step, key->name)) {
            error_set(error, ERR_INVALID, "%s lacks the parameter \"%s\"",
                      step_kind_name(step->kind), key->name);
            return false;
        }
    return true;
}

bool step_check(const Step *step, GError **error)
{
    if (step->lane && !check_lane(step->lane, error))
        return false;
    for (unsigned i = 0; i < step->keys->len; i++) {
        if (!is_text(step->values->pdata[i])) {
            error_set(error, ERR_INVALID, "the value of \"%.40s\" is too long or is not UTF-8",
                      (char *)step->keys->pdata[i]);
            return false;
        }
        if (!check_pair(step, step->keys->pdata[i], step->values->pdata[i], error))
            return false;
    }
    return has_required(step, error);
}

static bool parse_step(Plan *plan, const char *line, GError **error)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    StepKind kind;
    Step *step;

    if (!words[0] || !step_kind_of(words[0], &kind)) {
        error_set(error, ERR_INVALID, "\"%.40s\" is no kind of step", words[0] ? words[0] : "");
        return false;
    }
    step = plan_add(plan, kind);
    for (char **word = words + 1; *word; word++)
        if (!parse_pair(step, *word, error))
            return false;
    return has_required(step, error);
}

static Plan *parse_header(const char *line, GError **error)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 4);
    unsigned count = g_strv_length(words);
    g_autofree char *key = NULL;
    g_autofree char *value = NULL;
    PlanKind kind;

    if (count < 2 || count > 3 || !g_str_equal(words[0], "plan") ||
        !plan_kind_of(words[1], &kind)) {
        error_set(error, ERR_INVALID, "\"%.40s\" is no header of the form \"plan KIND\"", line);
        return NULL;
    }
    if (count == 3 && !split_pair(words[2], &key, &value, error))
        return NULL;
    if (key && (!g_str_equal(key, "snapshot") || !is_word(value))) {
        error_set(error, ERR_INVALID, "\"%.40s\" is no parameter of the form \"snapshot=ID\"",
                  words[2]);
        return NULL;
    }
    return plan_new(kind, value);
}

static bool parse_line(Plan *plan, const char *line, bool *separated, GError **error)
{
    if (!g_str_equal(line, SEPARATOR))
        return parse_step(plan, line, error);
    if (*separated) {
        g_set_error_literal(error, VMSNAPFS_ERROR, ERR_INVALID, "\"--\" stands twice");
        return false;
    }
    *separated = true;
    plan->commit = plan->steps->len;
    return true;
}

static bool parse_lines(Plan *plan, char **lines, GError **error)
{
    bool separated = false;
    unsigned number = 2;

    for (char **line = lines; *line; line++, number++) {
        if (**line == '\0' && line[1] == NULL)
            break; /* the end of the last line */
        if (!parse_line(plan, *line, &separated, error)) {
            g_prefix_error(error, "line %u of the plan is wrong: ", number);
            return false;
        }
    }
    if (separated)
        return true;
    error_set(error, ERR_INVALID, "line %u of the plan is wrong: the line \"--\" is missing",
              number);
    return false;
}

Plan *plan_parse(const char *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(Plan) plan = parse_header(lines[0] ? lines[0] : "", error);

    if (!plan) {
        g_prefix_error(error, "line 1 of the plan is wrong: ");
        return NULL;
    }
    if (!parse_lines(plan, lines[0] ? lines + 1 : lines, error))
        return NULL;
    return g_steal_pointer(&plan);
}
