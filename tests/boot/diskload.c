/* SPDX-License-Identifier: MIT */
/* Runs in a guest, and on its host: work for disks that ends suddenly.
 *
 *   diskload cut NAME DISK SEED       writes for ever, a few places at a time, then fdatasync() or, every fourth time,
 *                                     by O_DSYNC; after each round it prints "F NAME WRITER ROUND". Four writers, a
 *                                     quarter of the disk each.
 *   diskload verify IMAGE SEED ROUND ROUND ROUND ROUND
 *                                     on the host, after the end: is what the four writers had done there? BASE
 *                                     in the environment: what the disk held before; else zeroes.
 *   diskload depth DISK SEED REQUESTS DEPTH...
 *                                     for each DEPTH so many requests, that many of them at once, past the page
 *                                     cache: writes, and reads that compare. The disk has zeroes at first. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECTOR    512u
#define BLOCK     4096u /* what is written begins and ends at: also for disks with blocks of that size */
#define LEN_MAX   (64u * 1024)
#define WRITERS   4u
#define AHEAD     64u   /* rounds that may be there though nobody heard of them */
#define DEPTH_MAX 128u

static void die(const char *what, const char *why)
{
    printf("diskload: %s: %s\n", what, why);
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 8;
}

/* Each sector says which one it is, and which write it is of. */
static void stamp(uint8_t *data, uint64_t sector, uint32_t version)
{
    for (uint32_t i = 0; i < SECTOR; i += 16) {
        memcpy(data + i, &sector, 8);
        memcpy(data + i + 8, &version, 4);
        memcpy(data + i + 12, &i, 4);
    }
}

static void fill(uint8_t *data, uint64_t offset, uint64_t len, uint32_t version)
{
    for (uint64_t i = 0; i < len; i += SECTOR)
        stamp(data + i, (offset + i) / SECTOR, version);
}

static uint8_t *memory(size_t len)
{
    void *p = NULL;

    if (posix_memalign(&p, BLOCK, len))
        die("memory", "none");
    return p;
}

/* ---- Cut ------------------------------------------------------------------------------------ */

/* A writer's writes follow from its seed alone. */
struct writer {
    uint64_t random, start, len; /* bytes: its part of the disk */
    uint32_t version, round;
};

struct change {
    uint64_t offset, len;
    uint32_t version;
};

static struct writer writer_of(uint64_t seed, unsigned index, uint64_t disk)
{
    uint64_t part = disk / WRITERS / BLOCK * BLOCK;

    return (struct writer){.random = (seed * WRITERS + index) * 2654435761u + 1, .start = part * index, .len = part};
}

static unsigned begin_round(struct writer *w)
{
    w->round++;
    return 1 + next_random(&w->random) % 8;
}

static struct change next_change(struct writer *w)
{
    struct change c = {.version = ++w->version};

    c.len = (1 + next_random(&w->random) % (LEN_MAX / BLOCK)) * BLOCK;
    c.offset = w->start + next_random(&w->random) % ((w->len - c.len) / BLOCK + 1) * BLOCK;
    return c;
}

static void write_for_ever(const char *name, unsigned index, const char *path, uint64_t seed)
{
    int fd = open(path, O_RDWR | O_DIRECT), stable = open(path, O_RDWR | O_DIRECT | O_DSYNC);
    struct writer w = writer_of(seed, index, (uint64_t)lseek(fd, 0, SEEK_END));
    uint8_t *data = memory(LEN_MAX);
    char line[64];

    for (;;) {
        int to = w.round % 4 == 3 ? stable : fd;

        for (unsigned n = begin_round(&w); n; n--) {
            struct change c = next_change(&w);

            fill(data, c.offset, c.len, c.version);
            if (pwrite(to, data, c.len, (off_t)c.offset) != (ssize_t)c.len)
                die(name, strerror(errno));
        }
        if (to == fd && fdatasync(fd) < 0)
            die(name, strerror(errno));
        snprintf(line, sizeof(line), "F %s %u %u\n", name, index, w.round);
        if (write(STDOUT_FILENO, line, strlen(line)) < 0)
            exit(1);
    }
}

static void cut(const char *name, const char *path, uint64_t seed)
{
    for (unsigned i = 1; i < WRITERS; i++) {
        if (!fork())
            write_for_ever(name, i, path, seed);
    }
    write_for_ever(name, 0, path, seed);
}

static void note(uint32_t *version, const struct change *c)
{
    for (uint64_t i = 0; i < c->len / SECTOR; i++)
        version[c->offset / SECTOR + i] = c->version;
}

static void verify_writer(struct writer w, uint32_t last, uint32_t *least, uint32_t *most)
{
    while (w.round < last + AHEAD) {
        bool known = w.round < last;

        for (unsigned n = begin_round(&w); n; n--) {
            struct change c = next_change(&w);

            if (known)
                note(least, &c);
            note(most, &c);
        }
    }
}

static void look(const uint8_t *data, const uint8_t *before, uint64_t sector, uint32_t least, uint32_t most)
{
    uint32_t version = 0;
    uint8_t want[SECTOR];

    memcpy(want, before, SECTOR);
    if (memcmp(data, before, SECTOR)) {
        memcpy(&version, data + 8, 4);
        stamp(want, sector, version);
    }
    if (version < least || version > most || memcmp(data, want, SECTOR)) {
        printf("diskload: sector %llu has version %u; flushed %u, written up to %u%s\n", (unsigned long long)sector,
               version, least, most, memcmp(data, want, SECTOR) ? "; and garbage" : "");
        exit(1);
    }
}

static void read_file(const char *path, uint8_t *ret, uint64_t size)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0 || pread(fd, ret, size, 0) != (ssize_t)size)
        die(path, "cannot be read");
    close(fd);
}

static void verify(const char *path, uint64_t seed, char **rounds)
{
    int fd = open(path, O_RDONLY);
    uint64_t size = (uint64_t)lseek(fd, 0, SEEK_END);
    uint32_t *least = calloc(size / SECTOR, 4), *most = calloc(size / SECTOR, 4);
    uint8_t *data = malloc(size), *before = calloc(1, size);

    if (fd < 0 || !least || !most || !data || !before)
        die(path, "cannot be read");
    read_file(path, data, size);
    if (getenv("BASE"))
        read_file(getenv("BASE"), before, size);
    for (unsigned i = 0; i < WRITERS; i++)
        verify_writer(writer_of(seed, i, size), (uint32_t)strtoul(rounds[i], NULL, 10), least, most);
    for (uint64_t i = 0; i < size / SECTOR; i++)
        look(data + i * SECTOR, before + i * SECTOR, i, least[i], most[i]);
}

/* ---- Depth ---------------------------------------------------------------------------------- */

struct job {
    struct iocb cb;
    uint8_t *data;
    bool busy;
};

static struct job jobs[DEPTH_MAX];
static uint32_t *versions; /* of each block */
static uint64_t disk_blocks, random_state;
static aio_context_t context;
static int direct_fd;

static bool is_free(uint64_t block, uint64_t count)
{
    for (unsigned i = 0; i < DEPTH_MAX; i++) {
        uint64_t from = (uint64_t)jobs[i].cb.aio_offset / BLOCK, n = jobs[i].cb.aio_nbytes / BLOCK;

        if (jobs[i].busy && block < from + n && from < block + count)
            return false;
    }
    return true;
}

static void start(struct job *j)
{
    struct iocb *cb = &j->cb;
    uint64_t block, count;

    do {
        count = 1 + next_random(&random_state) % (next_random(&random_state) % 4 ? 2 : LEN_MAX / BLOCK);
        block = next_random(&random_state) % (disk_blocks - count + 1);
    } while (!is_free(block, count));
    *cb = (struct iocb){.aio_data = (uint64_t)(j - jobs), .aio_fildes = (uint32_t)direct_fd,
                        .aio_lio_opcode = next_random(&random_state) % 2 ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE,
                        .aio_buf = (uintptr_t)j->data, .aio_nbytes = count * BLOCK,
                        .aio_offset = (int64_t)(block * BLOCK)};
    for (uint64_t i = 0; cb->aio_lio_opcode == IOCB_CMD_PWRITE && i < count; i++)
        fill(j->data + i * BLOCK, (block + i) * BLOCK, BLOCK, ++versions[block + i]);
    j->busy = true;
    if (syscall(SYS_io_submit, context, 1L, &cb) != 1)
        die("io_submit", strerror(errno));
}

static void compare(const uint8_t *data, uint64_t block, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint8_t want[BLOCK] = {0};

        if (versions[block + i])
            fill(want, (block + i) * BLOCK, BLOCK, versions[block + i]);
        if (memcmp(want, data + i * BLOCK, BLOCK))
            die("read", "not what was written");
    }
}

static void finish(const struct io_event *e)
{
    struct job *j = &jobs[e->data];

    if (e->res != (int64_t)j->cb.aio_nbytes)
        die("request", e->res < 0 ? strerror((int)-e->res) : "is short");
    if (j->cb.aio_lio_opcode == IOCB_CMD_PREAD)
        compare(j->data, (uint64_t)j->cb.aio_offset / BLOCK, j->cb.aio_nbytes / BLOCK);
    j->busy = false;
}

static void read_all(void)
{
    for (uint64_t b = 0, n; b < disk_blocks; b += n) {
        n = disk_blocks - b < LEN_MAX / BLOCK ? disk_blocks - b : LEN_MAX / BLOCK;
        if (pread(direct_fd, jobs[0].data, n * BLOCK, (off_t)(b * BLOCK)) != (ssize_t)(n * BLOCK))
            die("read", strerror(errno));
        compare(jobs[0].data, b, n);
    }
}

static void run_jobs(unsigned depth, unsigned long requests)
{
    unsigned running = 0;

    while (requests || running) {
        struct io_event e[DEPTH_MAX];
        int n;

        for (unsigned i = 0; i < depth && requests; i++) {
            if (jobs[i].busy)
                continue;
            start(&jobs[i]);
            running++;
            requests--;
        }
        n = (int)syscall(SYS_io_getevents, context, 1L, (long)depth, e, NULL);
        for (int i = 0; i < n; i++, running--)
            finish(&e[i]);
    }
}

static void depths(const char *path, uint64_t seed, unsigned long requests, char **depth)
{
    direct_fd = open(path, O_RDWR | O_DIRECT);
    disk_blocks = (uint64_t)lseek(direct_fd, 0, SEEK_END) / BLOCK;
    versions = calloc(disk_blocks, 4);
    random_state = seed | 1;
    if (direct_fd < 0 || syscall(SYS_io_setup, DEPTH_MAX, &context) < 0)
        die(path, strerror(errno));
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        jobs[i].data = memory(LEN_MAX);
    for (; *depth; depth++)
        run_jobs((unsigned)atoi(*depth) % (DEPTH_MAX + 1), requests);
    read_all();
    if (fsync(direct_fd) < 0)
        die("fsync", strerror(errno));
}

int main(int argc, char **argv)
{
    const char *what = argc > 4 ? argv[1] : "";

    if (!strcmp(what, "cut"))
        cut(argv[2], argv[3], strtoull(argv[4], NULL, 0));
    else if (!strcmp(what, "verify") && argc == 8)
        verify(argv[2], strtoull(argv[3], NULL, 0), argv + 4);
    else if (!strcmp(what, "depth") && argc > 5)
        depths(argv[2], strtoull(argv[3], NULL, 0), strtoul(argv[4], NULL, 10), argv + 5);
    else
        die("usage", "see the top of diskload.c");
    printf("diskload: all is well\n");
    return 0;
}
