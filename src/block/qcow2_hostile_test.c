/* SPDX-License-Identifier: MIT */
/* qcow2 images that are damaged, or made to damage: refused by name, or kept from doing it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vz/error.h>

#include "base/be.h"
#include "block/blk_fixture.h"
#include "block/disk_chain.h"

#define SIZE         (4 * MIB)
#define CLUSTER_BITS 12u
#define CLUSTER      4096u

static struct vz_error error;

static int make(const struct qcow2_create_options *o)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_msg(!qcow2_create(fd, o, &error), "%s", error.text);
    return fd;
}

static int make_plain(void)
{
    return make(&(struct qcow2_create_options){.size = SIZE, .cluster_bits = CLUSTER_BITS});
}

static int try(int fd, bool read_only, enum qcow2_open_mode mode, struct disk_chain **ret)
{
    const struct disk_chain_options o = {.fd = fd, .format = DISK_FORMAT_QCOW2,
                                         .read_only = read_only, .mode = mode,
                                         .sync = BLK_SYNC_NONE};

    return disk_chain_open(&o, ret, &error);
}

static struct disk_chain *open_it(int fd, bool read_only, enum qcow2_open_mode mode)
{
    struct disk_chain *c;

    ck_assert_msg(!try(fd, read_only, mode, &c), "%s", error.text);
    return c;
}

static void put32(int fd, uint64_t at, uint32_t v)
{
    uint8_t data[4];

    store_be32(data, v);
    ck_assert_int_eq(pwrite(fd, data, 4, (off_t)at), 4);
}

static void put64(int fd, uint64_t at, uint64_t v)
{
    uint8_t data[8];

    store_be64(data, v);
    ck_assert_int_eq(pwrite(fd, data, 8, (off_t)at), 8);
}

static uint64_t get64(int fd, uint64_t at)
{
    uint8_t data[8];

    ck_assert_int_eq(pread(fd, data, 8, (off_t)at), 8);
    return load_be64(data);
}

static int write_at(struct disk_chain *c, uint64_t offset, uint64_t len)
{
    static uint8_t data[65536] = {1, 2, 3};
    struct iovec iov = {data, len};

    return qcow2_write(c->layer[0].q, offset, len, &iov, 1);
}

static int read_at(struct disk_chain *c, uint64_t offset, uint64_t len)
{
    static uint8_t data[65536];
    struct iovec iov = {data, len};

    return layer_read(c->layer, offset, len, &iov, 1);
}

START_TEST(what_is_not_known_is_refused_by_name)
{
    static const struct {
        uint64_t at, value;
        unsigned size;
        int err;
        const char *text;
    } c[] = {
        {QCOW2_H_VERSION, 4, 4, ENOTSUP, "version 4"},
        {QCOW2_H_VERSION, 1, 4, ENOTSUP, "version 1"},
        {QCOW2_H_CRYPT, 1, 4, ENOTSUP, "encryption (AES)"},
        {QCOW2_H_CRYPT, 2, 4, ENOTSUP, "encryption (LUKS)"},
        {QCOW2_H_INCOMPATIBLE, 4, 8, ENOTSUP, "its data in another file"},
        {QCOW2_H_INCOMPATIBLE, UINT64_C(1) << 40, 8, ENOTSUP, "incompatible feature 40"},
        {QCOW2_H_INCOMPATIBLE, 1 << 4, 8, EINVAL, "16 KiB"},
        {QCOW2_H_INCOMPATIBLE, 2, 8, EINVAL, "marked as damaged"},
        {QCOW2_H_CLUSTER_BITS, 8, 4, EINVAL, "clusters"},
        {QCOW2_H_CLUSTER_BITS, 22, 4, EINVAL, "clusters"},
        {QCOW2_H_CLUSTER_BITS, 0xffffffff, 4, EINVAL, "clusters"},
        {QCOW2_H_REFCOUNT_ORDER, 7, 4, EINVAL, "refcounts"},
        {QCOW2_H_LENGTH, 96, 4, EINVAL, "header"},
        {QCOW2_H_LENGTH, 105, 4, EINVAL, "header"},
        {QCOW2_H_LENGTH, 1 << 20, 4, EINVAL, "header"},
        {QCOW2_H_SIZE, UINT64_C(1) << 63, 8, EINVAL, "size of its disk"},
        {QCOW2_H_SIZE, 0, 8, EINVAL, "size of its disk"},
        {QCOW2_H_SIZE, 1000, 8, EINVAL, "size of its disk"},
        {QCOW2_H_SIZE, UINT64_C(1) << 50, 8, EINVAL, "L1 table"},
        {QCOW2_H_L1_SIZE, 0xffffffff, 4, EINVAL, "L1 table"},
        {QCOW2_H_L1_SIZE, 0, 4, EINVAL, "L1 table"},
        {QCOW2_H_L1_OFFSET, 100, 8, EINVAL, "L1 table"},
        {QCOW2_H_L1_OFFSET, 0, 8, EINVAL, "L1 table"},
        {QCOW2_H_L1_OFFSET, UINT64_C(0xfffffffffffff000), 8, EINVAL, "L1 table"},
        {QCOW2_H_REFTABLE_OFFSET, 0, 8, EINVAL, "refcount table"},
        {QCOW2_H_REFTABLE_CLUSTERS, 0, 4, EINVAL, "refcount table"},
        {QCOW2_H_REFTABLE_CLUSTERS, 0xffffffff, 4, EINVAL, "refcount table"},
        {QCOW2_H_SNAPSHOTS, 0xffffffff, 4, EINVAL, "snapshots"},
        {QCOW2_H_BACKING_OFFSET, 8192, 8, EINVAL, "not in the header"},
        {QCOW2_H_BACKING_OFFSET, 4090, 8, EINVAL, "not in the header"},
        {QCOW2_H_BACKING_OFFSET, 8, 8, EINVAL, "not in the header"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
        int fd = make_plain();
        struct disk_chain *chain;

        put32(fd, QCOW2_H_BACKING_SIZE, 16);
        if (c[i].size == 4)
            put32(fd, c[i].at, (uint32_t)c[i].value);
        else
            put64(fd, c[i].at, c[i].value);
        ck_assert_msg(try(fd, false, QCOW2_USE, &chain) == -c[i].err, "%u: %s", i, error.text);
        ck_assert_msg(strstr(error.text, c[i].text), "%u: %s", i, error.text);
        close(fd);
    }
}
END_TEST

START_TEST(an_unknown_feature_has_the_name_that_the_image_gives_it)
{
    int fd = make_plain();
    struct disk_chain *c;

    put64(fd, QCOW2_H_INCOMPATIBLE, BIT(17));
    /* The second entry of the table behind the header becomes that bit's. */
    ck_assert_int_eq(pwrite(fd, "\0\x11quantum clusters", 19, QCOW2_H_FULL_LENGTH + 8 + 48), 19);
    ck_assert_int_eq(try(fd, true, QCOW2_USE, &c), -ENOTSUP);
    ck_assert_msg(strstr(error.text, "quantum clusters"), "%s", error.text);
    close(fd);
}
END_TEST

START_TEST(a_damaged_image_can_be_read)
{
    int fd = make_plain();
    struct disk_chain *c;

    put64(fd, QCOW2_H_INCOMPATIBLE, QCOW2_INCOMPAT_CORRUPT);
    c = open_it(fd, true, QCOW2_USE);
    ck_assert_int_eq(read_at(c, 0, 4096), 0);
    ck_assert_int_eq(write_at(c, 0, 4096), -EROFS);
    ck_assert_int_eq(disk_chain_close(c), 0);
    close(fd);
}
END_TEST

/* Every table of the image, and the header: an entry that names one as the guest's data. */
START_TEST(no_entry_leads_to_a_table)
{
    static const enum { TO_HEADER, TO_REFTABLE, TO_BLOCK, TO_L1, TO_L2, TO_ODD } to[] = {
        TO_HEADER, TO_REFTABLE, TO_BLOCK, TO_L1, TO_L2, TO_ODD};

    for (unsigned i = 0; i < ARRAY_SIZE(to); i++) {
        int fd = make_plain();
        struct disk_chain *c = open_it(fd, false, QCOW2_USE);
        uint64_t l1 = get64(fd, QCOW2_H_L1_OFFSET), l2, target;
        uint8_t before[CLUSTER], after[CLUSTER];

        ck_assert_int_eq(write_at(c, 0, 8192), 0);
        ck_assert_int_eq(disk_chain_close(c), 0);
        l2 = get64(fd, l1) & QCOW2_OFFSET_MASK;
        switch (to[i]) {
        case TO_REFTABLE: target = get64(fd, QCOW2_H_REFTABLE_OFFSET); break;
        case TO_BLOCK: target = get64(fd, get64(fd, QCOW2_H_REFTABLE_OFFSET)); break;
        case TO_L1: target = l1; break;
        case TO_L2: target = l2; break;
        case TO_ODD: target = 512; break;
        default: target = 0; break;
        }
        if (to[i] != TO_HEADER) {
            put64(fd, l2, target | QCOW2_COPIED);
        } else {
            /* An offset of 0 is no place; compressed data can be there. */
            put64(fd, l2, QCOW2_L2_COMPRESSED);
        }
        ck_assert_int_eq(pread(fd, before, CLUSTER, (off_t)(target & ~UINT64_C(4095))),
                         CLUSTER);
        c = open_it(fd, false, QCOW2_USE);
        ck_assert_int_eq(write_at(c, 512, 1024), -EIO);
        ck_assert_int_eq(write_at(c, 0, 4096), -EIO);
        ck_assert_int_eq(write_at(c, 8192, 4096), -EIO); /* nor anywhere else, from then on */
        ck_assert_int_eq(qcow2_flush(c->layer[0].q), -EIO);
        ck_assert_int_eq(read_at(c, 4096, 4096), 0);
        (void)!disk_chain_close(c);
        ck_assert_int_eq(pread(fd, after, CLUSTER, (off_t)(target & ~UINT64_C(4095))),
                         CLUSTER);
        /* The mark aside. */
        memset(before + QCOW2_H_INCOMPATIBLE, 0, 8);
        memset(after + QCOW2_H_INCOMPATIBLE, 0, 8);
        ck_assert_mem_eq(before, after, CLUSTER);
        ck_assert_uint_ne(get64(fd, QCOW2_H_INCOMPATIBLE) & QCOW2_INCOMPAT_CORRUPT, 0);
        close(fd);
    }
}
END_TEST

/* Tables whose refcount is 0 would be handed out. */
START_TEST(a_table_without_a_refcount_is_not_handed_out)
{
    int fd = make_plain();
    uint64_t block = get64(fd, get64(fd, QCOW2_H_REFTABLE_OFFSET));
    struct disk_chain *c;

    put64(fd, block, 0); /* header, refcount table, block, L1 table */
    c = open_it(fd, false, QCOW2_USE);
    ck_assert_int_eq(write_at(c, 0, 4096), -EIO);
    (void)!disk_chain_close(c);
    ck_assert_uint_ne(get64(fd, QCOW2_H_INCOMPATIBLE) & QCOW2_INCOMPAT_CORRUPT, 0);
    close(fd);
}
END_TEST

START_TEST(what_was_not_closed_is_repaired)
{
    for (unsigned lazy = 0; lazy < 2; lazy++) {
        int fd = make(&(struct qcow2_create_options){
            .size = SIZE, .cluster_bits = CLUSTER_BITS, .lazy_refcounts = lazy});
        uint64_t block = get64(fd, get64(fd, QCOW2_H_REFTABLE_OFFSET));
        struct disk_chain *c = open_it(fd, false, QCOW2_USE);
        struct qcow2_check check = {0};

        ck_assert_int_eq(write_at(c, 0, 65536), 0);
        ck_assert_int_eq(disk_chain_close(c), 0);
        ck_assert_uint_eq(get64(fd, QCOW2_H_INCOMPATIBLE), 0);
        put64(fd, block + 8, 0);                       /* missing */
        put64(fd, block + 256, UINT64_C(0x0001000100010001)); /* nobody's */
        put64(fd, QCOW2_H_INCOMPATIBLE, QCOW2_INCOMPAT_DIRTY);
        c = open_it(fd, true, QCOW2_INSPECT);
        ck_assert_int_eq(qcow2_check(c->layer[0].q, false, &check), 0);
        ck_assert_uint_eq(check.errors, 4);
        ck_assert_uint_eq(check.leaks, 4);
        ck_assert_int_eq(disk_chain_close(c), 0);
        c = open_it(fd, false, QCOW2_USE);
        ck_assert_int_eq(disk_chain_close(c), 0);
        ck_assert_uint_eq(get64(fd, QCOW2_H_INCOMPATIBLE), 0);
        c = open_it(fd, true, QCOW2_INSPECT);
        ck_assert_int_eq(qcow2_check(c->layer[0].q, false, &check), 0);
        ck_assert_uint_eq(check.errors + check.leaks, 0);
        ck_assert_int_eq(disk_chain_close(c), 0);
        close(fd);
    }
}
END_TEST

/* What a repair leaves wrong must not be taken for right: the next writer would overwrite what is in use. */
START_TEST(what_cannot_be_repaired_stays_marked)
{
    int fd = make(&(struct qcow2_create_options){.size = SIZE, .cluster_bits = 9});
    uint64_t second = get64(fd, QCOW2_H_REFTABLE_OFFSET) + 8;
    struct disk_chain *c = open_it(fd, false, QCOW2_USE);
    struct qcow2_check check = {0};

    for (uint64_t at = 0; at < 256 * KIB; at += 65536)
        ck_assert_int_eq(write_at(c, at, 65536), 0);
    ck_assert_int_eq(disk_chain_close(c), 0);
    ck_assert_uint_ne(get64(fd, second), 0);
    put64(fd, second, 0); /* the refcounts of clusters 256 to 511 */
    put64(fd, QCOW2_H_INCOMPATIBLE, QCOW2_INCOMPAT_DIRTY);
    c = open_it(fd, false, QCOW2_INSPECT);
    ck_assert_int_eq(qcow2_check(c->layer[0].q, true, &check), 0);
    ck_assert_uint_gt(check.errors + check.leaks, check.repaired);
    ck_assert_int_eq(disk_chain_close(c), 0);
    ck_assert_uint_ne(get64(fd, QCOW2_H_INCOMPATIBLE) & QCOW2_INCOMPAT_DIRTY, 0);
    ck_assert_int_lt(try(fd, false, QCOW2_USE, &c), 0);
    close(fd);
}
END_TEST

/* Features that need not be known, but are wrong after a change by somebody who does not know them. */
START_TEST(unknown_optional_features_are_dropped_by_the_first_change)
{
    int fd = make_plain();
    struct disk_chain *c;

    put64(fd, QCOW2_H_AUTOCLEAR, BIT(5));
    put64(fd, QCOW2_H_COMPATIBLE, BIT(9));
    c = open_it(fd, false, QCOW2_USE);
    ck_assert_int_eq(read_at(c, 0, 4096), 0);
    ck_assert_int_eq(disk_chain_close(c), 0);
    ck_assert_uint_eq(get64(fd, QCOW2_H_AUTOCLEAR), BIT(5));
    c = open_it(fd, false, QCOW2_USE);
    ck_assert_int_eq(write_at(c, 0, 4096), 0);
    ck_assert_int_eq(disk_chain_close(c), 0);
    ck_assert_uint_eq(get64(fd, QCOW2_H_AUTOCLEAR), 0);
    ck_assert_uint_eq(get64(fd, QCOW2_H_COMPATIBLE), BIT(9));
    close(fd);
}
END_TEST

/* An L1 table that names one L2 table again and again must not keep a check busy for ever. */
START_TEST(a_table_that_is_named_twice_is_an_error)
{
    int fd = make_plain();
    uint64_t l1 = get64(fd, QCOW2_H_L1_OFFSET);
    struct qcow2_check check = {0};
    struct disk_chain *c = open_it(fd, false, QCOW2_USE);

    ck_assert_int_eq(write_at(c, 0, 4096), 0);
    ck_assert_int_eq(disk_chain_close(c), 0);
    put64(fd, l1 + 8, get64(fd, l1));
    c = open_it(fd, true, QCOW2_INSPECT);
    ck_assert_int_eq(qcow2_check(c->layer[0].q, false, &check), 0);
    ck_assert_uint_ge(check.errors, 1);
    ck_assert_int_eq(disk_chain_close(c), 0);
    close(fd);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_is_not_known_is_refused_by_name);
    UNIT_TEST(s, an_unknown_feature_has_the_name_that_the_image_gives_it);
    UNIT_TEST(s, a_damaged_image_can_be_read);
    UNIT_TEST(s, no_entry_leads_to_a_table);
    UNIT_TEST(s, a_table_without_a_refcount_is_not_handed_out);
    UNIT_TEST(s, what_was_not_closed_is_repaired);
    UNIT_TEST(s, what_cannot_be_repaired_stays_marked);
    UNIT_TEST(s, unknown_optional_features_are_dropped_by_the_first_change);
    UNIT_TEST(s, a_table_that_is_named_twice_is_an_error);
}

UNIT_TEST_MAIN("hostile qcow2", add_tests)
