/* What a host can do for UEFI and TPM, as its libvirt says it. Immutable and reference-counted. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* One build of UEFI firmware that the host has, of its firmware descriptors. */
typedef struct {
    char *loader, *template; /* paths; variables of @loader are made from @template */
    bool secure;             /* it can do Secure Boot */
    bool enrolled;           /* the template has keys enrolled */
} FirmwareBuild;

typedef struct {
    gint references;       /* private */
    bool uefi;             /* UEFI firmware from pflash, with a variable store */
    bool secure_boot;      /* firmware that can do it */
    bool tpm;              /* emulated TPMs */
    GPtrArray *firmware;   /* of FirmwareBuild, the one that the host prefers first */
    char *nvram_directory; /* where libvirt keeps variables of which no definition says where: in
                              <name>_VARS.fd; NULL if not known */
    char *tpm_directory;   /* of states of emulated TPMs: <uuid>/tpm2; NULL if not known */
} Capabilities;

Capabilities *capabilities_new(void); /* of a host that can do nothing */
Capabilities *capabilities_ref(const Capabilities *capabilities);
void capabilities_unref(Capabilities *capabilities); /* also NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Capabilities, capabilities_unref)
void capabilities_add_firmware(Capabilities *capabilities, const char *loader, const char *template,
                               bool secure, bool enrolled);
/* The first build with that @loader; NULL. */
const FirmwareBuild *capabilities_firmware(const Capabilities *capabilities, const char *loader);

/* libvirt's <domainCapabilities>: the three abilities. ERR_INVALID. */
Capabilities *capabilities_parse(const char *xml, GError **error);
