/* SPDX-License-Identifier: MIT */
/* In the guest: steady DISK: compute, write and read the disk, and look at the clock, until
 * SIGTERM; then print a line of what was done. Status 1 if a result was wrong, a byte did not come
 * back, or the clock went back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECE  16384u
#define PIECES 64u

static volatile sig_atomic_t over;

static void on_term(int sig)
{
    over = 1;
}

static void fill(uint8_t *p, uint64_t seed)
{
    for (unsigned i = 0; i < PIECE; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        p[i] = (uint8_t)(seed >> 56);
    }
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The same sum again and again, with integers and with vectors. */
static int compute(unsigned long *rounds)
{
    uint64_t first = 0, last = now();

    for (*rounds = 0; !over; (*rounds)++) {
        uint64_t sum = 1, t;
        double d = 0;

        for (unsigned i = 1; i < 20000; i++) {
            sum = sum * 31 + i;
            d += 1.0 / i;
        }
        memcpy(&t, &d, sizeof(t));
        sum ^= t;
        if (*rounds && sum != first) {
            printf("steady: the sum is %llx, not %llx\n", (unsigned long long)sum,
                   (unsigned long long)first);
            return 1;
        }
        first = sum;
        t = now();
        if (t < last) {
            printf("steady: the clock went from %llu back to %llu\n", (unsigned long long)last,
                   (unsigned long long)t);
            return 1;
        }
        last = t;
    }
    return 0;
}

static int use_disk(const char *path, unsigned long *rounds)
{
    uint8_t *out = aligned_alloc(4096, PIECE), *in = aligned_alloc(4096, PIECE);
    int fd = open(path, O_RDWR | O_DIRECT);

    if (!out || !in || fd < 0)
        return 1;
    for (*rounds = 0; !over; (*rounds)++) {
        off_t at = (off_t)(*rounds % PIECES * PIECE);

        fill(out, *rounds);
        if (pwrite(fd, out, PIECE, at) != PIECE || (*rounds % 8 == 0 && fsync(fd)) ||
            pread(fd, in, PIECE, at) != PIECE || memcmp(in, out, PIECE))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned long done = 0;
    int status = 1, r;
    pid_t pid;

    if (argc != 2)
        return 2;
    signal(SIGTERM, on_term);
    pid = fork();
    r = pid ? compute(&done) : use_disk(argv[1], &done);
    printf("steady: %s: %lu rounds, %s\n", pid ? "sums" : "disk", done, r ? "WRONG" : "right");
    if (!pid)
        return r;
    kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return r || status;
}
