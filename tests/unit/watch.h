/* Whether anything was done to a file. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/inotify.h>
#include <unistd.h>

/* What is done to @path from now on; for check_untouched(). */
static inline int watch(const char *path)
{
    int watcher = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    assert_true(inotify_add_watch(watcher, path, IN_ALL_EVENTS) >= 0);
    return watcher;
}

/* Nothing was, not even opened. Closes @watcher. */
static inline void check_untouched(int watcher)
{
    char event[4096];

    assert_int_equal(read(watcher, event, sizeof event), -1);
    assert_int_equal(errno, EAGAIN);
    close(watcher);
}
