#include "workers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <glib.h>
#include <sys/wait.h>
#include <unistd.h>

void workers_run(bool (*work)(unsigned worker, unsigned workers))
{
    unsigned workers = g_get_num_processors();
    unsigned failed = 0;

    for (unsigned i = 0; i < workers; i++) {
        pid_t pid = fork();

        assert_return_code(pid, errno);
        if (pid == 0)
            _exit(work(i, workers) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    for (unsigned i = 0; i < workers; i++) {
        int status = 0;

        assert_return_code(wait(&status), errno);
        failed += status != 0;
    }
    if (failed)
        fail_msg("%u of %u workers failed; they said why above", failed, workers);
}
