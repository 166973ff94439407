#include "plan/step.h"

#include <string.h>

#include "model/domain.h"
#include "plan/step-table.h"

#define KEYS(...)                                                                                  \
    (const StepKey[])                                                                              \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define NO_KEYS ((const StepKey[]){{0}})
#define ONE(key, value)                                                                            \
    {                                                                                              \
        .name = (key), .type = (value)                                                             \
    }
#define MAYBE(key, value)                                                                          \
    {                                                                                              \
        .name = (key), .type = (value), .optional = true                                           \
    }
#define PER_DISK(key, value)                                                                       \
    {                                                                                              \
        .name = (key), .type = (value), .suffix = SUFFIX_DISK                                      \
    }
#define PER_TARGET(key, value)                                                                     \
    {                                                                                              \
        .name = (key), .type = (value), .suffix = SUFFIX_TARGET                                    \
    }
#define PER_LAYER(key, value)                                                                      \
    {                                                                                              \
        .name = (key), .type = (value), .suffix = SUFFIX_LAYER                                     \
    }
#define ANY_LAYER(key, value)                                                                      \
    {                                                                                              \
        .name = (key), .type = (value), .suffix = SUFFIX_LAYER, .optional = true                   \
    }
#define ANY_SNAPSHOT(key, value)                                                                   \
    {                                                                                              \
        .name = (key), .type = (value), .suffix = SUFFIX_SNAPSHOT, .optional = true                \
    }
#define ANY_TARGET(key, value)                                                                     \
    {                                                                                              \
        .name = (key), .type = (value), .suffix = SUFFIX_TARGET, .optional = true                  \
    }

/* What is merged into what: by the QEMU that runs, and by qemu-img, which is told the formats. */
#define LIVE_MERGE                                                                                 \
    KEYS(ONE("disk", VALUE_ID), ONE("target", VALUE_TARGET), ONE("top", VALUE_PATH),               \
         ONE("base", VALUE_PATH))
#define TWO_IMAGES                                                                                 \
    KEYS(ONE("disk", VALUE_ID), ONE("top", VALUE_PATH), ONE("top_format", VALUE_FORMAT),           \
         ONE("base", VALUE_PATH), ONE("base_format", VALUE_FORMAT))

static const StepInfo infos[N_STEP_KINDS] = {
    [STEP_OVERLAY] = {.word = "overlay",
                      .doc = "make the qcow2 overlay `path` of `capacity` bytes on `backing`",
                      .keys = KEYS(ONE("target", VALUE_TARGET), ONE("path", VALUE_PATH),
                                   ONE("backing", VALUE_PATH), ONE("backing_format", VALUE_FORMAT),
                                   ONE("capacity", VALUE_NUMBER)),
                      .undone = true,
                      .undo = STEP_UNLINK},
    [STEP_FREEZE] = {.word = "freeze",
                     .doc = "freeze the guest's file systems, and see that it says so; if not "
                            "`required`, an agent that cannot is no reason to stop",
                     .keys = KEYS(ONE("timeout", VALUE_NUMBER), ONE("required", VALUE_YES_NO)),
                     .undone = true,
                     .undo = STEP_THAW},
    [STEP_SUSPEND] = {.word = "suspend",
                      .doc = "stop the guest's CPUs, unless its owner has paused it meanwhile",
                      .keys = NO_KEYS,
                      .undone = true,
                      .undo = STEP_RESUME},
    [STEP_KEEP_VARS] = {.word = "keep-vars",
                        .doc = "copy the UEFI variables `path` into the snapshot's sidecar",
                        .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("path", VALUE_PATH)),
                        .undone = true,
                        .undo = STEP_DROP_SIDECAR},
    [STEP_KEEP_TPM] = {.word = "keep-tpm",
                       .doc = "copy the vTPM's state in `path` into the snapshot's sidecar",
                       .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("path", VALUE_PATH)),
                       .undone = true,
                       .undo = STEP_DROP_SIDECAR},
    [STEP_SNAPSHOT] = {.word = "snapshot",
                       .doc = "one atomic live snapshot: each target switches to its overlay",
                       .keys = KEYS(ONE("snapshot", VALUE_ID), PER_TARGET("switch", VALUE_PATH),
                                    ANY_TARGET("exclude", VALUE_NONE))},
    [STEP_RESUME] = {.word = "resume",
                     .doc = "let the guest go on if we suspended it; what fails is a warning",
                     .keys = NO_KEYS},
    [STEP_THAW] = {.word = "thaw",
                   .doc = "thaw the guest, and see that it says so; what fails is left to a job",
                   .keys = KEYS(ONE("timeout", VALUE_NUMBER))},
    [STEP_SYNC_SIDECAR] =
        {.word = "sync-sidecar",
         .doc = "make the sidecar durable, and see that it is what is stated; if not `required`, "
                "the snapshot is recorded as failed where that cannot be",
         .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("required", VALUE_YES_NO),
                      MAYBE("vars_size", VALUE_NUMBER), MAYBE("vars_sha256", VALUE_WORD),
                      MAYBE("tpm_size", VALUE_NUMBER), MAYBE("tpm_sha256", VALUE_WORD))},
    [STEP_REDEFINE] = {.word = "redefine",
                       .doc = "change the persistent definition: source file and format of each "
                              "target, and the variable store's path; the stated backing chain "
                              "goes",
                       .keys =
                           KEYS(PER_TARGET("switch", VALUE_PATH),
                                ANY_TARGET("format", VALUE_FORMAT), MAYBE("nvram", VALUE_PATH))},
    [STEP_SETTLE] = {.word = "settle",
                     .doc = "store the persistent definition again if it does not say this yet",
                     .keys = KEYS(PER_TARGET("switch", VALUE_PATH),
                                  ANY_TARGET("format", VALUE_FORMAT), MAYBE("nvram", VALUE_PATH))},
    [STEP_COMMIT_ACTIVE] =
        {.word = "commit-active",
         .doc = "live commit of the active layer `top`, and of what is between, into "
                "`base`, then pivot",
         .keys = LIVE_MERGE},
    [STEP_COMMIT_LIVE] = {.word = "commit-live",
                          .doc =
                              "live commit of `top`, and of what is between, into `base` inside a "
                              "running chain",
                          .keys = LIVE_MERGE},
    [STEP_COMMIT_OFFLINE] =
        {.word = "commit-offline",
         .doc = "qemu-img commit of `top`, and of what is between, into `base`; `top` "
                "stays as it is",
         .keys = TWO_IMAGES},
    [STEP_COMPARE] =
        {.word = "compare",
         .doc = "`top`, with what is below it, must show the same as `base`, into which it is "
                "merged already",
         .keys = TWO_IMAGES},
    [STEP_REPOINT] = {.word = "repoint",
                      .doc = "change the header of `path` to name `backing`",
                      .keys =
                          KEYS(ONE("disk", VALUE_ID), ONE("path", VALUE_PATH),
                               ONE("backing", VALUE_PATH), ONE("backing_format", VALUE_FORMAT))},
    [STEP_UNLINK] = {.word = "unlink",
                     .doc = "unlink `path` under QEMU's image lock, or though a QEMU that runs on "
                            "`beside` still has it open",
                     .keys = KEYS(ONE("path", VALUE_PATH), MAYBE("beside", VALUE_PATH),
                                  MAYBE("snapshot", VALUE_ID))},
    [STEP_PLACE_VARS] = {.word = "place-vars",
                         .doc = "make the variable store `path` from the snapshot's sidecar, with "
                                "owner and mode of `like`",
                         .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("path", VALUE_PATH),
                                      ONE("like", VALUE_PATH)),
                         .undone = true,
                         .undo = STEP_UNLINK},
    [STEP_STAGE_TPM] = {.word = "stage-tpm",
                        .doc = "make the directory `path` of vTPM state from the snapshot's "
                               "sidecar, with owner and mode of `like`",
                        .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("path", VALUE_PATH),
                                     ONE("like", VALUE_PATH)),
                        .undone = true,
                        .undo = STEP_DROP_STATE},
    [STEP_EXCHANGE_TPM] = {.word = "exchange-tpm",
                           .doc = "the VM's vTPM state `path` and what was `staged` change places",
                           .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("path", VALUE_PATH),
                                        ONE("staged", VALUE_PATH)),
                           .undone = true,
                           .undo = STEP_RETURN_TPM},
    [STEP_RETURN_TPM] = {.word = "return-tpm",
                         .doc = "change them back, if `staged` does not hold the snapshot's state",
                         .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("path", VALUE_PATH),
                                      ONE("staged", VALUE_PATH))},
    [STEP_DROP_STATE] = {.word = "drop-state",
                         .doc = "remove the directory `path` of vTPM state",
                         .keys = KEYS(ONE("path", VALUE_PATH), MAYBE("snapshot", VALUE_ID))},
    [STEP_DROP_SIDECAR] = {.word = "drop-sidecar",
                           .doc = "remove the snapshot's sidecars",
                           .keys = KEYS(ONE("snapshot", VALUE_ID))},
    [STEP_UNDEFINE] = {.word = "undefine",
                       .doc = "forget the domain; then its variable stores `vars` and `known` and "
                              "the vTPM state in `tpm` go, which are on `host`, and what is kept "
                              "of it here",
                       .keys = KEYS(ONE("host", VALUE_TEXT), MAYBE("vars", VALUE_PATH),
                                    MAYBE("known", VALUE_PATH), MAYBE("tpm", VALUE_PATH))},
    [STEP_RECORD_FREEZING] = {.word = "record-freezing",
                              .doc = "from now on a thaw that was seen is owed to the guest",
                              .keys = NO_KEYS,
                              .undone = true,
                              .undo = STEP_RECORD_THAWED},
    [STEP_RECORD_THAWED] = {.word = "record-thawed",
                            .doc = "the guest was seen thawed; left out while it was not",
                            .keys = NO_KEYS},
    [STEP_RECORD_CREATE] =
        {.word = "record-create",
         .doc = "the snapshot exists: it owns each frozen layer, new layers are active",
         .keys =
             KEYS(ONE("snapshot", VALUE_ID), ONE("name", VALUE_NAME), MAYBE("parent", VALUE_ID),
                  ONE("created", VALUE_NUMBER), ONE("consistency", VALUE_CONSISTENCY),
                  ONE("description", VALUE_TEXT), ONE("uid", VALUE_UID), ONE("mode", VALUE_MODE),
                  PER_DISK("disk", VALUE_TARGET), PER_DISK("frozen", VALUE_ID),
                  PER_DISK("path", VALUE_PATH), PER_DISK("format", VALUE_FORMAT),
                  PER_DISK("capacity", VALUE_NUMBER), PER_DISK("active", VALUE_ID),
                  PER_DISK("active_path", VALUE_PATH), PER_DISK("active_capacity", VALUE_NUMBER),
                  MAYBE("nvram", VALUE_PATH), MAYBE("vars_size", VALUE_NUMBER),
                  MAYBE("vars_sha256", VALUE_WORD), MAYBE("tpm_size", VALUE_NUMBER),
                  MAYBE("tpm_sha256", VALUE_WORD), MAYBE("tpm_version", VALUE_WORD),
                  MAYBE("tpm_secret", VALUE_WORD), MAYBE("error", VALUE_TEXT))},
    [STEP_RECORD_REVERT] =
        {.word = "record-revert",
         .doc = "the snapshot is current: new active layers on its own, the old ones are gone",
         .keys = KEYS(ONE("snapshot", VALUE_ID), PER_DISK("active", VALUE_ID),
                      PER_DISK("active_path", VALUE_PATH),
                      PER_DISK("active_capacity", VALUE_NUMBER), MAYBE("nvram", VALUE_PATH))},
    [STEP_RECORD_RENAME] = {.word = "record-rename",
                            .doc = "the snapshot has another name",
                            .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("name", VALUE_NAME))},
    [STEP_RECORD_DESCRIBE] = {.word = "record-describe",
                              .doc = "the snapshot has another description",
                              .keys =
                                  KEYS(ONE("snapshot", VALUE_ID), ONE("description", VALUE_TEXT))},
    [STEP_RECORD_MODE] = {.word = "record-mode",
                          .doc = "the snapshot has other permission bits",
                          .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("mode", VALUE_MODE))},
    [STEP_RECORD_POLICY] = {.word = "record-policy",
                            .doc = "a policy has another value, or none (\"default\")",
                            .keys = KEYS(ONE("key", VALUE_WORD), ONE("value", VALUE_TEXT))},
    [STEP_RECORD_REMOVING] = {.word = "record-removing",
                              .doc = "the snapshot is being removed; its point in time may go, "
                                     "unless `whole` says that no merge has begun",
                              .keys =
                                  KEYS(ONE("snapshot", VALUE_ID), MAYBE("whole", VALUE_YES_NO))},
    [STEP_RECORD_HIDDEN] = {.word = "record-hidden",
                            .doc = "the snapshot is removed by name and kept by need",
                            .keys = KEYS(ONE("snapshot", VALUE_ID))},
    [STEP_RECORD_PIVOT] =
        {.word = "record-pivot",
         .doc = "QEMU is about to be asked to go on from the file of the disk's layer `into`; left "
                "out: it goes on from that of the active one",
         .keys = KEYS(ONE("disk", VALUE_ID), MAYBE("into", VALUE_ID))},
    [STEP_RECORD_COMMITTED] =
        {.word = "record-committed",
         .doc = "all that is above the disk's layer `into` is in its file, which the definition is "
                "about to name; left out: it is not, or the definition names the active layer",
         .keys = KEYS(ONE("disk", VALUE_ID), MAYBE("into", VALUE_ID))},
    [STEP_RECORD_MERGED] =
        {.word = "record-merged",
         .doc = "`layer` took over the file of the snapshot's layer `into`; that and what was "
                "between them are gone",
         .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("disk", VALUE_ID), ONE("layer", VALUE_ID),
                      ONE("into", VALUE_ID), ONE("format", VALUE_FORMAT),
                      ONE("capacity", VALUE_NUMBER))},
    [STEP_RECORD_DROPPED] = {.word = "record-dropped",
                             .doc = "the snapshot's layer, on which nothing depends, is gone",
                             .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("disk", VALUE_ID),
                                          ONE("layer", VALUE_ID))},
    [STEP_RECORD_REMOVED] = {.word = "record-removed",
                             .doc = "the snapshot is gone; its parent takes its place",
                             .keys = KEYS(ONE("snapshot", VALUE_ID))},
    [STEP_RECORD_FAILED] = {.word = "record-failed",
                            .doc = "the removal ended early; the snapshot is listed again",
                            .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("error", VALUE_TEXT),
                                         MAYBE("whole", VALUE_YES_NO))},
    [STEP_RECORD_WARNING] = {.word = "record-warning",
                             .doc = "one more warning on the snapshot",
                             .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("text", VALUE_TEXT))},
    [STEP_RECORD_ATTACHED] = {.word = "record-attached",
                              .doc = "a disk's label or presence changed",
                              .keys = KEYS(ONE("disk", VALUE_ID), ONE("target", VALUE_TARGET),
                                           ONE("attached", VALUE_YES_NO))},
    [STEP_RECORD_FOUND] = {.word = "record-found",
                           .doc =
                               "a snapshot without disks yet, for layers that somebody else made",
                           .keys = KEYS(ONE("snapshot", VALUE_ID), ONE("name", VALUE_NAME),
                                        ONE("created", VALUE_NUMBER),
                                        ONE("consistency", VALUE_CONSISTENCY),
                                        ONE("uid", VALUE_UID), ONE("mode", VALUE_MODE))},
    [STEP_RECORD_LAYERS] =
        {.word = "record-layers",
         .doc = "these are the disk's layers, and whose they are; all others are forgotten",
         .keys = KEYS(ONE("disk", VALUE_ID), ONE("target", VALUE_TARGET), ONE("active", VALUE_ID),
                      PER_LAYER("path", VALUE_PATH), PER_LAYER("format", VALUE_FORMAT),
                      PER_LAYER("capacity", VALUE_NUMBER), ANY_LAYER("parent", VALUE_ID),
                      ANY_LAYER("owner", VALUE_ID))},
    [STEP_RECORD_TREE] = {.word = "record-tree",
                          .doc = "the current snapshot, and the parent of each that has one",
                          .keys =
                              KEYS(MAYBE("current", VALUE_ID), ANY_SNAPSHOT("parent", VALUE_ID))},
    [STEP_RECORD_NVRAM] = {.word = "record-nvram",
                           .doc =
                               "the VM's own variable store is there, at `path`; left out: it is "
                               "not known any more, a start may make a new one",
                           .keys = KEYS(MAYBE("path", VALUE_PATH))},
};

static const char *const plan_words[N_PLAN_KINDS] = {
    [PLAN_CREATE] = "create", [PLAN_REVERT] = "revert",   [PLAN_REMOVE] = "remove",
    [PLAN_MERGE] = "merge",   [PLAN_LABEL] = "label",     [PLAN_RECOVER] = "recover",
    [PLAN_ADOPT] = "adopt",   [PLAN_EXPUNGE] = "expunge",
};

const StepInfo *step_info(StepKind kind)
{
    g_assert((unsigned)kind < N_STEP_KINDS);
    return &infos[kind];
}

bool step_kind_of(const char *word, StepKind *out_kind)
{
    for (unsigned kind = 0; kind < N_STEP_KINDS; kind++)
        if (g_str_equal(infos[kind].word, word)) {
            *out_kind = (StepKind)kind;
            return true;
        }
    return false;
}

const char *plan_kind_name(PlanKind kind)
{
    g_assert((unsigned)kind < N_PLAN_KINDS);
    return plan_words[kind];
}

bool plan_kind_of(const char *word, PlanKind *out_kind)
{
    for (unsigned kind = 0; kind < N_PLAN_KINDS; kind++)
        if (g_str_equal(plan_words[kind], word)) {
            *out_kind = (PlanKind)kind;
            return true;
        }
    return false;
}

Step *step_new(StepKind kind)
{
    Step *step = g_new0(Step, 1);

    step->kind = kind;
    step->keys = g_ptr_array_new_with_free_func(g_free);
    step->values = g_ptr_array_new_with_free_func(g_free);
    return step;
}

void step_free(Step *step)
{
    if (!step)
        return;
    g_ptr_array_unref(step->keys);
    g_ptr_array_unref(step->values);
    g_free(step->lane);
    g_free(step);
}

Step *step_copy(const Step *step)
{
    Step *copy = step_new(step->kind);

    for (unsigned i = 0; i < step->keys->len; i++)
        step_set(copy, step->keys->pdata[i], step->values->pdata[i]);
    copy->lane = g_strdup(step->lane);
    return copy;
}

static bool step_find(const Step *step, const char *key, unsigned *out_index)
{
    for (unsigned i = 0; i < step->keys->len; i++)
        if (g_str_equal(step->keys->pdata[i], key)) {
            *out_index = i;
            return true;
        }
    return false;
}

/* What people read may name a file, whose name may be any bytes; a plan with it must be read again.
 */
static char *value_of(const Step *step, const char *key, const char *value)
{
    const StepKey *known = step_key(step->kind, key);

    return known && known->type == VALUE_TEXT ? g_utf8_make_valid(value, -1) : g_strdup(value);
}

void step_set(Step *step, const char *key, const char *value)
{
    char *copy = value_of(step, key, value);
    unsigned index;

    if (step_find(step, key, &index)) {
        g_free(step->values->pdata[index]);
        step->values->pdata[index] = copy;
        return;
    }
    g_ptr_array_add(step->keys, g_strdup(key));
    g_ptr_array_add(step->values, copy);
}

void step_set_number(Step *step, const char *key, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)value);

    step_set(step, key, text);
}

const char *step_get(const Step *step, const char *key)
{
    unsigned index;

    return step_find(step, key, &index) ? step->values->pdata[index] : NULL;
}

uint64_t step_get_number(const Step *step, const char *key)
{
    const char *text = step_get(step, key);

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

GPtrArray *step_suffixes(const Step *step, const char *prefix)
{
    GPtrArray *found = g_ptr_array_new();
    size_t length = strlen(prefix);

    for (unsigned i = 0; i < step->keys->len; i++) {
        const char *key = step->keys->pdata[i];

        if (strncmp(key, prefix, length) == 0 && key[length] == '.')
            g_ptr_array_add(found, (char *)key + length + 1);
    }
    return found;
}

const char *step_get_sub(const Step *step, const char *prefix, const char *suffix)
{
    g_autofree char *key = g_strconcat(prefix, ".", suffix, NULL);

    return step_get(step, key);
}

void step_set_sub(Step *step, const char *prefix, const char *suffix, const char *value)
{
    g_autofree char *key = g_strconcat(prefix, ".", suffix, NULL);

    step_set(step, key, value);
}

const char *step_kind_name(StepKind kind)
{
    return step_info(kind)->word;
}

bool step_is_record(const Step *step)
{
    return step->kind >= STEP_RECORD_FREEZING;
}

const char *step_kind_doc(StepKind kind)
{
    return step_info(kind)->doc;
}

GPtrArray *step_switches(const Step *step)
{
    GPtrArray *switches = g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);
    g_autoptr(GPtrArray) targets = step_suffixes(step, "switch");

    for (unsigned i = 0; i < targets->len; i++) {
        const char *target = targets->pdata[i];
        const char *format = step_get_sub(step, "format", target);

        g_ptr_array_add(switches, disk_switch_new(target, step_get_sub(step, "switch", target),
                                                  format ? format : "qcow2"));
    }
    return switches;
}

Step *step_undo(const Step *step)
{
    const StepInfo *info = step_info(step->kind);
    Step *undo;

    if (!info->undone)
        return NULL;
    undo = step_new(info->undo);
    for (const StepKey *key = step_info(info->undo)->keys; key->name; key++)
        if (step_get(step, key->name))
            step_set(undo, key->name, step_get(step, key->name));
    return undo;
}
