#include "fs/fuse.h"
#include "fuzz.h"
#include "kernel.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DEADLINE_S 60

/* One request at a time is under way. */
static struct {
    struct fuse_session *session;
    GMutex lock;
    GCond answered;
    GHashTable *modes;  /* node id → its mode */
    uint64_t unique;    /* of the request that waits */
    GByteArray *answer; /* NULL: not yet */
} kernel;

uid_t kernel_uid;

static ssize_t take_answer(int fd, struct iovec *parts, int count, void *data)
{
    GByteArray *answer = g_byte_array_new();
    const struct fuse_out_header *header;
    ssize_t length;

    for (int i = 0; i < count; i++)
        g_byte_array_append(answer, parts[i].iov_base, (guint)parts[i].iov_len);
    header = (const void *)answer->data;
    length = (ssize_t)answer->len;
    fuzz_check(header->len == answer->len, "an answer of another length than it says");
    g_mutex_lock(&kernel.lock);
    if (header->unique != 0) { /* else it is a notification */
        fuzz_check(header->unique == kernel.unique && !kernel.answer,
                   "an answer that nobody waits for");
        kernel.answer = g_steal_pointer(&answer);
        g_cond_signal(&kernel.answered);
    }
    g_mutex_unlock(&kernel.lock);
    if (answer)
        g_byte_array_unref(answer);
    return length;
}

static ssize_t read_nothing(int fd, void *buffer, size_t size, void *data)
{
    fuzz_fail(__FILE__, __LINE__, "nobody reads from this session");
}

static void send(uint32_t opcode, uint64_t node, const KernelPart *parts, unsigned count)
{
    struct fuse_in_header header = {.opcode = opcode,
                                    .nodeid = node,
                                    .unique = kernel.unique,
                                    .uid = kernel_uid,
                                    .gid = kernel_uid,
                                    .pid = (uint32_t)getpid()};
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    g_byte_array_append(bytes, (const uint8_t *)&header, sizeof(header));
    for (unsigned i = 0; i < count; i++)
        g_byte_array_append(bytes, parts[i].bytes, (guint)parts[i].length);
    ((struct fuse_in_header *)bytes->data)->len = bytes->len;
    struct fuse_buf buffer = {.mem = bytes->data, .size = bytes->len};
    fuse_session_process_buf(kernel.session, &buffer);
}

static GByteArray *wait_for_answer(uint32_t opcode)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;
    GByteArray *answer;

    g_mutex_lock(&kernel.lock);
    while (!kernel.answer)
        fuzz_check(g_cond_wait_until(&kernel.answered, &kernel.lock, deadline),
                   "request %u is not answered", opcode);
    answer = g_steal_pointer(&kernel.answer);
    g_mutex_unlock(&kernel.lock);
    return answer;
}

int kernel_call(uint32_t opcode, uint64_t node, const KernelPart *parts, unsigned count, void *out,
                size_t length, size_t *out_length)
{
    g_autoptr(GByteArray) answer = NULL;
    size_t got;
    int error;

    g_mutex_lock(&kernel.lock);
    kernel.unique += 2; /* as the kernel does: odd ones are interrupts */
    g_mutex_unlock(&kernel.lock);
    send(opcode, node, parts, count);
    answer = wait_for_answer(opcode);
    error = -((const struct fuse_out_header *)answer->data)->error;
    got = answer->len - sizeof(struct fuse_out_header);
    fuzz_check(error == 0 || got == 0, "an error with an answer");
    if (out)
        memset(out, 0, length);
    if (out && got)
        memcpy(out, answer->data + sizeof(struct fuse_out_header), MIN(got, length));
    if (out_length)
        *out_length = got;
    return error;
}

int kernel_lookup(uint64_t parent, const char *name, uint64_t *out_node)
{
    const KernelPart part = {name, strlen(name) + 1};
    struct fuse_entry_out entry;
    int error = kernel_call(FUSE_LOOKUP, parent, &part, 1, &entry, sizeof(entry), NULL);

    if (error == 0) {
        *out_node = entry.nodeid;
        g_hash_table_insert(kernel.modes, GSIZE_TO_POINTER(entry.nodeid),
                            GUINT_TO_POINTER(entry.attr.mode));
    }
    return error == 0 && entry.nodeid == 0 ? ENOENT : error;
}

bool kernel_is(uint64_t node, mode_t type)
{
    void *mode = g_hash_table_lookup(kernel.modes, GSIZE_TO_POINTER(node));

    return (GPOINTER_TO_UINT(mode) & S_IFMT) == type;
}

void kernel_forget(uint64_t node, uint64_t count)
{
    struct fuse_forget_in forget = {.nlookup = count};
    const KernelPart part = {&forget, sizeof(forget)};

    send(FUSE_FORGET, node, &part, 1); /* has no answer */
}

void kernel_start(struct fuse_session *session)
{
    const struct fuse_custom_io io = {.writev = take_answer, .read = read_nothing};
    struct fuse_init_in hello = {.major = FUSE_KERNEL_VERSION,
                                 .minor = FUSE_KERNEL_MINOR_VERSION,
                                 .max_readahead = 128 * 1024,
                                 .flags = ~(uint32_t)FUSE_INIT_EXT};
    const KernelPart part = {&hello, sizeof(hello)};

    kernel.session = session;
    kernel.unique = 0;
    kernel.modes = g_hash_table_new(NULL, NULL);
    g_hash_table_insert(kernel.modes, GSIZE_TO_POINTER(FUSE_ROOT_ID), GUINT_TO_POINTER(S_IFDIR));
    kernel_uid = 0;
    fuzz_check(fuse_session_custom_io(session, &io, open("/dev/null", O_RDWR | O_CLOEXEC)) == 0,
               "the session takes no custom io");
    fuzz_check(kernel_call(FUSE_INIT, 0, &part, 1, NULL, 0, NULL) == 0, "no hello");
}

void kernel_stop(void)
{
    kernel.session = NULL;
    g_clear_pointer(&kernel.modes, g_hash_table_unref);
}
