#include "hv/libvirt-private.h"

/* State, XML and jobs are separate questions; a domain that starts or stops between them is asked
 * again. */
#define INSPECT_TRIES 5

#define OCCUPIED_SECONDS 3
#define OCCUPIED_LOOK_US 20000

/* --- list --- */

static HvDomain *hv_domain_of(virDomainPtr domain, DomainState state)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    HvDomain *made = g_new0(HvDomain, 1);

    virDomainGetUUIDString(domain, uuid);
    made->uuid = g_strdup(uuid);
    made->name = g_strdup(virDomainGetName(domain));
    made->state = state;
    return made;
}

/* The uuids of the domains that @flags choose. One question for all: a host has a thousand domains,
 * and libvirt's answer to a question about one takes as long as to one about all. */
static GHashTable *uuids_with(LibvirtCall *call, unsigned flags, GError **error)
{
    g_autoptr(GHashTable) uuids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    virDomainPtr *domains = NULL;
    char uuid[VIR_UUID_STRING_BUFLEN];
    int n = virConnectListAllDomains(call->connection, &domains, flags);

    if (n < 0) {
        libvirt_call_failed(call, error);
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        if (virDomainGetUUIDString(domains[i], uuid) == 0)
            g_hash_table_add(uuids, g_strdup(uuid));
        virDomainFree(domains[i]);
    }
    free(domains);
    return g_steal_pointer(&uuids);
}

typedef struct {
    GHashTable *running, *paused, *persistent, *saved;
} Sets;

static void sets_clear(Sets *sets)
{
    g_clear_pointer(&sets->running, g_hash_table_unref);
    g_clear_pointer(&sets->paused, g_hash_table_unref);
    g_clear_pointer(&sets->persistent, g_hash_table_unref);
    g_clear_pointer(&sets->saved, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sets, sets_clear)

static bool sets_ask(LibvirtCall *call, Sets *sets, GError **error)
{
    return (sets->running = uuids_with(call, VIR_CONNECT_LIST_DOMAINS_RUNNING, error)) &&
           (sets->paused = uuids_with(call, VIR_CONNECT_LIST_DOMAINS_PAUSED, error)) &&
           (sets->persistent = uuids_with(call, VIR_CONNECT_LIST_DOMAINS_PERSISTENT, error)) &&
           (sets->saved = uuids_with(call, VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, error));
}

static HvDomain *listed_domain(virDomainPtr domain, const Sets *sets)
{
    HvDomain *made = hv_domain_of(domain, DOMAIN_OTHER);

    if (virDomainGetID(domain) == (unsigned)-1)
        made->state = DOMAIN_OFF;
    else if (g_hash_table_contains(sets->running, made->uuid))
        made->state = DOMAIN_RUNNING;
    else if (g_hash_table_contains(sets->paused, made->uuid))
        made->state = DOMAIN_PAUSED;
    made->persistent = g_hash_table_contains(sets->persistent, made->uuid);
    made->managed_save = g_hash_table_contains(sets->saved, made->uuid);
    return made;
}

static bool run_list(LibvirtCall *call, GError **error)
{
    g_auto(Sets) sets = {0};
    virDomainPtr *domains = NULL;
    int n;

    if (!sets_ask(call, &sets, error))
        return false;
    n = virConnectListAllDomains(call->connection, &domains, 0);
    if (n < 0)
        return libvirt_call_failed(call, error);
    call->domains = g_ptr_array_new_with_free_func((GDestroyNotify)hv_domain_free);
    for (int i = 0; i < n; i++) {
        g_ptr_array_add(call->domains, listed_domain(domains[i], &sets));
        virDomainFree(domains[i]);
    }
    free(domains);
    return true;
}

GPtrArray *libvirt_list(Hypervisor *hv, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("list the domains", NULL, run_list);

    if (!libvirt_call_query(hv, call, error))
        return NULL;
    for (guint i = 0; i < call->domains->len; i++)
        libvirt_hv_learn_name((LibvirtHv *)hv, call->domains->pdata[i]);
    return g_steal_pointer(&call->domains);
}

/* --- inspect --- */

/* A domain without a QEMU process is off, however it came to that (crashed, saved, failed). */
static DomainState state_of(int state, bool active)
{
    if (!active)
        return DOMAIN_OFF;
    switch (state) {
    case VIR_DOMAIN_NOSTATE:
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return DOMAIN_RUNNING;
    case VIR_DOMAIN_PAUSED:
        return DOMAIN_PAUSED;
    default:
        return DOMAIN_OTHER;
    }
}

/* By virDomainJobOperation. */
static const char *const operations[] = {
    [VIR_DOMAIN_JOB_OPERATION_UNKNOWN] = "job",
    [VIR_DOMAIN_JOB_OPERATION_START] = "start",
    [VIR_DOMAIN_JOB_OPERATION_SAVE] = "save",
    [VIR_DOMAIN_JOB_OPERATION_RESTORE] = "restore",
    [VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN] = "incoming migration",
    [VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT] = "migration",
    [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT] = "snapshot",
    [VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT] = "snapshot revert",
    [VIR_DOMAIN_JOB_OPERATION_DUMP] = "dump",
    [VIR_DOMAIN_JOB_OPERATION_BACKUP] = "backup",
};

static char *operation_name(virTypedParameterPtr params, int n_params)
{
    int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

    virTypedParamsGetInt(params, n_params, VIR_DOMAIN_JOB_OPERATION, &operation);
    if (operation < 0 || operation >= (int)G_N_ELEMENTS(operations))
        operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;
    return g_strdup(operations[operation]);
}

/* What a refusal to tell the job of an active domain means. */
static bool read_refusal(LibvirtCall *call, char **out_job, GError **error)
{
    switch ((int)virGetLastErrorCode()) {
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_OPERATION_UNSUPPORTED:
        *out_job = NULL;
        return true;
    case VIR_ERR_OPERATION_INVALID: /* only the source of a migration may ask */
        *out_job = g_strdup(operations[VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN]);
        return true;
    case VIR_ERR_OPERATION_TIMEOUT: /* somebody has held the domain's lock for 30 s */
        *out_job = g_strdup("call that does not end");
        return true;
    default:
        return libvirt_call_failed(call, error);
    }
}

/* Does somebody's call keep QEMU's monitor, and so libvirt's lock of the domain? This question is
 * the one that does not wait for it. */
static bool is_occupied(virDomainPtr domain)
{
    virDomainControlInfo info = {0};

    return virDomainGetControlInfo(domain, &info, 0) == 0 &&
           info.state == VIR_DOMAIN_CONTROL_OCCUPIED;
}

/* Calls that end do so in milliseconds. One that hangs is not waited for as long as libvirt would.
 */
static bool stays_occupied(virDomainPtr domain)
{
    gint64 deadline = g_get_monotonic_time() + OCCUPIED_SECONDS * G_TIME_SPAN_SECOND;

    while (is_occupied(domain)) {
        if (g_get_monotonic_time() >= deadline)
            return true;
        g_usleep(OCCUPIED_LOOK_US);
    }
    return false;
}

static bool read_foreign_job(LibvirtCall *call, virDomainPtr domain, char **out_job, GError **error)
{
    virTypedParameterPtr params = NULL;
    int n_params = 0, type = VIR_DOMAIN_JOB_NONE;

    if (stays_occupied(domain)) {
        *out_job = g_strdup("call that does not end");
        return true;
    }
    if (virDomainGetJobStats(domain, &type, &params, &n_params, 0) < 0)
        return read_refusal(call, out_job, error);
    *out_job = type == VIR_DOMAIN_JOB_NONE ? NULL : operation_name(params, n_params);
    virTypedParamsFree(params, n_params);
    return true;
}

static bool read_xml(LibvirtCall *call, virDomainPtr domain, unsigned flags, char **out_xml,
                     GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE | flags);

    if (!xml)
        return libvirt_call_failed(call, error);
    g_free(*out_xml);
    *out_xml = xml;
    return true;
}

static bool read_facts(LibvirtCall *call, virDomainPtr domain, bool active, GError **error)
{
    int state = VIR_DOMAIN_NOSTATE, reason;
    int persistent = virDomainIsPersistent(domain);
    int saved = virDomainHasManagedSaveImage(domain, 0);
    int snapshots = persistent < 0 || saved < 0 ? -1 : virDomainSnapshotNum(domain, 0);

    if (snapshots < 0 || virDomainGetState(domain, &state, &reason, 0) < 0)
        return libvirt_call_failed(call, error);
    hv_domain_free(call->domain);
    call->domain = hv_domain_of(domain, state_of(state, active));
    call->domain->persistent = persistent;
    call->domain->managed_save = saved;
    call->snapshots = (unsigned)snapshots;
    return true;
}

static bool read_all(LibvirtCall *call, virDomainPtr domain, bool active, GError **error)
{
    g_clear_pointer(&call->live, g_free);
    g_clear_pointer(&call->inactive, g_free);
    g_clear_pointer(&call->foreign_job, g_free);
    if (!read_facts(call, domain, active, error))
        return false;
    /* In this order: who asks for a job waits until a libvirt that has just come back has asked
     * QEMU what it missed, and the XML says it then. */
    if (active && (!read_foreign_job(call, domain, &call->foreign_job, error) ||
                   !read_xml(call, domain, 0, &call->live, error)))
        return false;
    return !call->domain->persistent ||
           read_xml(call, domain, VIR_DOMAIN_XML_INACTIVE, &call->inactive, error);
}

typedef bool (*Reader)(LibvirtCall *call, virDomainPtr domain, bool active, GError **error);

static bool read_steadily(LibvirtCall *call, Reader read, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain)
        return false;
    for (unsigned i = 0; i < INSPECT_TRIES; i++) {
        int before = virDomainIsActive(domain);

        if (before < 0)
            return libvirt_call_failed(call, error);
        if (!read(call, domain, before, error))
            return false;
        if (virDomainIsActive(domain) == before)
            return true;
    }
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "cannot inspect domain %s: it starts and stops all the time; try again",
                call->name);
    return false;
}

static bool run_inspect(LibvirtCall *call, GError **error)
{
    return read_steadily(call, read_all, error);
}

bool libvirt_inspect(Hypervisor *hv, const char *uuid, HvDomain **out_domain, char **out_live,
                     char **out_inactive, char **out_foreign_job, unsigned *out_snapshots,
                     GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("inspect", uuid, run_inspect);

    if (!libvirt_call_query(hv, call, error))
        return false;
    libvirt_hv_learn_name((LibvirtHv *)hv, call->domain);
    *out_domain = g_steal_pointer(&call->domain);
    *out_live = g_steal_pointer(&call->live);
    *out_inactive = g_steal_pointer(&call->inactive);
    *out_foreign_job = g_steal_pointer(&call->foreign_job);
    *out_snapshots = call->snapshots;
    return true;
}

/* --- definitions --- */

static bool read_saved(LibvirtCall *call, virDomainPtr domain, GError **error)
{
    int saved = virDomainHasManagedSaveImage(domain, 0);

    g_clear_pointer(&call->saved, g_free);
    if (saved > 0)
        call->saved = virDomainManagedSaveGetXMLDesc(domain, 0);
    return saved == 0 || call->saved || libvirt_call_failed(call, error);
}

static bool read_definitions(LibvirtCall *call, virDomainPtr domain, bool active, GError **error)
{
    int persistent = virDomainIsPersistent(domain);

    g_clear_pointer(&call->live, g_free);
    g_clear_pointer(&call->inactive, g_free);
    if (persistent < 0)
        return libvirt_call_failed(call, error);
    return (!active || read_xml(call, domain, 0, &call->live, error)) &&
           (!persistent ||
            read_xml(call, domain, VIR_DOMAIN_XML_INACTIVE, &call->inactive, error)) &&
           read_saved(call, domain, error);
}

static bool run_definitions(LibvirtCall *call, GError **error)
{
    return read_steadily(call, read_definitions, error);
}

bool libvirt_definitions(Hypervisor *hv, const char *uuid, char **out_live, char **out_inactive,
                         char **out_saved, GError **error)
{
    g_autoptr(LibvirtCall) call =
        libvirt_call_new("read the definitions of", uuid, run_definitions);

    if (!libvirt_call_query(hv, call, error))
        return false;
    *out_live = g_steal_pointer(&call->live);
    *out_inactive = g_steal_pointer(&call->inactive);
    *out_saved = g_steal_pointer(&call->saved);
    return true;
}
