/* SPDX-License-Identifier: MIT */
/* qcow2 images against a model, which is the disk's bytes in memory: random operations in every kind
 * of image, chains, hostile tables, a host that fails. Images of and for QEMU: tests/disk. */
#include "block/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vz/error.h>

#include "base/be.h"
#include "block/blk_fixture.h"
#include "block/disk_chain.h"

#define SIZE (3 * MIB + 512) /* not a whole number of clusters */

static struct vz_error error;
static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[8][128];
    static unsigned turn;

    if (!folder[0]) {
        strcpy(folder, "./qcow2_test.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
    }
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void clean(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    folder[0] = '\0';
}

static void make(const char *name, const struct qcow2_create_options *o)
{
    int fd = open(in_folder(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_msg(!qcow2_create(fd, o, &error), "%s", error.text);
    close(fd);
}

static int try_open(const char *name, bool read_only, enum qcow2_open_mode mode,
                    struct disk_chain **ret)
{
    const struct disk_chain_options o = {.path = in_folder(name), .format = DISK_FORMAT_QCOW2,
                                         .read_only = read_only, .mode = mode,
                                         .sync = BLK_SYNC_NONE};

    return disk_chain_open(&o, ret, &error);
}

static struct disk_chain *open_chain(const char *name, bool read_only)
{
    struct disk_chain *c;

    ck_assert_msg(!try_open(name, read_only, QCOW2_USE, &c), "%s", error.text);
    return c;
}

static void print_problem(void *arg, const char *text)
{
    printf("%s\n", text);
}

/* Nothing is wrong, and nothing wasted. */
static void check_clean(const char *name)
{
    struct qcow2_check check = {.problem = print_problem};
    struct disk_chain *c;

    ck_assert_msg(!try_open(name, true, QCOW2_INSPECT, &c), "%s", error.text);
    ck_assert_int_eq(qcow2_check(c->layer[0].q, false, &check), 0);
    ck_assert_uint_eq(check.errors, 0);
    ck_assert_uint_eq(check.leaks, 0);
    ck_assert(!qcow2_info(c->layer[0].q)->dirty);
    ck_assert_int_eq(disk_chain_close(c), 0);
}

static int read_at(struct disk_chain *c, uint64_t offset, void *data, uint64_t len)
{
    struct iovec iov = {data, len};

    return layer_read(c->layer, offset, len, &iov, 1);
}

static int write_at(struct disk_chain *c, uint64_t offset, const void *data, uint64_t len)
{
    struct iovec iov[2] = {{(void *)data, len / 2}, {(char *)data + len / 2, len - len / 2}};

    return qcow2_write(c->layer[0].q, offset, len, iov, 2);
}

static void compare(struct disk_chain *c, const uint8_t *model, uint64_t size)
{
    uint8_t *got = malloc(size);

    ck_assert_int_eq(read_at(c, 0, got, size), 0);
    for (uint64_t i = 0; i < size; i += 512) {
        if (memcmp(got + i, model + i, 512))
            ck_abort_msg("at %#llx", (unsigned long long)i);
    }
    free(got);
}

/* ---- Random operations ---------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

/* A discarded range may hold anything that it held, or zeroes: the model then learns what it is. */
static void learn(struct disk_chain *c, uint8_t *model, uint64_t offset, uint64_t len)
{
    uint8_t *got = malloc(len);

    ck_assert_int_eq(read_at(c, offset, got, len), 0);
    memcpy(model + offset, got, len);
    free(got);
}

static void random_op(struct disk_chain *c, uint8_t *model)
{
    uint64_t max = below(4) ? 64 : 2048, offset = below(SIZE / 512) * 512;
    uint64_t len = MIN((1 + below(max)) * 512, SIZE - offset);
    struct qcow2 *q = c->layer[0].q;
    uint8_t *data;

    switch (below(8)) {
    case 0:
        ck_assert_int_eq(qcow2_zero(q, offset, len, below(2)), 0);
        memset(model + offset, 0, len);
        break;
    case 1:
        ck_assert_int_eq(qcow2_discard(q, offset, len), 0);
        learn(c, model, offset, len);
        break;
    case 2:
        if (below(4))
            break;
        ck_assert_int_eq(qcow2_flush(q), 0);
        break;
    case 3:
        data = malloc(len);
        ck_assert_int_eq(read_at(c, offset, data, len), 0);
        ck_assert_mem_eq(data, model + offset, len);
        free(data);
        break;
    default:
        fill(model + offset, len, seed);
        ck_assert_int_eq(write_at(c, offset, model + offset, len), 0);
    }
}

static const struct qcow2_create_options kinds[] = {
    {.size = SIZE},
    {.size = SIZE, .version = 2},
    {.size = SIZE, .cluster_bits = 9},
    {.size = SIZE, .version = 2, .cluster_bits = 9},
    {.size = SIZE, .cluster_bits = 12, .refcount_bits = 1},
    {.size = SIZE, .cluster_bits = 10, .refcount_bits = 64},
    {.size = SIZE, .cluster_bits = 11, .refcount_bits = 4},
    {.size = SIZE, .cluster_bits = 21, .refcount_bits = 32},
    {.size = SIZE, .cluster_bits = 16, .refcount_bits = 8, .lazy_refcounts = true},
    {.size = SIZE, .cluster_bits = 14, .extended_l2 = true},
    {.size = SIZE, .cluster_bits = 16, .extended_l2 = true, .lazy_refcounts = true},
    {.size = SIZE, .cluster_bits = 9, .refcount_bits = 64},
};

START_TEST(random_operations_are_those_of_the_model)
{
    uint8_t *model = calloc(1, SIZE);

    make("disk", &kinds[_i]);
    for (unsigned round = 0; round < 4; round++) {
        struct disk_chain *c = open_chain("disk", false);

        seed = (unsigned)_i * 100 + round + 1;
        for (unsigned n = 0; n < 300; n++)
            random_op(c, model);
        compare(c, model, SIZE);
        ck_assert_int_eq(disk_chain_close(c), 0);
        check_clean("disk");
        c = open_chain("disk", true);
        compare(c, model, SIZE);
        ck_assert_int_eq(disk_chain_close(c), 0);
    }
    free(model);
    clean();
}
END_TEST

/* Over a base that is shorter, and one that is longer, qcow2 and raw. */
START_TEST(an_overlay_reads_through_and_leaves_its_base_alone)
{
    static const uint64_t base_size[] = {SIZE - 1 * MIB - 1536, SIZE + 2 * MIB};
    uint8_t *model = calloc(1, SIZE), *base = calloc(1, SIZE + 2 * MIB);
    struct qcow2_create_options o = kinds[_i];

    for (unsigned n = 0; n < 4; n++) {
        uint64_t size = base_size[n % 2];
        bool is_raw = n / 2;
        struct disk_chain *c;

        fill(base, size, 77 + n);
        if (is_raw) {
            int fd = open(in_folder("base"), O_RDWR | O_CREAT | O_TRUNC, 0600);

            ck_assert_int_eq(pwrite(fd, base, size, 0), (ssize_t)size);
            close(fd);
        } else {
            make("base", &(struct qcow2_create_options){.size = size, .cluster_bits = 13});
            c = open_chain("base", false);
            ck_assert_int_eq(write_at(c, 0, base, size), 0);
            ck_assert_int_eq(disk_chain_close(c), 0);
        }
        memset(model, 0, SIZE);
        memcpy(model, base, MIN(size, SIZE));
        o.backing = "base";
        o.backing_format = is_raw ? "raw" : "qcow2";
        make("disk", &o);
        c = open_chain("disk", false);
        compare(c, model, SIZE);
        seed = (unsigned)_i * 100 + n + 1;
        for (unsigned k = 0; k < 300; k++)
            random_op(c, model);
        compare(c, model, SIZE);
        ck_assert_int_eq(disk_chain_close(c), 0);
        check_clean("disk");
        c = open_chain("disk", true);
        compare(c, model, SIZE);
        ck_assert_uint_eq(c->count, 2);
        if (!is_raw)
            ck_assert_int_eq(c->image[1].read_only, true);
        ck_assert_int_eq(disk_chain_close(c), 0);
    }
    free(base);
    free(model);
    clean();
}
END_TEST

/* ---- Hosts that fail ------------------------------------------------------------------------ */

/* The file may not grow beyond a limit: each allocation fails some time, in each place. Nothing that
 * was there is lost, and the image is sound. */
START_TEST(a_full_host_loses_nothing)
{
    uint8_t *model = calloc(1, SIZE), *data = malloc(256 * KIB);

    signal(SIGXFSZ, SIG_IGN);
    for (uint64_t limit = 16 * KIB; limit < 900 * KIB; limit += 13 * KIB + 512) {
        struct rlimit old, lim;
        struct disk_chain *c;
        unsigned failed = 0;

        memset(model, 0, SIZE);
        make("disk", &(struct qcow2_create_options){.size = SIZE, .cluster_bits = 9 + limit % 4});
        c = open_chain("disk", false);
        getrlimit(RLIMIT_FSIZE, &old);
        lim = old;
        lim.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &lim);
        seed = limit;
        for (unsigned n = 0; n < 60; n++) {
            uint64_t offset = below(SIZE / 512 - 64) * 512, len = (1 + below(64)) * 512;

            fill(data, len, n);
            if (write_at(c, offset, data, len)) {
                failed++;
                learn(c, model, offset, len);
            } else {
                memcpy(model + offset, data, len);
            }
            if (!below(8))
                failed += qcow2_flush(c->layer[0].q) != 0;
        }
        setrlimit(RLIMIT_FSIZE, &old);
        compare(c, model, SIZE);
        ck_assert_int_eq(disk_chain_close(c), 0);
        check_clean("disk");
        c = open_chain("disk", false);
        compare(c, model, SIZE);
        ck_assert_int_eq(disk_chain_close(c), 0);
        ck_assert(failed || limit > 300 * KIB);
    }
    free(model);
    free(data);
    clean();
}
END_TEST

/* ---- Sizes ---------------------------------------------------------------------------------- */

START_TEST(a_disk_grows_and_shrinks)
{
    static const unsigned bits[] = {9, 12, 16};
    uint8_t *model = calloc(1, 40 * MIB);

    for (unsigned n = 0; n < ARRAY_SIZE(bits); n++) {
        struct disk_chain *c;

        memset(model, 0, 40 * MIB);
        fill(model, SIZE, n);
        make("base", &(struct qcow2_create_options){.size = 40 * MIB});
        c = open_chain("base", false);
        memset(model + 20 * MIB, 0xaa, 4 * MIB);
        ck_assert_int_eq(write_at(c, 0, model + 20 * MIB, 4 * MIB), 0);
        memset(model + 20 * MIB, 0, 4 * MIB);
        ck_assert_int_eq(disk_chain_close(c), 0);
        make("disk", &(struct qcow2_create_options){.size = SIZE, .cluster_bits = bits[n],
                                                    .backing = "base", .backing_format = "qcow2"});
        c = open_chain("disk", false);
        ck_assert_int_eq(write_at(c, 0, model, SIZE), 0);
        ck_assert_int_ne(qcow2_resize(c->layer[0].q, SIZE - 512, false, &error), 0);
        ck_assert_int_eq(qcow2_resize(c->layer[0].q, 40 * MIB, false, &error), 0);
        compare(c, model, 40 * MIB); /* what the base has there does not come to light */
        fill(model + 39 * MIB, MIB, 5);
        ck_assert_int_eq(write_at(c, 39 * MIB, model + 39 * MIB, MIB), 0);
        compare(c, model, 40 * MIB);
        ck_assert_int_eq(disk_chain_close(c), 0);
        check_clean("disk");
        c = open_chain("disk", false);
        compare(c, model, 40 * MIB);
        ck_assert_int_eq(qcow2_resize(c->layer[0].q, MIB + 512, true, &error), 0);
        compare(c, model, MIB + 512);
        ck_assert_int_eq(qcow2_resize(c->layer[0].q, 8 * MIB, false, &error), 0);
        memset(model + MIB + 512, 0, 40 * MIB - MIB - 512);
        compare(c, model, 8 * MIB);
        ck_assert_int_eq(disk_chain_close(c), 0);
        check_clean("disk");
        clean();
    }
    free(model);
}
END_TEST

START_TEST(the_name_of_the_base_can_change)
{
    struct disk_chain *c;

    make("base", &kinds[0]);
    make("disk", &(struct qcow2_create_options){.size = SIZE, .backing = "base", .backing_format = "raw"});
    make("other", &kinds[0]);
    const struct disk_chain_options o = {.path = in_folder("disk"), .format = DISK_FORMAT_QCOW2,
                                         .alone = true};
    ck_assert_int_eq(disk_chain_open(&o, &c, &error), 0);
    ck_assert_int_eq(qcow2_set_backing(c->layer[0].q, "other", "qcow2"), 0);
    ck_assert_int_eq(disk_chain_close(c), 0);
    c = open_chain("disk", false);
    ck_assert_str_eq(qcow2_info(c->layer[0].q)->backing, "other");
    ck_assert_str_eq(qcow2_info(c->layer[0].q)->backing_format, "qcow2");
    ck_assert_int_eq(qcow2_set_backing(c->layer[0].q, NULL, NULL), 0);
    ck_assert_int_eq(disk_chain_close(c), 0);
    c = open_chain("disk", false);
    ck_assert_uint_eq(c->count, 1);
    ck_assert_int_eq(disk_chain_close(c), 0);
    check_clean("disk");
    clean();
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *t = tcase_create("random operations");

    tcase_set_timeout(t, 100);
    tcase_add_loop_test(t, random_operations_are_those_of_the_model, 0, ARRAY_SIZE(kinds));
    tcase_add_loop_test(t, an_overlay_reads_through_and_leaves_its_base_alone, 0, ARRAY_SIZE(kinds));
    suite_add_tcase(s, t);
    UNIT_TEST(s, a_full_host_loses_nothing);
    UNIT_TEST(s, a_disk_grows_and_shrinks);
    UNIT_TEST(s, the_name_of_the_base_can_change);
}

UNIT_TEST_MAIN("qcow2", add_tests)
