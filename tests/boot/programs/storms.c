/* SPDX-License-Identifier: MIT */
/* What is hard on whoever runs programs by mappings of his own: many processes at once, mappings that never stay, more
 * memory than there is, and registers full of ones. What each prints depends on nothing but its arguments.
 *
 * storms crowd N | bomb N | maps STEPS | memory MIB ROUNDS | ones SWITCHES */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  ((size_t)4096)
#define SLOTS 64
#define SLOT_PAGES 16

static uint64_t seed = 1;

static uint64_t next(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 17;
}

static void give_up(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(2);
}

/* ---- crowd: all are there before any begins, and each changes what it has from its parent ---- */

static uint64_t table[8192];

static uint64_t work(unsigned n)
{
    uint64_t sum = n;

    seed = n + 1;
    for (unsigned round = 0; round < 5000; round++) {
        uint64_t *at = &table[next() % 8192];

        *at += sum;
        sum = sum * 31 + *at;
    }
    return sum;
}

static int crowd(unsigned count)
{
    uint64_t sum = 0, *result = mmap(NULL, count * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int go[2];
    char byte;

    if (result == MAP_FAILED || pipe(go))
        give_up("crowd");
    for (unsigned n = 0; n < 8192; n++)
        table[n] = n;
    for (unsigned n = 0; n < count; n++) {
        pid_t pid = fork();

        if (pid < 0)
            give_up("fork");
        if (pid == 0) {
            close(go[1]);
            (void)!read(go[0], &byte, 1);
            result[n] = work(n);
            _exit(0);
        }
    }
    close(go[1]);
    for (unsigned n = 0; n < count; n++)
        if (wait(NULL) < 0)
            give_up("wait");
    for (unsigned n = 0; n < count; n++)
        sum = sum * 31 + result[n];
    printf("crowd %016llx\n", (unsigned long long)sum);
    return 0;
}

/* ---- bomb: forks until it may not, as a user whose processes are limited ---- */

static int bomb(unsigned most)
{
    struct rlimit limit = {most, most};
    unsigned *made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t first = fork();
    int status;

    if (first)
        return waitpid(first, &status, 0) == first && status == 0 ? (printf("bomb %u\n", *made > most / 2 && *made < most), 0) : 1;
    if (made == MAP_FAILED || setrlimit(RLIMIT_NPROC, &limit) || setuid(4711))
        _exit(1);
    for (;;) {
        pid_t pid = fork();

        if (pid > 0) {
            while (wait(NULL) > 0)
                ;
            _exit(0);
        }
        if (pid < 0) { /* the last one: all others are its ancestors */
            work(*made);
            _exit(0);
        }
        __atomic_add_fetch(made, 1, __ATOMIC_SEQ_CST);
    }
}

/* ---- maps: pages come, go, are copied, moved and protected ---- */

static struct {
    uint8_t *at;
    uint8_t byte;
    int shared;
} slots[SLOTS];

static void slot_check(unsigned n, uint64_t *sum)
{
    for (size_t off = 0; slots[n].at && off < SLOT_PAGES * PAGE; off += 512) {
        if (slots[n].at[off] != slots[n].byte) {
            printf("maps: slot %u + %zu: wanted %u, saw %u\n", n, off, slots[n].byte, slots[n].at[off]);
            exit(1);
        }
        *sum = *sum * 31 + slots[n].byte;
    }
}

static void slot_fill(unsigned n, uint8_t byte)
{
    slots[n].byte = byte;
    memset(slots[n].at, byte, SLOT_PAGES * PAGE);
}

static void slot_map(unsigned n)
{
    slots[n].shared = next() & 1;
    slots[n].at = mmap(NULL, SLOT_PAGES * PAGE, PROT_READ | PROT_WRITE, (slots[n].shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
    if (slots[n].at == MAP_FAILED)
        give_up("mmap");
    slot_fill(n, (uint8_t)next());
}

static void slot_change(unsigned n, unsigned how)
{
    uint8_t *at = slots[n].at;

    switch (how) {
    case 0:
        munmap(at, SLOT_PAGES * PAGE);
        slots[n].at = NULL;
        break;
    case 1:
        if (!slots[n].shared && madvise(at, SLOT_PAGES * PAGE, MADV_DONTNEED) == 0)
            slots[n].byte = 0;
        break;
    case 2:
        mprotect(at, SLOT_PAGES * PAGE, PROT_READ);
        mprotect(at, SLOT_PAGES * PAGE, PROT_READ | PROT_WRITE);
        slot_fill(n, (uint8_t)next());
        break;
    case 3:
        slots[n].at = mremap(at, SLOT_PAGES * PAGE, 2 * SLOT_PAGES * PAGE, MREMAP_MAYMOVE);
        slots[n].at = mremap(slots[n].at, 2 * SLOT_PAGES * PAGE, SLOT_PAGES * PAGE, 0);
        break;
    default:
        if (fork() == 0) { /* its own are copies by then */
            if (!slots[n].shared)
                memset(at, 0x55, SLOT_PAGES * PAGE);
            _exit(0);
        }
        wait(NULL);
    }
}

static int maps(unsigned steps)
{
    uint64_t sum = 0;

    for (unsigned step = 0; step < steps; step++) {
        unsigned n = next() % SLOTS, how = next() % 32;

        slot_check(n, &sum);
        if (!slots[n].at)
            slot_map(n);
        else
            slot_change(n, how > 4 ? how % 4 : 4);
    }
    printf("maps %016llx\n", (unsigned long long)sum);
    return 0;
}

/* ---- memory: every page is found again as it was left, though there is not room for all ---- */

static int memory(size_t mib, unsigned rounds)
{
    size_t pages = mib << 8;
    uint64_t sum = 0, *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        give_up("mmap");
    for (size_t n = 0; n < pages; n++)
        at[n * 512 + n % 512] = n + 1;
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t k = 0; k < pages; k++) {
            size_t n = (k * 97 + round) % pages;
            uint64_t *word = &at[n * 512 + n % 512];

            if (*word != n + 1 + round) {
                printf("memory: page %zu has %llu in round %u\n", n, (unsigned long long)*word, round);
                return 1;
            }
            sum = sum * 31 + (*word)++;
        }
    }
    printf("memory %016llx\n", (unsigned long long)sum);
    return 0;
}

/* ---- ones: every bit of the vector registers and of x87's stays set ---- */

__attribute__((target("avx"))) static unsigned long cleared(void)
{
    static uint8_t area[16][32];
    unsigned long missing = 0;

#define STORE(n) __asm__ volatile("vmovdqu %%ymm" #n ", %0" : "=m"(area[n]))
    STORE(0); STORE(1); STORE(2); STORE(3); STORE(4); STORE(5); STORE(6); STORE(7);
    STORE(8); STORE(9); STORE(10); STORE(11); STORE(12); STORE(13); STORE(14); STORE(15);
    for (unsigned n = 0; n < sizeof(area); n++)
        missing += (&area[0][0])[n] != 0xff;
    return missing;
}

__attribute__((target("avx"))) static int ones(unsigned switches)
{
    static uint8_t mmx[8];
    unsigned long missing = 0;

    if (!__builtin_cpu_supports("avx"))
        return printf("ones 0\n"), 0;
    for (unsigned n = 0; n < switches; n++) {
        register long nr __asm__("rax") = n % 2 ? 24 /* sched_yield */ : 39 /* getpid */;

#define FILL(n) "vcmptrueps %%ymm" #n ", %%ymm" #n ", %%ymm" #n "\n\t"
        __asm__ volatile("pcmpeqd %%mm3, %%mm3\n\t" FILL(0) FILL(1) FILL(2) FILL(3) FILL(4) FILL(5) FILL(6) FILL(7)
                         FILL(8) FILL(9) FILL(10) FILL(11) FILL(12) FILL(13) FILL(14) FILL(15)
                         "syscall\n\tmov $20000, %%ecx\n"
                         "1: dec %%ecx\n\tjnz 1b\n\t"
                         "movq %%mm3, %0\n\temms"
                         : "=m"(mmx), "+r"(nr) : : "rcx", "r11", "cc", "memory", "st", "mm3");
        missing += cleared();
        for (unsigned k = 0; k < 8; k++)
            missing += mmx[k] != 0xff;
    }
    printf("ones %lu\n", missing);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;

    setbuf(stdout, NULL);
    if (!strcmp(what, "crowd"))
        return crowd(n);
    if (!strcmp(what, "bomb"))
        return bomb(n);
    if (!strcmp(what, "maps"))
        return maps(n);
    if (!strcmp(what, "memory"))
        return memory(n, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 1);
    return strcmp(what, "ones") ? 2 : ones(n);
}
