#include "fs/followers.h"

#include "fs/process.h"

/* Lock order: ours, a file's. */
struct Followers {
    GMutex lock;
    GHashTable *processes; /* File, borrowed → ProcessKey */
};

Followers *followers_new(void)
{
    Followers *followers = g_new0(Followers, 1);

    g_mutex_init(&followers->lock);
    followers->processes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return followers;
}

void followers_free(Followers *followers)
{
    g_hash_table_destroy(followers->processes);
    g_mutex_clear(&followers->lock);
    g_free(followers);
}

void followers_add(Followers *followers, File *file, pid_t pid)
{
    ProcessKey process;

    if (!process_key(pid, &process))
        return; /* it sees the ring's length, as everybody else */
    g_mutex_lock(&followers->lock);
    g_hash_table_insert(followers->processes, file, g_memdup2(&process, sizeof process));
    g_mutex_unlock(&followers->lock);
}

void followers_drop(Followers *followers, const File *file)
{
    g_mutex_lock(&followers->lock);
    g_hash_table_remove(followers->processes, file);
    g_mutex_unlock(&followers->lock);
}

static bool is_same(const ProcessKey *a, const ProcessKey *b)
{
    return a->group == b->group && a->started == b->started;
}

/* With the lock held. */
static File *find(Followers *followers, const Inode *inode, const ProcessKey *process)
{
    GHashTableIter iter;
    void *file, *key;

    g_hash_table_iter_init(&iter, followers->processes);
    while (g_hash_table_iter_next(&iter, &file, &key))
        if (((File *)file)->inode->id == inode->id && is_same(key, process))
            return file;
    return NULL;
}

bool followers_length(Followers *followers, Face *face, const Inode *inode, pid_t pid,
                      off_t *out_length)
{
    ProcessKey process;

    if (!process_key(pid, &process))
        return false;
    g_mutex_lock(&followers->lock);
    File *file = find(followers, inode, &process);
    if (file)
        *out_length = file_length(face, file);
    g_mutex_unlock(&followers->lock);
    return file != NULL;
}
