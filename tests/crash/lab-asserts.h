/* What the tests of whole operations assert of a laboratory (lab.h). After cmocka.h. */
#pragma once

#include "lab.h"

/* By address, since the call that sets the error stands beside it in the arguments. */
static inline void assert_done(bool done, GError **error)
{
    if (!done)
        fail_msg("%s", (*error)->message);
}

/* One in which @script was done. */
static inline Lab *lab_after(unsigned disks, const char *script)
{
    Lab *lab = lab_new(disks, 5);
    g_autoptr(GError) error = NULL;

    assert_done(lab_script(lab, script, &error), &error);
    return lab;
}

static inline void assert_lawful(Lab *lab)
{
    g_autofree char *why = lab_broken_law(lab);

    if (why) {
        g_autofree char *state = lab_describe(lab);
        fail_msg("%s\n%s", why, state);
    }
}
