/* Catalog and journal of one VM on disk (docs/catalog-format.md, docs/journal-format.md).
 * <home>/.vmsnapfs/<uuid>/{catalog.yaml,journal.yaml,lock}. libyaml reads and writes; no other YAML
 * code. */
#pragma once

#include "plan/step.h"
#include "store/files.h"

char *store_directory(const char *home, const char *uuid);

/* Text forms; pure. Parsing is robust: any bytes give a catalog that passes catalog_check, or
 * ERR_INVALID: with "line L, column C" where a place is wrong, with the ids where places do not fit
 * together. An unknown key at the top level is kept; a newer version is ERR_UNSUPPORTED. Aliases,
 * tags, duplicate keys, wrong types are errors. catalog_to_yaml takes a catalog that passes
 * catalog_check. */
char *catalog_to_yaml(const Catalog *catalog);
Catalog *catalog_from_yaml(const char *text, gsize length, GError **error);

typedef struct {
    Plan *plan;
    GArray *done;    /* gboolean per step */
    char *operation; /* "mkdir web01/snapshots/x": for people and errors */
    char *head;      /* journal_to_yaml's: the text of all but @done; NULL until it is printed */
} Journal;
Journal *journal_new(Plan *plan /* taken */, const char *operation);
void journal_free(Journal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Journal, journal_free)
/* Set a value of a step of the plan; only so may it be changed. */
void journal_set(Journal *journal, guint step, const char *key, const char *value);
char *journal_to_yaml(Journal *journal);
Journal *journal_from_yaml(const char *text, gsize length, GError **error);

/* NULL without error where the file is absent. A file that cannot be read or parsed is an error; it
 * is never overwritten. */
Catalog *store_load_catalog(Files *files, const char *home, const char *uuid, GError **error);
Journal *store_load_journal(Files *files, const char *home, const char *uuid, GError **error);
/* Replaces catalog.yaml with @catalog after generation++ (also in @catalog, on success only). Looks
 * first whether the file still says @text, what it said at @catalog's generation; if that is NULL,
 * or it says something else, its generation is read: ERR_DRIFT if it is not the one @catalog was
 * loaded with, unless the very save was done before and only its answer was lost. ERR_INVALID if
 * @catalog does not pass catalog_check. Makes the directory when needed. */
bool store_save_catalog(Files *files, const char *home, Catalog *catalog, GBytes *text,
                        GError **error);
bool store_save_journal(Files *files, const char *home, const char *uuid, Journal *journal,
                        GError **error);
/* Room that is ours when there is none: a file `reserve`, made durable where it is missing (what
 * keeps it from that is no error), and given up so that one more catalog or journal can be written.
 * False: there was none. */
void store_keep_reserve(Files *files, const char *home, const char *uuid);
bool store_spend_reserve(Files *files, const char *home, const char *uuid);
bool store_clear_journal(Files *files, const char *home, const char *uuid, GError **error);
/* Remove all that is kept of a VM without snapshots; the journal goes last, so that it is not lost
 * what was begun. Under the store's lock. */
bool store_forget(Files *files, const char *home, const char *uuid, GError **error);
/* What a program that died had written by name, and can be read, may not be durable yet. Whoever
 * takes up what it left does this first, under the lock: else he acts on, and tells, what a power
 * loss takes back. */
bool store_settle(Files *files, const char *home, const char *uuid, GError **error);
/* One writer at a time over all hosts; ERR_BUSY names the holder. */
FilesLock *store_lock(Files *files, const char *home, const char *uuid, GError **error);
