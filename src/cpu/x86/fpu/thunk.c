/* SPDX-License-Identifier: MIT */
/* Code memory of one vCPU's thunks: thunk.h says what they are and who calls. */
#include "cpu/x86/fpu/thunk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define THUNK_SIZE  16u /* apart, for the sake of the branch predictor's tables */
#define THUNK_BYTES (THUNK_COUNT * THUNK_SIZE)
#define TABLE_SIZE  (2 * THUNK_COUNT)
#define TABLE_FIRST 1024u /* of it, a power of two: guests with few thunks touch little of the host's memory */

struct thunk_cache {
    struct x86_cpu *cpu;
    uint8_t *write, *exec; /* the same memory */
    uint32_t *table;       /* TABLE_SIZE; open addressing: number of a thunk + 1, or 0 */
    uint32_t mask;         /* what is used of it, twice as much as there are thunks at least, less 1 */
    uint32_t count;
};

static int map_twice(struct thunk_cache *t)
{
    int fd = memfd_create("vz-thunks", MFD_CLOEXEC), err = 0;

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, THUNK_BYTES) < 0)
        err = -errno;
    if (!err) {
        t->write = mmap(NULL, THUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (t->write == MAP_FAILED)
            err = -errno;
    }
    if (!err) {
        t->exec = mmap(NULL, THUNK_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        if (t->exec == MAP_FAILED)
            err = -errno;
    }
    close(fd);
    return err;
}

int thunk_cache_create(struct x86_cpu *c)
{
    struct thunk_cache *t = calloc(1, sizeof(*t));
    int err;

    if (!t)
        return -ENOMEM;
    t->cpu = c;
    t->write = t->exec = MAP_FAILED;
    c->thunks = t;
    t->table = calloc(TABLE_SIZE, sizeof(*t->table));
    t->mask = TABLE_FIRST - 1;
    err = t->table ? map_twice(t) : -ENOMEM;
    if (err)
        thunk_cache_destroy(c);
    return err;
}

void thunk_cache_destroy(struct x86_cpu *c)
{
    struct thunk_cache *t = c->thunks;

    if (!t)
        return;
    if (t->write != MAP_FAILED)
        munmap(t->write, THUNK_BYTES);
    if (t->exec != MAP_FAILED)
        munmap(t->exec, THUNK_BYTES);
    free(t->table);
    free(t);
    c->thunks = NULL;
}

static void clear_table(struct thunk_cache *t)
{
    for (uint32_t k = 0; k <= t->mask; k++)
        t->table[k] = 0;
}

void thunk_cache_empty(struct x86_cpu *c)
{
    struct thunk_cache *t = c->thunks;

    if (!t || !t->count)
        return;
    clear_table(t);
    t->mask = TABLE_FIRST - 1;
    t->count = 0;
}

/* Code was written through another address than it is run at: serialize (SDM vol. 3, 8.1.3). IRET
 * is the one serializing instruction that user code has and no hypervisor intercepts. */
static void serialize(void)
{
    uint64_t t;

    __asm__ volatile("mov %%rsp, %0\n\t"
                     "push $0\n\t" /* becomes SS */
                     "push %0\n\t"
                     "pushfq\n\t"
                     "push $0\n\t" /* becomes CS */
                     "lea 1f(%%rip), %0\n\t"
                     "push %0\n\t"
                     "mov %%ss, %k0\n\t"
                     "mov %0, 32(%%rsp)\n\t"
                     "mov %%cs, %k0\n\t"
                     "mov %0, 8(%%rsp)\n\t"
                     "iretq\n"
                     "1:"
                     : "=&r"(t)
                     :
                     : "memory", "cc");
}

static uint64_t *thunk_word(uint8_t *base, uint32_t number)
{
    return (uint64_t *)(void *)(base + (size_t)number * THUNK_SIZE);
}

/* Where it is in the table, or would be. */
static uint32_t find(const struct thunk_cache *t, uint64_t code)
{
    uint32_t k = (uint32_t)((code * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & t->mask;

    while (t->table[k] && *thunk_word(t->write, t->table[k] - 1) != code)
        k = (k + 1) & t->mask;
    return k;
}

/* Twice as much of the table. The guest's vector registers are live: nothing is called. */
static void use_more(struct thunk_cache *t)
{
    t->mask = 2 * t->mask + 1;
    clear_table(t);
    for (uint32_t n = 0; n < t->count; n++)
        t->table[find(t, *thunk_word(t->write, n))] = n + 1;
}

uint64_t thunk_get(struct thunk_cache *t, uint64_t bytes, unsigned len)
{
    uint64_t code = bytes | UINT64_C(0xc3) << (8 * len); /* RET */
    uint32_t k = find(t, code);

    if (t->table[k])
        return (uint64_t)(uintptr_t)thunk_word(t->exec, t->table[k] - 1);
    if (t->count + THUNK_RESERVE >= THUNK_COUNT)
        x86_cpu_post(t->cpu, X86_PENDING_FLUSH);
    if (t->count == THUNK_COUNT)
        return 0;
    *thunk_word(t->write, t->count) = code;
    t->cpu->count.thunks++;
    t->table[k] = ++t->count;
    if (t->count > t->mask / 2 && t->mask + 1 < TABLE_SIZE)
        use_more(t);
    serialize();
    return (uint64_t)(uintptr_t)thunk_word(t->exec, t->count - 1);
}
