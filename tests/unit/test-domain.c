/* Domain XML: what is read, rule 10, the edits of rule 7, the documents of rule 13. */
#include "model/domain.h"

#include "base/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID "6f1c2a80-93ab-4c35-8d3e-0b6a4c1f2d77"

static char *with_devices(const char *before, const char *devices)
{
    return g_strdup_printf("<domain type='kvm'>\n  <name>web01</name>\n  <uuid>" UUID
                           "</uuid>\n%s  <devices>\n%s  </devices>\n</domain>\n",
                           before, devices);
}

/* The only disk of a definition with @disk; NULL, with a failed assertion, if it does not parse. */
static Domain *with_disk(const char *disk)
{
    g_autofree char *xml = with_devices("", disk);
    g_autoptr(GError) error = NULL;
    Domain *domain = domain_parse(xml, &error);

    if (!domain)
        fail_msg("%s", error->message);
    assert_int_equal(domain->disks->len, 1);
    return domain;
}

#define FILE_DISK(inside)                                                                          \
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/d/a'/>"      \
    "<target dev='vda' bus='virtio'/>" inside "</disk>"

static void a_plain_disk_is_read(void **state)
{
    g_autoptr(Domain) domain = with_disk(FILE_DISK(""));
    const DomainDisk *disk = domain_disk(domain, "vda");

    assert_string_equal(domain->uuid, UUID);
    assert_string_equal(domain->name, "web01");
    assert_false(domain->firmware || domain->tpm);
    assert_null(domain->home);
    assert_string_equal(disk->device, "disk");
    assert_string_equal(disk->type, "file");
    assert_string_equal(disk->path, "/d/a");
    assert_string_equal(disk->format, "qcow2");
    assert_false(disk->chain_stated);
    assert_int_equal(disk->chain->len, 0);
    assert_null(disk->mirror_path);
    assert_null(domain_disk_excluded(disk));
    assert_null(domain_disk_unsupported(disk));
    assert_ptr_equal(domain_disk_of_path(domain, "/d/a"), disk);
    assert_null(domain_disk_of_path(domain, NULL));
    assert_null(domain_disk(domain, "vdb"));
}

static void defaults_are_libvirts(void **state)
{
    g_autoptr(Domain) domain = with_disk("<disk><source file='/d/a'/><target dev='hda'/></disk>");
    const DomainDisk *disk = domain_disk(domain, "hda");

    assert_string_equal(disk->device, "disk");
    assert_string_equal(disk->type, "file");
    assert_string_equal(disk->format, "raw");
}

static void disks_are_left_out_or_refused_by_rule_10(void **state)
{
    static const struct {
        const char *disk, *excluded, *unsupported; /* parts of the reasons */
    } cases[] = {
        {"<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>", "CD-ROM", NULL},
        {"<disk type='file' device='floppy'><target dev='fda'/></disk>", "floppy", NULL},
        {"<disk type='file' device='disk'><target dev='vda'/></disk>", "empty", NULL},
        {FILE_DISK("<readonly/>"), "read-only", NULL},
        {FILE_DISK("<shareable/>"), "shareable", NULL},
        {"<disk type='block' snapshot='no'><source dev='/dev/x'/><target dev='vda'/></disk>",
         "snapshot='no'", NULL},
        {"<disk snapshot='manual'><source file='/d/a'/><target dev='vda'/></disk>", "snapshot='no'",
         NULL},
        {"<disk type='block'><source dev='/dev/x'/><target dev='vda'/></disk>", NULL,
         "block device"},
        {"<disk type='network'><source protocol='rbd' name='p/i'/><target dev='vda'/></disk>", NULL,
         "network disk"},
        {"<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>", NULL,
         "volume"},
        {"<disk type='block' device='lun'><source dev='/dev/x'/><target dev='sda'/></disk>", NULL,
         "lun"},
        {"<disk><driver type='vmdk'/><source file='/d/a'/><target dev='vda'/></disk>", NULL,
         "vmdk"},
        {"<disk><source file='d/a'/><target dev='vda'/></disk>", NULL, "relative"},
        {"<disk><source file='/d/a&#10;b'/><target dev='vda'/></disk>", NULL, "control"},
        {FILE_DISK("<encryption format='luks'/>"), NULL, "encrypted"},
        {"<disk><source file='/d/a'><encryption format='luks'/></source><target dev='vda'/></disk>",
         NULL, "encrypted"},
        {"<disk><source file='/d/a'><slices><slice type='storage' offset='1' size='2'/></slices>"
         "</source><target dev='vda'/></disk>",
         NULL, "slice"},
        {"<disk><source file='/d/a'><dataStore type='file'><source file='/d/b'/></dataStore>"
         "</source><target dev='vda'/></disk>",
         NULL, "data file"},
        {FILE_DISK("<transient/>"), NULL, "transient"},
        {"<disk snapshot='internal'><source file='/d/a'/><target dev='vda'/></disk>", NULL,
         "internal"},
        {"<disk snapshot='external'><source file='/d/a'/><target dev='vda'/></disk>", NULL, NULL},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Domain) domain = with_disk(cases[i].disk);
        const DomainDisk *disk = domain->disks->pdata[0];
        const char *excluded = domain_disk_excluded(disk);
        g_autofree char *unsupported = excluded ? NULL : domain_disk_unsupported(disk);

        if (cases[i].excluded ? !excluded || !strstr(excluded, cases[i].excluded) : !!excluded)
            fail_msg("case %u is excluded because %s", i, excluded ? excluded : "(it is not)");
        if (cases[i].unsupported ? !unsupported || !strstr(unsupported, cases[i].unsupported)
                                 : !!unsupported)
            fail_msg("case %u %s", i, unsupported ? unsupported : "is supported");
    }
}

static void a_stated_chain_is_read_nearest_first(void **state)
{
    g_autoptr(Domain) domain = with_disk(
        FILE_DISK("<backingStore type='file' index='2'><format type='qcow2'/><source file='/d/b'/>"
                  "<backingStore type='network'><format type='raw'/><source protocol='nbd'/>"
                  "<backingStore/></backingStore></backingStore>"));
    const DomainDisk *disk = domain_disk(domain, "vda");
    const ChainLink *first = disk->chain->pdata[0], *second = disk->chain->pdata[1];

    assert_true(disk->chain_stated);
    assert_int_equal(disk->chain->len, 2);
    assert_string_equal(first->path, "/d/b");
    assert_string_equal(first->format, "qcow2");
    assert_string_equal(second->path, "");
    assert_string_equal(second->format, "raw");
}

static void an_empty_backing_store_states_the_end_of_the_chain(void **state)
{
    g_autoptr(Domain) domain = with_disk(FILE_DISK("<backingStore/>"));
    const DomainDisk *disk = domain_disk(domain, "vda");

    assert_true(disk->chain_stated);
    assert_int_equal(disk->chain->len, 0);
}

static void a_block_job_is_seen_in_its_mirror(void **state)
{
    static const struct {
        const char *mirror, *path, *job;
        bool ready;
    } cases[] = {
        {"<mirror type='file' job='active-commit' ready='yes'><format type='qcow2'/>"
         "<source file='/d/b'/></mirror>",
         "/d/b", "active-commit", true},
        {"<mirror type='file' file='/d/b' format='raw' job='copy'><source file='/d/b'/></mirror>",
         "/d/b", "copy", false},
        {"<mirror file='/d/b' ready='abort'/>", "/d/b", "copy", false},
        {"<mirror type='network' job='copy'><source protocol='nbd'/></mirror>", "", "copy", false},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf(FILE_DISK("%s"), cases[i].mirror);
        g_autoptr(Domain) domain = with_disk(xml);
        const DomainDisk *disk = domain_disk(domain, "vda");

        assert_string_equal(disk->mirror_path, cases[i].path);
        assert_string_equal(disk->mirror_job, cases[i].job);
        assert_int_equal(disk->mirror_ready, cases[i].ready);
    }
}

static Domain *parsed_with(const char *before, const char *devices)
{
    g_autofree char *xml = with_devices(before, devices);
    GError *error = NULL;
    Domain *domain = domain_parse(xml, &error);

    assert_null(error);
    return domain;
}

static void firmware_is_read_as_libvirt_writes_it(void **state)
{
    static const struct {
        const char *os;
        bool uefi, automatic, secure, stateless, combined;
        const char *loader, *path, *template, *storage, *format;
    } cases[] = {
        {"<os firmware='efi'><type>hvm</type></os>", .uefi = true, .automatic = true},
        {"<os firmware='efi'><firmware><feature enabled='no' name='enrolled-keys'/>"
         "<feature enabled='yes' name='secure-boot'/></firmware></os>",
         .uefi = true, .automatic = true, .secure = true},
        {"<os firmware='efi'><firmware><feature enabled='no' name='secure-boot'/></firmware>"
         "<nvram>/v/x.fd</nvram></os>",
         .uefi = true, .automatic = true, .path = "/v/x.fd"},
        {"<os><loader readonly='yes' secure='yes' type='pflash'>/fw/CODE.fd</loader>"
         "<nvram template='/fw/VARS.fd'>/v/web_VARS.fd</nvram></os>",
         .uefi = true, .secure = true, .loader = "/fw/CODE.fd", .path = "/v/web_VARS.fd",
         .template = "/fw/VARS.fd"},
        {"<os><loader readonly='yes' type='pflash'>/fw/CODE.fd</loader>"
         "<nvram type='file' format='qcow2'><source file='/v/a b.fd'/></nvram></os>",
         .uefi = true, .loader = "/fw/CODE.fd", .path = "/v/a b.fd", .format = "qcow2"},
        {"<os><loader readonly='yes' type='pflash'>/fw/CODE.fd</loader>"
         "<nvram type='block'><source dev='/dev/sdz'/></nvram></os>",
         .uefi = true, .loader = "/fw/CODE.fd", .path = "/dev/sdz", .storage = "block"},
        {"<os><loader readonly='yes' type='pflash'>/fw/CODE.fd</loader>"
         "<nvram type='network'><source protocol='nbd' name='x'/></nvram></os>",
         .uefi = true, .loader = "/fw/CODE.fd", .storage = "network"},
        {"<os><loader readonly='yes' type='pflash' stateless='yes'>/fw/ALL.fd</loader></os>",
         .uefi = true, .stateless = true, .loader = "/fw/ALL.fd"},
        {"<os><loader readonly='no' type='pflash'>/v/ALL.fd</loader></os>", .uefi = true,
         .combined = true, .loader = "/v/ALL.fd"},
        {"<os firmware='bios'/>", .uefi = false},
        {"<os><loader type='rom'>/fw/bios.bin</loader></os>", .uefi = false},
        {"", .uefi = false},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Domain) domain = parsed_with(cases[i].os, "");
        g_autoptr(Domain) copy = domain_copy(domain);
        const Firmware *firmware = copy->firmware;

        assert_int_equal(firmware != NULL, cases[i].uefi);
        assert_int_equal(domain_needs_vars(domain), cases[i].uefi && !cases[i].stateless);
        if (!firmware)
            continue;
        assert_int_equal(firmware->automatic, cases[i].automatic);
        assert_int_equal(firmware->secure, cases[i].secure);
        assert_int_equal(firmware->stateless, cases[i].stateless);
        assert_int_equal(firmware->combined, cases[i].combined);
        assert_int_equal(g_strcmp0(firmware->loader, cases[i].loader), 0);
        assert_int_equal(g_strcmp0(firmware->path, cases[i].path), 0);
        assert_int_equal(g_strcmp0(firmware->template, cases[i].template), 0);
        assert_string_equal(firmware->storage, cases[i].storage ? cases[i].storage : "file");
        assert_string_equal(firmware->format, cases[i].format ? cases[i].format : "raw");
    }
}

static void a_tpm_is_read_as_libvirt_writes_it(void **state)
{
    static const struct {
        const char *devices;
        bool needed;
        const char *backend, *version, *secret;
    } cases[] = {
        {"<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>", true, "emulator",
         "2.0", NULL},
        {"<tpm model='tpm-tis'><backend type='emulator' version='1.2'>"
         "<encryption secret='6dd3e4a5-1d76-44ce-961f-f119f5aad935'/></backend></tpm>",
         true, "emulator", "1.2", "6dd3e4a5-1d76-44ce-961f-f119f5aad935"},
        {"<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", false,
         "passthrough", "2.0", NULL},
        {"<tpm model='tpm-crb'><backend type='external'/></tpm>", false, "external", "2.0", NULL},
        {"", false, NULL, NULL, NULL},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Domain) domain = parsed_with("", cases[i].devices);
        g_autoptr(Domain) copy = domain_copy(domain);

        assert_int_equal(domain_needs_tpm(copy), cases[i].needed);
        assert_int_equal(copy->tpm != NULL, cases[i].backend != NULL);
        if (!copy->tpm)
            continue;
        assert_string_equal(copy->tpm->backend, cases[i].backend);
        assert_string_equal(copy->tpm->version, cases[i].version);
        assert_int_equal(g_strcmp0(copy->tpm->secret, cases[i].secret), 0);
    }
}

static void our_metadata_is_read_with_any_prefix(void **state)
{
    static const struct {
        const char *metadata, *home;
        uint64_t generation;
    } cases[] = {
        {"<metadata><vmsnapfs xmlns='" METADATA_URI
         "' home='/d &amp; e' generation='7'/></metadata>",
         "/d & e", 7},
        {"<metadata><o:x xmlns:o='urn:o'/><z:vmsnapfs xmlns:z='" METADATA_URI
         "' home='/d' generation='1'/></metadata>",
         "/d", 1},
        {"<metadata><vmsnapfs home='/d' generation='1'/></metadata>", NULL, 0},
        {"<metadata><x:vmsnapfs xmlns:x='urn:other' home='/d'/></metadata>", NULL, 0},
        {"<metadata><vmsnapfs xmlns='" METADATA_URI "' home='d' generation='1'/></metadata>", NULL,
         0},
        {"<metadata><vmsnapfs xmlns='" METADATA_URI "' home='/d' generation='-1'/></metadata>",
         "/d", 0},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = with_devices(cases[i].metadata, "");
        g_autoptr(Domain) domain = domain_parse(xml, NULL);

        assert_int_equal(g_strcmp0(domain->home, cases[i].home), 0);
        assert_int_equal(domain->generation, cases[i].generation);
    }
}

static void what_runs_has_an_id(void **state)
{
    g_autofree char *off = with_devices("", FILE_DISK(""));
    g_autofree char *at =
        g_strdup_printf("<domain id='17'%s", strstr(off, "<domain") + strlen("<domain"));
    g_autoptr(Domain) stored = domain_parse(off, NULL);
    g_autoptr(Domain) live = domain_parse(at, NULL);
    g_autoptr(Domain) copy = domain_copy(live);

    assert_null(stored->run);
    assert_string_equal(copy->run, "17");
}

static void a_copy_has_everything(void **state)
{
    g_autofree char *xml =
        with_devices("<os firmware='efi'/><metadata><vmsnapfs xmlns='" METADATA_URI
                     "' home='/h' generation='3'/></metadata>",
                     FILE_DISK("<readonly/><backingStore><source file='/d/b'/></backingStore>"
                               "<mirror file='/d/m' ready='yes'/>"));
    g_autoptr(Domain) domain = domain_parse(xml, NULL);
    g_autoptr(Domain) copy = domain_copy(domain);
    const DomainDisk *disk = domain_disk(copy, "vda");

    g_clear_pointer(&domain, domain_free);
    assert_string_equal(copy->home, "/h");
    assert_int_equal(copy->generation, 3);
    assert_true(copy->firmware && disk->readonly && disk->mirror_ready && disk->chain_stated);
    assert_string_equal(((ChainLink *)disk->chain->pdata[0])->path, "/d/b");
    assert_string_equal(disk->mirror_path, "/d/m");
}

static void what_is_no_domain_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "x",
        "<domain",
        "<domain/>",
        "<network><name>x</name><uuid>" UUID "</uuid></network>",
        "<domain><name>x</name></domain>",
        "<domain><uuid>" UUID "</uuid></domain>",
        "<domain><name></name><uuid>" UUID "</uuid></domain>",
        "<domain><name>x</name><uuid>1</uuid></domain>",
        "<!DOCTYPE domain [<!ENTITY e SYSTEM "
        "'file:///etc/passwd'>]><domain><name>&e;</name><uuid>" UUID "</uuid></domain>",
        "<!DOCTYPE domain [<!ENTITY a 'aa'><!ENTITY b "
        "'&a;&a;'>]><domain><name>&b;</name><uuid>" UUID "</uuid></domain>",
        "<domain><name>&undefined;</name><uuid>" UUID "</uuid></domain>",
        "<domain><name>\xFF</name><uuid>" UUID "</uuid></domain>",
        "<domain><name>x</name><uuid>" UUID
        "</uuid><devices><disk><source file='/a'/></disk></devices></domain>",
        "<domain><name>x</name><uuid>" UUID "</uuid><devices><disk><target dev='vda'/></disk>"
        "<disk><target dev='vda'/></disk></devices></domain>",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(domain_parse(texts[i], &error));
        assert_true(error_is(error, ERR_INVALID));
    }
}

/* ---- edits ---- */

static GPtrArray *switches_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);
}

static GPtrArray *one_switch(const char *target, const char *path)
{
    GPtrArray *switches = switches_new();

    g_ptr_array_add(switches, disk_switch_new(target, path, "qcow2"));
    return switches;
}

/* Two disks, the first with a stated chain and no driver, and things that must stay. */
static char *two_disks(void)
{
    return with_devices(
        "<description>  a &lt; b  </description>\n",
        "<disk type='file' device='disk'>\n<source file='/d/a'/>\n"
        "<backingStore type='file'><format type='raw'/><source file='/d/z'/></backingStore>\n"
        "<target dev='vda' bus='virtio'/>\n<serial>S1</serial>\n</disk>\n"
        "<disk type='file' device='disk'>\n<driver name='qemu' type='raw' discard='unmap'/>\n"
        "<source file='/d/b'/>\n<target dev='vdb' bus='virtio'/>\n</disk>\n");
}

static void a_switch_changes_source_format_and_chain_and_nothing_else(void **state)
{
    g_autofree char *xml = two_disks();
    g_autoptr(GPtrArray) switches = switches_new();
    g_autofree char *changed = NULL;
    g_autoptr(Domain) domain = NULL;
    const DomainDisk *vda, *vdb;

    g_ptr_array_add(switches, disk_switch_new("vda", "/d/a.id.qcow2", "qcow2"));
    g_ptr_array_add(switches, disk_switch_new("vdb", "/d/b.id.qcow2", "qcow2"));
    changed = domain_xml_switch(xml, &(const DomainChange){.switches = switches}, NULL);
    domain = domain_parse(changed, NULL);
    vda = domain_disk(domain, "vda");
    vdb = domain_disk(domain, "vdb");
    assert_string_equal(vda->path, "/d/a.id.qcow2");
    assert_string_equal(vda->format, "qcow2");
    assert_false(vda->chain_stated);
    assert_string_equal(vdb->path, "/d/b.id.qcow2");
    assert_string_equal(vdb->format, "qcow2");
    assert_non_null(strstr(changed, "<driver name=\"qemu\" type=\"qcow2\"/>"));
    assert_non_null(strstr(changed, "discard=\"unmap\""));
    assert_non_null(strstr(changed, "<serial>S1</serial>"));
    assert_non_null(strstr(changed, "<description>  a &lt; b  </description>"));
}

static void an_unnamed_disk_keeps_its_chain(void **state)
{
    g_autofree char *xml = two_disks();
    g_autoptr(GPtrArray) switches = one_switch("vdb", "/d/c");
    g_autofree char *changed =
        domain_xml_switch(xml, &(const DomainChange){.switches = switches}, NULL);

    assert_non_null(strstr(changed, "/d/z"));
}

static void hostile_paths_come_through_xml_unharmed(void **state)
{
    static const char *const paths[] = {
        "/d/with space",
        "/d/\"double\" 'single'",
        "/d/a&b<c>d",
        "/d/a:b,c",
        "/d/-rf",
        "/d/&amp;",
        "/d/]]>",
        "/d/größe \U0001F600",
        "/d/back\\slash$(x)",
        "/d/%s%n",
        "/d/json:{}",
        "/d/a/../b",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *xml = two_disks();
        g_autoptr(GPtrArray) switches = one_switch("vda", paths[i]);
        g_autofree char *changed =
            domain_xml_switch(xml, &(const DomainChange){.switches = switches}, NULL);
        g_autoptr(Domain) domain = domain_parse(changed, NULL);
        g_autofree char *snapshot = domain_snapshot_xml("n", switches, NULL);
        g_autofree char *as_domain = with_devices("", snapshot);
        g_autofree char *metadata = domain_metadata_xml(paths[i], 1);

        assert_string_equal(domain_disk(domain, "vda")->path, paths[i]);
        g_autoptr(Domain) embedded = domain_parse(as_domain, NULL);
        assert_non_null(embedded);
        assert_true(
            domain_xml_same(xml, changed, &(const DomainChange){.switches = switches}, NULL));
        assert_non_null(metadata);
    }
}

static void a_switch_that_does_not_fit_is_refused_and_named(void **state)
{
    static const struct {
        const char *target, *path;
        ErrorCode code;
    } cases[] = {
        {"vdz", "/d/x", ERR_NOT_FOUND},  {"vda", "/d/\xFF", ERR_INVALID},
        {"vda", "/d/a\nb", ERR_INVALID}, {"sda", "/d/x", ERR_INVALID},
        {"sdb", "/d/x", ERR_INVALID},
    };
    g_autofree char *xml = with_devices(
        "", FILE_DISK("") "<disk type='block'><source dev='/dev/x'/><target dev='sda'/>"
                          "</disk><disk><target dev='sdb'/></disk>");

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) switches = one_switch(cases[i].target, cases[i].path);
        g_autoptr(GError) error = NULL;

        assert_null(domain_xml_switch(xml, &(const DomainChange){.switches = switches}, &error));
        assert_true(error_is(error, cases[i].code));
        assert_non_null(strstr(error->message, cases[i].target));
    }
}

/* Each form of <nvram>, and none; and nothing else changes. */
static void the_variables_move(void **state)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"<os><type>hvm</type><loader type='pflash'>/c</loader><nvram template='/t'>/v/a.fd</nvram>"
         "<boot dev='hd'/></os>",
         "<nvram template=\"/t\">/v/b &amp; c.fd</nvram><boot dev=\"hd\"/>"},
        {"<os><type>hvm</type><loader type='pflash'>/c</loader>"
         "<nvram type='file'><source file='/v/a.fd'/></nvram></os>",
         "<nvram type=\"file\"><source file=\"/v/b &amp; c.fd\"/></nvram>"},
        {"<os firmware='efi'><type>hvm</type><boot dev='hd'/></os>",
         "<type>hvm</type><nvram>/v/b &amp; c.fd</nvram><boot dev=\"hd\"/>"},
        {"<os firmware='efi'><type>hvm</type><loader secure='yes'/><boot dev='hd'/></os>",
         "<loader secure=\"yes\"/><nvram>/v/b &amp; c.fd</nvram><boot dev=\"hd\"/>"},
    };
    const DomainChange change = {.nvram = "/v/b & c.fd"};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = with_devices(cases[i].before, "");
        g_autofree char *changed = domain_xml_switch(xml, &change, NULL);
        g_autoptr(Domain) domain = domain_parse(changed, NULL);

        assert_non_null(strstr(changed, cases[i].after));
        assert_string_equal(domain->firmware->path, "/v/b & c.fd");
        assert_true(domain_xml_same(xml, changed, &change, NULL));
        assert_false(domain_xml_same(xml, xml, &change, NULL));
    }
}

static void variables_that_are_no_file_stay(void **state)
{
    static const char *const cases[] = {
        "<os><type>hvm</type></os>",
        "<os><loader type='pflash' stateless='yes'>/c</loader></os>",
        "<os><loader type='pflash' readonly='no'>/c</loader></os>",
        "<os><loader type='pflash'>/c</loader><nvram type='block'><source "
        "dev='/dev/x'/></nvram></os>",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = with_devices(cases[i], "");
        g_autoptr(GError) error = NULL;

        assert_null(domain_xml_switch(xml, &(const DomainChange){.nvram = "/v/b"}, &error));
        assert_true(error_is(error, ERR_INVALID));
        assert_non_null(strstr(error->message, "/v/b"));
    }
}

/* ---- comparing ---- */

static char *replaced(const char *text, const char *from, const char *to)
{
    g_auto(GStrv) parts = g_strsplit(text, from, -1);

    assert_true(g_strv_length(parts) > 1);
    return g_strjoinv(to, parts);
}

static void what_libvirt_normalises_is_the_same(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\n", "\n\n   "},
        {"<target dev=\"vda\" bus=\"virtio\"/>",
         "<backingStore type='file' index='3'><format type='qcow2'/><source file='/d/a'/>"
         "</backingStore><target bus='virtio' dev='vda'/>"},
        {"<devices>", "<metadata><vmsnapfs xmlns='" METADATA_URI
                      "' home='/d' generation='9'/></metadata><devices>"},
        {"<devices>", "<!-- a comment --><devices>"},
        {"<serial>S1</serial>", "<serial><![CDATA[S1]]></serial>"},
    };
    g_autofree char *xml = two_disks();
    g_autoptr(GPtrArray) switches = one_switch("vda", "/d/a.id.qcow2");
    g_autofree char *changed =
        domain_xml_switch(xml, &(const DomainChange){.switches = switches}, NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *after = replaced(changed, cases[i].from, cases[i].to);
        g_autoptr(GError) error = NULL;

        if (!domain_xml_same(xml, after, &(const DomainChange){.switches = switches}, &error))
            fail_msg("case %u: %s", i, error->message);
    }
}

static void any_other_difference_is_drift(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"/d/a.id.qcow2", "/d/a"},
        {"/d/b", "/d/c"},
        {"<serial>S1</serial>", "<serial>S2</serial>"},
        {"<serial>S1</serial>", "<serial> S1</serial>"},
        {"<serial>S1</serial>", ""},
        {"<serial>S1</serial>", "<serial>S1</serial><readonly/>"},
        {"<serial>S1</serial>", "<wwn>S1</wwn>"},
        {"type=\"qcow2\"", "type=\"raw\""},
        {" discard=\"unmap\"", ""},
        {"name=\"qemu\"", "name=\"qemu\" cache=\"none\""},
        {"<devices>", "<metadata><o:x xmlns:o='urn:o'/></metadata><devices>"},
        {"web01", "web02"},
    };
    g_autofree char *xml = two_disks();
    g_autoptr(GPtrArray) switches = one_switch("vda", "/d/a.id.qcow2");
    g_autofree char *changed =
        domain_xml_switch(xml, &(const DomainChange){.switches = switches}, NULL);

    assert_true(domain_xml_same(xml, changed, &(const DomainChange){.switches = switches}, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *after = replaced(changed, cases[i].from, cases[i].to);
        g_autoptr(GError) error = NULL;

        if (domain_xml_same(xml, after, &(const DomainChange){.switches = switches}, &error))
            fail_msg("case %u was not seen", i);
        assert_true(error_is(error, ERR_DRIFT));
        assert_non_null(strstr(error->message, "/domain"));
    }
}

/* ---- documents of ours ---- */

static void the_snapshot_document_lists_every_disk(void **state)
{
    g_autoptr(GPtrArray) switches = one_switch("vda", "/d/a & b.qcow2");
    g_autoptr(GPtrArray) excluded = g_ptr_array_new();
    g_autofree char *xml = NULL;

    g_ptr_array_add(excluded, (void *)"sda");
    xml = domain_snapshot_xml("a <b> & \"c\"", switches, excluded);
    assert_string_equal(
        xml, "<domainsnapshot><name>a &lt;b&gt; &amp; \"c\"</name><disks>"
             "<disk name=\"vda\" snapshot=\"external\" type=\"file\"><driver type=\"qcow2\"/>"
             "<source file=\"/d/a &amp; b.qcow2\"/></disk><disk name=\"sda\" snapshot=\"no\"/>"
             "</disks></domainsnapshot>");
}

static void what_could_not_be_written_back_is_not_switched(void **state)
{
    g_autofree char *xml = with_devices(
        "<metadata><a:b xmlns:a='https://example.com/a&#10;b'/></metadata>\n", FILE_DISK(""));
    g_autoptr(GPtrArray) switches = one_switch("vda", "/d/b");
    const DomainChange change = {.switches = switches};
    g_autoptr(GError) error = NULL;

    assert_null(domain_xml_switch(xml, &change, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
}

static void our_metadata_has_no_prefix(void **state)
{
    g_autofree char *xml = domain_metadata_xml("/d/größe & \"x\"", 12);

    assert_string_equal(xml, "<vmsnapfs home=\"/d/größe &amp; &quot;x&quot;\" generation=\"12\"/>");
}

static void states_have_libvirts_names(void **state)
{
    assert_string_equal(domain_state_name(DOMAIN_RUNNING), "running");
    assert_string_equal(domain_state_name(DOMAIN_PAUSED), "paused");
    assert_string_equal(domain_state_name(DOMAIN_OFF), "shutoff");
    assert_string_equal(domain_state_name(DOMAIN_OTHER), "other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_disk_is_read),
        cmocka_unit_test(defaults_are_libvirts),
        cmocka_unit_test(disks_are_left_out_or_refused_by_rule_10),
        cmocka_unit_test(a_stated_chain_is_read_nearest_first),
        cmocka_unit_test(an_empty_backing_store_states_the_end_of_the_chain),
        cmocka_unit_test(a_block_job_is_seen_in_its_mirror),
        cmocka_unit_test(firmware_is_read_as_libvirt_writes_it),
        cmocka_unit_test(a_tpm_is_read_as_libvirt_writes_it),
        cmocka_unit_test(the_variables_move),
        cmocka_unit_test(variables_that_are_no_file_stay),
        cmocka_unit_test(our_metadata_is_read_with_any_prefix),
        cmocka_unit_test(what_runs_has_an_id),
        cmocka_unit_test(a_copy_has_everything),
        cmocka_unit_test(what_is_no_domain_is_refused),
        cmocka_unit_test(a_switch_changes_source_format_and_chain_and_nothing_else),
        cmocka_unit_test(an_unnamed_disk_keeps_its_chain),
        cmocka_unit_test(hostile_paths_come_through_xml_unharmed),
        cmocka_unit_test(a_switch_that_does_not_fit_is_refused_and_named),
        cmocka_unit_test(what_libvirt_normalises_is_the_same),
        cmocka_unit_test(any_other_difference_is_drift),
        cmocka_unit_test(the_snapshot_document_lists_every_disk),
        cmocka_unit_test(what_could_not_be_written_back_is_not_switched),
        cmocka_unit_test(our_metadata_has_no_prefix),
        cmocka_unit_test(states_have_libvirts_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
