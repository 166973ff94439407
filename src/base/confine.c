#include "base/confine.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Since Linux 6.2, and newer than the headers that we may be built with. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#endif

#define MAKE                                                                                       \
    (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |    \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
     LANDLOCK_ACCESS_FS_MAKE_SYM)
#define REMOVE (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE)

/* Version 2 can rename across directories, which version 1 always forbids. */
static uint64_t refused_by(long version)
{
    return MAKE | REMOVE | LANDLOCK_ACCESS_FS_WRITE_FILE |
           (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
           (version >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0);
}

static bool allow(int rules, int fd, uint64_t refused)
{
    struct landlock_path_beneath_attr rule = {
        .parent_fd = fd,
        .allowed_access = refused & (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE),
    };

    return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

/* QEMU finds out with it whether locks work, and if it cannot write to it goes on without them. */
static bool allow_null(int rules, uint64_t refused)
{
    g_auto(Descriptor) null = open("/dev/null", O_PATH | O_CLOEXEC);

    return null >= 0 && allow(rules, null, refused);
}

int confine_new(const int *writable, GError **error)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr refused = {.handled_access_fs = refused_by(version)};
    int rules;

    if (version < 1)
        return -1;
    rules = (int)syscall(SYS_landlock_create_ruleset, &refused, sizeof refused, 0);
    bool complete = rules >= 0 && allow_null(rules, refused.handled_access_fs);
    for (unsigned i = 0; complete && writable[i] >= 0; i++)
        complete = allow(rules, writable[i], refused.handled_access_fs);
    if (complete)
        return rules;
    error_set_errno(error, errno, "Cannot keep a program from writing what it should not");
    descriptor_close(&rules);
    return -1;
}

bool confine_apply(int rules)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_landlock_restrict_self, rules, 0) == 0;
}
