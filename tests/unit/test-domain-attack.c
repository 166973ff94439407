/* Definitions that mean harm by their size, their names, or what they claim of us. */
#include "model/domain.h"

#include "base/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID    "6f1c2a80-93ab-4c35-8d3e-0b6a4c1f2d77"
#define DISKS   10000
#define LIMIT_S 30 /* it is milliseconds; what grows with the square would be hours */

static char *definition(const char *name, const char *inside, const char *devices)
{
    return g_strdup_printf("<domain type='kvm'><name>%s</name><uuid>" UUID "</uuid>%s"
                           "<devices>%s</devices></domain>",
                           name, inside, devices);
}

static char *many_disks(void)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < DISKS; i++)
        g_string_append_printf(text,
                               "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
                               "<source file='/d/%u'/><target dev='vd%u' bus='virtio'/></disk>",
                               i, i);
    return g_string_free(text, FALSE);
}

static void attack_ten_thousand_disks_are_read_and_looked_up(void **state)
{
    g_autofree char *disks = many_disks();
    g_autofree char *xml = definition("web01", "", disks);
    gint64 before = g_get_monotonic_time();
    g_autoptr(Domain) domain = domain_parse(xml, NULL);

    assert_non_null(domain);
    assert_int_equal(domain->disks->len, DISKS);
    assert_string_equal(domain_disk(domain, "vd9999")->path, "/d/9999");
    assert_true(g_get_monotonic_time() - before < LIMIT_S * G_USEC_PER_SEC);
}

/* libxml2's own limit for one text is 10 MB: below it is read, above refused with a sentence. */
static void attack_ten_megabytes_of_description_are_read_or_refused(void **state)
{
    const gsize sizes[] = {9 * 1000 * 1000, 11 * 1000 * 1000};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = g_strnfill(sizes[i], 'x');
        g_autofree char *inside = g_strdup_printf("<description>%s</description>", text);
        g_autofree char *xml = definition("web01", inside, "");
        g_autoptr(GError) error = NULL;
        g_autoptr(Domain) domain = domain_parse(xml, &error);

        assert_int_equal(domain != NULL, i == 0);
        assert_true(i == 0 || (error_is(error, ERR_INVALID) && strlen(error->message) < 1000));
    }
}

/* A name may have any character that XML has; what of that can be a name in a directory is decided
 * elsewhere. */
static void attack_names_of_every_byte_are_read_or_refused(void **state)
{
    for (unsigned byte = 1; byte < 256; byte++) {
        char name[] = {'a', (char)byte, 'b', '\0'};
        g_autofree char *xml = definition(name, "", "");
        g_autoptr(GError) error = NULL;
        g_autoptr(Domain) domain = domain_parse(xml, &error);

        if (domain)
            assert_true(g_utf8_validate(domain->name, -1, NULL));
        else
            assert_true(error_is(error, ERR_INVALID) && g_utf8_validate(error->message, -1, NULL));
        assert_true(domain != NULL || byte < 32 || byte == '&' || byte == '<' || byte > 127);
        assert_true(!error || !strchr(error->message, '\n'));
    }
}

/* Only what has our namespace, below <metadata> of the domain, is ours; and it only says where to
 * look first. */
static void attack_metadata_elsewhere_are_not_ours(void **state)
{
    static const char own[] = "<v:vmsnapfs xmlns:v='https://vmsnapfs.org/xmlns/domain/1' "
                              "home='/planted' generation='7'/>";
    static const char *const places[] = {
        "<description>%s</description>",
        "<metadata><x>%s</x></metadata>",
        "<devices><metadata>%s</metadata></devices>",
        "<metadata><!-- %s --></metadata>",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_auto(GStrv) halves = g_strsplit(places[i], "%s", 2);
        g_autofree char *inside = g_strconcat(halves[0], own, halves[1], NULL);
        g_autofree char *xml = definition("web01", inside, "");
        g_autoptr(Domain) domain = domain_parse(xml, NULL);

        assert_non_null(domain);
        assert_null(domain->home);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attack_ten_thousand_disks_are_read_and_looked_up),
        cmocka_unit_test(attack_ten_megabytes_of_description_are_read_or_refused),
        cmocka_unit_test(attack_names_of_every_byte_are_read_or_refused),
        cmocka_unit_test(attack_metadata_elsewhere_are_not_ours),
    };

    return cmocka_run_group_tests_name("domain-attack", tests, NULL, NULL);
}
