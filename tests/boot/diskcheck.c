/* SPDX-License-Identifier: MIT */
/* Runs in a guest, and on its host: diskcheck DISK SEED STEP...
 *
 * Fills a disk with patterns that tell every 4 KiB block, and every version of it, from all others,
 * and checks them. What should be where follows from SEED and the steps alone, so that the host can
 * check the image afterwards with the same arguments and --verify in front of them.
 *
 *   seq       write all blocks in order, 64 KiB at a time, fsync
 *   rand:N    write N blocks at random, past the page cache
 *   flush:N   write N blocks at random, fsync after each
 *   discard   discard a sixteenth of the disk, which may hold anything then, and write it anew
 *   zero      have the next sixteenth zeroed
 *   check     read all and compare */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u
#define BATCH 16u

static int fd, direct_fd;
static bool verify_only;
static uint64_t seed, blocks, random_state;
static uint32_t *version; /* of each block; 0: zeroes */
static unsigned char *buffer;

static void die(const char *what)
{
    printf("diskcheck: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void fill(uint64_t block, unsigned char *p)
{
    uint64_t v = (seed ^ block * 0x9e3779b97f4a7c15u) + version[block] * 0xbf58476d1ce4e5b9u;

    if (!version[block]) {
        memset(p, 0, BLOCK);
        return;
    }
    for (unsigned i = 0; i < BLOCK; i += 8) {
        v = v * 6364136223846793005u + 1442695040888963407u;
        memcpy(p + i, &v, 8);
    }
}

static void put(int to, uint64_t block, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        version[block + i]++;
        fill(block + i, buffer + i * BLOCK);
    }
    if (!verify_only &&
        pwrite(to, buffer, count * BLOCK, (off_t)(block * BLOCK)) != (ssize_t)(count * BLOCK))
        die("write");
}

static void sync_disk(void)
{
    if (!verify_only && fsync(fd) < 0)
        die("fsync");
}

static void sequential(uint64_t from, uint64_t to)
{
    for (uint64_t b = from; b < to; b += BATCH)
        put(fd, b, to - b < BATCH ? (unsigned)(to - b) : BATCH);
    sync_disk();
}

static void scattered(int to, unsigned long count, bool flush)
{
    for (; count; count--) {
        put(to, next_random() % blocks, 1);
        if (flush)
            sync_disk();
    }
}

static void change(unsigned long request, uint64_t from, uint64_t count)
{
    uint64_t range[2] = {from * BLOCK, count * BLOCK};

    if (!verify_only && ioctl(fd, request, range) < 0)
        die(request == BLKDISCARD ? "discard" : "zero");
    for (uint64_t b = from; b < from + count; b++)
        version[b] = request == BLKZEROOUT ? 0 : version[b];
}

static void check(void)
{
    static unsigned char want[BLOCK];

    sync_disk();
    for (uint64_t b = 0; b < blocks; b += BATCH) {
        unsigned count = blocks - b < BATCH ? (unsigned)(blocks - b) : BATCH;

        if (pread(direct_fd, buffer, count * BLOCK, (off_t)(b * BLOCK)) !=
            (ssize_t)(count * BLOCK))
            die("read");
        for (unsigned i = 0; i < count; i++) {
            fill(b + i, want);
            if (memcmp(want, buffer + i * BLOCK, BLOCK)) {
                printf("diskcheck: block %llu differs\n", (unsigned long long)(b + i));
                exit(1);
            }
        }
    }
}

static void step(const char *name)
{
    unsigned long count = strchr(name, ':') ? strtoul(strchr(name, ':') + 1, NULL, 10) : 0;
    uint64_t part = blocks / 16;

    if (!strncmp(name, "seq", 3))
        sequential(0, blocks);
    else if (!strncmp(name, "rand", 4))
        scattered(direct_fd, count, false);
    else if (!strncmp(name, "flush", 5))
        scattered(fd, count, true);
    else if (!strcmp(name, "zero"))
        change(BLKZEROOUT, 2 * part, part);
    else if (!strcmp(name, "check")) {
        if (!verify_only)
            check();
    } else if (!strcmp(name, "discard")) {
        change(BLKDISCARD, part, part);
        sequential(part, 2 * part);
    } else {
        errno = EINVAL;
        die(name);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--verify")) {
        verify_only = true;
        argc--;
        argv++;
    }
    if (argc < 4)
        return 2;
    fd = open(argv[1], verify_only ? O_RDONLY : O_RDWR);
    direct_fd = open(argv[1], verify_only ? O_RDONLY : O_RDWR | O_DIRECT);
    seed = strtoull(argv[2], NULL, 0);
    random_state = seed | 1;
    if (fd < 0 || direct_fd < 0)
        die(argv[1]);
    blocks = (uint64_t)lseek(fd, 0, SEEK_END) / BLOCK;
    version = calloc(blocks, sizeof(*version));
    if (!version || posix_memalign((void **)&buffer, 4096, BATCH * BLOCK))
        die("memory");
    for (int i = 3; i < argc; i++) {
        struct timespec a, b;

        clock_gettime(CLOCK_MONOTONIC, &a);
        step(argv[i]);
        clock_gettime(CLOCK_MONOTONIC, &b);
        if (!verify_only)
            printf("diskcheck: %s took %.3f s\n", argv[i],
                   (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
        fflush(stdout);
    }
    if (verify_only)
        check();
    printf("diskcheck: all is well\n");
    return 0;
}
