/* One VM for planner tests: a catalog, what would be observed of it, and what each step does to
 * both. No contents: only names, chains and sizes. Ids and times count up, so that plans come out
 * the same every time. */
#pragma once

#include "plan/planner.h"

typedef struct {
    Catalog *catalog;
    Observation *seen;
    uint64_t count; /* ids given */
} Scene;

#define SCENE_GIB (G_GUINT64_CONSTANT(1) << 30)

Scene *scene_new(void); /* VM web01, off, no disk */
void scene_free(Scene *scene);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

/* A disk of 1 GiB, /images/web01-TARGET.FORMAT, in the persistent definition (and the live one). */
void scene_add_disk(Scene *scene, const char *target, const char *format);
DomainDisk *scene_disk(Scene *scene, const char *target); /* of the persistent definition */
ImageFacts *scene_file(Scene *scene, const char *path);   /* made when absent */
void scene_start(Scene *scene);
void scene_stop(Scene *scene);
void scene_job(Scene *scene, const char *target, const char *kind, const char *mirror);

Plan *scene_plan_create(Scene *scene, const char *name, GError **error);
Plan *scene_plan_revert(Scene *scene, const char *name, GError **error);
Plan *scene_plan_remove(Scene *scene, const char *name, GError **error);

Plan *scene_plan_adopt(Scene *scene, GError **error);
/* Somebody else put an empty overlay "PATH.NAME" on the disk. */
void scene_foreign_overlay(Scene *scene, const char *target, const char *name);

/* UEFI variables in SCENE_VARS (@automatic: firmware='efi', whose definition does not say where
 * they are) and an emulated TPM, on a host that can do both; the VM must be off. */
void scene_give_state(Scene *scene, bool automatic);
/* After that: both are there, and are seen to be ready. */
void scene_show_state(Scene *scene);
#define SCENE_TEMPLATE "/firmware/VARS.fd"
#define SCENE_TPM      "/swtpm/11111111-2222-4333-8444-555555555555/tpm2"
#define SCENE_STORE    540672 /* bytes */
/* As if @name, a snapshot from before that, had been taken with both. */
void scene_keep(Scene *scene, const char *name);
#define SCENE_VARS "/nvram/web01_VARS.fd"

/* Do one step to the host or to the catalog; the catalog must pass its check. */
void scene_run_step(Scene *scene, const Step *step);
/* All of them, then the laws. */
void scene_run(Scene *scene, const Plan *plan);
/* Files of the catalog exist, chains fit, nothing lies about. */
void scene_check(Scene *scene);

/* Whole operations; they must succeed. */
void scene_create(Scene *scene, const char *name);
void scene_revert(Scene *scene, const char *name);
void scene_accept(Scene *scene, const char *name); /* the removal, without its work */
void scene_remove(Scene *scene, const char *name); /* with all work that plan_next then finds */
Snapshot *scene_snapshot(Scene *scene, const char *name); /* also a hidden one */
