#include "fs/notify.h"

#include "fs/inode.h"

#include <errno.h>
#include <string.h>

struct Notifier {
    Face *face;
    GThread *thread;
    GHashTable *told; /* uuid → VmView that the kernel was last told about; the thread's own */
    GMutex lock;
    GCond wake;
    /* below: under lock */
    GHashTable *parked; /* uuid → number of operations that hold a directory; "" the root */
    bool dirty, stopping;
};

/* ---- telling ---- */

static void tell_name(Notifier *notifier, fuse_ino_t directory, const char *name)
{
    struct fuse_session *session = notifier->face->session;
    size_t length = strlen(name);

    /* Expiring leaves mounts and working directories below alone; older kernels only know how to
     * drop the name. */
    if (fuse_lowlevel_notify_expire_entry(session, directory, name, length, FUSE_LL_EXPIRE_ONLY) ==
        -ENOSYS)
        fuse_lowlevel_notify_inval_entry(session, directory, name, length);
}

/* Of directories: the kernel keeps no others (attr.c). */
static void tell_attributes(Notifier *notifier, const char *uuid)
{
    g_autoptr(GArray) ids = inodes_directories(notifier->face->inodes, uuid);

    for (guint i = 0; i < ids->len; i++)
        fuse_lowlevel_notify_inval_inode(notifier->face->session, g_array_index(ids, fuse_ino_t, i),
                                         -1, 0);
}

/* ---- what changed ---- */

typedef struct {
    Scope scope;
    GHashTable *objects; /* name → object */
} Names;

static void collect_name(const Place *child, void *data)
{
    Names *names = data;

    g_hash_table_insert(names->objects, place_name(child, names->scope),
                        place_object(child, names->scope));
}

static GHashTable *names_in(Notifier *notifier, const VmView *vm, Scope scope)
{
    Place place = {.face = notifier->face, .vm = vm};
    Names names = {.scope = scope,
                   .objects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};

    if (vm)
        place_each(&place, scope, collect_name, &names);
    return names.objects;
}

static void tell_directory(Notifier *notifier, const Node *directory, Scope scope,
                           const VmView *before, const VmView *now)
{
    fuse_ino_t id = inodes_known(notifier->face->inodes, directory, before->uuid);
    g_autoptr(GHashTable) old = id ? names_in(notifier, before, scope) : NULL;
    g_autoptr(GHashTable) new = id ? names_in(notifier, now, scope) : NULL;
    GHashTableIter iter;
    void *name, *object;

    if (!id)
        return;
    g_hash_table_iter_init(&iter, old);
    while (g_hash_table_iter_next(&iter, &name, &object))
        if (g_strcmp0(g_hash_table_lookup(new, name), object) != 0)
            tell_name(notifier, id, name);
}

/* Every directory of a VM whose entries come and go. */
static void tell_vm(Notifier *notifier, const VmView *before, const VmView *now)
{
    static const Scope coming_and_going[] = {SCOPE_SNAPSHOT, SCOPE_HIDDEN, SCOPE_JOB, SCOPE_DISK};
    unsigned count;
    const Node *nodes = nodes_all(&count);

    tell_attributes(notifier, before->uuid);
    for (gsize i = 0; i < G_N_ELEMENTS(coming_and_going); i++)
        for (unsigned entry = 0; entry < count; entry++) {
            if (nodes[entry].scope != coming_and_going[i] || !node_is_named(&nodes[entry]))
                continue;
            for (unsigned j = 0; j < count; j++)
                if (node_is_child(&nodes[entry], &nodes[j]))
                    tell_directory(notifier, &nodes[j], coming_and_going[i], before, now);
        }
    if (!now || strcmp(place_vm_name(before), place_vm_name(now)) != 0)
        tell_name(notifier, FUSE_ROOT_ID, place_vm_name(before));
}

/* ---- the thread ---- */

static bool is_parked(Notifier *notifier, const char *uuid)
{
    g_mutex_lock(&notifier->lock);
    bool parked = g_hash_table_contains(notifier->parked, uuid);
    g_mutex_unlock(&notifier->lock);
    return parked;
}

/* Is the directory held that has the name of this VM, which comes or goes? */
static bool is_root_parked(Notifier *notifier, const VmView *before, const VmView *now)
{
    return (!now || strcmp(place_vm_name(before), place_vm_name(now)) != 0) &&
           is_parked(notifier, "");
}

/* By uuid; borrowed from @host. */
static GHashTable *index_of(const HostView *host)
{
    GHashTable *index = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < host->vms->len; i++) {
        VmView *vm = g_ptr_array_index(host->vms, i);
        g_hash_table_insert(index, vm->uuid, vm);
    }
    return index;
}

static void tell_old_ones(Notifier *notifier, const HostView *host)
{
    g_autoptr(GHashTable) index = index_of(host);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, notifier->told);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const VmView *before = value;
        const VmView *now = g_hash_table_lookup(index, before->uuid);
        if (now == before || is_parked(notifier, before->uuid) ||
            is_root_parked(notifier, before, now))
            continue;
        tell_vm(notifier, before, now);
        if (now)
            g_hash_table_iter_replace(&iter, vm_view_ref(now));
        else
            g_hash_table_iter_remove(&iter);
    }
}

static void learn_new_ones(Notifier *notifier, const HostView *host)
{
    for (guint i = 0; i < host->vms->len; i++) {
        const VmView *vm = g_ptr_array_index(host->vms, i);
        if (!g_hash_table_contains(notifier->told, vm->uuid))
            g_hash_table_insert(notifier->told, g_strdup(vm->uuid), vm_view_ref(vm));
    }
}

static bool next_turn(Notifier *notifier)
{
    g_mutex_lock(&notifier->lock);
    while (!notifier->dirty && !notifier->stopping)
        g_cond_wait(&notifier->wake, &notifier->lock);
    notifier->dirty = false;
    bool go_on = !notifier->stopping;
    g_mutex_unlock(&notifier->lock);
    return go_on;
}

static void *run(void *data)
{
    Notifier *notifier = data;

    while (next_turn(notifier)) {
        g_autoptr(HostView) host = engine_view(notifier->face->engine);
        tell_old_ones(notifier, host);
        learn_new_ones(notifier, host);
    }
    return NULL;
}

static void unref_view(void *view)
{
    vm_view_unref(view);
}

Notifier *notifier_new(Face *face)
{
    Notifier *notifier = g_new0(Notifier, 1);

    notifier->face = face;
    notifier->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_view);
    notifier->parked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&notifier->lock);
    g_cond_init(&notifier->wake);
    notifier->thread = g_thread_new("notifier", run, notifier);
    return notifier;
}

void notifier_stop(Notifier *notifier)
{
    g_mutex_lock(&notifier->lock);
    GThread *thread = g_steal_pointer(&notifier->thread);
    notifier->stopping = true;
    g_cond_broadcast(&notifier->wake);
    g_mutex_unlock(&notifier->lock);
    if (thread)
        g_thread_join(thread);
}

void notifier_free(Notifier *notifier)
{
    notifier_stop(notifier);
    g_hash_table_destroy(notifier->told);
    g_hash_table_destroy(notifier->parked);
    g_cond_clear(&notifier->wake);
    g_mutex_clear(&notifier->lock);
    g_free(notifier);
}

void notifier_changed(Notifier *notifier)
{
    g_mutex_lock(&notifier->lock);
    notifier->dirty = true;
    g_cond_broadcast(&notifier->wake);
    g_mutex_unlock(&notifier->lock);
}

void notifier_park(Notifier *notifier, const char *uuid)
{
    g_mutex_lock(&notifier->lock);
    gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(notifier->parked, uuid));
    g_hash_table_insert(notifier->parked, g_strdup(uuid), GSIZE_TO_POINTER(count + 1));
    g_mutex_unlock(&notifier->lock);
}

void notifier_unpark(Notifier *notifier, const char *uuid)
{
    g_mutex_lock(&notifier->lock);
    gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(notifier->parked, uuid));
    if (count > 1) {
        g_hash_table_insert(notifier->parked, g_strdup(uuid), GSIZE_TO_POINTER(count - 1));
    } else {
        g_hash_table_remove(notifier->parked, uuid);
        notifier->dirty = true;
        g_cond_broadcast(&notifier->wake);
    }
    g_mutex_unlock(&notifier->lock);
}
