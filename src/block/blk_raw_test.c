/* SPDX-License-Identifier: MIT */
/* The raw disk on real files, through both engines and all modes. */
#include "block/blk_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <vz/error.h>

#include "base/clock.h"
#include "block/blk_filters.h"
#include "block/blk_fixture.h"

#define SIZE (1 * MIB)

static struct loop *loop;
static char path[64];
static struct vz_error error;

static void setup(uint64_t size)
{
    int fd;

    if (!loop)
        ck_assert_int_eq(loop_create(&loop), 0);
    strcpy(path, "./blk_raw_test.XXXXXX"); /* not /tmp, which may be without O_DIRECT */
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static void teardown(struct blk *b)
{
    blk_close(b);
    unlink(path);
    loop_destroy(loop);
    loop = NULL;
}

static int try_open(const struct blk_raw_options *o, struct blk **ret)
{
    struct blk_raw_options with_path = *o;

    with_path.path = path;
    return blk_raw_open(&with_path, loop, ret, &error);
}

static struct blk *open_raw(const struct blk_raw_options *o)
{
    struct blk *b;
    int r = try_open(o, &b);

    ck_assert_msg(!r, "%s", error.text);
    return b;
}

/* Every engine, caching mode and synchronization mode that this host has. */
static bool nth_mode(unsigned n, struct blk_raw_options *ret)
{
    *ret = (struct blk_raw_options){.engine = BLK_ENGINE_URING + n % 2, .caching = n / 2 % 3,
                                    .sync = n / 6};
    return n < 18;
}

static bool is_missing(int r)
{
    return r == -ENOTSUP; /* no io_uring, or no O_DIRECT, here */
}

static void check_file(uint64_t offset, const uint8_t *want, size_t len)
{
    uint8_t *got = malloc(len);
    int fd = open(path, O_RDONLY);

    ck_assert_int_eq(pread(fd, got, len, (off_t)offset), (ssize_t)len);
    ck_assert_mem_eq(got, want, len);
    close(fd);
    free(got);
}

START_TEST(all_modes_write_and_read_back)
{
    struct blk_raw_options o;
    unsigned modes = 0;

    for (unsigned n = 0; nth_mode(n, &o); n++) {
        static _Alignas(4096) uint8_t out[65536], in[65536];
        struct job j;
        struct blk *b;
        int r;

        setup(SIZE);
        r = try_open(&o, &b);
        if (is_missing(r)) {
            unlink(path);
            continue;
        }
        ck_assert_msg(!r, "%s", error.text);
        modes++;
        ck_assert_uint_eq(b->size, SIZE);
        fill(out, sizeof(out), n);
        ck_assert_int_eq(do_op(b, BLK_WRITE, 65536, out, 65536), 0);
        ck_assert_int_eq(do_op(b, BLK_WRITE, 512, out + 1, 1536), 0); /* aligned to nothing */
        job_init(&j, b, BLK_WRITE, 256 * KIB, out, 4096);
        j.req.fua = true;
        ck_assert_int_eq(job_run(&j, b), 0);
        ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
        ck_assert_int_eq(do_op(b, BLK_READ, 65536, in, 65536), 0);
        ck_assert_mem_eq(in, out, 65536);
        ck_assert_int_eq(do_op(b, BLK_READ, 512, in + 3, 1536), 0);
        ck_assert_mem_eq(in + 3, out + 1, 1536);
        check_file(65536, out, 65536);
        check_file(512, out + 1, 1536);
        check_file(256 * KIB, out, 4096);
        ck_assert_int_eq(do_op(b, BLK_ZERO, 65536, NULL, 4096), 0);
        ck_assert_int_eq(do_op(b, BLK_READ, 65536, in, 8192), 0);
        ck_assert(is_zero(in, 4096));
        ck_assert_mem_eq(in + 4096, out + 4096, 4096);
        teardown(b);
    }
    ck_assert_uint_ge(modes, 6);
}
END_TEST

#define MANY 600 /* more than a ring holds */

START_TEST(many_at_once_complete_exactly_once)
{
    for (unsigned engine = BLK_ENGINE_URING; engine <= BLK_ENGINE_THREADS; engine++) {
        const struct blk_raw_options o = {.engine = engine};
        static struct job j[MANY];
        static uint8_t data[MANY][512];
        unsigned order = 0;
        struct blk *b;

        setup(SIZE);
        if (is_missing(try_open(&o, &b))) {
            unlink(path);
            continue;
        }
        ck_assert_str_eq(blk_raw_engine_name(b),
                         engine == BLK_ENGINE_URING ? "io_uring" : "threads");
        blk_plug(b);
        for (unsigned i = 0; i < MANY; i++) {
            fill(data[i], 512, i);
            job_init(&j[i], b, BLK_WRITE, i * 512, data[i], 512);
            j[i].quiet = true;
            j[i].order = &order;
            blk_submit(b, &j[i].req);
        }
        blk_unplug(b);
        for (unsigned i = 0; i < MANY; i++)
            ck_assert_uint_eq(j[i].done, 0);
        blk_drain_wait(b);
        ck_assert_uint_eq(order, MANY);
        for (unsigned i = 0; i < MANY; i++) {
            ck_assert_uint_eq(j[i].done, 1);
            ck_assert_int_eq(j[i].err, 0);
        }
        check_file(0, data[0], sizeof(data));
        teardown(b);
    }
}
END_TEST

static unsigned left;

static void count_down(struct blk_req *req, int err)
{
    struct job *j = container_of(req, struct job, req);

    j->done++;
    j->err = err;
    if (!--left)
        loop_stop(j->loop);
}

START_TEST(many_at_once_through_the_loop)
{
    const struct blk_raw_options o = {0};
    static struct job j[MANY];
    static uint8_t data[MANY][1024];
    struct blk *b;

    setup(SIZE);
    b = open_raw(&o);
    left = MANY;
    for (unsigned i = 0; i < MANY; i++) {
        fill(data[i], 1024, i);
        job_init(&j[i], b, BLK_WRITE, i * 1024, data[i], 1024);
        j[i].req.done = count_down;
        blk_submit(b, &j[i].req);
    }
    loop_run(loop);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert(j[i].done == 1 && !j[i].err);
    check_file(0, data[0], sizeof(data));
    teardown(b);
}
END_TEST

START_TEST(many_pieces_in_one_request)
{
    for (unsigned engine = BLK_ENGINE_URING; engine <= BLK_ENGINE_THREADS; engine++) {
        const struct blk_raw_options o = {.engine = engine, .caching = BLK_CACHING_UNCACHED};
        static uint8_t out[512 * 1024], in[512 * 1024];
        static struct iovec iov[1024];
        struct job j;
        struct blk *b;

        setup(SIZE);
        if (is_missing(try_open(&o, &b))) {
            unlink(path);
            continue;
        }
        fill(out, sizeof(out), 4);
        for (unsigned i = 0; i < 1024; i++)
            iov[i] = (struct iovec){out + i * 512, 512};
        job_init(&j, b, BLK_WRITE, 0, NULL, sizeof(out));
        j.req.iov = iov;
        j.req.iov_count = 1024;
        ck_assert_int_eq(job_run(&j, b), 0);
        ck_assert_int_eq(do_op(b, BLK_READ, 0, in, sizeof(in)), 0);
        ck_assert_mem_eq(in, out, sizeof(in));
        teardown(b);
    }
}
END_TEST

START_TEST(discard_gives_space_back)
{
    static uint8_t data[SIZE];
    struct stat st;
    blkcnt_t before;
    struct blk *b;

    setup(SIZE);
    b = open_raw(&(struct blk_raw_options){0});
    memset(data, 0xff, sizeof(data));
    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, SIZE), 0);
    ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
    stat(path, &st);
    before = st.st_blocks;
    ck_assert_int_ge(before, (blkcnt_t)(SIZE / 512));
    ck_assert_int_eq(do_op(b, BLK_DISCARD, 0, NULL, SIZE / 2), 0);
    stat(path, &st);
    ck_assert_int_le(st.st_blocks, before - (blkcnt_t)(SIZE / 2 / 512));
    ck_assert_int_eq(st.st_size, (off_t)SIZE);
    ck_assert_int_eq(do_op(b, BLK_READ, SIZE / 2, data, 512), 0);
    ck_assert_uint_eq(data[0], 0xff);
    teardown(b);
}
END_TEST

START_TEST(zeroes_keep_their_space_unless_allowed)
{
    static uint8_t data[SIZE];
    struct stat st;
    struct job j;
    struct blk *b;

    setup(SIZE);
    b = open_raw(&(struct blk_raw_options){0});
    memset(data, 0xff, sizeof(data));
    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, SIZE), 0);
    ck_assert_int_eq(do_op(b, BLK_ZERO, 0, NULL, SIZE), 0);
    ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
    stat(path, &st);
    ck_assert_int_ge(st.st_blocks, (blkcnt_t)(SIZE / 512));
    job_init(&j, b, BLK_ZERO, 0, NULL, SIZE);
    j.req.unmap = true;
    ck_assert_int_eq(job_run(&j, b), 0);
    stat(path, &st);
    ck_assert_int_lt(st.st_blocks, (blkcnt_t)(SIZE / 1024));
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, SIZE), 0);
    ck_assert(is_zero(data, SIZE));
    teardown(b);
}
END_TEST

START_TEST(a_second_writer_is_refused)
{
    const struct blk_raw_options writer = {0}, reader = {.read_only = true};
    struct blk *b, *other, *third;

    setup(SIZE);
    b = open_raw(&writer);
    ck_assert_int_eq(try_open(&writer, &other), -EBUSY);
    ck_assert_ptr_nonnull(strstr(error.text, "locked"));
    ck_assert_int_eq(try_open(&reader, &other), -EBUSY);
    blk_close(b);
    b = open_raw(&reader);
    other = open_raw(&reader);
    ck_assert_int_eq(try_open(&writer, &third), -EBUSY);
    blk_close(other);
    blk_close(b);
    teardown(open_raw(&writer));
}
END_TEST

START_TEST(read_only_needs_no_write_permission)
{
    uint8_t data[512];
    struct blk *b;

    setup(SIZE);
    ck_assert_int_eq(chmod(path, 0444), 0);
    b = open_raw(&(struct blk_raw_options){.read_only = true});
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), 0);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, 512), -EROFS);
    ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
    teardown(b);
}
END_TEST

START_TEST(what_is_no_image_is_refused_with_reason)
{
    static const struct {
        off_t size;
        const char *text;
    } bad[] = {{0, "empty"}, {1000, "512"}};
    struct blk_raw_options o = {0};
    struct blk *b;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        setup((uint64_t)bad[i].size);
        ck_assert_int_eq(try_open(&o, &b), -EINVAL);
        ck_assert_msg(strstr(error.text, bad[i].text), "%s", error.text);
        unlink(path);
    }
    ck_assert_int_eq(try_open(&o, &b), -ENOENT);
    ck_assert_ptr_nonnull(strstr(error.text, path));
    o = (struct blk_raw_options){.path = "/dev/null"};
    ck_assert_int_eq(blk_raw_open(&o, loop, &b, &error), -EINVAL);
    o = (struct blk_raw_options){.path = ".", .read_only = true};
    ck_assert_int_eq(blk_raw_open(&o, loop, &b, &error), -EINVAL);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    o = (struct blk_raw_options){.path = path, .read_only = true};
    ck_assert_int_eq(blk_raw_open(&o, loop, &b, &error), -EINVAL);
    unlink(path);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

START_TEST(another_format_is_refused_unless_it_is_wanted_raw)
{
    struct blk_raw_options o = {0};
    struct blk *b;
    int fd;

    setup(SIZE);
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "QFI\xfb", 4, 0), 4);
    close(fd);
    ck_assert_int_eq(try_open(&o, &b), -EINVAL);
    ck_assert_msg(strstr(error.text, path) && strstr(error.text, "qcow2"), "%s", error.text);
    o.any_content = true;
    ck_assert_int_eq(try_open(&o, &b), 0);
    teardown(b);
}
END_TEST

START_TEST(a_descriptor_will_do)
{
    struct blk_raw_options o = {0};
    uint8_t data[512] = {3};
    struct blk *b;

    setup(SIZE);
    o.fd = open(path, O_RDONLY);
    ck_assert_int_eq(blk_raw_open(&o, loop, &b, &error), -EBADF); /* cannot be written */
    close(o.fd);
    o.fd = open(path, O_RDWR);
    ck_assert_int_eq(blk_raw_open(&o, loop, &b, &error), 0);
    close(o.fd);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, 512), 0);
    check_file(0, data, 512);
    teardown(b);
}
END_TEST

/* The limit stands for a full disk: it comes as an error of write() as well. */
START_TEST(a_full_disk_is_an_error)
{
    for (unsigned engine = BLK_ENGINE_URING; engine <= BLK_ENGINE_THREADS; engine++) {
        const struct blk_raw_options o = {.engine = engine};
        struct rlimit limit = {.rlim_cur = SIZE / 2, .rlim_max = RLIM_INFINITY};
        static uint8_t data[8192] = {1};
        struct blk *b;

        signal(SIGXFSZ, SIG_IGN);
        setup(SIZE);
        if (is_missing(try_open(&o, &b))) {
            unlink(path);
            continue;
        }
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, 8192), 0);
        ck_assert_int_eq(do_op(b, BLK_WRITE, SIZE / 2, data, 8192), -EFBIG);
        ck_assert_int_eq(do_op(b, BLK_WRITE, SIZE / 2 - 4096, data, 8192), -EFBIG); /* half */
        ck_assert_uint_eq(b->stats.bytes_written, 8192);
        limit.rlim_cur = RLIM_INFINITY;
        setrlimit(RLIMIT_FSIZE, &limit);
        ck_assert_int_eq(do_op(b, BLK_WRITE, SIZE / 2, data, 8192), 0);
        teardown(b);
    }
}
END_TEST

/* A file system of 256 KiB under a sparse image of 1 MiB, where we may mount one. */
START_TEST(a_full_file_system_is_an_error)
{
    static uint8_t data[128 * 1024] = {1};
    char dir[] = "/tmp/blk_raw_test.XXXXXX";
    struct blk *b;
    unsigned failed = 0;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", dir, "tmpfs", 0, "size=256k") < 0) {
        rmdir(dir);
        return;
    }
    ck_assert_int_eq(loop_create(&loop), 0);
    snprintf(path, sizeof(path), "%s/image", dir);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(ftruncate(fd, SIZE), 0);
    close(fd);
    b = open_raw(&(struct blk_raw_options){0});
    for (unsigned i = 0; i < SIZE / sizeof(data); i++) {
        int r = do_op(b, BLK_WRITE, i * sizeof(data), data, sizeof(data));

        ck_assert(!r || r == -ENOSPC);
        failed += r != 0;
    }
    ck_assert_uint_ge(failed, 6);
    ck_assert_int_eq(do_op(b, BLK_DISCARD, 0, NULL, SIZE), 0);
    ck_assert_int_eq(do_op(b, BLK_WRITE, SIZE / 2, data, sizeof(data)), 0); /* room again */
    teardown(b);
    umount(dir);
    rmdir(dir);
}
END_TEST

START_TEST(an_image_truncated_under_us_gives_errors)
{
    for (unsigned engine = BLK_ENGINE_URING; engine <= BLK_ENGINE_THREADS; engine++) {
        const struct blk_raw_options o = {.engine = engine};
        uint8_t data[8192];
        struct blk *b;

        setup(SIZE);
        if (is_missing(try_open(&o, &b))) {
            unlink(path);
            continue;
        }
        ck_assert_int_eq(truncate(path, 65536), 0);
        ck_assert_int_eq(do_op(b, BLK_READ, 512 * KIB, data, 8192), -EIO);
        ck_assert_int_eq(do_op(b, BLK_READ, 65536 - 4096, data, 8192), -EIO);
        ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 8192), 0);
        blk_check_size(b);
        ck_assert_uint_eq(b->size, 65536);
        ck_assert_int_eq(do_op(b, BLK_WRITE, 65536, data, 8192), -EINVAL);
        teardown(b);
    }
}
END_TEST

static void resized(void *arg)
{
    ++*(unsigned *)arg;
    loop_stop(loop);
}

START_TEST(a_live_resize_is_noticed)
{
    static const struct blk_client client = {.resized = resized};
    uint8_t data[512] = {1};
    unsigned told = 0;
    struct blk *b;

    setup(SIZE);
    b = open_raw(&(struct blk_raw_options){0});
    ck_assert_int_eq(blk_attach(b, &client, &told), 0);
    ck_assert_int_eq(truncate(path, 2 * SIZE + 100), 0);
    loop_run(loop); /* by itself, within a second */
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(b->size, 2 * SIZE);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 2 * SIZE - 512, data, 512), 0);
    blk_check_size(b);
    ck_assert_uint_eq(told, 1);
    blk_detach(b);
    teardown(b);
}
END_TEST

START_TEST(a_disk_grows_while_it_is_used)
{
    static const struct blk_client client = {.resized = resized};
    static const uint32_t delay[BLK_OP_COUNT] = {5, 5, 5, 5, 5};
    uint8_t data[512] = {7};
    unsigned told = 0;
    struct blk *b;
    struct job j;

    setup(SIZE);
    b = open_raw(&(struct blk_raw_options){0});
    ck_assert_int_eq(blk_delay_create(b, delay, &b), 0);
    ck_assert_int_eq(blk_attach(b, &client, &told), 0);
    job_init(&j, b, BLK_WRITE, 0, data, sizeof(data));
    blk_submit(b, &j.req);
    ck_assert_int_eq(do_grow(b, 2 * SIZE), 0);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(b->size, 2 * SIZE);
    ck_assert_uint_eq(b->inflight, 0);
    ck_assert_uint_eq(j.done, 1);
    loop_run(loop); /* which its end has stopped */
    ck_assert_int_eq(do_op(b, BLK_WRITE, 2 * SIZE - 512, data, 512), 0);
    ck_assert_int_eq(do_grow(b, SIZE), -EINVAL);
    ck_assert_int_eq(do_grow(b, 2 * SIZE + 1), -EINVAL);
    ck_assert_int_eq(do_grow(b, 2 * SIZE), 0);
    ck_assert_uint_eq(told, 1);
    blk_detach(b);
    teardown(b);
}
END_TEST

START_TEST(a_disk_that_is_only_read_does_not_grow)
{
    struct blk *b;

    setup(SIZE);
    b = open_raw(&(struct blk_raw_options){.read_only = true});
    ck_assert_int_eq(do_grow(b, 2 * SIZE), -EROFS);
    ck_assert_uint_eq(b->size, SIZE);
    teardown(b);
}
END_TEST

START_TEST(leaves_no_descriptor_or_thread_behind)
{
    unsigned fds = 0, threads = 0;
    struct blk *b;

    for (unsigned i = 0; i < 60; i++) {
        setup(SIZE);
        b = open_raw(&(struct blk_raw_options){.engine = i % 2 ? BLK_ENGINE_THREADS
                                                               : BLK_ENGINE_AUTO});
        ck_assert_int_eq(try_open(&(struct blk_raw_options){0}, &b), -EBUSY);
        teardown(b);
        if (i) /* the first may bring a thread of a sanitizer's, and the kernel's */
            continue;
        fds = count_fds();
        threads = count_threads();
    }
    ck_assert_uint_eq(count_fds(), fds);
    for (unsigned i = 0; count_threads() > threads && i < 100; i++)
        usleep(10000); /* the kernel's, of a ring that is going away */
    ck_assert_uint_le(count_threads(), threads);
}
END_TEST

/* The ring's descriptor, among all that are open; -1: there is none. */
static int ring_fd(void)
{
    char name[32], to[64];

    for (int fd = 3; fd < 64; fd++) {
        ssize_t n;

        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        n = readlink(name, to, sizeof(to) - 1);
        if (n > 0 && (to[n] = '\0', strstr(to, "[io_uring]")))
            return fd;
    }
    return -1;
}

/* The same rings once more, for who has only their descriptor. */
static bool take_ring(int fd, struct io_uring *ret)
{
    struct io_uring_params p = {.flags = IORING_SETUP_R_DISABLED};
    struct io_uring like;
    bool taken;

    if (io_uring_queue_init_params(128, &like, &p) < 0)
        return false;
    taken = io_uring_queue_mmap(fd, &p, ret) == 0;
    io_uring_queue_exit(&like);
    return taken;
}

/* What no filter of system calls sees: whoever has the descriptor of a disk's ring gets nothing done by it. */
START_TEST(a_ring_does_nothing_else)
{
    static const uint8_t but[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC};
    struct io_uring ring;
    struct blk *b;
    struct blk_raw_options o = {.engine = BLK_ENGINE_URING};

    setup(SIZE);
    if (is_missing(try_open(&o, &b)) || !take_ring(ring_fd(), &ring)) {
        unlink(path);
        return;
    }
    for (unsigned op = 0; op < IORING_OP_LAST + 8; op++) {
        struct io_uring_sqe *sqe;
        struct io_uring_cqe *cqe;

        if (memchr(but, (int)op, sizeof(but)))
            continue;
        sqe = io_uring_get_sqe(&ring);
        memset(sqe, 0, sizeof(*sqe));
        sqe->opcode = (uint8_t)op;
        sqe->fd = AT_FDCWD;
        sqe->addr = (uintptr_t)path;
        ck_assert_int_eq(io_uring_submit(&ring), 1);
        ck_assert_int_eq(io_uring_wait_cqe(&ring, &cqe), 0);
        ck_assert_msg(cqe->res == -EACCES || cqe->res == -EINVAL, "operation %u: %d", op, cqe->res);
        io_uring_cqe_seen(&ring, cqe);
    }
    ck_assert_int_lt(io_uring_register_files(&ring, &(int){STDERR_FILENO}, 1), 0);
    teardown(b);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, all_modes_write_and_read_back);
    UNIT_TEST(s, many_at_once_complete_exactly_once);
    UNIT_TEST(s, many_at_once_through_the_loop);
    UNIT_TEST(s, many_pieces_in_one_request);
    UNIT_TEST(s, discard_gives_space_back);
    UNIT_TEST(s, zeroes_keep_their_space_unless_allowed);
    UNIT_TEST(s, a_second_writer_is_refused);
    UNIT_TEST(s, read_only_needs_no_write_permission);
    UNIT_TEST(s, what_is_no_image_is_refused_with_reason);
    UNIT_TEST(s, another_format_is_refused_unless_it_is_wanted_raw);
    UNIT_TEST(s, a_descriptor_will_do);
    UNIT_TEST(s, a_full_disk_is_an_error);
    UNIT_TEST(s, a_full_file_system_is_an_error);
    UNIT_TEST(s, an_image_truncated_under_us_gives_errors);
    UNIT_TEST(s, a_live_resize_is_noticed);
    UNIT_TEST(s, a_disk_grows_while_it_is_used);
    UNIT_TEST(s, a_disk_that_is_only_read_does_not_grow);
    UNIT_TEST(s, a_ring_does_nothing_else);
    UNIT_TEST(s, leaves_no_descriptor_or_thread_behind);
}

UNIT_TEST_MAIN("blk_raw", add_tests)
