/* What a host can do, as libvirt says it, and where variables and TPM states are by it. */
#include "base/error.h"
#include "plan/firmware.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define UUID "6f1c2a80-93ab-4c35-8d3e-0b6a4c1f2d77"

static char *document(const char *os, const char *devices)
{
    return g_strdup_printf("<domainCapabilities><os supported='yes'>%s</os><devices>%s</devices>"
                           "</domainCapabilities>",
                           os, devices);
}

static void abilities_are_read(void **state)
{
    static const char loader[] = "<loader supported='yes'><enum name='type'><value>rom</value>"
                                 "<value>pflash</value></enum>";
    static const struct {
        const char *firmware, *values, *secure, *tpm;
        bool uefi, can_secure, can_tpm;
    } cases[] = {
        {"<value>efi</value>", "<value>/fw/CODE.fd</value>", "yes", "emulator", true, true, true},
        {"<value>bios</value>", "<value>/fw/CODE.fd</value>", "no", "passthrough", true, false,
         false},
        {"<value>bios</value><value>efi</value>", "", "yes", "emulator", false, false, true},
        {"", "", "no", "", false, false, false},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *os = g_strdup_printf(
            "<enum name='firmware'>%s</enum>%s%s<enum name='secure'><value>%s</value></enum>"
            "</loader>",
            cases[i].firmware, loader, cases[i].values, cases[i].secure);
        g_autofree char *tpm = g_strdup_printf(
            "<tpm supported='yes'><enum name='backendModel'><value>%s</value></enum></tpm>",
            cases[i].tpm);
        g_autofree char *xml = document(os, tpm);
        g_autoptr(Capabilities) capabilities = capabilities_parse(xml, NULL);

        assert_int_equal(capabilities->uefi, cases[i].uefi);
        assert_int_equal(capabilities->secure_boot, cases[i].can_secure);
        assert_int_equal(capabilities->tpm, cases[i].can_tpm);
    }
}

static void what_is_no_such_document_is_refused(void **state)
{
    static const char *const texts[] = {"", "<domain/>", "<domainCapabilities>", "\xff"};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(capabilities_parse(texts[i], &error));
        assert_true(error_is(error, ERR_INVALID));
    }
}

/* ---- where things are ---- */

static Capabilities *a_host(void)
{
    Capabilities *capabilities = capabilities_new();

    capabilities->nvram_directory = g_strdup("/nvram");
    capabilities->tpm_directory = g_strdup("/swtpm");
    capabilities_add_firmware(capabilities, "/fw/SB.fd", "/fw/SB_VARS.fd", true, true);
    capabilities_add_firmware(capabilities, "/fw/CODE.fd", "/fw/VARS.fd", false, false);
    return capabilities;
}

static Domain *a_domain(const char *os, const char *devices)
{
    g_autofree char *xml =
        g_strdup_printf("<domain><name>web</name><uuid>" UUID "</uuid>%s<devices>%s</devices>"
                        "</domain>",
                        os, devices);
    GError *error = NULL;
    Domain *domain = domain_parse(xml, &error);

    assert_null(error);
    return domain;
}

#define EFI    "<os firmware='efi'/>"
#define LOADER "<os><loader type='pflash' readonly='yes'>/fw/CODE.fd</loader>"

static void the_live_definition_says_it_first(void **state)
{
    static const struct {
        const char *live, *inactive, *known, *path, *template;
    } cases[] = {
        {LOADER "<nvram template='/t'>/v/live</nvram></os>", LOADER "<nvram>/v/off</nvram></os>",
         "/v/known", "/v/live", "/t"},
        {LOADER "<nvram>/v/live</nvram></os>", EFI, NULL, "/v/live", "/fw/VARS.fd"},
        {NULL, LOADER "<nvram>/v/off</nvram></os>", "/v/known", "/v/off", "/fw/VARS.fd"},
        {NULL, LOADER "<nvram template='/t'>/v/off</nvram></os>", NULL, "/v/off", "/t"},
        {NULL, EFI, "/v/known", "/v/known", NULL},
        {NULL, EFI, NULL, "/nvram/web_VARS.fd", NULL},
        {NULL, "", "/v/known", NULL, NULL},
        {NULL, "<os><loader type='pflash' stateless='yes'>/fw/X.fd</loader></os>", NULL, NULL,
         NULL},
        {NULL, "<os><loader type='pflash' readonly='no'>/fw/X.fd</loader></os>", NULL, NULL, NULL},
    };
    g_autoptr(Capabilities) host = a_host();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Domain) live = cases[i].live ? a_domain(cases[i].live, "") : NULL;
        g_autoptr(Domain) inactive = a_domain(cases[i].inactive, "");
        g_autoptr(Catalog) catalog = catalog_new(UUID, "web");
        g_autofree char *path = NULL;

        catalog->vars = g_strdup(cases[i].known);
        path = firmware_vars_path(live, inactive, host, catalog);
        assert_int_equal(g_strcmp0(path, cases[i].path), 0);
        assert_int_equal(g_strcmp0(firmware_template(live, inactive, host), cases[i].template), 0);
    }
}

static void a_tpm_state_is_found_by_uuid_and_version(void **state)
{
    static const struct {
        const char *tpm, *path;
    } cases[] = {
        {"<tpm><backend type='emulator' version='2.0'/></tpm>", "/swtpm/" UUID "/tpm2"},
        {"<tpm><backend type='emulator' version='1.2'/></tpm>", "/swtpm/" UUID "/tpm1.2"},
        {"<tpm><backend type='passthrough'/></tpm>", NULL},
        {"", NULL},
    };
    g_autoptr(Capabilities) host = a_host();
    g_autoptr(Capabilities) unknown = capabilities_new();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Domain) domain = a_domain("", cases[i].tpm);
        g_autofree char *path = firmware_tpm_path(domain, host);

        assert_int_equal(g_strcmp0(path, cases[i].path), 0);
        assert_null(firmware_tpm_path(domain, unknown));
    }
}

static void what_variables_are_needed_for(void **state)
{
    static const struct {
        const char *os, *tpm, *need;
    } cases[] = {
        {"", "", "no"},
        {"", "<tpm><backend type='emulator'/></tpm>", "no"},
        {EFI, "", "uefi"},
        {EFI, "<tpm><backend type='emulator'/></tpm>", "tpm"},
        {"<os><loader type='pflash' secure='yes'/></os>", "<tpm><backend type='emulator'/></tpm>",
         "secure-boot"},
        {"<os><loader type='pflash' stateless='yes'/></os>", "", "no"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Domain) domain = a_domain(cases[i].os, cases[i].tpm);

        assert_string_equal(firmware_need(domain), cases[i].need);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abilities_are_read),
        cmocka_unit_test(what_is_no_such_document_is_refused),
        cmocka_unit_test(the_live_definition_says_it_first),
        cmocka_unit_test(a_tpm_state_is_found_by_uuid_and_version),
        cmocka_unit_test(what_variables_are_needed_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
