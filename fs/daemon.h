/* Going into the background, and being told to end. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Fork. The parent does not return: it exits with 0 once daemon_ready is called, with 1 if the
 * child ends before that. To be called while there is one thread. */
bool daemon_fork(GError **error);
/* Tell the parent (if any) that all is well, and let go of the terminal. Any thread; once. */
void daemon_ready(void);
/* Where log lines go: stderr; the journal once daemon_ready was called in a daemon. */
void daemon_log_setup(void);

/* SIGTERM and SIGINT end the program, SIGHUP is ignored. They are not blocked but handled, so that
 * programs that we start do not inherit a mask. */
bool signals_install(GError **error);
/* Wait for SIGTERM or SIGINT: true. false after signals_cancel. */
bool signals_wait(void);
void signals_cancel(void);
