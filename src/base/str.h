/* The little that GLib 2.74 lacks for strings. */
#pragma once

#include <glib.h>

/* Replace *@field by a copy of @value (NULL allowed), freeing the old one; @value may be *@field
 * itself. */
static inline void str_set(char **field, const char *value)
{
    char *copy = g_strdup(value);

    g_free(*field);
    *field = copy;
}
