/* Going into the background, and being told to end. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Fork. The parent does not return: it exits with 0 once daemon_ready is called, with 1 if the
 * child ends before that. To be called while there is one thread. */
bool daemon_fork(GError **error);
/* Tell the parent (if any) and the service manager that all is well, and let go of the terminal.
 * Any thread; once. */
void daemon_ready(void);
/* Tell the service manager, if one listens ($NOTIFY_SOCKET at daemon_log_setup), what sd_notify(3)
 * knows. Any thread. */
void daemon_tell(const char *state);
/* Where log lines go: stderr; the journal once daemon_ready was called in a daemon. */
void daemon_log_setup(void);

/* SIGTERM and SIGINT end the program, SIGHUP makes it read its configuration again. They are not
 * blocked but handled, so that programs that we start do not inherit a mask. */
bool signals_install(GError **error);
typedef enum { SIGNAL_CANCELLED, SIGNAL_END, SIGNAL_RELOAD } Signal;
/* Wait for the next one. SIGNAL_CANCELLED after signals_cancel. */
Signal signals_wait(void);
void signals_cancel(void);
