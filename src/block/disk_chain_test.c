/* SPDX-License-Identifier: MIT */
/* Which files a disk opens, which it does not, and in which format; layers that are thrown away. */
#include "block/disk_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vz/error.h>

#include "block/blk_disk.h"
#include "block/blk_fixture.h"

#define SIZE (2 * MIB)

static struct vz_error error;
static char folder[64];

static const char *in(const char *name)
{
    static char path[8][160];
    static unsigned turn;

    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void setup(void)
{
    strcpy(folder, "./disk_chain_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(mkdir(in("a"), 0700), 0);
    ck_assert_int_eq(mkdir(in("a/deep"), 0700), 0);
    ck_assert_int_eq(mkdir(in("b"), 0700), 0);
}

static void teardown(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void make_raw(const char *name, uint8_t value)
{
    int fd = open(in(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t *data = malloc(SIZE);

    memset(data, value, SIZE);
    ck_assert_int_eq(write(fd, data, SIZE), (ssize_t)SIZE);
    close(fd);
    free(data);
}

/* format "": not said, as old programs do */
static void make(const char *name, const char *backing, const char *format)
{
    const struct qcow2_create_options o = {.size = SIZE, .cluster_bits = 12, .backing = backing,
                                           .backing_format = format};
    int fd = open(in(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_msg(!qcow2_create(fd, &o, &error), "%s", error.text);
    close(fd);
}

static int try(const char *name, const char *allowed, struct disk_chain **ret)
{
    const struct disk_chain_options o = {.path = in(name), .format = DISK_FORMAT_QCOW2,
                                         .backing = allowed, .sync = BLK_SYNC_NONE};

    return disk_chain_open(&o, ret, &error);
}

static void expect(const char *name, const char *allowed, unsigned layers)
{
    struct disk_chain *c;

    ck_assert_msg(!try(name, allowed, &c), "%s", error.text);
    ck_assert_uint_eq(c->count, layers);
    ck_assert_int_eq(disk_chain_close(c), 0);
}

static void expect_not(const char *name, const char *allowed, int err, const char *text)
{
    struct disk_chain *c;

    ck_assert_int_eq(try(name, allowed, &c), -err);
    ck_assert_msg(strstr(error.text, text), "%s", error.text);
}

START_TEST(backing_files_lie_where_the_caller_allows)
{
    char absolute[4096];

    setup();
    make_raw("a/base", 1);
    make_raw("a/deep/base", 1);
    make_raw("b/base", 1);
    make("a/near", "base", "raw");
    expect("a/near", NULL, 2);
    make("a/below", "deep/base", "raw");
    expect("a/below", NULL, 2);
    make("a/dots", "../a/base", "raw");
    expect("a/dots", NULL, 2);

    make("a/away", "../b/base", "raw");
    expect_not("a/away", NULL, EACCES, "backing=");
    expect("a/away", in("b"), 2);
    expect("a/away", in("b/base"), 2);
    expect_not("a/away", in("a/base"), EACCES, "b/base is in another folder");
    make_raw("b/base2", 1);
    expect_not("a/away", in("b/base2"), EACCES, "b/base");
    ck_assert_ptr_nonnull(realpath(in("b/base"), absolute));
    make("a/absolute", absolute, "raw");
    expect_not("a/absolute", NULL, EACCES, "another folder");
    expect("a/absolute", in("b"), 2);

    /* Where a link leads is what counts. */
    ck_assert_int_eq(symlink("../b/base", in("a/link")), 0);
    make("a/linked", "link", "raw");
    expect_not("a/linked", NULL, EACCES, "another folder");
    make("a/missing", "nobody", "raw");
    expect_not("a/missing", NULL, ENOENT, "nobody");
    make("a/remote", "nbd://example.org/x", "raw");
    expect_not("a/remote", NULL, ENOTSUP, "nbd://");
    make("a/json", "json:{\"file.filename\":\"/etc/passwd\"}", "raw");
    expect_not("a/json", NULL, ENOTSUP, "json");

    /* The base's own base is held to the same. */
    make("a/mid", "../b/base", "raw");
    make("a/top", "mid", "qcow2");
    expect_not("a/top", NULL, EACCES, "b/base");
    expect("a/top", in("b"), 3);
    make("b/mid", "base", "raw");
    make("a/top", "../b/mid", "qcow2");
    expect_not("a/top", in("b/mid"), EACCES, "b/base");
    expect("a/top", in("b"), 3);
    teardown();
}
END_TEST

START_TEST(formats_of_backing_files_are_not_guessed)
{
    setup();
    make_raw("a/raw", 1);
    make("a/qcow2", NULL, NULL);
    make("a/top", "raw", "");
    expect("a/top", NULL, 2);
    make("a/top", "qcow2", "");
    expect_not("a/top", NULL, EINVAL, "format=qcow2");
    make("a/top", "qcow2", "qcow2");
    expect("a/top", NULL, 2);
    make("a/top", "qcow2", "raw"); /* as its guest sees it */
    expect("a/top", NULL, 2);
    make("a/top", "raw", "vmdk");
    expect_not("a/top", NULL, ENOTSUP, "'vmdk'");
    make("a/top", "raw", "qcow2");
    expect_not("a/top", NULL, EINVAL, "not a qcow2 image");
    teardown();
}
END_TEST

START_TEST(chains_end)
{
    char name[32], below[32];

    setup();
    make("a/self", "self", "qcow2");
    expect_not("a/self", NULL, ELOOP, "its own backing file");
    make("a/x", "y", "qcow2");
    make("a/y", "x", "qcow2");
    expect_not("a/x", NULL, ELOOP, "its own backing file");
    make("a/0", NULL, NULL);
    for (unsigned i = 1; i < DISK_LAYERS_MAX; i++) {
        snprintf(name, sizeof(name), "a/%u", i);
        snprintf(below, sizeof(below), "%u", i - 1);
        make(name, below, "qcow2");
    }
    expect(name, NULL, DISK_LAYERS_MAX);
    make("a/top", name + 2, "qcow2");
    expect_not("a/top", NULL, ELOOP, "layers");
    teardown();
}
END_TEST

START_TEST(one_writer_or_many_readers_of_each_layer)
{
    struct disk_chain *one, *two, *three;

    setup();
    make("a/base", NULL, NULL);
    make("a/one", "base", "qcow2");
    make("a/two", "base", "qcow2");
    ck_assert_int_eq(try("a/one", NULL, &one), 0);
    ck_assert_int_eq(try("a/two", NULL, &two), 0);
    ck_assert_int_eq(try("a/one", NULL, &three), -EBUSY);
    ck_assert_msg(strstr(error.text, "disk_chain_test (process "), "%s", error.text);
    ck_assert_int_eq(try("a/base", NULL, &three), -EBUSY); /* nobody writes under others */
    ck_assert_int_eq(disk_chain_close(one), 0);
    ck_assert_int_eq(disk_chain_close(two), 0);
    ck_assert_int_eq(try("a/base", NULL, &three), 0);
    ck_assert_int_eq(try("a/one", NULL, &one), -EBUSY);
    ck_assert_msg(strstr(error.text, "a/base"), "%s", error.text);
    ck_assert_int_eq(disk_chain_close(three), 0);
    teardown();
}
END_TEST

/* ---- Thrown away ---------------------------------------------------------------------------- */

static struct disk_chain *open_ephemeral(const char *name, enum disk_format format)
{
    const struct disk_chain_options o = {.path = in(name), .format = format, .ephemeral = true};
    struct disk_chain *c;

    ck_assert_msg(!disk_chain_open(&o, &c, &error), "%s", error.text);
    return c;
}

START_TEST(an_ephemeral_layer_leaves_nothing)
{
    uint8_t data[4096], got[4096];
    struct iovec out = {data, sizeof(data)}, back = {got, sizeof(got)};

    setup();
    make_raw("a/raw", 7);
    make("a/over", "raw", "raw");
    setenv("TMPDIR", in("b"), 1);
    for (unsigned n = 0; n < 2; n++) {
        const char *name = n ? "a/over" : "a/raw";
        enum disk_format format = n ? DISK_FORMAT_QCOW2 : DISK_FORMAT_RAW;
        struct disk_chain *one = open_ephemeral(name, format), *two = open_ephemeral(name, format);

        ck_assert_uint_eq(one->count, n ? 3 : 2);
        ck_assert_uint_eq(one->layer[0].size, SIZE);
        memset(data, 0x33, sizeof(data));
        ck_assert_int_eq(qcow2_write(one->layer[0].q, 8192, 4096, &out, 1), 0);
        ck_assert_int_eq(qcow2_zero(one->layer[0].q, 16384, 4096, true), 0);
        ck_assert_int_eq(qcow2_flush(one->layer[0].q), 0);
        ck_assert_int_eq(layer_read(one->layer, 8192, 4096, &back, 1), 0);
        ck_assert_mem_eq(got, data, 4096);
        ck_assert_int_eq(layer_read(one->layer, 16384, 4096, &back, 1), 0);
        ck_assert(is_zero(got, 4096));
        memset(data, 7, sizeof(data));
        ck_assert_int_eq(layer_read(two->layer, 8192, 4096, &back, 1), 0);
        ck_assert_mem_eq(got, data, 4096);
        ck_assert_uint_eq(count_entries(in("b")), 2); /* . and .. */
        ck_assert_int_eq(disk_chain_close(one), 0);
        ck_assert_int_eq(disk_chain_close(two), 0);
        one = open_ephemeral(name, format);
        ck_assert_int_eq(layer_read(one->layer, 8192, 4096, &back, 1), 0);
        ck_assert_mem_eq(got, data, 4096);
        ck_assert_int_eq(disk_chain_close(one), 0);
    }
    setenv("TMPDIR", in("nowhere"), 1);
    ck_assert_int_ne(disk_chain_open(&(struct disk_chain_options){
        .path = in("a/raw"), .format = DISK_FORMAT_RAW, .ephemeral = true}, &(struct disk_chain *){NULL},
        &error), 0);
    ck_assert_msg(strstr(error.text, "nowhere"), "%s", error.text);
    teardown();
}
END_TEST

/* ---- As a disk ------------------------------------------------------------------------------ */

START_TEST(a_disk_of_each_format)
{
    static const struct {
        enum disk_format format;
        bool ephemeral;
        const char *name, *backend;
    } kind[] = {{DISK_FORMAT_RAW, false, "a/raw", "raw"},
                {DISK_FORMAT_AUTOMATIC, false, "a/raw", "raw"},
                {DISK_FORMAT_AUTOMATIC, true, "a/raw", "qcow2"},
                {DISK_FORMAT_AUTOMATIC, false, "a/disk.qcow2", "qcow2"},
                {DISK_FORMAT_QCOW2, true, "a/disk.qcow2", "qcow2"}};
    static uint8_t out[65536], got[65536];
    struct loop *loop;

    setup();
    make_raw("a/raw", 7);
    make("a/disk.qcow2", NULL, NULL);
    ck_assert_int_eq(loop_create(&loop), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(kind); i++) {
        const struct blk_disk_options o = {.path = in(kind[i].name), .format = kind[i].format,
                                           .ephemeral = kind[i].ephemeral};
        unsigned fds = count_fds();
        struct blk *b;

        ck_assert_msg(!blk_disk_open(&o, loop, &b, &error), "%s", error.text);
        ck_assert_str_eq(b->ops->name, kind[i].backend);
        ck_assert_uint_eq(b->size, SIZE);
        fill(out, sizeof(out), i);
        ck_assert_int_eq(do_op(b, BLK_WRITE, 65536 + 512, out, sizeof(out)), 0);
        ck_assert_int_eq(do_op(b, BLK_READ, 65536 + 512, got, sizeof(got)), 0);
        ck_assert_mem_eq(got, out, sizeof(out));
        ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
        ck_assert_int_eq(do_op(b, BLK_WRITE, 65536 + 512, out, 1024), 0); /* in place */
        ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
        ck_assert_int_eq(do_op(b, BLK_ZERO, 65536 + 512, NULL, 8192), 0);
        ck_assert_int_eq(do_op(b, BLK_DISCARD, 0, NULL, 65536), 0);
        ck_assert_int_eq(do_op(b, BLK_READ, 65536 + 512, got, sizeof(got)), 0);
        ck_assert(is_zero(got, 8192));
        ck_assert_mem_eq(got + 8192, out + 8192, sizeof(out) - 8192);
        ck_assert_int_eq(do_op(b, BLK_READ, SIZE, got, 512), -EINVAL);
        blk_close(b);
        ck_assert_uint_eq(count_fds(), fds);
    }
    loop_destroy(loop);
    teardown();
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, backing_files_lie_where_the_caller_allows);
    UNIT_TEST(s, formats_of_backing_files_are_not_guessed);
    UNIT_TEST(s, chains_end);
    UNIT_TEST(s, one_writer_or_many_readers_of_each_layer);
    UNIT_TEST(s, an_ephemeral_layer_leaves_nothing);
    UNIT_TEST(s, a_disk_of_each_format);
}

UNIT_TEST_MAIN("disk chain", add_tests)
