/* What may be on the disk after a loss: which of the effects that are not durable have come to it.
 */
#include "power-private.h"

#include <string.h>

/* One thing that is not durable and may have come to the disk or not. */
typedef enum { DROPPED, KEPT, ZEROED, HALF } Fate;
typedef struct {
    PowerNode *node; /* whose data; NULL: */
    guint effect;    /* index in the log */
    unsigned fates;
} Atom;

struct PowerState {
    GArray *atoms;
    guint8 *fates; /* one an atom */
    char *sum;
};

/* States at a moment, if every combination is tried. */
#define ALL_AT_MOST 16

/* ---- building a state ---- */

static void build_move(const Effect *effect)
{
    g_hash_table_remove(effect->directories[0]->built_entries, effect->names[0]);
    if (effect->other)
        g_hash_table_insert(effect->directories[0]->built_entries, g_strdup(effect->names[0]),
                            effect->other);
    g_hash_table_insert(effect->directories[1]->built_entries, g_strdup(effect->names[1]),
                        effect->node);
}

/* @fate is not DROPPED. What was there goes on under what is torn. */
static GBytes *torn(GBytes *before, GBytes *after, Fate fate)
{
    gsize had, has;
    const guint8 *old = g_bytes_get_data(before, &had), *new = g_bytes_get_data(after, &has);
    gsize from = fate == ZEROED ? 0 : has > had ? had + (has - had) / 2 : has / 2;
    guint8 *content = g_malloc0(has + 1);

    if (fate == KEPT)
        from = has;
    if (from > 0)
        memcpy(content, new, from);
    else if (MIN(had, has) > 0)
        memcpy(content, old, MIN(had, has));
    if (fate == HALF && had > from && has > from)
        memcpy(content + from, old + from, MIN(had, has) - from);
    return g_bytes_new_take(content, has);
}

static void build_effect(const Effect *effect, Fate fate)
{
    switch (effect->kind) {
    case EFFECT_WRITE: {
        g_autoptr(GBytes) content = torn(effect->node->built_data, effect->data, fate);
        power_set_bytes(&effect->node->built_data, content);
        break;
    }
    case EFFECT_LINK:
        g_hash_table_insert(effect->directories[0]->built_entries, g_strdup(effect->names[0]),
                            effect->node);
        break;
    case EFFECT_UNLINK:
        g_hash_table_remove(effect->directories[0]->built_entries, effect->names[0]);
        break;
    case EFFECT_MOVE:
    case EFFECT_EXCHANGE:
        build_move(effect);
        break;
    }
}

static bool is_durable(const Effect *effect)
{
    return effect->durable[0] && effect->durable[1];
}

/* Who holds a lock is written into it for people. Nobody believes it after a loss, so it is not
 * worth several states. */
static bool is_for_people(const Effect *effect)
{
    return effect->kind == EFFECT_WRITE && g_str_has_suffix(effect->node->path, "/lock");
}

static bool is_last_write(guint index, const PowerNode *node)
{
    for (guint i = index + 1; i < power_disk.log->len; i++) {
        const Effect *effect = power_disk.log->pdata[i];

        if (effect->kind == EFFECT_WRITE && effect->node == node)
            return false;
    }
    return true;
}

static Fate fate_of(guint index, const PowerState *state)
{
    const Effect *effect = power_disk.log->pdata[index];

    if (is_durable(effect) || is_for_people(effect))
        return KEPT;
    for (guint i = 0; i < state->atoms->len; i++) {
        const Atom *atom = &g_array_index(state->atoms, Atom, i);
        Fate fate = state->fates[i];

        if (atom->node && effect->kind == EFFECT_WRITE && atom->node == effect->node)
            return fate == DROPPED || is_last_write(index, atom->node) ? fate : KEPT;
        if (!atom->node && atom->effect == index)
            return fate;
    }
    g_assert_not_reached();
}

void power_build(const PowerState *state)
{
    for (guint i = 0; i < power_disk.nodes->len; i++) {
        PowerNode *node = power_disk.nodes->pdata[i];

        g_clear_pointer(&node->built_entries, g_hash_table_unref);
        if (node->directory)
            node->built_entries = power_entries_copy(node->durable_entries);
        power_set_bytes(&node->built_data, node->durable_data);
    }
    for (guint i = 0; i < power_disk.log->len; i++) {
        Fate fate = fate_of(i, state);

        if (fate != DROPPED)
            build_effect(power_disk.log->pdata[i], fate);
    }
}

static GList *sorted_names(GHashTable *entries)
{
    return g_list_sort(g_hash_table_get_keys(entries), (GCompareFunc)strcmp);
}

static void sum_node(const PowerNode *node, const char *name, GChecksum *sum)
{
    g_checksum_update(sum, (const guchar *)name, (gssize)strlen(name) + 1);
    if (!node->directory) {
        gsize length;
        const guchar *data = g_bytes_get_data(node->built_data, &length);

        g_checksum_update(sum, (const guchar *)&length, sizeof length);
        if (length > 0)
            g_checksum_update(sum, data, (gssize)length);
        return;
    }
    g_autoptr(GList) names = sorted_names(node->built_entries);
    for (const GList *item = names; item; item = item->next)
        sum_node(g_hash_table_lookup(node->built_entries, item->data), item->data, sum);
    g_checksum_update(sum, (const guchar *)"", 1);
}

static char *sum_of(const PowerState *state)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);

    power_build(state);
    sum_node(power_disk.top, "", sum);
    return g_strdup(g_checksum_get_string(sum));
}

/* ---- which states there are ---- */

static GArray *find_atoms(void)
{
    GArray *atoms = g_array_new(FALSE, FALSE, sizeof(Atom));
    g_autoptr(GHashTable) written = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < power_disk.log->len; i++) {
        const Effect *effect = power_disk.log->pdata[i];
        bool data = effect->kind == EFFECT_WRITE;
        Atom atom = {
            .node = data ? effect->node : NULL, .effect = i, .fates = data ? HALF + 1 : KEPT + 1};

        if (!is_durable(effect) && !is_for_people(effect) &&
            (!data || g_hash_table_add(written, effect->node)))
            g_array_append_val(atoms, atom);
    }
    return atoms;
}

static void state_free(gpointer data)
{
    PowerState *state = data;

    g_array_unref(state->atoms);
    g_free(state->fates);
    g_free(state->sum);
    g_free(state);
}

static void add_state(GPtrArray *states, GArray *atoms, const guint8 *fates)
{
    PowerState *state = g_new0(PowerState, 1);

    state->atoms = g_array_ref(atoms);
    state->fates = g_memdup2(fates, atoms->len + 1);
    state->sum = sum_of(state);
    if (g_hash_table_add(power_disk.given, g_strdup(state->sum)))
        g_ptr_array_add(states, state);
    else
        state_free(state);
}

static void add_uniform(GPtrArray *states, GArray *atoms, Fate fate)
{
    g_autofree guint8 *fates = g_malloc0(atoms->len + 1);

    for (guint i = 0; i < atoms->len; i++)
        fates[i] = fate < g_array_index(atoms, Atom, i).fates ? (guint8)fate : KEPT;
    add_state(states, atoms, fates);
}

/* Every combination, as a number whose digits are the fates. */
static void add_all(GPtrArray *states, GArray *atoms)
{
    g_autofree guint8 *fates = g_malloc0(atoms->len + 1);
    guint digit = 0;

    while (digit < atoms->len) {
        add_state(states, atoms, fates);
        for (digit = 0; digit < atoms->len; digit++) {
            if (++fates[digit] < g_array_index(atoms, Atom, digit).fates)
                break;
            fates[digit] = 0;
        }
    }
}

/* Each alone, all but each, all before each and all from each on, in each way. */
static void add_chosen(GPtrArray *states, GArray *atoms)
{
    g_autofree guint8 *fates = g_malloc0(atoms->len + 1);

    for (guint i = 0; i < atoms->len; i++)
        for (guint fate = 0; fate < g_array_index(atoms, Atom, i).fates; fate++)
            for (guint around = 0; around < 4; around++) {
                for (guint j = 0; j < atoms->len; j++)
                    fates[j] = around == 0   ? DROPPED
                               : around == 1 ? KEPT
                                             : (around == 2) == (j < i);
                fates[i] = (guint8)fate;
                add_state(states, atoms, fates);
            }
}

static guint combinations(const GArray *atoms)
{
    guint product = 1;

    for (guint i = 0; i < atoms->len && product <= ALL_AT_MOST; i++)
        product *= g_array_index(atoms, Atom, i).fates;
    return product;
}

GPtrArray *power_states(bool few)
{
    GPtrArray *states = g_ptr_array_new_with_free_func(state_free);
    g_autoptr(GArray) atoms = find_atoms();

    add_uniform(states, atoms, DROPPED);
    if (!few && atoms->len > 0 && combinations(atoms) <= ALL_AT_MOST)
        add_all(states, atoms);
    else if (!few)
        add_chosen(states, atoms);
    add_uniform(states, atoms, ZEROED);
    add_uniform(states, atoms, KEPT);
    return states;
}

static const char *fate_name(Fate fate)
{
    static const char *const names[] = {"dropped", "kept", "zeroed", "half"};

    return names[fate];
}

char *power_describe(const PowerState *state)
{
    static const char *const kinds[] = {"write", "link", "unlink", "move", "exchange"};
    GString *text = g_string_new(state->atoms->len ? "" : "all is durable");

    for (guint i = 0; i < state->atoms->len; i++) {
        const Atom *atom = &g_array_index(state->atoms, Atom, i);
        const Effect *effect = power_disk.log->pdata[atom->effect];
        const char *place = effect->directories[0] ? effect->directories[0]->path : "";

        g_string_append_printf(text, "%s%s %s/%s %s", i ? ", " : "", kinds[effect->kind],
                               atom->node ? atom->node->path : place,
                               effect->names[0] ? effect->names[0] : "",
                               fate_name(state->fates[i]));
    }
    return g_string_free(text, FALSE);
}
