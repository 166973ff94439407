/* <domainCapabilities>, and the firmware descriptors of the host. */
#include "fuzz.h"

/* Its doors are static: only files of the host are read by it. */
#include "hv/libvirt-firmware.c"

static void read_xml(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Capabilities) capabilities = capabilities_parse(text, &error);

    if (!capabilities)
        fuzz_error(error);
    else
        fuzz_check(capabilities->uefi || !capabilities->secure_boot, "Secure Boot without UEFI");
}

static void read_json(const uint8_t *data, size_t size)
{
    g_autoptr(Capabilities) capabilities = capabilities_new();

    read_descriptor(NULL, (void *)fuzz_file(data, size), capabilities);
    for (guint i = 0; i < capabilities->firmware->len; i++) {
        const FirmwareBuild *build = capabilities->firmware->pdata[i];

        fuzz_check(build->loader && build->template, "a build without files");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size);

    read_xml(text);
    read_json(data, size);
    return 0;
}
