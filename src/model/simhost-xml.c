/* The XML that libvirt would give for a definition: what domain.h reads and edits, no more. */
#include "model/simhost-priv.h"

#include <string.h>

/* The host is asked for its definitions all the time, and a tree for each would be most of what the
 * random runs do: they are written from top to bottom. */
typedef struct {
    GString *text;
    unsigned depth;
    bool in_tag;   /* attributes may follow */
    bool has_text; /* the innermost element has text, so that its end stands on the same line */
} Xml;

/* Also what a parser would take for a space in an attribute. */
static bool is_special(char c)
{
    return c == '&' || c == '<' || c == '>' || c == '"' || c == '\'' || c == '\t' || c == '\n' ||
           c == '\r';
}

static void append_escaped(GString *out, const char *text)
{
    while (*text) {
        size_t plain = 0;

        while (text[plain] && !is_special(text[plain]))
            plain++;
        g_string_append_len(out, text, (gssize)plain);
        text += plain;
        if (*text)
            g_string_append_printf(out, "&#%d;", *text++);
    }
}

static void end_tag(Xml *xml)
{
    if (xml->in_tag)
        g_string_append_c(xml->text, '>');
    xml->in_tag = false;
}

static void new_line(Xml *xml)
{
    static const char indent[] = "\n                ";

    g_string_append_len(xml->text, indent, 1 + MIN(2 * xml->depth, sizeof(indent) - 2));
}

static void begin(Xml *xml, const char *name)
{
    end_tag(xml);
    new_line(xml);
    g_string_append_c(xml->text, '<');
    g_string_append(xml->text, name);
    xml->depth++;
    xml->in_tag = true;
    xml->has_text = false;
}

static void set(Xml *xml, const char *name, const char *value)
{
    g_string_append_c(xml->text, ' ');
    g_string_append(xml->text, name);
    g_string_append(xml->text, "=\"");
    append_escaped(xml->text, value);
    g_string_append_c(xml->text, '"');
}

static void say(Xml *xml, const char *text)
{
    end_tag(xml);
    append_escaped(xml->text, text);
    xml->has_text = true;
}

static void end(Xml *xml, const char *name)
{
    xml->depth--;
    if (xml->in_tag) {
        g_string_append(xml->text, "/>");
    } else {
        if (!xml->has_text)
            new_line(xml);
        g_string_append(xml->text, "</");
        g_string_append(xml->text, name);
        g_string_append_c(xml->text, '>');
    }
    xml->in_tag = xml->has_text = false;
}

static void add(Xml *xml, const char *name, const char *text)
{
    begin(xml, name);
    if (text)
        say(xml, text);
    end(xml, name);
}

/* An element with one attribute. */
static void add_with(Xml *xml, const char *name, const char *attribute, const char *value)
{
    begin(xml, name);
    set(xml, attribute, value);
    end(xml, name);
}

static void add_metadata(Xml *xml, const SimDefinition *definition)
{
    if (!definition->home)
        return;

    g_autofree char *generation = g_strdup_printf("%" G_GUINT64_FORMAT, definition->generation);
    begin(xml, "metadata");
    begin(xml, "vmsnapfs:vmsnapfs");
    set(xml, "xmlns:vmsnapfs", METADATA_URI);
    set(xml, "home", definition->home);
    set(xml, "generation", generation);
    end(xml, "vmsnapfs:vmsnapfs");
    end(xml, "metadata");
}

static void add_loader(Xml *xml, const SimDomain *domain)
{
    begin(xml, "loader");
    set(xml, "readonly", "yes");
    if (domain->secure)
        set(xml, "secure", "yes");
    set(xml, "type", "pflash");
    say(xml, domain->secure ? SIM_SECURE_LOADER : SIM_LOADER_PATH);
    end(xml, "loader");
}

static void add_nvram(Xml *xml, const SimDomain *domain, const SimDefinition *definition, bool live)
{
    if (!definition->nvram)
        return;
    begin(xml, "nvram");
    if (domain->firmware == SIM_EFI && live)
        set(xml, "template", domain->secure ? SIM_SECURE_TEMPLATE : SIM_TEMPLATE);
    say(xml, definition->nvram);
    end(xml, "nvram");
}

/* As libvirt 9.0: what it chose by itself stands in the live definition only, and then as if
 * somebody had said so. */
static void add_os(Xml *xml, const SimDomain *domain, const SimDefinition *definition, bool live)
{
    bool chosen = domain->firmware == SIM_EFI && !live;

    begin(xml, "os");
    if (chosen)
        set(xml, "firmware", "efi");
    begin(xml, "type");
    set(xml, "arch", "x86_64");
    set(xml, "machine", "q35");
    say(xml, "hvm");
    end(xml, "type");
    if (domain->firmware != SIM_BIOS) {
        if (!chosen)
            add_loader(xml, domain);
        add_nvram(xml, domain, definition, live);
    }
    end(xml, "os");
}

static const char *source_attribute(const char *type)
{
    return g_str_equal(type, "file")      ? "file"
           : g_str_equal(type, "block")   ? "dev"
           : g_str_equal(type, "network") ? "name"
                                          : "volume";
}

static void add_source(Xml *xml, const char *type, const char *path)
{
    begin(xml, "source");
    if (g_str_equal(type, "network"))
        set(xml, "protocol", "rbd");
    else if (g_str_equal(type, "volume"))
        set(xml, "pool", "default");
    set(xml, source_attribute(type), path);
    end(xml, "source");
}

static void begin_backing(Xml *xml, const SimLink *link)
{
    begin(xml, "backingStore");
    set(xml, "type", "file");
    add_with(xml, "format", "type", link->format);
    add_source(xml, "file", link->path);
}

static void add_backing(Xml *xml, const SimDisk *disk, unsigned link)
{
    const SimLink *above = disk->links->pdata[link - 1];
    bool kept = disk->kept && g_strcmp0(disk->kept_on, above->path) == 0;

    if (kept)
        begin_backing(xml, disk->kept);
    if (link < disk->links->len) {
        begin_backing(xml, disk->links->pdata[link]);
        add_backing(xml, disk, link + 1);
        end(xml, "backingStore");
    } else if (disk->ended) {
        add(xml, "backingStore", NULL);
    }
    if (kept)
        end(xml, "backingStore");
}

static void add_mirror(Xml *xml, const SimJob *job, const SimDisk *disk)
{
    int at = sim_links_find(disk->links, job->base);

    begin(xml, "mirror");
    set(xml, "type", "file");
    set(xml, "job", "active-commit");
    if (job->ready)
        set(xml, "ready", "yes");
    add_with(xml, "format", "type", ((SimLink *)disk->links->pdata[at])->format);
    add_source(xml, "file", job->base);
    end(xml, "mirror");
}

static const char *bus_of(const char *target)
{
    return g_str_has_prefix(target, "vd")   ? "virtio"
           : g_str_has_prefix(target, "fd") ? "fdc"
                                            : "sata";
}

static void add_disk(Xml *xml, const SimDisk *disk, const SimJob *job)
{
    const SimLink *source = disk->links->pdata[disk->lost ? 1 : 0];

    begin(xml, "disk");
    set(xml, "type", disk->type);
    set(xml, "device", disk->device);
    if (disk->snapshot_no)
        set(xml, "snapshot", "no");
    begin(xml, "driver");
    set(xml, "name", "qemu");
    set(xml, "type", source->format);
    end(xml, "driver");
    if (source->path)
        add_source(xml, disk->type, source->path);
    add_backing(xml, disk, disk->lost ? 2 : 1);
    if (job && job->active)
        add_mirror(xml, job, disk);
    begin(xml, "target");
    set(xml, "dev", disk->target);
    set(xml, "bus", bus_of(disk->target));
    end(xml, "target");
    if (disk->readonly)
        add(xml, "readonly", NULL);
    if (disk->shareable)
        add(xml, "shareable", NULL);
    end(xml, "disk");
}

static void add_agent(Xml *xml, const SimDomain *domain, bool live)
{
    const char *state = sim_agent_state(domain);

    if (!state)
        return;
    begin(xml, "channel");
    set(xml, "type", "unix");
    begin(xml, "target");
    set(xml, "type", "virtio");
    set(xml, "name", AGENT_CHANNEL);
    if (live)
        set(xml, "state", state);
    end(xml, "target");
    end(xml, "channel");
}

static void add_tpm(Xml *xml, const SimDomain *domain)
{
    if (!domain->tpm)
        return;
    begin(xml, "tpm");
    set(xml, "model", "tpm-crb");
    begin(xml, "backend");
    set(xml, "type", "emulator");
    set(xml, "version", "2.0");
    end(xml, "backend");
    end(xml, "tpm");
}

static void add_devices(Xml *xml, const SimDomain *domain, const SimDefinition *definition,
                        GHashTable *jobs)
{
    begin(xml, "devices");
    for (unsigned i = 0; i < definition->disks->len; i++) {
        const SimDisk *disk = definition->disks->pdata[i];

        add_disk(xml, disk, jobs ? g_hash_table_lookup(jobs, disk->target) : NULL);
    }
    add_agent(xml, domain, jobs != NULL);
    add_tpm(xml, domain);
    end(xml, "devices");
}

char *sim_xml(const SimDomain *domain, const SimDefinition *definition, GHashTable *jobs)
{
    Xml xml = {.text = g_string_sized_new(4096)};

    g_string_append(xml.text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    begin(&xml, "domain");
    set(&xml, "type", "qemu");
    if (jobs) {
        g_autofree char *id = g_strdup_printf("%u", domain->starts + 1);

        set(&xml, "id", id);
    }
    add(&xml, "name", domain->name);
    add(&xml, "uuid", domain->uuid);
    add_metadata(&xml, definition);
    begin(&xml, "memory");
    set(&xml, "unit", "KiB");
    say(&xml, "262144");
    end(&xml, "memory");
    add(&xml, "vcpu", "1");
    add_os(&xml, domain, definition, jobs != NULL);
    add_devices(&xml, domain, definition, jobs);
    end(&xml, "domain");
    g_string_append_c(xml.text, '\n');
    return g_string_free(xml.text, FALSE);
}
