/* SPDX-License-Identifier: MIT */
/* Disks on NBD servers: nbdkit with what makes servers slow, wrong, forgetful and mortal; and servers of our own that
 * answer nonsense, or nothing. Without nbdkit nothing of this can be tested, and is not. */
#include "block/blk_nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <vz/error.h>

#include "base/clock.h"
#include "block/blk_filters.h"
#include "block/blk_fixture.h"

#define SIZE (4 * MIB)

static struct loop *loop;
static char folder[64], socket_path[96], image[96], uri[160];
static struct vz_error error;
static pid_t server;
static unsigned connected, lost, refused;

static bool has_nbdkit(void)
{
    return access("/usr/bin/nbdkit", X_OK) == 0 || access("/usr/sbin/nbdkit", X_OK) == 0;
}

static void setup(void)
{
    int fd;

    strcpy(folder, "/tmp/vz-nbd-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
    snprintf(image, sizeof(image), "%s/image", folder);
    snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", socket_path);
    fd = open(image, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(ftruncate(fd, SIZE), 0);
    close(fd);
    ck_assert_int_eq(loop_create(&loop), 0);
}

static void stop_server(int with)
{
    if (!server)
        return;
    kill(server, with);
    if (with == SIGKILL)
        kill(server, SIGCONT);
    waitpid(server, NULL, 0);
    server = 0;
    unlink(socket_path);
}

static void teardown(struct blk *b)
{
    if (b)
        blk_close(b);
    stop_server(SIGKILL);
    unlink(image);
    rmdir(folder);
    loop_destroy(loop);
}

/* nbdkit with these words, there when this returns. */
static void serve(const char *words)
{
    char text[512], *argv[32] = {"nbdkit", "-f", "-U", socket_path}, *rest = NULL;
    unsigned n = 4;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -1;
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    snprintf(text, sizeof(text), words, image);
    for (char *w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
        argv[n++] = w;
    server = fork();
    if (!server) {
        setenv("TMPDIR", "/tmp", 1);
        execvp("nbdkit", argv);
        _exit(127);
    }
    strcpy(to.sun_path, socket_path);
    for (unsigned i = 0; r < 0 && i < 2000; i++) {
        usleep(5000);
        r = connect(fd, (struct sockaddr *)&to, sizeof(to));
    }
    ck_assert_msg(!r, "no nbdkit %s", words);
    close(fd);
}

static void on_news(void *arg, const struct vz_error *err)
{
    if (!err)
        connected++;
    else if (err->code == VZ_ERROR_NBD_DISCONNECTED)
        lost++;
    else if (err->code == VZ_ERROR_NBD_NEGOTIATION_FAILED)
        refused++;
    else
        ck_abort_msg("%s", err->text);
    loop_stop(loop);
}

static int try_open(struct blk_nbd_options o, struct blk **ret)
{
    o.uri = uri;
    o.tell = on_news;
    return blk_nbd_open(&o, loop, ret, &error);
}

static struct blk *open_disk(uint32_t timeout_ms)
{
    struct blk *b;

    ck_assert_msg(try_open((struct blk_nbd_options){.timeout_ms = timeout_ms}, &b) == 0, "%s", error.text);
    return b;
}

static void expect(struct blk *b, enum blk_op op, uint64_t offset, void *data, uint64_t len, int want)
{
    struct job j;

    job_init(&j, b, op, offset, data, len);
    blk_submit(b, &j.req);
    while (!j.done)
        loop_run(loop);
    ck_assert_msg(j.err == want, "%d: %s", op, strerror(-j.err));
}

static uint8_t data[SIZE], back[SIZE];

START_TEST(requests_reach_the_server)
{
    struct blk *b;
    struct iovec iov[3] = {{data, 512}, {data + 512, 1024}, {data + 1536, MIB}};
    struct job j;

    if (!has_nbdkit())
        return;
    setup();
    serve("file %s");
    b = open_disk(10000);
    ck_assert_uint_eq(b->size, SIZE);
    ck_assert(!b->read_only && b->discard_granularity);
    fill(data, SIZE, 1);
    expect(b, BLK_WRITE, 0, data, SIZE, 0);
    expect(b, BLK_FLUSH, 0, NULL, 0, 0);
    expect(b, BLK_READ, 0, back, SIZE, 0);
    ck_assert(!memcmp(data, back, SIZE));
    job_init(&j, b, BLK_WRITE, 4096, NULL, 1536 + MIB);
    j.req.iov = iov;
    j.req.iov_count = 3;
    j.req.fua = true;
    ck_assert_int_eq(job_run(&j, b), 0);
    expect(b, BLK_READ, 4096, back, 1536 + MIB, 0);
    ck_assert(!memcmp(data, back, 1536 + MIB));
    iov[0].iov_base = back, iov[1].iov_base = back + 512, iov[2].iov_base = back + 1536;
    memset(back, 0, SIZE);
    job_init(&j, b, BLK_READ, 4096, NULL, 1536 + MIB);
    j.req.iov = iov;
    j.req.iov_count = 3;
    ck_assert_int_eq(job_run(&j, b), 0);
    ck_assert(!memcmp(data, back, 1536 + MIB));
    expect(b, BLK_ZERO, 512, NULL, MIB, 0);
    expect(b, BLK_DISCARD, 2 * MIB, NULL, MIB, 0);
    expect(b, BLK_READ, 512, back, MIB, 0);
    ck_assert(is_zero(back, MIB));
    teardown(b);
}
END_TEST

static void refuse(const char *words, struct blk_nbd_options o, enum vz_error_code code, const char *text)
{
    struct blk *b;

    if (words)
        serve(words);
    o.timeout_ms = strstr(text, "does not answer") ? 1000 : 20000; /* a busy host's server takes its time */
    ck_assert_int_lt(try_open(o, &b), 0);
    ck_assert_msg(error.code == code && strstr(error.text, text), "%d: %s", error.code, error.text);
    ck_assert_msg(strstr(error.text, "nbd"), "%s", error.text);
    stop_server(SIGKILL);
}

START_TEST(a_start_says_what_is_wrong)
{
    const struct blk_nbd_options none = {.read_only = false};
    unsigned fds, threads;
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    fds = count_fds(), threads = count_threads();
    refuse(NULL, none, VZ_ERROR_NBD_DISCONNECTED, "");
    refuse("null size=0", none, VZ_ERROR_NBD_NEGOTIATION_FAILED, "");
    refuse("null size=100100", none, VZ_ERROR_NBD_NEGOTIATION_FAILED, "not a multiple of 512");
    refuse("--filter=blocksize-policy memory 1M blocksize-minimum=64K blocksize-preferred=64K", none, VZ_ERROR_UNSUPPORTED, "65536");
    refuse("-e one --filter=exportname memory 1M exportname=one exportname-strict=true", none,
           VZ_ERROR_NBD_NEGOTIATION_FAILED, "");
    refuse("eval get_size=echo\t1048576 pread=dd\tif=/dev/zero can_write=exit\t0 pwrite=cat", none,
           VZ_ERROR_UNSUPPORTED, "sync=none");
    strcpy(uri, "nbd://127.0.0.1:1/x");
    refuse(NULL, none, VZ_ERROR_NBD_DISCONNECTED, "refused");
    strcpy(uri, "nbd:nonsense");
    refuse(NULL, none, VZ_ERROR_INVALID, "expected nbd://");
    (void)b;
    ck_assert_uint_eq(count_fds(), fds);
    ck_assert_uint_eq(count_threads(), threads);
    teardown(NULL);
}
END_TEST

START_TEST(disks_are_as_the_server_says)
{
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("-r file %s");
    b = open_disk(5000);
    ck_assert(b->read_only);
    expect(b, BLK_WRITE, 0, data, 512, -EROFS);
    expect(b, BLK_FLUSH, 0, NULL, 0, 0);
    blk_close(b);
    stop_server(SIGKILL);
    serve("file %s");
    ck_assert_int_eq(try_open((struct blk_nbd_options){.read_only = true}, &b), 0);
    ck_assert(b->read_only);
    blk_close(b);
    stop_server(SIGKILL);
    serve("--filter=blocksize-policy memory 4M blocksize-minimum=4K blocksize-maximum=64K "
          "blocksize-error-policy=error");
    b = open_disk(5000);
    ck_assert_uint_eq(b->block_size, 4096);
    fill(data, MIB, 3);
    expect(b, BLK_WRITE, 4096, data, MIB, 0);
    expect(b, BLK_READ, 4096, back, MIB, 0);
    ck_assert(!memcmp(data, back, MIB));
    expect(b, BLK_ZERO, 4096, NULL, MIB, 0);
    expect(b, BLK_READ, 512, back, 512, -EINVAL);
    blk_close(b);
    stop_server(SIGKILL);
    /* Neither zeroes nor FUA nor trim: all that is asked for is done all the same. */
    serve("--filter=nozero --filter=fua file %s zeromode=none");
    b = open_disk(5000);
    expect(b, BLK_ZERO, 0, NULL, 3 * MIB, 0);
    expect(b, BLK_DISCARD, 0, NULL, MIB, 0);
    teardown(b);
}
END_TEST

START_TEST(errors_are_those_of_the_request)
{
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("--filter=error memory 4M error-pwrite=ENOSPC error-pwrite-rate=100%% error-trim=EIO error-trim-rate=100%%");
    b = open_disk(5000);
    expect(b, BLK_WRITE, 0, data, 4096, -ENOSPC);
    expect(b, BLK_DISCARD, 0, NULL, 4096, -EIO);
    expect(b, BLK_READ, 0, back, 4096, 0);
    expect(b, BLK_FLUSH, 0, NULL, 0, 0);
    teardown(b);
}
END_TEST

START_TEST(silence_ends_with_an_error)
{
    uint64_t start;
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("file %s");
    b = open_disk(1000);
    expect(b, BLK_WRITE, 0, data, 4096, 0);
    kill(server, SIGSTOP);
    waitpid(server, NULL, WUNTRACED);
    start = clock_mono_ns();
    expect(b, BLK_READ, 0, back, 4096, -ETIMEDOUT);
    ck_assert_uint_ge(clock_mono_ns() - start, 900 * NS_PER_MS);
    expect(b, BLK_FLUSH, 0, NULL, 0, -ETIMEDOUT); /* and without a connection */
    stop_server(SIGKILL);
    serve("file %s");
    expect(b, BLK_READ, 0, back, 4096, 0);
    ck_assert_uint_ge(lost, 1);
    ck_assert_uint_ge(connected, 1);
    teardown(b);
}
END_TEST

/* However long it would be waited for otherwise: who lets go of a request wants its memory back. */
START_TEST(a_request_can_be_cancelled)
{
    struct job cancelled, other;
    uint64_t start;
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("file %s");
    b = open_disk(0);
    job_init(&cancelled, b, BLK_READ, 0, back, 4096);
    job_init(&other, b, BLK_READ, 8192, data, 4096);
    blk_submit(b, &cancelled.req);
    blk_cancel(b, &cancelled.req);
    while (!cancelled.done) /* a server that answers loses nothing by it */
        loop_run(loop);
    ck_assert(!cancelled.err || cancelled.err == -ECANCELED);
    ck_assert_uint_eq(lost, 0);
    kill(server, SIGSTOP);
    waitpid(server, NULL, WUNTRACED);
    start = clock_mono_ns();
    job_init(&cancelled, b, BLK_READ, 0, back, 4096);
    blk_submit(b, &cancelled.req);
    blk_submit(b, &other.req);
    blk_cancel(b, &cancelled.req);
    while (!cancelled.done)
        loop_run(loop);
    ck_assert_int_lt(cancelled.err, 0);
    ck_assert_uint_ge(clock_mono_ns() - start, 900 * NS_PER_MS);
    ck_assert(!other.done);
    stop_server(SIGKILL);
    serve("file %s");
    while (!other.done)
        loop_run(loop);
    ck_assert_msg(!other.err, "%s", strerror(-other.err));
    teardown(b);
}
END_TEST

/* A process that was stopped finds its answers: it is not the server that took so long. */
START_TEST(what_holds_us_up_is_not_the_servers_time)
{
    struct job j;
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("--filter=delay file %s rdelay=300ms");
    b = open_disk(2000);
    job_init(&j, b, BLK_READ, 0, back, 4096);
    blk_submit(b, &j.req);
    usleep(4000000);
    while (!j.done)
        loop_run(loop);
    ck_assert_msg(!j.err, "%s", strerror(-j.err));
    ck_assert_uint_eq(lost, 0);
    teardown(b);
}
END_TEST

/* However long it would be waited for otherwise. */
START_TEST(nobody_has_to_wait_for_a_server)
{
    struct blk_nbd_look look = {.len = SIZE};
    struct job j[2];
    uint64_t start;
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    for (unsigned way = 0; way < 3; way++) {
        serve("file %s"); /* one for each: nbdkit 1.32 may fail an assertion when it wakes to find its client gone */
        b = open_disk(0);
        ck_assert(!blk_nbd_look(b, &look)); /* it was not asked for */
        expect(b, BLK_WRITE, 0, data, 4096, 0);
        kill(server, SIGSTOP);
        waitpid(server, NULL, WUNTRACED);
        start = clock_mono_ns();
        for (unsigned i = 0; i < 2; i++) {
            job_init(&j[i], b, BLK_READ, 0, back, 4096);
            j[i].quiet = true;
            blk_submit(b, &j[i].req);
        }
        if (way == 0)
            blk_nbd_abandon(b);
        else
            blk_nbd_hurry(b, 100);
        if (way == 2) {
            while (!j[0].done || !j[1].done) { /* a second look at them is no harm */
                blk_nbd_hurry(b, 100);
                blk_drain_wait(b);
            }
        }
        blk_close(b);
        ck_assert_uint_lt(clock_mono_ns() - start, 10000 * NS_PER_MS);
        for (unsigned i = 0; i < 2; i++)
            ck_assert_int_eq(j[i].err, way ? -ETIMEDOUT : -ECANCELED);
        stop_server(SIGKILL);
    }
    teardown(NULL);
}
END_TEST

static bool no(void *arg)
{
    return ++*(unsigned *)arg < 3;
}

START_TEST(connecting_can_be_given_up)
{
    unsigned asked = 0, threads = count_threads();
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("file %s");
    kill(server, SIGSTOP);
    waitpid(server, NULL, WUNTRACED);
    ck_assert_int_eq(try_open((struct blk_nbd_options){.goes_on = no, .goes_on_arg = &asked}, &b), -ECANCELED);
    ck_assert_int_eq(error.code, VZ_ERROR_CANCELLED);
    ck_assert_uint_eq(asked, 3);
    ck_assert_uint_eq(count_threads(), threads);
    teardown(NULL);
}
END_TEST

static void looked(struct blk_nbd_look *look, int err)
{
    ck_assert_int_eq(err, 0);
    loop_stop(loop);
}

START_TEST(a_server_says_where_there_are_zeroes)
{
    struct blk_nbd_look look = {.len = SIZE, .done = looked};
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("file %s");
    ck_assert_int_eq(try_open((struct blk_nbd_options){.looks = true, .timeout_ms = 20000}, &b), 0);
    fill(data, MIB, 1);
    expect(b, BLK_WRITE, MIB, data, MIB, 0);
    expect(b, BLK_FLUSH, 0, NULL, 0, 0);
    ck_assert(blk_nbd_look(b, &look));
    loop_run(loop);
    ck_assert(look.ret_zeroes);
    ck_assert_uint_eq(look.ret_len, MIB);
    look = (struct blk_nbd_look){.offset = MIB, .len = MIB + 512, .done = looked};
    ck_assert(blk_nbd_look(b, &look));
    loop_run(loop);
    ck_assert(!look.ret_zeroes);
    ck_assert_uint_eq(look.ret_len, MIB);
    expect(b, BLK_READ, MIB, back, MIB, 0);
    ck_assert(!memcmp(data, back, MIB));
    blk_close(b);
    stop_server(SIGKILL);
    serve("--filter=noextents file %s");
    ck_assert_int_eq(try_open((struct blk_nbd_options){.looks = true, .timeout_ms = 20000}, &b), 0);
    look = (struct blk_nbd_look){.len = SIZE, .done = looked};
    if (blk_nbd_look(b, &look)) {
        loop_run(loop);
        ck_assert(!look.ret_zeroes);
    }
    teardown(b);
}
END_TEST

/* A server whose writes are in its memory until they are flushed, and who dies in between. */
START_TEST(a_server_that_forgets_is_reminded)
{
    struct blk *b;
    int fd;

    if (!has_nbdkit())
        return;
    setup();
    serve("--filter=cache file %s cache=writeback");
    b = open_disk(20000);
    fill(data, SIZE, 5);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 64; i++) /* many of them overlap: the last one counts */
            expect(b, BLK_WRITE, (i * 37 % 96) * 512, data + round * 65536 + i * 512, 4096, 0);
        expect(b, BLK_ZERO, 100 * 512, NULL, 4096, 0);
        expect(b, BLK_READ, 0, back, MIB, 0);
        stop_server(SIGKILL);
        serve("--filter=cache file %s cache=writeback");
        memset(data + SIZE / 2, 0, MIB);
        expect(b, BLK_READ, 0, data + SIZE / 2, MIB, 0);
        ck_assert(!memcmp(back, data + SIZE / 2, MIB));
    }
    expect(b, BLK_FLUSH, 0, NULL, 0, 0);
    stop_server(SIGKILL);
    fd = open(image, O_RDONLY);
    ck_assert_int_eq(pread(fd, data, MIB, 0), MIB);
    ck_assert(!memcmp(back, data, MIB));
    close(fd);
    ck_assert_uint_ge(connected, 5);
    teardown(b);
}
END_TEST

/* A guest's requests may be huge, of few pages again and again: not all of their data is copied at once. */
START_TEST(memory_has_an_end)
{
    static struct iovec iov[128];
    struct job j[6];
    struct rusage before, after;
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("--filter=nozero memory 1G");
    b = open_disk(0);
    fill(data, SIZE, 3);
    getrusage(RUSAGE_SELF, &before);
    for (unsigned i = 0; i < ARRAY_SIZE(iov); i++)
        iov[i] = (struct iovec){data, SIZE};
    for (unsigned i = 0; i < ARRAY_SIZE(j); i++) {
        job_init(&j[i], b, i % 2 ? BLK_ZERO : BLK_WRITE, 0, NULL, i % 2 ? GIB : 512 * MIB);
        j[i].req.iov = i % 2 ? NULL : iov;
        j[i].req.iov_count = i % 2 ? 0 : ARRAY_SIZE(iov);
        j[i].req.fua = i == 4;
        blk_submit(b, &j[i].req);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(j); i++) {
        while (!j[i].done)
            loop_run(loop);
        ck_assert_int_eq(j[i].err, 0);
    }
    getrusage(RUSAGE_SELF, &after);
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 700 * 1024);
    expect(b, BLK_READ, 600 * MIB, back, SIZE, 0);
    ck_assert(is_zero(back, SIZE));
    teardown(b);
}
END_TEST

START_TEST(requests_wait_for_the_server)
{
    struct job j[32];
    struct blk *b;
    struct blk_stats sum = {0};
    unsigned done = 0;

    if (!has_nbdkit())
        return;
    setup();
    serve("--filter=delay file %s rdelay=300ms wdelay=300ms");
    b = open_disk(20000);
    ck_assert_int_eq(blk_limit_create(b, &(struct blk_limits){.bytes = 0}, &b), 0); /* as of a machine */
    b->sum = &sum;
    fill(data, SIZE, 9);
    for (unsigned i = 0; i < 32; i++) {
        job_init(&j[i], b, BLK_WRITE, i * 65536, data + i * 65536, 65536);
        blk_submit(b, &j[i].req);
    }
    usleep(100000);
    stop_server(SIGKILL);
    usleep(300000);
    serve("file %s");
    for (; done < 32; ) {
        loop_run(loop);
        done = 0;
        for (unsigned i = 0; i < 32; i++) {
            ck_assert_int_eq(j[i].err, 0);
            ck_assert_uint_le(j[i].done, 1);
            done += j[i].done;
        }
    }
    expect(b, BLK_READ, 0, back, 32 * 65536, 0);
    ck_assert(!memcmp(data, back, 32 * 65536));
    ck_assert_uint_ge(b->stats.reconnects, 1);
    ck_assert_uint_eq(sum.reconnects, b->stats.reconnects);
    teardown(b);
}
END_TEST

START_TEST(another_disk_is_not_taken_for_it)
{
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("file %s");
    b = open_disk(1500);
    stop_server(SIGKILL);
    serve("memory 1M");
    expect(b, BLK_READ, 0, back, 512, -ETIMEDOUT);
    ck_assert_uint_ge(lost, 1);
    ck_assert_uint_eq(refused, 1);
    stop_server(SIGKILL);
    serve("-r file %s");
    expect(b, BLK_READ, 0, back, 512, -ETIMEDOUT);
    stop_server(SIGKILL);
    ck_assert_int_eq(truncate(image, 2 * SIZE), 0); /* it may grow */
    serve("file %s");
    expect(b, BLK_READ, 0, back, 512, 0);
    while (b->size != 2 * SIZE)
        loop_run(loop);
    teardown(b);
}
END_TEST

/* ---- Servers of our own --------------------------------------------------------------------- */

static const char hello[] = "NBDMAGICIHAVEOPT\0\3";

/* A process that greets properly, exports 1 MiB, and then sends junk, or nothing. */
static void serve_badly(bool greets, bool junk)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), c;
    uint8_t buffer[4096];

    strcpy(at.sun_path, socket_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    server = fork();
    if (server) {
        close(fd);
        return;
    }
    for (;;) {
        c = accept(fd, NULL, NULL);
        if (greets)
            (void)!send(c, hello, sizeof(hello) - 1, MSG_NOSIGNAL);
        for (unsigned i = 0; i < 16; i++) {
            if (junk && (fill(buffer, sizeof(buffer), i), send(c, buffer, sizeof(buffer), MSG_NOSIGNAL) < 0))
                break;
            if (recv(c, buffer, sizeof(buffer), 0) <= 0)
                break;
        }
        if (!junk)
            pause();
        close(c);
    }
}

START_TEST(nonsense_and_nothing_are_told_at_the_start)
{
    const struct blk_nbd_options none = {.read_only = false};

    setup();
    serve_badly(false, true);
    refuse(NULL, none, VZ_ERROR_NBD_NEGOTIATION_FAILED, "");
    serve_badly(true, true);
    refuse(NULL, none, VZ_ERROR_NBD_NEGOTIATION_FAILED, "");
    serve_badly(true, false);
    refuse(NULL, none, VZ_ERROR_NBD_DISCONNECTED, "does not answer");
    serve_badly(false, false);
    refuse(NULL, none, VZ_ERROR_NBD_DISCONNECTED, "does not answer");
    teardown(NULL);
}
END_TEST

START_TEST(nonsense_later_is_an_error_of_the_request)
{
    struct blk *b;

    if (!has_nbdkit())
        return;
    setup();
    serve("file %s");
    b = open_disk(1000);
    expect(b, BLK_READ, 0, back, 512, 0);
    stop_server(SIGKILL);
    serve_badly(true, true);
    expect(b, BLK_READ, 0, back, 512, -ETIMEDOUT);
    ck_assert_uint_eq(refused, 1);
    teardown(b);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, requests_reach_the_server);
    UNIT_TEST(s, a_start_says_what_is_wrong);
    UNIT_TEST(s, disks_are_as_the_server_says);
    UNIT_TEST(s, errors_are_those_of_the_request);
    UNIT_TEST(s, silence_ends_with_an_error);
    UNIT_TEST(s, a_request_can_be_cancelled);
    UNIT_TEST(s, what_holds_us_up_is_not_the_servers_time);
    UNIT_TEST(s, nobody_has_to_wait_for_a_server);
    UNIT_TEST(s, connecting_can_be_given_up);
    UNIT_TEST(s, a_server_says_where_there_are_zeroes);
    UNIT_TEST(s, a_server_that_forgets_is_reminded);
    UNIT_TEST(s, memory_has_an_end);
    UNIT_TEST(s, requests_wait_for_the_server);
    UNIT_TEST(s, another_disk_is_not_taken_for_it);
    UNIT_TEST(s, nonsense_and_nothing_are_told_at_the_start);
    UNIT_TEST(s, nonsense_later_is_an_error_of_the_request);
}

UNIT_TEST_MAIN("blk_nbd", add_tests)
