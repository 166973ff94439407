/* Names: what a user may call a snapshot, ids, file names of overlays, times. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define NAME_MAX_BYTES 200

/* A legal snapshot name? ERR_NAME_TOO_LONG over 200 bytes; ERR_INVALID: empty, leading '.' or '-',
 * '/', control characters (also U+0080…U+009F), not UTF-8. */
bool name_check(const char *name, GError **error);
/* A legal name for a VM? The same, and it is not README, no uuid and not of spaces alone. What is
 * no name for libvirt either, it refuses itself. */
bool vm_name_check(const char *name, GError **error);

/* An id of 10 characters [a-z0-9] (first one a letter) from 64 bits of randomness. New string. */
char *names_make_id(uint64_t random);
bool names_is_id(const char *text);

/* The overlay beside @covered: "<dir>/<stem>.<id>.qcow2" (rule 13). The stem is the base name
 * without its last extension and without an id of ours before it, cut at a UTF-8 boundary so that
 * the name stays within 255 bytes. */
char *names_overlay_path(const char *covered, const char *id);

/* The variable store beside @store: "<dir>/<stem>.<id>.fd", likewise. */
char *names_store_path(const char *store, const char *id);

/* The id in the name of such an overlay; NULL if @path is not named like one. New string. */
char *names_overlay_id(const char *path);

/* "<name>~2", "<name>~3" … : the first one not used in @taken (char * → any), cut to 200 bytes
 * (rule 4). */
char *names_untaken(const char *name, GHashTable *taken);

/* RFC 3339 UTC: "2026-11-21T14:30:05Z", from microseconds since the epoch. */
char *time_format(int64_t microseconds);
/* "1.3 GiB", "512 B": for people. */
char *size_format(uint64_t bytes);
/* "50M", "1G", "4096", K M G T binary multiples. ERR_INVALID. */
bool size_parse(const char *text, uint64_t *out_bytes, GError **error);
/* Of valid UTF-8: has it any, U+0000…U+001F or U+007F…U+009F? */
bool text_has_control(const char *text);
/* Space, control characters, backslash and bytes that are not UTF-8 as octal escapes, as
 * /proc/mounts. So the result is always one UTF-8 word. New string. */
char *text_escape(const char *text);
/* Only backslash and bytes that are not UTF-8: for paths in YAML. New string. */
char *text_escape_bytes(const char *text);
/* The text of either; NULL if malformed. New string. */
char *text_unescape(const char *text);
