#include "members.h"

#include "hv/hypervisor.h"
#include "image/image.h"
#include "store/files.h"

#define MEMBER(type, prefix, member, of_table, of_nature, reason)                                  \
    {                                                                                              \
        .name = prefix "." #member, .offset = offsetof(type, member), .table = of_table,           \
        .nature = of_nature, .why = reason                                                         \
    }
#define HV(member, nature)   MEMBER(HvOps, "hv", member, MEMBER_HV, MEMBER_##nature, NULL)
#define AGENT(member)        MEMBER(HvOps, "hv", member, MEMBER_AGENT, MEMBER_EFFECT, NULL)
#define HV_SAFE(member, why) MEMBER(HvOps, "hv", member, MEMBER_HV, MEMBER_SAFE, why)
#define IMAGE(member, nature)                                                                      \
    MEMBER(ImageOps, "images", member, MEMBER_IMAGES, MEMBER_##nature, NULL)
#define IMAGE_SAFE(member, why) MEMBER(ImageOps, "images", member, MEMBER_IMAGES, MEMBER_SAFE, why)
#define FILE(member, nature)    MEMBER(FilesOps, "files", member, MEMBER_FILES, MEMBER_##nature, NULL)
#define FILE_SAFE(member, why)  MEMBER(FilesOps, "files", member, MEMBER_FILES, MEMBER_SAFE, why)

static const Member of_hv[] = {
    HV(list, QUESTION),
    HV(inspect, QUESTION),
    HV(definitions, QUESTION),
    HV(capabilities, QUESTION),
    HV(block_job, QUESTION),
    HV(define, EFFECT),
    HV(rename, EFFECT),
    HV(undefine, EFFECT),
    HV(snapshot, EFFECT),
    HV(block_commit, EFFECT),
    HV(block_pivot, EFFECT),
    HV(block_abort, EFFECT),
    HV(block_speed, EFFECT),
    HV(start, EFFECT),
    HV(shutdown, EFFECT),
    HV(destroy, EFFECT),
    HV(suspend, EFFECT),
    HV(resume, EFFECT),
    AGENT(agent_timeout),
    AGENT(freeze),
    AGENT(thaw),
    AGENT(frozen),
    HV(set_metadata, EFFECT),
    HV_SAFE(subscribe, "has no answer; events that are lost are in test-engine-lost"),
    HV_SAFE(is_up, "has no error: it says whether the connection stands"),
    HV_SAFE(free, "has no answer"),
};

static const Member of_images[] = {
    IMAGE(inspect, QUESTION),
    IMAGE(identify, QUESTION),
    IMAGE(list, QUESTION),
    IMAGE(create_overlay, EFFECT),
    IMAGE(commit, EFFECT),
    IMAGE(compare, QUESTION),
    IMAGE(repoint, EFFECT),
    IMAGE(unlink, EFFECT),
    IMAGE(lock, EFFECT),
    IMAGE_SAFE(unlock, "has no answer"),
    IMAGE(read_state, QUESTION),
    IMAGE(write_state, EFFECT),
    IMAGE(read_state_directory, QUESTION),
    IMAGE(write_state_directory, EFFECT),
    IMAGE(exchange, EFFECT),
    IMAGE(remove_state_directory, EFFECT),
    IMAGE(free_space, QUESTION),
    IMAGE_SAFE(free, "has no answer"),
};

static const Member of_files[] = {
    FILE(read, QUESTION),
    FILE(replace, EFFECT),
    FILE(put, EFFECT),
    FILE(sync, EFFECT),
    FILE(remove, EFFECT),
    FILE(make_directory, EFFECT),
    FILE(exists, QUESTION),
    FILE(list, QUESTION),
    FILE(lock, EFFECT),
    FILE_SAFE(unlock, "has no answer"),
    FILE_SAFE(free, "has no answer"),
};

#define FUNCTIONS(type) (sizeof(type) / sizeof(void (*)(void)))
G_STATIC_ASSERT(G_N_ELEMENTS(of_hv) == FUNCTIONS(HvOps));
G_STATIC_ASSERT(G_N_ELEMENTS(of_images) == FUNCTIONS(ImageOps));
G_STATIC_ASSERT(G_N_ELEMENTS(of_files) == FUNCTIONS(FilesOps));

/* In the order of the table, so none is there twice. */
static Member *put_all(Member *to, const Member *from, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_assert(from[i].offset == i * sizeof(void (*)(void)));
        *to++ = from[i];
    }
    return to;
}

const Member *members(guint *count)
{
    static Member all[G_N_ELEMENTS(of_hv) + G_N_ELEMENTS(of_images) + G_N_ELEMENTS(of_files)];
    Member *end = put_all(all, of_hv, G_N_ELEMENTS(of_hv));

    end = put_all(end, of_images, G_N_ELEMENTS(of_images));
    put_all(end, of_files, G_N_ELEMENTS(of_files));
    *count = G_N_ELEMENTS(all);
    return all;
}
