/* SPDX-License-Identifier: MIT */
/* Drives a disk as a machine does, many requests at once, for the tests beside this.
 *
 *     diskrig read IMAGE RAW              write the disk's content to the file RAW
 *     diskrig random IMAGE RAW SEED OPS   random requests; then what the disk must hold, to RAW.
 *                                         RAW is what it holds before, too, if it is there.
 *     diskrig kill IMAGE SEED MS          random requests of a process that is killed after MS; then
 *                                         is all there that was flushed?
 *     diskrig seed USER-DATA RAW          write what cloud-init would read to the file RAW
 *     diskrig speed IMAGE read|write SIZE DEPTH SECONDS   requests per second, at random places
 *
 * IMAGE may be the address of an NBD export.
 *
 * Environment: FLUSHES=none (random: only at the end), ERRORS=retry (random: requests that fail are sent again), CACHE=uncached, SYNC=none, TIMEOUT=SECONDS (NBD; without it, none), FORMAT=raw|qcow2, ENGINE=threads, BACKING=PATH. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vz/error.h>

#include "base/clock.h"
#include "block/blk_disk.h"
#include "block/blk_nbd.h"
#include "block/blk_seed.h"
#include "loop/loop.h"

#define DEPTH   32u
#define LEN_MAX (256 * KIB)

static struct loop *loop;
static struct blk *disk;
static uint64_t seed;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "diskrig: %s: %s\n", what, why);
    exit(1);
}

static bool env_is(const char *name, const char *value)
{
    const char *v = getenv(name);

    return v && !strcmp(v, value);
}

static void open_nbd(const char *uri, bool read_only)
{
    const char *seconds = getenv("TIMEOUT");
    const struct blk_nbd_options o = {.uri = uri, .read_only = read_only, .no_sync = env_is("SYNC", "none"),
                                      .timeout_ms = seconds ? (uint32_t)atoi(seconds) * 1000 : 0};
    struct vz_error err;

    if (loop_create(&loop) || blk_nbd_open(&o, loop, &disk, &err))
        fail("open", err.text);
}

static void open_image(const char *path, bool read_only)
{
    struct blk_disk_options o = {
        .path = path, .read_only = read_only, .backing = getenv("BACKING"),
        .format = env_is("FORMAT", "raw") ? DISK_FORMAT_RAW
                  : env_is("FORMAT", "qcow2") ? DISK_FORMAT_QCOW2 : DISK_FORMAT_AUTOMATIC,
        .caching = env_is("CACHE", "uncached") ? BLK_CACHING_UNCACHED : BLK_CACHING_AUTOMATIC,
        .sync = env_is("SYNC", "none") ? BLK_SYNC_NONE : BLK_SYNC_FULL,
        .engine = env_is("ENGINE", "threads") ? BLK_ENGINE_THREADS : BLK_ENGINE_AUTO};
    struct vz_error err;

    if (loop_create(&loop) || blk_disk_open(&o, loop, &disk, &err))
        fail("open", err.text);
}

static void open_disk(const char *path, bool read_only)
{
    (nbd_uri_is(path) ? open_nbd : open_image)(path, read_only);
}

static void close_disk(void)
{
    blk_close(disk);
    loop_destroy(loop);
}

static uint64_t below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 8) % n;
}

/* ---- Requests ------------------------------------------------------------------------------- */

struct job {
    struct blk_req req;
    struct iovec iov[2];
    uint8_t *data;
    bool busy;
};

static struct job jobs[DEPTH];
static unsigned running;
static uint64_t ops_left;
static uint8_t *model;             /* of "random" */
static uint32_t *issued, *flushed; /* of "kill", per sector: the last version written, and stable */
static uint32_t *done_version;     /* of "kill": ended, not flushed yet */
static bool no_flushes, retries;
static unsigned retried;

static void next(struct job *j);

/* Of the stamps that "kill" writes. */
static void stamp(uint8_t *data, uint64_t sector, uint32_t version)
{
    for (unsigned i = 0; i < 512; i += 16) {
        memcpy(data + i, &sector, 8);
        memcpy(data + i + 8, &version, 4);
        memcpy(data + i + 12, &i, 4);
    }
}

static void note_done(const struct blk_req *req, const uint8_t *data)
{
    for (uint64_t i = 0; done_version && req->op == BLK_WRITE && i < req->len / 512; i++)
        memcpy(&done_version[req->offset / 512 + i], data + i * 512 + 8, 4);
    if (done_version && req->op == BLK_FLUSH) {
        const uint32_t *at_start = (const uint32_t *)data;

        for (uint64_t i = 0; i < disk->size / 512; i++)
            flushed[i] = MAX(flushed[i], at_start[i]);
    }
}

static void job_done(struct blk_req *req, int err)
{
    struct job *j = container_of(req, struct job, req);

    if (err && retries) {
        retried++;
        blk_submit(disk, req);
        return;
    }
    if (err)
        fail("request", strerror(-err));
    if (model && req->op == BLK_DISCARD) { /* it may hold anything now */
        req->op = BLK_ZERO;
        blk_submit(disk, req);
        return;
    }
    if (model && req->op == BLK_READ && memcmp(j->data, model + req->offset, req->len))
        fail("read", "not what was written");
    if (model && req->op == BLK_WRITE)
        memcpy(model + req->offset, j->data, req->len);
    if (model && req->op == BLK_ZERO)
        memset(model + req->offset, 0, req->len);
    note_done(req, j->data);
    j->busy = false;
    running--;
    next(j);
}

/* Requests under way at the same place would leave either's result. */
static bool is_free(uint64_t offset, uint64_t len)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        const struct blk_req *r = &jobs[i].req;

        if (jobs[i].busy && r->op != BLK_FLUSH && r->offset < offset + len &&
            offset < r->offset + r->len)
            return false;
    }
    return true;
}

static enum blk_op random_kind(void)
{
    static const enum blk_op kind[] = {BLK_WRITE, BLK_WRITE, BLK_WRITE, BLK_WRITE, BLK_READ,
                                       BLK_READ,  BLK_READ,  BLK_ZERO,  BLK_FLUSH, BLK_DISCARD};

    return kind[below(10)];
}

static void prepare(struct job *j, enum blk_op op, uint64_t offset, uint64_t len)
{
    uint64_t half = len / 1024 * 512;

    j->iov[0] = (struct iovec){j->data, half};
    j->iov[1] = (struct iovec){j->data + half, len - half};
    j->req = (struct blk_req){.op = op, .offset = offset, .len = len, .iov = j->iov,
                              .iov_count = 2, .done = job_done, .unmap = below(2),
                              .fua = op == BLK_WRITE && !below(16)};
    if (!half) {
        j->req.iov = j->iov + 1;
        j->req.iov_count = 1;
    }
}

static void fill(struct job *j)
{
    const struct blk_req *r = &j->req;

    if (r->op == BLK_WRITE && model) {
        for (uint64_t i = 0; i < r->len; i += 8)
            *(uint64_t *)(j->data + i) = below(UINT64_MAX);
    } else if (r->op == BLK_WRITE) {
        for (uint64_t i = 0; i < r->len / 512; i++)
            stamp(j->data + i * 512, r->offset / 512 + i, ++issued[r->offset / 512 + i]);
    } else if (r->op == BLK_FLUSH && done_version) {
        memcpy(j->data, done_version, disk->size / 512 * 4);
    }
}

/* "kill" only writes, reads and flushes: what zeroes and discards leave has no version. */
static void next(struct job *j)
{
    enum blk_op op = random_kind();
    uint64_t offset = 0, len = 0;

    if (!ops_left || !--ops_left) {
        ops_left = 0;
        if (!running)
            loop_stop(loop);
        return;
    }
    if (no_flushes && op == BLK_FLUSH)
        op = BLK_WRITE;
    if (issued && (op == BLK_ZERO || op == BLK_DISCARD))
        op = BLK_WRITE;
    if (op != BLK_FLUSH) {
        do {
            len = (1 + below(below(4) ? 32 : LEN_MAX / 512)) * 512;
            offset = below(disk->size / 512) * 512;
            len = MIN(len, disk->size - offset);
        } while (!is_free(offset, len));
    }
    prepare(j, op, offset, len);
    fill(j);
    j->busy = true;
    running++;
    blk_submit(disk, &j->req);
}

static void run_jobs(uint64_t ops)
{
    ops_left = ops;
    for (unsigned i = 0; i < DEPTH; i++) {
        jobs[i].data = aligned_alloc(4096, MAX(LEN_MAX, (disk->size / 128 + 4095) & ~UINT64_C(4095)));
        if (!jobs[i].data)
            fail("memory", "none");
    }
    for (unsigned i = 0; i < DEPTH; i++)
        next(&jobs[i]);
    if (running)
        loop_run(loop);
}

/* ---- Whole disks ---------------------------------------------------------------------------- */

static int last_err;

static void stop_done(struct blk_req *req, int err)
{
    last_err = err;
    loop_stop(loop);
}

static void read_part(uint64_t offset, void *data, uint64_t len)
{
    struct iovec iov = {data, len};
    struct blk_req req = {.op = BLK_READ, .offset = offset, .len = len, .iov = &iov,
                          .iov_count = 1, .done = stop_done};

    do {
        blk_submit(disk, &req);
        loop_run(loop);
    } while (last_err && retries);
    if (last_err)
        fail("read", strerror(-last_err));
}

static uint8_t *read_all(void)
{
    uint8_t *data = malloc(disk->size);

    for (uint64_t at = 0; at < disk->size; at += MIB)
        read_part(at, data + at, MIN(MIB, disk->size - at));
    return data;
}

static void save(const char *path, const uint8_t *data)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(data, 1, disk->size, f) != disk->size || fclose(f))
        fail(path, strerror(errno));
}

static void flush_disk(void)
{
    struct blk_req req = {.op = BLK_FLUSH, .done = stop_done};

    do {
        blk_submit(disk, &req);
        loop_run(loop);
    } while (last_err && retries);
    if (last_err)
        fail("flush", strerror(-last_err));
}

static void do_random(const char *raw, uint64_t ops)
{
    FILE *f = fopen(raw, "rb");

    model = calloc(1, disk->size);
    if (f) {
        if (fread(model, 1, disk->size, f) != disk->size)
            fail(raw, "is shorter than the disk");
        fclose(f);
    }
    no_flushes = env_is("FLUSHES", "none");
    retries = env_is("ERRORS", "retry");
    run_jobs(ops);
    if (retries)
        printf("%u errors\n", retried);
    if (memcmp(read_all(), model, disk->size))
        fail("disk", "not what was written");
    flush_disk();
    save(raw, model);
}

/* ---- Killed --------------------------------------------------------------------------------- */

static uint32_t version_of(const uint8_t *data, uint64_t sector)
{
    uint8_t want[512];
    uint32_t version;

    memcpy(&version, data + 8, 4);
    stamp(want, sector, version);
    if (version && memcmp(data, want, 512))
        fail("sector", "half written");
    for (unsigned i = 0; !version && i < 512; i++) {
        if (data[i])
            fail("sector", "garbage");
    }
    return version;
}

static void check_versions(uint64_t sectors)
{
    uint8_t *data = read_all();

    for (uint64_t i = 0; i < sectors; i++) {
        uint32_t version = version_of(data + i * 512, i);

        if (version < flushed[i] || version > issued[i]) {
            fprintf(stderr, "diskrig: sector %llu has version %u; flushed %u, written %u\n",
                    (unsigned long long)i, version, flushed[i], issued[i]);
            exit(1);
        }
    }
}

static void *shared(uint64_t len)
{
    return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* The disk starts as zeroes: version 0. */
static void do_kill(const char *image, unsigned ms)
{
    uint64_t sectors;
    pid_t child;

    open_disk(image, true);
    sectors = disk->size / 512;
    close_disk();
    issued = shared(sectors * 4);
    flushed = shared(sectors * 4);
    child = fork();
    if (!child) {
        done_version = calloc(sectors, 4);
        open_disk(image, false);
        run_jobs(UINT64_MAX);
        _exit(1);
    }
    usleep(ms * 1000);
    kill(child, SIGKILL);
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        fail("child", "ended by itself");
    /* What the process had under way in the kernel may keep its lock for a moment: ours waits for that,
     * other programs do not. To read does not repair. */
    open_disk(image, true);
    close_disk();
    if (getenv("CHECK") && system(getenv("CHECK")))
        fail("check", "found something"); /* before anybody repairs it */
    open_disk(image, false);
    check_versions(sectors);
    close_disk();
    open_disk(image, true);
    check_versions(sectors);
}

/* ---- Speed ---------------------------------------------------------------------------------- */

static struct {
    enum blk_op op;
    uint64_t len, done, end_ns;
} speed;

static void speed_done(struct blk_req *req, int err)
{
    struct job *j = container_of(req, struct job, req);

    if (err)
        fail("request", strerror(-err));
    speed.done++;
    if (clock_mono_ns() > speed.end_ns) {
        if (!--running)
            loop_stop(loop);
        return;
    }
    j->req.offset = below(disk->size / speed.len) * speed.len;
    blk_submit(disk, req);
}

static void do_speed(unsigned depth, unsigned seconds)
{
    uint64_t start = clock_mono_ns();

    speed.end_ns = start + seconds * NS_PER_SEC;
    for (unsigned i = 0; i < MIN(depth, DEPTH); i++, running++) {
        struct job *j = &jobs[i];

        j->data = aligned_alloc(4096, MAX(speed.len, UINT64_C(4096)));
        memset(j->data, 1, speed.len);
        j->iov[0] = (struct iovec){j->data, speed.len};
        j->req = (struct blk_req){.op = speed.op, .len = speed.len, .iov = j->iov, .iov_count = 1,
                                  .offset = below(disk->size / speed.len) * speed.len,
                                  .done = speed_done};
        blk_submit(disk, &j->req);
    }
    loop_run(loop);
    printf("%.0f requests/s\n", (double)speed.done * 1e9 / (double)(clock_mono_ns() - start));
}

static void open_seed(const char *user_data)
{
    static const uint8_t identifier[16];
    const struct blk_seed_options o = {.user_data = user_data, .identifier = identifier};
    struct vz_error err;

    if (loop_create(&loop) || blk_seed_open(&o, loop, &disk, &err))
        fail("open", err.text);
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";

    seed = argc > 4 ? strtoull(argv[4], NULL, 0) * 2654435761u + 1 : 1;
    if (!strcmp(what, "read")) {
        open_disk(argv[2], true);
        save(argv[3], read_all());
    } else if (!strcmp(what, "seed")) {
        open_seed(argv[2]);
        save(argv[3], read_all());
    } else if (!strcmp(what, "random") && argc == 6) {
        open_disk(argv[2], false);
        fprintf(stderr, "open\n");
        do_random(argv[3], strtoull(argv[5], NULL, 0));
    } else if (!strcmp(what, "kill") && argc == 5) {
        seed = strtoull(argv[3], NULL, 0) * 2654435761u + 1;
        do_kill(argv[2], (unsigned)atoi(argv[4]));
    } else if (!strcmp(what, "speed") && argc == 7) {
        speed.op = strcmp(argv[3], "write") ? BLK_READ : BLK_WRITE;
        speed.len = strtoull(argv[4], NULL, 0);
        open_disk(argv[2], speed.op == BLK_READ);
        fprintf(stderr, "open\n");
        do_speed((unsigned)atoi(argv[5]), (unsigned)atoi(argv[6]));
    } else {
        fprintf(stderr, "usage: see the top of tests/disk/diskrig.c\n");
        return 2;
    }
    close_disk();
    return 0;
}
