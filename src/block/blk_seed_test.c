/* SPDX-License-Identifier: MIT */
/* The disk that cloud-init reads: its file system as ECMA-119 has it, read back by hand through both trees. How
 * Linux and other programs see it is for tests/disk/test_seed.py. */
#include "block/blk_seed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <vz/error.h>

#include "block/blk_fixture.h"
#include "block/blk_mem.h"
#include "block/iso_image.h"

#define SECTOR 2048u

static struct loop *loop;
static char folder[64], path[3][128];
static struct vz_error error;
static const uint8_t identifier[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                       0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

static const char *write_file(unsigned i, const void *data, size_t len)
{
    FILE *f;

    if (!folder[0]) {
        strcpy(folder, "/tmp/vz-seed-test.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        ck_assert_int_eq(loop_create(&loop), 0);
    }
    snprintf(path[i], sizeof(path[i]), "%s/%u", folder, i);
    f = fopen(path[i], "w");
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    fclose(f);
    return path[i];
}

static void teardown(struct blk *b)
{
    if (b)
        blk_close(b);
    for (unsigned i = 0; i < 3; i++)
        unlink(path[i]);
    rmdir(folder);
    loop_destroy(loop);
}

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The name that a record's Rock Ridge entries say. */
static void rock_ridge_name(const uint8_t *record, char *ret)
{
    const uint8_t *p = record + 33 + record[32] + (record[32] % 2 ? 0 : 1);

    *ret = '\0';
    for (; p + 4 < record + record[0]; p += p[2]) {
        ck_assert_uint_ge(p[2], 4);
        if (!memcmp(p, "NM", 2))
            sprintf(ret, "%.*s", p[2] - 5, p + 5);
    }
}

static void joliet_name(const uint8_t *record, char *ret)
{
    for (unsigned i = 0; i + 1 < record[32]; i += 2) {
        ck_assert_uint_eq(record[33 + i], 0);
        *ret++ = (char)record[33 + i + 1];
    }
    *ret = '\0';
}

/* The bytes of a file in the tree of the descriptor in a sector; NULL: there is none. */
static const uint8_t *find(const uint8_t *image, unsigned descriptor, const char *want, uint32_t *ret_len)
{
    const uint8_t *d = image + descriptor * SECTOR, *p;
    char name[80];

    ck_assert(!memcmp(d + 1, "CD001\x01", 6));
    ck_assert_uint_eq(le32(d + 158), be32(d + 162));
    for (p = image + le32(d + 158) * SECTOR; p[0]; p += p[0]) {
        ck_assert_uint_eq(le32(p + 2), be32(p + 6));
        ck_assert_uint_eq(le32(p + 10), be32(p + 14));
        (d[0] == 2 ? joliet_name : rock_ridge_name)(p, name);
        if (p[25] & 2 || strcmp(name, want))
            continue;
        *ret_len = le32(p + 10);
        return image + le32(p + 2) * SECTOR;
    }
    return NULL;
}

static void expect(const uint8_t *image, const char *name, const void *data, size_t len)
{
    for (unsigned descriptor = 16; descriptor < 18; descriptor++) {
        uint32_t got_len = 0;
        const uint8_t *got = find(image, descriptor, name, &got_len);

        ck_assert_msg(got, "%s is not there", name);
        ck_assert_uint_eq(got_len, len);
        ck_assert(!memcmp(got, data, len));
    }
}

START_TEST(files_are_in_both_trees)
{
    static uint8_t big[3 * SECTOR + 17];
    static const char network[] = "version: 2\n", meta[] = "instance-id: x\n";
    struct blk_seed_options o = {.identifier = identifier};
    struct blk *b;
    const uint8_t *image;

    fill(big, sizeof(big), 1);
    big[0] = '#';
    o.user_data = write_file(0, big, sizeof(big));
    o.meta_data = write_file(1, meta, strlen(meta));
    o.network_config = write_file(2, network, strlen(network));
    ck_assert_int_eq(blk_seed_open(&o, loop, &b, &error), 0);
    ck_assert(b->read_only);
    image = blk_mem_data(b);
    ck_assert_uint_eq(b->size, le32(image + 16 * SECTOR + 80) * SECTOR);
    ck_assert(!memcmp(image + 16 * SECTOR + 40, "cidata                          ", 32));
    ck_assert(!memcmp(image + 17 * SECTOR + 40, "\0c\0i\0d\0a\0t\0a\0 ", 14));
    ck_assert_uint_eq(image[18 * SECTOR], 255);
    expect(image, "user-data", big, sizeof(big));
    expect(image, "meta-data", meta, strlen(meta));
    expect(image, "network-config", network, strlen(network));
    teardown(b);
}
END_TEST

START_TEST(what_is_not_given_has_a_default)
{
    static const char want[] = "instance-id: 01234567-89ab-cdef-0123-456789abcdef\n"
                               "local-hostname: build-box-7\n";
    struct blk_seed_options o = {.identifier = identifier, .label = "Build box (7)"};
    struct blk *b;
    uint32_t len;

    o.user_data = write_file(0, "", 0); /* may be empty */
    ck_assert_int_eq(blk_seed_open(&o, loop, &b, &error), 0);
    expect(blk_mem_data(b), "meta-data", want, strlen(want));
    expect(blk_mem_data(b), "user-data", "", 0);
    ck_assert_ptr_null(find(blk_mem_data(b), 16, "network-config", &len));
    blk_close(b);
    o.label = NULL;
    ck_assert_int_eq(blk_seed_open(&o, loop, &b, &error), 0);
    ck_assert_ptr_nonnull(strstr((char *)find(blk_mem_data(b), 16, "meta-data", &len),
                                 "local-hostname: vz\n"));
    teardown(b);
}
END_TEST

static void refuse(const struct blk_seed_options *o, int want, const char *text)
{
    struct blk *b;

    ck_assert_int_eq(blk_seed_open(o, loop, &b, &error), want);
    ck_assert_msg(strstr(error.text, text), "%s", error.text);
}

START_TEST(what_cannot_be_a_seed_is_refused_by_name)
{
    struct blk_seed_options o = {.identifier = identifier};
    unsigned fds;

    o.user_data = write_file(0, "users: []\n", 10);
    fds = count_fds();
    refuse(&o, -EINVAL, "#cloud-config");
    o.user_data = folder;
    refuse(&o, -EINVAL, "is not a file");
    o.user_data = "/nowhere/user-data";
    refuse(&o, -ENOENT, "/nowhere/user-data: No such file");
    o.user_data = write_file(0, "#cloud-config\n", 14);
    o.meta_data = "/nowhere/meta-data";
    refuse(&o, -ENOENT, "/nowhere/meta-data");
    o.meta_data = NULL;
    o.network_config = "/nowhere/network-config";
    refuse(&o, -ENOENT, "/nowhere/network-config");
    o.network_config = NULL;
    ck_assert_int_eq(truncate(path[0], SEED_FILE_MAX + 1), 0);
    refuse(&o, -EFBIG, "larger than 16 MiB");
    ck_assert_uint_eq(count_fds(), fds);
    teardown(NULL);
}
END_TEST

START_TEST(file_systems_that_would_not_fit_are_refused)
{
    struct iso_file f[ISO_FILES_MAX + 1] = {{.name = "b"}, {.name = "a"}};
    static uint8_t image[64 * SECTOR];
    char name[ISO_NAME_MAX + 2] = "";

    ck_assert_int_eq(iso_image_write("x", f, 2, image), -EINVAL); /* not sorted */
    ck_assert_int_eq(iso_image_write("x", f, ISO_FILES_MAX + 1, image), -EINVAL);
    ck_assert_int_eq(iso_image_write("a label too long for it", f, 1, image), -EINVAL);
    memset(name, 'n', ISO_NAME_MAX);
    f[0].name = name;
    ck_assert_int_eq(iso_image_write("x", f, 1, image), 0);
    memset(name, 'n', ISO_NAME_MAX + 1);
    ck_assert_int_eq(iso_image_write("x", f, 1, image), -EINVAL);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, files_are_in_both_trees);
    UNIT_TEST(s, what_is_not_given_has_a_default);
    UNIT_TEST(s, what_cannot_be_a_seed_is_refused_by_name);
    UNIT_TEST(s, file_systems_that_would_not_fit_are_refused);
}

UNIT_TEST_MAIN("blk_seed", add_tests)
