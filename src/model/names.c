#include "model/names.h"

#include "base/error.h"
#include <string.h>

#define ID_LENGTH     10
#define FILE_NAME_MAX 255

static bool refuse_name(GError **error, const char *what, const char *name, const char *why)
{
    g_autofree char *shown = text_escape(name);

    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "\"%s\" is no name for a %s: %s", shown, what,
                why);
    return false;
}

/* g_unichar_iscntrl knows the categories; U+0000…U+001F and U+007F…U+009F are Cc. */
bool text_has_control(const char *text)
{
    for (const char *c = text; *c; c = g_utf8_next_char(c))
        if (g_unichar_iscntrl(g_utf8_get_char(c)))
            return true;
    return false;
}

static bool check_name(const char *what, const char *name, GError **error)
{
    if (strlen(name) > NAME_MAX_BYTES) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NAME_TOO_LONG,
                    "a %s name of %zu bytes is too long: use at most %d", what, strlen(name),
                    NAME_MAX_BYTES);
        return false;
    }
    if (!*name)
        return refuse_name(error, what, name, "it is empty");
    if (*name == '.' || *name == '-')
        return refuse_name(error, what, name, "it may not begin with \".\" or \"-\"");
    if (strchr(name, '/'))
        return refuse_name(error, what, name, "it may not contain \"/\"");
    if (!g_utf8_validate(name, -1, NULL))
        return refuse_name(error, what, name, "it is not UTF-8");
    if (text_has_control(name))
        return refuse_name(error, what, name, "it may not contain control characters");
    return true;
}

bool name_check(const char *name, GError **error)
{
    return check_name("snapshot", name, error);
}

bool vm_name_check(const char *name, GError **error)
{
    if (!check_name("VM", name, error))
        return false;
    if (g_str_equal(name, "README") || g_uuid_string_is_valid(name))
        return refuse_name(error, "VM", name, "it means something else here");
    if (strspn(name, " ") == strlen(name))
        return refuse_name(error, "VM", name, "libvirt would not read it again");
    return true;
}

char *names_make_id(uint64_t random)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char id[ID_LENGTH + 1] = "";

    id[0] = digits[random % 26];
    random /= 26;
    for (unsigned i = 1; i < ID_LENGTH; i++, random /= 36)
        id[i] = digits[random % 36];
    return g_strdup(id);
}

bool names_is_id(const char *text)
{
    if (strlen(text) != ID_LENGTH || !g_ascii_islower(text[0]))
        return false;
    for (const char *c = text; *c; c++)
        if (!g_ascii_islower(*c) && !g_ascii_isdigit(*c))
            return false;
    return true;
}

/* Cuts @text to at most @bytes, never inside a UTF-8 sequence. */
static void cut(char *text, size_t bytes)
{
    if (strlen(text) <= bytes)
        return;
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xC0) == 0x80)
        bytes--;
    text[bytes] = '\0';
}

/* A dot at the very beginning makes a hidden file, not an extension. */
static char *last_dot(char *base)
{
    char *dot = strrchr(base, '.');

    return dot == base ? NULL : dot;
}

static char *path_beside(const char *covered, const char *id, const char *extension)
{
    const char *slash = strrchr(covered, '/');
    const char *base = slash ? slash + 1 : covered;
    g_autofree char *directory = g_strndup(covered, (gsize)(base - covered));
    g_autofree char *stem = g_strdup(base);
    char *dot = last_dot(stem);

    if (dot)
        *dot = '\0';
    dot = last_dot(stem);
    if (dot && names_is_id(dot + 1))
        *dot = '\0';
    cut(stem, FILE_NAME_MAX - strlen(id) - strlen("..") - strlen(extension));
    return g_strdup_printf("%s%s.%s.%s", directory, stem, id, extension);
}

char *names_overlay_path(const char *covered, const char *id)
{
    return path_beside(covered, id, "qcow2");
}

char *names_store_path(const char *store, const char *id)
{
    return path_beside(store, id, "fd");
}

char *names_overlay_id(const char *path)
{
    const char *end = g_str_has_suffix(path, ".qcow2") ? strrchr(path, '.') : NULL;
    g_autofree char *rest = end ? g_strndup(path, (gsize)(end - path)) : NULL;
    const char *dot = rest ? strrchr(rest, '.') : NULL;

    return dot && names_is_id(dot + 1) ? g_strdup(dot + 1) : NULL;
}

char *names_untaken(const char *name, GHashTable *taken)
{
    for (unsigned n = 2;; n++) {
        g_autofree char *suffix = g_strdup_printf("~%u", n);
        g_autofree char *stem = g_strdup(name);
        g_autofree char *whole = NULL;

        cut(stem, NAME_MAX_BYTES - strlen(suffix));
        whole = g_strconcat(stem, suffix, NULL);
        if (!g_hash_table_contains(taken, whole))
            return g_steal_pointer(&whole);
    }
}

char *time_format(int64_t microseconds)
{
    const int64_t last = G_GINT64_CONSTANT(253402300799); /* the end of year 9999 */
    int64_t seconds = microseconds / G_USEC_PER_SEC - (microseconds % G_USEC_PER_SEC < 0);
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(CLAMP(seconds, 0, last));

    return g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ");
}

/* In whole tenths, since printf would take the decimal point from the locale. */
char *size_format(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

    if (bytes < 1024)
        return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
    for (unsigned i = 0;; i++) {
        uint64_t unit = UINT64_C(1) << (10 * (i + 1));
        uint64_t rest = bytes % unit;
        uint64_t tenths = bytes / unit * 10 + (rest / 2 * 10 + unit / 4) / (unit / 2);

        if (tenths < 10240 || i + 1 == G_N_ELEMENTS(units))
            return g_strdup_printf("%" G_GUINT64_FORMAT ".%u %s", tenths / 10,
                                   (unsigned)(tenths % 10), units[i]);
    }
}

static bool unit_shift(const char *unit, unsigned *out_shift)
{
    static const char letters[] = "KMGT";
    const char *found = *unit ? strchr(letters, g_ascii_toupper(*unit)) : NULL;

    if (*unit && (!found || unit[1]))
        return false;
    *out_shift = found ? 10 * (unsigned)(found - letters + 1) : 0;
    return true;
}

bool size_parse(const char *text, uint64_t *out_bytes, GError **error)
{
    unsigned shift = 0;
    char *end = NULL;
    guint64 number = g_ascii_strtoull(text, &end, 10);

    if (!g_ascii_isdigit(*text) || !unit_shift(end, &shift)) {
        g_autofree char *shown = text_escape(text);

        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "\"%s\" is no size: write a number of bytes, or one with K, M, G or T", shown);
        return false;
    }
    if (number > (guint64)G_MAXINT64 >> shift) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "the size \"%s\" is too large", text);
        return false;
    }
    *out_bytes = number << shift;
    return true;
}

/* Appends the next character of @text, or its bytes as octal escapes; returns what follows it.
 * Bytes that are not UTF-8 are always escaped, so that every escaped text is UTF-8. */
static const char *append_escaped(GString *out, const char *text, bool all)
{
    gunichar c = g_utf8_get_char_validated(text, -1);
    bool valid = c != (gunichar)-1 && c != (gunichar)-2;
    const char *next = valid ? g_utf8_next_char(text) : text + 1;
    bool escape = !valid || c == '\\' || (all && (c == ' ' || g_unichar_iscntrl(c)));

    for (const char *byte = text; byte < next; byte++) {
        if (escape)
            g_string_append_printf(out, "\\%03o", (unsigned)(unsigned char)*byte);
        else
            g_string_append_c(out, *byte);
    }
    return next;
}

/* How many of the next bytes are plain ASCII, and stay as they are: nearly all of them. */
static size_t plain_length(const char *text, bool all)
{
    size_t length = 0;

    while (text[length] >= (all ? 0x21 : 0x01) && text[length] < 0x7f && text[length] != '\\')
        length++;
    return length;
}

static char *escape(const char *text, bool all)
{
    GString *out = g_string_sized_new(strlen(text) + 1);

    while (*text) {
        size_t plain = plain_length(text, all);

        g_string_append_len(out, text, (gssize)plain);
        text = plain > 0 ? text + plain : append_escaped(out, text, all);
    }
    return g_string_free(out, FALSE);
}

char *text_escape(const char *text)
{
    return escape(text, true);
}

char *text_escape_bytes(const char *text)
{
    return escape(text, false);
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

char *text_unescape(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);

    while (*text) {
        int byte = 0;

        if (*text != '\\') {
            g_string_append_c(out, *text++);
            continue;
        }
        if (!is_octal(text[1]) || !is_octal(text[2]) || !is_octal(text[3]))
            return NULL;
        byte = (text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0');
        if (byte == 0 || byte > 255)
            return NULL;
        g_string_append_c(out, (char)byte);
        text += 4;
    }
    return g_strdup(out->str);
}
