/* Our reader of image headers against real headers, and against what a hostile guest could write.
 */
#include "image-tools.h"
#include "image/header.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    guint8 *bytes;
    gsize length;
} Image;

/* A real overlay's bytes, to be spoiled. */
static Image image_read(const char *path)
{
    Image image;

    assert_true(g_file_get_contents(path, (char **)&image.bytes, &image.length, NULL));
    return image;
}

static Image overlay_bytes(Bench *bench)
{
    const char *path = bench_path(bench, "good");

    image_make(path, "qcow2", 8 * MIB, "/images/base.raw", "raw");
    return image_read(path);
}

static ImageFacts *inspect_bytes(Bench *bench, const Image *image)
{
    const char *path = bench_path(bench, "spoiled");

    assert_true(g_file_set_contents_full(path, (char *)image->bytes, (gssize)image->length,
                                         G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    return header_inspect(path);
}

static void put(Image *image, size_t offset, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        image->bytes[offset + i] = (guint8)(value >> (8 * (size - 1 - i)));
}

static void a_real_header_is_read_whole(void **state)
{
    Bench *bench = *state;
    Image image = overlay_bytes(bench);
    ImageFacts *facts = inspect_bytes(bench, &image);

    assert_null(facts->error);
    assert_true(facts->exists);
    assert_string_equal(facts->probed, "qcow2");
    assert_string_equal(facts->backing, "/images/base.raw");
    assert_string_equal(facts->backing_format, "raw");
    assert_int_equal(facts->capacity, 8 * MIB);
    assert_true(facts->allocation > 0);
    assert_int_equal(facts->internal_snapshots, 0);
    assert_false(facts->data_file || facts->encrypted);
    assert_true(facts->inode != 0);
    image_facts_free(facts);
    g_free(image.bytes);
}

static void one_spoiled_number_is_noticed(void **state)
{
    static const struct {
        size_t offset;
        unsigned size;
        uint64_t value;
        const char *complaint;
    } cases[] = {
        {4, 4, 4, "too new"},
        {4, 4, UINT32_MAX, "too new"},
        {8, 8, UINT64_MAX, "not within"},
        {8, 8, UINT64_MAX - 8, "not within"},
        {16, 4, 0, "not within"},
        {16, 4, 1024, "not within"},
        {16, 4, UINT32_MAX, "not within"},
        {16, 4, 17, "NUL"},
        {20, 4, 8, "cluster size"},
        {20, 4, 22, "cluster size"},
        {24, 8, UINT64_C(1) << 63, "disk size"},
        {24, 8, (UINT64_C(1) << 63) - 512, "table of clusters"},
        {36, 4, 0, "table of clusters"},
        {36, 4, UINT32_MAX, "table of clusters"},
        {40, 8, UINT64_MAX - 65535, "table of clusters"},
        {40, 8, 12345, "table of clusters"},
        {40, 8, UINT64_C(1) << 40, "table of clusters"},
        {48, 8, 12345, "reference counts"},
        {56, 4, UINT32_MAX, "reference counts"},
        {60, 4, 70000, "internal snapshots"},
        {72, 8, 2, "corrupt"},
        {72, 8, UINT64_C(1) << 40, "too new"},
        {96, 4, UINT32_MAX, "reference counts"},
        {100, 4, 0, "impossible length"},
        {100, 4, UINT32_MAX, "impossible length"},
        {104, 1, 2, "compression"},
        {108 + 4 + 4, 4, UINT32_MAX, "longer than itself"},
    };
    Bench *bench = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Image image = overlay_bytes(bench);
        ImageFacts *facts;

        put(&image, cases[i].offset, cases[i].size, cases[i].value);
        facts = inspect_bytes(bench, &image);
        if (!facts->error || !strstr(facts->error, cases[i].complaint))
            fail_msg("offset %zu: \"%s\" instead of \"%s\"", cases[i].offset, facts->error,
                     cases[i].complaint);
        assert_string_equal(facts->probed, "qcow2");
        image_facts_free(facts);
        g_free(image.bytes);
    }
}

static void features_that_are_not_supported_are_told(void **state)
{
    Bench *bench = *state;
    Image image = overlay_bytes(bench);
    ImageFacts *facts;

    put(&image, 32, 4, 2);
    put(&image, 60, 4, 3);
    put(&image, 72, 8, 4);
    facts = inspect_bytes(bench, &image);
    assert_null(facts->error);
    assert_true(facts->encrypted);
    assert_true(facts->data_file);
    assert_int_equal(facts->internal_snapshots, 3);
    image_facts_free(facts);
    g_free(image.bytes);
}

static void version_two_is_read_and_version_one_is_opaque(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "old");
    const char *arguments[] = {"create", "-q", "-f",  "qcow2", "-o", "compat=0.10", "-u", "-b",
                               "/b:c,d", "-F", "raw", "--",    path, "1M",          NULL};
    ImageFacts *facts;
    Image image;

    assert_int_equal(image_tool(arguments), 0);
    facts = header_inspect(path);
    assert_null(facts->error);
    assert_string_equal(facts->backing, "/b:c,d");
    assert_string_equal(facts->backing_format, "raw");
    assert_int_equal(facts->capacity, MIB);
    image_facts_free(facts);
    image = image_read(path);
    put(&image, 4, 4, 1);
    facts = inspect_bytes(bench, &image);
    assert_null(facts->error);
    assert_string_equal(facts->probed, "raw");
    image_facts_free(facts);
    g_free(image.bytes);
}

/* The name's room in the header is 16 bytes here, as long as "/images/base.raw". */
static void backing_names_are_resolved_as_qemu_does(void **state)
{
    static const struct {
        const char *name, *resolved; /* a leading '@': in the image's directory; NULL: refused */
    } cases[] = {
        {"/a", "/a"},
        {"base.raw", "@base.raw"},
        {"../up/base", "@../up/base"},
        {"sub/a:b", "@sub/a:b"},
        {"file:/a", "/a"},
        {"json:{}", NULL},
        {"nbd://h/x", NULL},
        {"a:b", NULL},
        {"/a:b,c=d", "/a:b,c=d"},
    };
    Bench *bench = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Image image = overlay_bytes(bench);
        uint64_t offset = GUINT64_FROM_BE(*(uint64_t *)(image.bytes + 8));
        const char *resolved = cases[i].resolved;
        g_autofree char *wanted = resolved && *resolved == '@'
                                      ? g_build_filename(bench->directory, resolved + 1, NULL)
                                      : g_strdup(resolved);
        ImageFacts *facts;

        memcpy(image.bytes + offset, cases[i].name, strlen(cases[i].name));
        put(&image, 16, 4, strlen(cases[i].name));
        facts = inspect_bytes(bench, &image);
        assert_int_equal(g_strcmp0(facts->backing, wanted), 0);
        assert_int_equal(facts->error != NULL, resolved == NULL);
        image_facts_free(facts);
        g_free(image.bytes);
    }
}

static void internal_snapshots_of_qemu_img_are_counted(void **state)
{
    Bench *bench = *state;
    g_autofree char *path = g_build_filename(bench->scratch, "disk", NULL);
    const char *arguments[] = {"snapshot", "-c", "inside", path, NULL};
    ImageFacts *facts;

    image_make(path, "qcow2", MIB, NULL, NULL);
    assert_int_equal(image_tool(arguments), 0);
    facts = header_inspect(path);
    assert_int_equal(facts->internal_snapshots, 1);
    assert_null(facts->backing);
    image_facts_free(facts);
}

static void a_short_file_is_raw_or_cut_off(void **state)
{
    Bench *bench = *state;
    Image image = overlay_bytes(bench);

    for (image.length = 0; image.length < 104; image.length++) {
        ImageFacts *facts = inspect_bytes(bench, &image);

        assert_string_equal(facts->probed, image.length < 8 ? "raw" : "qcow2");
        assert_int_equal(facts->error != NULL, image.length >= 8);
        assert_true(image.length >= 8 || facts->capacity == image.length);
        image_facts_free(facts);
    }
    g_free(image.bytes);
}

static void what_is_no_file_is_told(void **state)
{
    Bench *bench = *state;
    const char *fifo = bench_path(bench, "fifo");
    ImageFacts *facts = header_inspect(bench_path(bench, "missing"));

    assert_false(facts->exists);
    assert_null(facts->error);
    image_facts_free(facts);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    facts = header_inspect(fifo);
    assert_true(facts->exists);
    assert_non_null(strstr(facts->error, "not a regular file"));
    image_facts_free(facts);
    facts = header_inspect(bench->directory);
    assert_non_null(facts->error);
    image_facts_free(facts);
}

/* Any bytes give facts or an error, and never a name or a number out of bounds. */
static void twenty_thousand_random_headers_do_no_harm(void **state)
{
    Bench *bench = *state;
    Image good = overlay_bytes(bench);
    g_autoptr(GRand) random = g_rand_new_with_seed(20261121);

    good.length = 4096;
    for (unsigned i = 0; i < 20000; i++) {
        Image image = {g_memdup2(good.bytes, good.length), good.length};
        unsigned changes = (unsigned)g_rand_int_range(random, 1, 6);
        ImageFacts *facts;

        for (unsigned j = 0; j < changes; j++)
            image.bytes[g_rand_int_range(random, 4, 256)] = (guint8)g_rand_int(random);
        facts = inspect_bytes(bench, &image);
        assert_true(facts->exists);
        assert_true(facts->error || facts->capacity <= INT64_MAX);
        assert_true(!facts->backing || *facts->backing == '/');
        image_facts_free(facts);
        g_free(image.bytes);
    }
    g_free(good.bytes);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_start, bench_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(a_real_header_is_read_whole),
        ON_BENCH(one_spoiled_number_is_noticed),
        ON_BENCH(features_that_are_not_supported_are_told),
        ON_BENCH(version_two_is_read_and_version_one_is_opaque),
        ON_BENCH(backing_names_are_resolved_as_qemu_does),
        ON_BENCH(internal_snapshots_of_qemu_img_are_counted),
        ON_BENCH(a_short_file_is_raw_or_cut_off),
        ON_BENCH(what_is_no_file_is_told),
        ON_BENCH(twenty_thousand_random_headers_do_no_harm),
    };

    return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
