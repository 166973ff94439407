/* One look for orphans: what lies in the directories, and who refers to what. */
#pragma once

#include "run/orphans.h"
#include "run/users.h"

typedef struct {
    const World *world;
    GHashTable *directories; /* to be looked through */
    GHashTable *layers;      /* paths and file keys of the layers of known catalogs */
    GHashTable *users;       /* path or file key → who refers to it */
    GHashTable *walked;      /* file keys whose chain was followed */
    GHashTable *raws;        /* those that are used as raw: a header in them is a guest's */
    GHashTable *stores;      /* orphan_store_stem() of the variable stores of known catalogs →
                                "moved" if that has an id */
    GHashTable *tpms;        /* where the vTPMs of their VMs have their directories */
    char *tpm_directory;     /* NULL: not known */
    GHashTable *sidecars;    /* path → OrphanSidecar, one for each id: beside catalogs */
    GPtrArray *paths;        /* what lies in the directories */
} OrphanLook;

/* What is kept of one snapshot. */
typedef struct {
    char *home, *uuid, *id;
} OrphanSidecar;

OrphanLook orphan_look_new(const World *world);
void orphan_look_clear(OrphanLook *look);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OrphanLook, orphan_look_clear)

/* Look around, once. False: something could not be seen. */
bool orphan_look_around(OrphanLook *look, const GPtrArray *vms, GError **error);
/* @path without ".fd" and an id of ours before that; NULL if it is not named as our stores are.
 * *out_id: it has an id. Yours. */
char *orphan_store_stem(const char *path, bool *out_id);
/* orphans-mark.c, in this order, after everything was listed. */
/* By the journals and catalogs of the directories; also those of VMs that are not defined here. */
bool orphan_mark_ledgers(OrphanLook *look, GError **error);
/* By definitions of all domains, with what lies below their disks. */
bool orphan_mark_domains(OrphanLook *look, GError **error);
/* By headers of what was listed. */
void orphan_mark_images(OrphanLook *look);

/* Who refers to @path; borrowed, NULL: nobody. */
const char *orphan_look_user(const OrphanLook *look, const char *path);
