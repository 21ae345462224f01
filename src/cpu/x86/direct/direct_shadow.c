/* SPDX-License-Identifier: MIT */
/* Copies of pages in which UD2 stands for each instruction that would show the host. Such a page is
 * executed natively all the same: UD2 is an event, and the CPU executes what is in the page itself. A
 * copy lives as long as its page is unchanged. Who reads there reads the copy.
 *
 * The copies lie behind guest memory in its file, where no guest reaches. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/x86/direct/direct_priv.h"

static uint8_t *copy_at(const struct direct_vm *v, unsigned n)
{
    return v->shadows + n * (uint64_t)MEM_PAGE_SIZE;
}

int direct_shadows_create(struct direct_vm *v)
{
    const struct mem *mem = v->vm->mem;
    uint64_t len = DIRECT_SHADOWS * (uint64_t)MEM_PAGE_SIZE;
    void *p;

    if (ftruncate(mem->fd, (off_t)(mem->capacity + len)) < 0)
        return -1;
    p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, (off_t)mem->capacity);
    if (p == MAP_FAILED)
        return -1;
    v->reach = malloc(sizeof(*v->reach));
    if (!v->reach) {
        munmap(p, len);
        return -1;
    }
    v->shadows = p;
    return 0;
}

void direct_shadows_destroy(struct direct_vm *v)
{
    if (v->shadows)
        munmap(v->shadows, DIRECT_SHADOWS * (uint64_t)MEM_PAGE_SIZE);
    v->shadows = NULL;
    free(v->reach);
}

void direct_shadow_gone(struct direct_vm *v, uint64_t page)
{
    for (unsigned n = 0; n < DIRECT_SHADOWS; n++)
        if (v->shadow_of[n] == page + 1)
            v->shadow_of[n] = 0;
}

uint64_t direct_shadow(const struct direct_vm *v, uint64_t page)
{
    for (unsigned n = 0; n < DIRECT_SHADOWS; n++)
        if (v->shadow_of[n] == page + 1)
            return v->vm->mem->capacity + n * (uint64_t)MEM_PAGE_SIZE;
    return 0;
}

static void copy(uint8_t *to, const uint8_t *from)
{
    uint64_t len = MEM_PAGE_SIZE;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

/* Put UD2 in the place of all that would show the host in the page that begins at first. What was found
 * inside of other instructions means nothing. UINT32_MAX: of some nobody knows which it is; else how
 * many. */
static unsigned replace_all(const struct direct_vm *v, const struct direct_reach *r, unsigned first,
                            uint8_t *to)
{
    const uint8_t *code = r->code + first;
    unsigned count = 0;

    for (unsigned at = 0;
         (at = direct_find_shown(code, at, MEM_PAGE_SIZE, v->scan_cpuid)) < MEM_PAGE_SIZE; at++) {
        enum direct_role role = direct_role_of(r, first + at);

        if (role == ROLE_UNKNOWN)
            return UINT32_MAX;
        if (role == ROLE_PART)
            continue;
        to[at + 1] = 0x0b;
        count++;
    }
    return count;
}

/* A place for a copy of the page; DIRECT_SHADOWS: all are taken. */
static unsigned place_for(const struct direct_vm *v, uint64_t page)
{
    unsigned n = 0;

    while (n < DIRECT_SHADOWS && v->shadow_of[n] && v->shadow_of[n] != page + 1)
        n++;
    return v->shadows ? n : DIRECT_SHADOWS;
}

enum scanned direct_make_shadow(struct x86_cpu *c, uint64_t va, const uint8_t *host)
{
    struct direct_vm *v = c->direct->vm;
    uint64_t page = (uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT;
    unsigned n = place_for(v, page), first, replaced;

    if (n == DIRECT_SHADOWS)
        return SCAN_FOUND;
    first = direct_reach_around(c, va, host, v->reach);
    if (!v->reach->here[first / MEM_PAGE_SIZE])
        return SCAN_FOUND; /* the guest has just taken it away */
    copy(copy_at(v, n), v->reach->code + first);
    replaced = replace_all(v, v->reach, first, copy_at(v, n));
    v->shadow_of[n] = replaced && replaced != UINT32_MAX ? page + 1 : 0;
    return replaced == UINT32_MAX ? SCAN_FOUND : replaced ? SCAN_COPIED : SCAN_CLEAN;
}
