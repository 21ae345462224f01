/* SPDX-License-Identifier: MIT */
/* The power fails under a qcow2 image. Every write to its file and every sync is noted (the calls of
 * libc are replaced here); afterwards, for many moments, the file is made as it may have been then:
 * all that was synced, and of the rest any part. What the guest had flushed must be there, and the
 * image sound. That catches wrong orders, which killing a process does not: the kernel outlives it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vz/error.h>

#include "block/blk_fixture.h"
#include "block/disk_chain.h"

#define SIZE     (1 * MIB)
#define SECTORS  (SIZE / 512)
#define FILE_MAX (8 * MIB)
#define EVENTS   60000u
#define OPS      220u
#define CUTS     50u
#define VERSIONS 256u /* of a sector, at most */

/* ---- What happens to the file --------------------------------------------------------------- */

static struct event {
    enum { WRITTEN, HOLE, SYNCED, ISSUED, FLUSHED } what;
    uint64_t offset, len;
    uint8_t *data;
    uint16_t *versions; /* ISSUED, FLUSHED: of all sectors */
} event[EVENTS];
static unsigned events;
static bool noting;

static struct event *note(int what, uint64_t offset, uint64_t len)
{
    ck_assert_uint_lt(events, EVENTS);
    event[events] = (struct event){.what = what, .offset = offset, .len = len};
    return &event[events++];
}

static void note_write(const void *data, size_t len, uint64_t offset)
{
    if (noting) {
        struct event *e = note(WRITTEN, offset, len);

        e->data = malloc(len);
        memcpy(e->data, data, len);
    }
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    note_write(data, len, (uint64_t)offset);
    return syscall(SYS_pwrite64, fd, data, len, offset);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    uint64_t at = (uint64_t)offset;

    for (int i = 0; i < count; i++) {
        note_write(iov[i].iov_base, iov[i].iov_len, at);
        at += iov[i].iov_len;
    }
    return syscall(SYS_pwritev2, fd, iov, count, offset, 0, flags);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    if (noting)
        note(HOLE, (uint64_t)offset, (uint64_t)len);
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int fsync(int fd)
{
    if (noting)
        note(SYNCED, 0, 0);
    return 0;
}

/* ---- The guest ------------------------------------------------------------------------------ */

static uint16_t issued[SECTORS], flushed[SECTORS];
static bool is_zeroes[SECTORS][VERSIONS]; /* is that version one? */
static uint64_t seed;

static uint64_t below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 5) % n;
}

static void stamp(uint8_t *data, uint64_t sector, uint64_t version)
{
    for (unsigned i = 0; i < 512; i += 16) {
        memcpy(data + i, &sector, 8);
        memcpy(data + i + 8, &version, 8);
    }
}

static void note_versions(int what, const uint16_t *versions)
{
    struct event *e = note(what, 0, 0);

    e->versions = malloc(sizeof(issued));
    memcpy(e->versions, versions, sizeof(issued));
}

static void write_some(struct qcow2 *q, uint64_t sector, uint64_t count, bool zero)
{
    static uint8_t data[64 * 512];
    struct iovec iov = {data, count * 512};

    for (uint64_t i = 0; i < count; i++) {
        ck_assert_uint_lt(issued[sector + i] + 1u, VERSIONS);
        is_zeroes[sector + i][++issued[sector + i]] = zero;
        stamp(data + i * 512, sector + i, issued[sector + i]);
    }
    note_versions(ISSUED, issued);
    if (zero)
        ck_assert_int_eq(qcow2_zero(q, sector * 512, count * 512, below(2)), 0);
    else
        ck_assert_int_eq(qcow2_write(q, sector * 512, count * 512, &iov, 1), 0);
}

static void run_guest(struct qcow2 *q)
{
    for (unsigned n = 0; n < OPS; n++) {
        uint64_t count = 1 + below(below(3) ? 8 : 64), sector = below(SECTORS - count);

        switch (below(10)) {
        case 0:
        case 1:
            ck_assert_int_eq(qcow2_flush(q), 0);
            memcpy(flushed, issued, sizeof(issued));
            note_versions(FLUSHED, flushed);
            break;
        case 2:
        case 3: write_some(q, sector, count, true); break;
        default: write_some(q, sector, count, false); break;
        }
    }
}

/* ---- After the power failed ----------------------------------------------------------------- */

static char folder[64];

static const char *in(const char *name)
{
    static char path[4][128];
    static unsigned turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static struct disk_chain *open_it(bool read_only, enum qcow2_open_mode mode)
{
    const struct disk_chain_options o = {.path = in("disk"), .format = DISK_FORMAT_QCOW2,
                                         .read_only = read_only, .mode = mode};
    struct vz_error err;
    struct disk_chain *c;

    ck_assert_msg(!disk_chain_open(&o, &c, &err), "%s", err.text);
    return c;
}

static void apply(uint8_t *file, uint64_t *size, const struct event *e)
{
    if (e->what != WRITTEN && e->what != HOLE)
        return;
    ck_assert_uint_le(e->offset + e->len, FILE_MAX);
    if (e->what == HOLE) {
        memset(file + e->offset, 0, e->len);
        return;
    }
    memcpy(file + e->offset, e->data, e->len);
    *size = MAX(*size, e->offset + e->len);
}

/* All up to the last sync before cut, and then each by chance. */
static void make_file(const uint8_t *start, uint64_t start_size, unsigned cut)
{
    static uint8_t file[FILE_MAX];
    uint64_t size = start_size;
    unsigned synced = 0;
    int fd;

    memset(file, 0, sizeof(file));
    memcpy(file, start, start_size);
    for (unsigned i = 0; i < cut; i++)
        synced = event[i].what == SYNCED ? i : synced;
    for (unsigned i = 0; i < cut; i++) {
        if (i < synced || below(2))
            apply(file, &size, &event[i]);
    }
    fd = open(in("disk"), O_RDWR | O_TRUNC | O_CLOEXEC);
    ck_assert_int_eq(write(fd, file, size), (ssize_t)size);
    close(fd);
}

static void check_sector(const uint8_t *data, uint64_t sector, unsigned from, unsigned to)
{
    uint8_t want[512];

    for (unsigned v = from; v <= to; v++) {
        stamp(want, sector, v);
        if (is_zeroes[sector][v])
            memset(want, 0, sizeof(want));
        if (!memcmp(data, want, 512))
            return;
    }
    ck_abort_msg("sector %llu is none of its versions %u to %u", (unsigned long long)sector, from, to);
}

static void check_guest(unsigned cut)
{
    static const uint16_t none[SECTORS];
    const uint16_t *from = none, *to = none;
    struct disk_chain *c = open_it(false, QCOW2_USE);
    uint8_t *data = malloc(SIZE);
    struct iovec iov = {data, SIZE};

    for (unsigned i = 0; i < cut; i++) {
        from = event[i].what == FLUSHED ? event[i].versions : from;
        to = event[i].what == ISSUED ? event[i].versions : to;
    }
    ck_assert_int_eq(layer_read(c->layer, 0, SIZE, &iov, 1), 0);
    for (uint64_t i = 0; i < SECTORS; i++)
        check_sector(data + i * 512, i, from[i], to[i]);
    free(data);
    ck_assert_int_eq(disk_chain_close(c), 0);
}

static void check_tables(bool may_leak, bool may_be_wrong)
{
    struct disk_chain *c = open_it(true, QCOW2_INSPECT);
    struct qcow2_check check = {0};

    ck_assert_int_eq(qcow2_check(c->layer[0].q, false, &check), 0);
    ck_assert(may_be_wrong || !check.errors);
    ck_assert(may_leak || !check.leaks);
    ck_assert_int_eq(disk_chain_close(c), 0);
}

static uint8_t *read_file(uint64_t *ret_size)
{
    uint8_t *data = malloc(FILE_MAX);
    int fd = open(in("disk"), O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, data, FILE_MAX);

    ck_assert_int_gt(n, 0);
    close(fd);
    *ret_size = (uint64_t)n;
    return data;
}

static void make_images(const struct qcow2_create_options *o)
{
    struct vz_error err;
    uint8_t sector[512];
    int fd;

    strcpy(folder, "./qcow2_power_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    fd = open(in("base"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (uint64_t i = 0; i < SECTORS; i++) {
        stamp(sector, i, 0);
        ck_assert_int_eq(write(fd, sector, 512), 512);
    }
    close(fd);
    fd = open(in("disk"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_msg(!qcow2_create(fd, o, &err), "%s", err.text);
    close(fd);
}

static const struct qcow2_create_options kinds[] = {
    {.size = SIZE, .cluster_bits = 12},
    {.size = SIZE, .cluster_bits = 9},
    {.size = SIZE, .cluster_bits = 16},
    {.size = SIZE, .cluster_bits = 12, .version = 2},
    {.size = SIZE, .cluster_bits = 12, .lazy_refcounts = true},
    {.size = SIZE, .cluster_bits = 14, .extended_l2 = true},
    {.size = SIZE, .cluster_bits = 10, .refcount_bits = 64},
};

START_TEST(what_was_flushed_survives_a_loss_of_power)
{
    struct qcow2_create_options o = kinds[_i / 2];
    bool rests = _i % 2; /* closed as one that is exchanged below a guest that stands still */
    struct disk_chain *c;
    uint8_t *start;
    uint64_t start_size;
    char command[128];

    o.backing = "base";
    o.backing_format = "raw";
    make_images(&o);
    start = read_file(&start_size);
    seed = 1234567 + (unsigned)_i;
    c = open_it(false, QCOW2_USE);
    noting = true;
    run_guest(c->layer[0].q);
    if (rests) {
        ck_assert_int_eq(qcow2_flush(c->layer[0].q), 0);
        qcow2_rest(c->layer[0].q);
    }
    ck_assert_int_eq(disk_chain_close(c), 0);
    noting = false;
    for (unsigned n = 0; n < CUTS; n++) {
        unsigned cut = n ? (unsigned)below(events) : events;

        make_file(start, start_size, cut);
        check_tables(true, o.lazy_refcounts);
        check_guest(cut);
        check_tables(o.version == 2, false);
        check_guest(cut);
    }
    free(start);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *t = tcase_create("loss of power");

    tcase_set_timeout(t, 100);
    tcase_add_loop_test(t, what_was_flushed_survives_a_loss_of_power, 0, 2 * ARRAY_SIZE(kinds));
    suite_add_tcase(s, t);
}

UNIT_TEST_MAIN("qcow2 power", add_tests)
