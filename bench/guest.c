/* SPDX-License-Identifier: MIT */
/* The guest benchmark: the same static program runs natively, in vz and in QEMU, and prints a line
 * "bench NAME NANOSECONDS" per row: the best of a few runs of a fixed piece of work, whose result
 * is checked against what the host computed (a checksum column), so that a wrong CPU cannot win.
 *
 * With arguments it runs only the rows named. "true" as argv[0] is its own exec target. With
 * "-x NAME PROGRAM ARGUMENT..." the row is a program, and the result checked is what it prints. */
#define _GNU_SOURCE /* mremap() */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS 3
#define PROGRAM_RUNS 2

static uint32_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- integer ---- */

static uint64_t run_sieve(void)
{
    enum { N = 2000000 };
    static uint8_t composite[N];
    uint64_t primes = 0;

    memset(composite, 0, sizeof(composite));
    for (uint32_t i = 2; i < N; i++) {
        if (composite[i])
            continue;
        primes++;
        for (uint32_t j = 2 * i; j < N; j += i)
            composite[j] = 1;
    }
    return primes;
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static uint64_t run_sort(void)
{
    enum { N = 200000 };
    static int v[N];

    random_state = 1;
    for (int i = 0; i < N; i++)
        v[i] = (int)next_random();
    qsort(v, N, sizeof(v[0]), compare_ints);
    return (uint64_t)v[N / 2];
}

static uint64_t run_hash(void)
{
    enum { SLOTS = 65536 };
    static uint32_t table[SLOTS];
    uint64_t hits = 0;

    random_state = 2;
    memset(table, 0, sizeof(table));
    for (int i = 0; i < 1000000; i++) {
        uint32_t key = next_random() & 0xffff, at = key * 2654435761u >> 16;

        hits += table[at] == key;
        table[at] = key;
    }
    return hits;
}

/* ---- branchy: a bytecode machine ---- */

static uint64_t run_bytecode(void)
{
    static const uint8_t program[] = {0, 1, 2, 3, 4, 5, 1, 2, 6, 3, 0, 4, 7};
    uint64_t acc = 1, count = 0;

    for (unsigned pc = 0; count < 4000000; count++) {
        switch (program[pc]) {
        case 0:
            acc += count;
            break;
        case 1:
            acc ^= acc << 13;
            break;
        case 2:
            acc ^= acc >> 7;
            break;
        case 3:
            if (acc & 1)
                acc += 3;
            break;
        case 4:
            acc *= 5;
            break;
        case 5:
            acc = acc < 1000 ? acc + 7 : acc - 9;
            break;
        case 6:
            acc ^= acc << 17;
            break;
        default:
            pc = 0;
            continue;
        }
        pc++;
    }
    return acc;
}

/* ---- calls ---- */

static __attribute__((noinline)) uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t run_fib(void)
{
    return fib(30);
}

static __attribute__((noinline)) uint64_t add1(uint64_t v)
{
    return v + 1;
}
static __attribute__((noinline)) uint64_t add3(uint64_t v)
{
    return v + 3;
}
static __attribute__((noinline)) uint64_t twist(uint64_t v)
{
    return v ^ (v >> 3);
}

static uint64_t run_indirect(void)
{
    static uint64_t (*volatile fn[4])(uint64_t) = {add1, add3, twist, add1};
    uint64_t v = 0;

    for (unsigned i = 0; i < 3000000; i++)
        v = fn[i & 3](v);
    return v;
}

/* ---- memory ---- */

static uint32_t *chain; /* chain[n] is where to go from n; one cycle through all of it */

static void make_chain(unsigned slots)
{
    free(chain);
    chain = malloc((size_t)slots * sizeof(*chain));
    if (!chain)
        exit(1);
    random_state = 3;
    for (unsigned i = 0; i < slots; i++)
        chain[i] = i;
    for (unsigned i = slots - 1; i; i--) { /* Sattolo: one cycle */
        unsigned j = next_random() % i;
        uint32_t t = chain[i];

        chain[i] = chain[j];
        chain[j] = t;
    }
}

static uint64_t chase(unsigned steps)
{
    uint32_t at = 0;

    for (unsigned i = 0; i < steps; i++)
        at = chain[at];
    return at;
}

static void setup_chase_l1(void)
{
    make_chain(4096);
}

static uint64_t run_chase_l1(void)
{
    return chase(4000000);
}

static void setup_chase_dram(void)
{
    make_chain(8 << 20);
}

static uint64_t run_chase_dram(void)
{
    return chase(1000000);
}

static uint64_t run_memcpy_large(void)
{
    enum { LEN = 4 << 20 };
    static uint8_t from[LEN], to[LEN];

    memset(from, 7, LEN);
    for (int i = 0; i < 64; i++) {
        uint8_t *d = to, *s = from;
        size_t n = LEN;

        from[i] = (uint8_t)i;
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    }
    return to[5] + to[LEN - 1];
}

static uint64_t run_memcpy_small(void)
{
    static uint8_t from[4096], to[4096];
    uint64_t sum = 0;

    for (unsigned i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)i;
    for (unsigned i = 0; i < 1000000; i++) {
        volatile size_t len = 24 + (i & 31);

        memcpy(to + (i & 1023), from + (i * 7 & 1023), len);
        sum += to[i & 1023];
    }
    return sum;
}

/* ---- floating point ---- */

static uint64_t run_matmul_sse2(void)
{
    enum { N = 128 };
    static double a[N][N], b[N][N], c[N][N];

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = i + j;
            b[i][j] = i - j;
            c[i][j] = 0;
        }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            for (int j = 0; j < N; j++)
                c[i][j] += a[i][k] * b[k][j];
    return (uint64_t)(int64_t)c[17][23];
}

static uint64_t run_triad_sse2(void)
{
    enum { N = 16384 };
    static double a[N], b[N], c[N];

    for (int i = 0; i < N; i++) {
        b[i] = i;
        c[i] = 2;
    }
    for (int r = 0; r < 50; r++)
        for (int i = 0; i < N; i++)
            a[i] = b[i] + 3.0 * c[i];
    return (uint64_t)a[N - 1];
}

static uint64_t run_x87(void)
{
    volatile long double start = 1.0L;
    long double x = start, sum = 0;

    for (int i = 1; i < 400000; i++) {
        x = x * 1.0000001L + 0.5L / i;
        sum += x;
    }
    return (uint64_t)sum;
}

/* ---- the kernel ---- */

static uint64_t run_syscall(void)
{
    uint64_t n = 0;

    for (int i = 0; i < 100000; i++)
        n += syscall(SYS_getppid) >= 0;
    return n;
}

static uint64_t run_page_faults(void)
{
    enum { PAGES = 64 };
    uint64_t n = 0;

    for (int i = 0; i < 100; i++) {
        uint8_t *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            exit(1);
        for (int k = 0; k < PAGES; k++)
            p[k * 4096] = 1;
        n += p[4096];
        munmap(p, PAGES * 4096);
    }
    return n;
}

static const char *self = "/proc/self/exe";

static uint64_t run_fork_exec(void)
{
    uint64_t ok = 0;

    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        int status;

        if (!pid) {
            execl(self, "true", (char *)NULL);
            _exit(1);
        }
        waitpid(pid, &status, 0);
        ok += status == 0;
    }
    return ok;
}

static uint64_t run_pipe(void)
{
    enum { ROUNDS = 2000 };
    int there[2], back[2];
    char byte = 1;
    uint64_t n = 0;
    pid_t pid;

    if (pipe(there) || pipe(back))
        exit(1);
    pid = fork();
    if (!pid) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1)
            if (write(back[1], &byte, 1) != 1)
                break;
        _exit(0);
    }
    close(there[0]);
    for (int i = 0; i < ROUNDS; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            break;
        n++;
    }
    close(there[1]);
    close(back[0]);
    close(back[1]);
    waitpid(pid, NULL, 0);
    return n;
}

/* ---- in between: too many ways into the kernel to be user code, too few to be the kernel's ---- */

/* As a checksum of many small files is: some 15 us natively, then a system call. */
static uint64_t run_calls(void)
{
    enum { CALLS = 5000, LEN = 4096 };
    static uint8_t buf[LEN];
    uint64_t hash = 0xcbf29ce484222325u;
    int fd = open(self, O_RDONLY);

    for (int i = 0; i < CALLS; i++) {
        if (pread(fd, buf, LEN, i % 64 * LEN) != LEN)
            exit(1);
        for (int k = 0; k < 2 * LEN; k++)
            hash = (hash ^ buf[k % LEN]) * 0x100000001b3u;
    }
    close(fd);
    return hash;
}

static uint8_t *map_pages(int count, int prot)
{
    void *p = mmap(NULL, (size_t)count * 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        exit(1);
    return p;
}

/* Functions beside the data they count in, written anew again and again. */
static uint64_t churn_code(int round)
{
    enum { SITES = 12 };
    uint8_t *p = map_pages(SITES, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint64_t sum = 0;

    for (int n = 0; n < 4 * SITES; n++) {
        uint8_t *at = p + n % SITES * 4096;
        uint32_t value = (uint32_t)(round * 100 + n);

        at[256] = 0xb8; /* mov value, %eax; ret */
        memcpy(at + 257, &value, 4);
        at[261] = 0xc3;
        for (int k = 0; k < 20; k++) {
            sum += (uint32_t)((int (*)(void))(uintptr_t)(at + 256))();
            (*(volatile uint32_t *)at)++;
        }
    }
    for (int n = 0; n < SITES; n++)
        sum += *(uint32_t *)(p + n * 4096);
    munmap(p, SITES * 4096);
    return sum;
}

static uint64_t churn_maps(int round)
{
    enum { PAGES = 256, STEP = 7 };
    uint8_t *p = map_pages(2 * PAGES, PROT_READ | PROT_WRITE), *q;
    uint64_t sum = 0;

    for (int n = 0; n < PAGES; n += STEP)
        p[n * 4096] = (uint8_t)(n + round);
    mprotect(p, PAGES / 2 * 4096, PROT_READ);
    for (int n = 0; n < PAGES; n += STEP)
        sum += p[n * 4096];
    mprotect(p, PAGES / 2 * 4096, PROT_READ | PROT_WRITE);
    for (int n = 0; n < PAGES; n += 2 * STEP)
        p[n * 4096 + 8]++;
    madvise(p + PAGES / 4 * 4096, PAGES / 4 * 4096, MADV_DONTNEED);
    q = mremap(p, PAGES * 4096, PAGES * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGES * 4096);
    if (q == MAP_FAILED)
        exit(1);
    for (int n = 0; n < PAGES; n += STEP)
        sum += (uint64_t)q[n * 4096] * 3 + q[n * 4096 + 8];
    munmap(q, PAGES * 4096);
    return sum;
}

/* Both sides write to what was shared. */
static uint64_t churn_fork(int round)
{
    enum { PAGES = 32 };
    uint8_t *p = map_pages(PAGES, PROT_READ | PROT_WRITE);
    uint64_t sum = 0;
    int status;
    pid_t pid;

    for (int n = 0; n < PAGES; n++)
        p[n * 4096] = (uint8_t)(n + round);
    pid = fork();
    for (int n = 0; n < PAGES; n++) {
        p[n * 4096] = (uint8_t)(p[n * 4096] + (pid ? 1 : 2));
        sum += p[n * 4096];
    }
    if (!pid)
        _exit((int)(sum & 127));
    waitpid(pid, &status, 0);
    munmap(p, PAGES * 4096);
    return sum * 128 + (uint64_t)WEXITSTATUS(status);
}

static uint64_t run_churn(void)
{
    uint64_t sum = 0;

    for (int round = 0; round < 60; round++)
        sum = sum * 31 + churn_code(round) + churn_maps(round) + churn_fork(round);
    return sum;
}

static const struct row {
    const char *name;
    uint64_t (*run)(void);
    void (*setup)(void); /* before the first run, outside the measurement; may be absent */
} rows[] = {
    {"sieve", run_sieve},
    {"sort", run_sort},
    {"hash", run_hash},
    {"bytecode", run_bytecode},
    {"fib", run_fib},
    {"indirect", run_indirect},
    {"chase-l1", run_chase_l1, setup_chase_l1},
    {"chase-dram", run_chase_dram, setup_chase_dram},
    {"memcpy-large", run_memcpy_large},
    {"memcpy-small", run_memcpy_small},
    {"matmul-sse2", run_matmul_sse2},
    {"triad-sse2", run_triad_sse2},
    {"x87", run_x87},
    {"syscall", run_syscall},
    {"page-faults", run_page_faults},
    {"fork-exec", run_fork_exec},
    {"pipe", run_pipe},
    {"calls", run_calls},
    {"churn", run_churn},
};

static int wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return 1;
    return argc == 1;
}

/* Run a program; the FNV-1a hash of its output, or 0. */
static uint64_t run_program(char **argv)
{
    uint64_t hash = 0xcbf29ce484222325u;
    static uint8_t buf[65536];
    int fds[2], status;
    ssize_t n;
    pid_t pid;

    if (pipe(fds))
        exit(1);
    pid = fork();
    if (!pid) {
        dup2(fds[1], 1);
        close(fds[0]);
        close(fds[1]);
        execv(argv[0], argv);
        _exit(1);
    }
    close(fds[1]);
    while ((n = read(fds[0], buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++)
            hash = (hash ^ buf[i]) * 0x100000001b3u;
    close(fds[0]);
    waitpid(pid, &status, 0);
    return status ? 0 : hash;
}

static void print_row(const char *name, uint64_t best, uint64_t check)
{
    printf("bench %s %llu %llx\n", name, (unsigned long long)best, (unsigned long long)check);
}

static int program_row(const char *name, char **argv)
{
    uint64_t best = UINT64_MAX, check = 0;

    for (int r = 0; r < PROGRAM_RUNS; r++) {
        uint64_t t0 = now_ns(), ns;

        check = run_program(argv);
        ns = now_ns() - t0;
        best = ns < best ? ns : best;
    }
    print_row(name, best, check);
    return 0;
}

int main(int argc, char **argv)
{
    if (!strcmp(argv[0], "true"))
        return 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 3 && !strcmp(argv[1], "-x"))
        return program_row(argv[2], argv + 3);
    for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
        uint64_t best = UINT64_MAX, check = 0;

        if (!wanted(rows[n].name, argc, argv))
            continue;
        if (rows[n].setup)
            rows[n].setup();
        for (int r = 0; r < RUNS; r++) {
            uint64_t t0 = now_ns(), ns;

            check = rows[n].run();
            ns = now_ns() - t0;
            best = ns < best ? ns : best;
        }
        print_row(rows[n].name, best, check);
    }
    return 0;
}
