/* SPDX-License-Identifier: MIT */
/* What a stub maps: see direct_priv.h. All of it under the lock. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/smc.h"

struct space *space_of(struct direct_vm *v, uint64_t root)
{
    for (unsigned n = 0; n < DIRECT_SPACES; n++)
        if (atomic_load_explicit(&v->roots[n], memory_order_relaxed) == root)
            return &v->space[n];
    return NULL;
}

/* ---- leaves ---- */

static struct leaf **bucket_of(struct space *s, uint64_t va)
{
    uint64_t n = va / LEAF_BYTES;

    return &s->bucket[(n ^ n >> 9 ^ n >> 18) % LEAF_BUCKETS];
}

struct leaf *space_leaf(const struct space *s, uint64_t va)
{
    struct leaf *leaf = *bucket_of((struct space *)(uintptr_t)s, va);

    while (leaf && leaf->va != align_down(va, LEAF_BYTES))
        leaf = leaf->next;
    return leaf;
}

uint8_t space_rights(const struct space *s, uint64_t va)
{
    const struct leaf *leaf = space_leaf(s, va);

    return leaf ? leaf->rights[leaf_index(va)] : 0;
}

/* A number for a leaf; UINT32_MAX: no memory. */
static uint32_t take_id(struct direct_vm *v)
{
    while (v->leaf_free < v->leaf_count && v->leaf[v->leaf_free])
        v->leaf_free++;
    if (v->leaf_free == v->leaf_count) {
        uint32_t count = v->leaf_count ? 2 * v->leaf_count : 256;
        struct leaf **more = realloc(v->leaf, count * sizeof(struct leaf *));

        if (!more)
            return UINT32_MAX;
        for (uint32_t n = v->leaf_count; n < count; n++)
            more[n] = NULL;
        v->leaf = more;
        v->leaf_count = count;
    }
    return v->leaf_free++;
}

static struct leaf *make_leaf(struct direct_vm *v, struct space *s, uint64_t va,
                              const struct direct_path *path)
{
    struct leaf *leaf = calloc(1, sizeof(*leaf)), **bucket = bucket_of(s, va);
    uint32_t id = leaf ? take_id(v) : UINT32_MAX;

    if (id == UINT32_MAX) {
        free(leaf);
        return NULL;
    }
    v->leaf[id] = leaf;
    leaf->id = id;
    leaf->va = align_down(va, LEAF_BYTES);
    leaf->path = *path;
    leaf->space = s;
    leaf->next = *bucket;
    *bucket = leaf;
    s->leaves++;
    return leaf;
}

static void free_leaf(struct direct_vm *v, struct leaf *leaf)
{
    struct space *s = leaf->space;
    struct leaf **at = bucket_of(s, leaf->va);

    while (*at != leaf)
        at = &(*at)->next;
    *at = leaf->next;
    v->leaf[leaf->id] = NULL;
    v->leaf_free = MIN(v->leaf_free, leaf->id);
    s->leaves--;
    free(leaf);
}

/* ---- from pages of RAM to where they are mapped ---- */

static uint32_t place_of(const struct leaf *leaf, unsigned n)
{
    return leaf->id * LEAF_PAGES + n + 1;
}

static void note_place(struct direct_vm *v, const struct leaf *leaf, unsigned n, uint64_t page, bool writable)
{
    uint32_t was = atomic_load_explicit(&v->where[page], memory_order_seq_cst), place = place_of(leaf, n);

    if (was && (was & ~WHERE_WRITABLE) != place)
        place = WHERE_MANY;
    atomic_store_explicit(&v->where[page], place | (was & WHERE_WRITABLE) | (writable ? WHERE_WRITABLE : 0),
                          memory_order_seq_cst);
}

static void forget_place(struct direct_vm *v, const struct leaf *leaf, unsigned n)
{
    _Atomic uint32_t *where = &v->where[leaf->ram[n]];

    if ((atomic_load_explicit(where, memory_order_seq_cst) & ~WHERE_WRITABLE) == place_of(leaf, n))
        atomic_store_explicit(where, 0, memory_order_seq_cst);
}

/* ---- commands ---- */

static void map(struct space *s, const struct direct_out *out, uint64_t va, uint64_t len,
                uint64_t offset, uint8_t rights)
{
    unsigned prot = PROT_READ | (rights & MAPPED_WRITE ? PROT_WRITE : 0) |
                    (rights & MAPPED_EXEC ? PROT_EXEC : 0);

    s->maps++;
    s->commands++;
    if (!out->map(out->arg, va, len, offset, prot) && !out->flush(out->arg))
        (void)out->map(out->arg, va, len, offset, prot); /* or the stub has died: the next run says so */
}

static void unmap(struct space *s, const struct direct_out *out, uint64_t va, uint64_t len)
{
    s->unmaps++;
    s->commands++;
    if (!out->unmap(out->arg, va, len) && !out->flush(out->arg))
        (void)out->unmap(out->arg, va, len);
}

/* ---- unmapping ---- */

/* Write down that page n is not mapped any more. */
static void forget_page(struct direct_vm *v, struct leaf *leaf, unsigned n)
{
    if (!leaf->rights[n])
        return;
    forget_place(v, leaf, n);
    leaf->rights[n] = 0;
    leaf->mapped[n / 64] &= ~BIT(n % 64);
    leaf->count--;
    leaf->space->pages--;
}

/* The first page from n on that is mapped; LEAF_PAGES: none. */
static unsigned next_mapped(const struct leaf *leaf, unsigned n)
{
    while (n < LEAF_PAGES) {
        uint64_t word = leaf->mapped[n / 64] >> n % 64;

        if (word)
            return n + (unsigned)__builtin_ctzll(word);
        n = (n / 64 + 1) * 64;
    }
    return LEAF_PAGES;
}

/* Does the guest grant page n as it is mapped? */
static bool holds(const struct direct_vm *v, const struct leaf *leaf, unsigned n)
{
    return direct_page_holds(&leaf->path, n, leaf->entry[n], leaf->rights[n]) &&
           (!(leaf->rights[n] & MAPPED_WRITE) ||
            mem_may_store(v->vm->mem, v->vm->mem->base + (uint64_t)leaf->ram[n] * MEM_PAGE_SIZE));
}

#define FOR_MAPPED(n, leaf) \
    for (unsigned n = next_mapped(leaf, 0); n < LEAF_PAGES; n = next_mapped(leaf, n + 1))

static void drop_leaf(struct direct_vm *v, struct leaf *leaf, const struct direct_out *out)
{
    if (leaf->count && out)
        unmap(leaf->space, out, leaf->va, MIN(LEAF_BYTES, v->end - leaf->va)); /* not beyond the end */
    FOR_MAPPED (n, leaf)
        forget_page(v, leaf, n);
    free_leaf(v, leaf);
}

static void drop_page(struct direct_vm *v, struct leaf *leaf, const struct direct_out *out, unsigned n)
{
    if (!leaf->rights[n])
        return;
    unmap(leaf->space, out, leaf->va + n * (uint64_t)MEM_PAGE_SIZE, MEM_PAGE_SIZE);
    forget_page(v, leaf, n);
}

/* Of a leaf whose path holds. What is unmapped between two pages that stay is one command. */
static unsigned check_pages(struct direct_vm *v, struct leaf *leaf, const struct direct_out *out)
{
    unsigned changed = 0, first = 0, last = 0; /* of what is to be unmapped */
    bool some = false;

    for (unsigned n = next_mapped(leaf, 0); n <= LEAF_PAGES; n = next_mapped(leaf, n + 1)) {
        bool over = n == LEAF_PAGES;
        bool stays = !over && holds(v, leaf, n);

        if ((over || stays) && some)
            unmap(leaf->space, out, leaf->va + first * (uint64_t)MEM_PAGE_SIZE,
                  (last - first + 1) * (uint64_t)MEM_PAGE_SIZE);
        if (over)
            break;
        if (stays) {
            some = false;
            continue;
        }
        if (!some)
            first = n;
        last = n;
        some = true;
        changed++;
        forget_page(v, leaf, n);
    }
    return changed;
}

static unsigned check_leaf(struct direct_vm *v, struct leaf *leaf, const struct direct_out *out)
{
    unsigned count = leaf->count;

    if (!direct_path_holds(&leaf->path)) {
        drop_leaf(v, leaf, out);
        return count;
    }
    return check_pages(v, leaf, out);
}

unsigned space_check_all(struct x86_cpu *c, struct space *s, const struct direct_out *out)
{
    unsigned changed = 0;
    struct leaf *next;

    for (unsigned n = 0; n < LEAF_BUCKETS; n++) {
        for (struct leaf *leaf = s->bucket[n]; leaf; leaf = next) {
            next = leaf->next;
            changed += check_leaf(c->direct->vm, leaf, out);
        }
    }
    return changed;
}

void space_check_page(struct x86_cpu *c, struct space *s, const struct direct_out *out, uint64_t va)
{
    struct direct_vm *v = c->direct->vm;
    struct leaf *leaf = space_leaf(s, va);
    unsigned n = leaf_index(va);

    if (!leaf)
        return;
    if (!direct_path_holds(&leaf->path) || (!leaf->path.table && leaf->rights[n] && !holds(v, leaf, n)))
        drop_leaf(v, leaf, out);
    else if (leaf->rights[n] && !holds(v, leaf, n))
        drop_page(v, leaf, out, n);
}

void space_forget(struct direct_vm *v, struct space *s)
{
    for (unsigned n = 0; n < LEAF_BUCKETS; n++)
        while (s->bucket[n])
            drop_leaf(v, s->bucket[n], NULL);
    s->pages = s->commands = s->gone_count = 0;
    s->gone_all = s->has_global = false;
}

void space_clear(struct x86_cpu *c, struct space *s, const struct direct_out *out)
{
    struct direct_vm *v = c->direct->vm;
    uint64_t own = (uint64_t)s->slot << 39;

    if (s->pages) {
        unmap(s, out, v->lowest, own - v->lowest);
        unmap(s, out, own + STUB_REGION, v->end - own - STUB_REGION);
    }
    space_forget(v, s);
}

/* ---- mapping ---- */

/* The pages before and behind must not make an instruction with this one that shows the host. */
static bool joins_well(const struct x86_cpu *c, const struct space *s, uint64_t va,
                       const uint8_t *host)
{
    const uint64_t neighbour[2] = {va - MEM_PAGE_SIZE, va + MEM_PAGE_SIZE};
    uint8_t bytes[8] = {0};

    for (unsigned n = 0; n < 2; n++) {
        const struct leaf *leaf = space_leaf(s, neighbour[n]);
        unsigned at = leaf_index(neighbour[n]);
        const uint8_t *other;

        if (!leaf || !(leaf->rights[at] & MAPPED_EXEC))
            continue;
        other = c->vm->mem->base + (uint64_t)leaf->ram[at] * MEM_PAGE_SIZE;
        for (unsigned k = 0; k < 3; k++) {
            bytes[k] = (n ? host : other)[MEM_PAGE_SIZE - 3 + k];
            bytes[3 + k] = (n ? other : host)[k];
        }
        if (direct_find_shown(bytes, 0, sizeof(bytes), c->direct->vm->scan_cpuid) < sizeof(bytes))
            return false;
    }
    return true;
}

static bool may_execute(const struct x86_cpu *c, const struct space *s, uint64_t va,
                        const uint8_t *host, uint64_t page, bool writable)
{
    const struct direct_vm *v = c->direct->vm;
    uint8_t scanned = atomic_load_explicit(&v->scan[page], memory_order_seq_cst) & SCAN_STATE;

    if (writable && !v->scan_cpuid && scanned != SCAN_FOUND)
        return true; /* nobody makes getcpu's instructions at run time */
    return (scanned == SCAN_CLEAN || scanned == SCAN_COPIED) && joins_well(c, s, va, host);
}

/* All that may run in the space must be told if the page becomes code. */
static bool may_store(const struct x86_cpu *c, const uint8_t *host)
{
    bool may = mem_may_store(c->vm->mem, host);

    for (unsigned n = 0; n < c->vm->cpu_count; n++)
        may &= smc_allows_plain_stores(c->vm->cpu[n], host);
    return may;
}

static bool host_may_map(const struct direct_vm *v, const struct space *s, uint64_t va)
{
    return va >= v->lowest && va < v->end && va >> 39 != s->slot;
}

/* How page n of the leaf may be mapped now; what that depends on is written down in it, but not its
 * rights. */
static uint8_t grant(const struct x86_cpu *c, struct leaf *leaf, unsigned n)
{
    struct direct_vm *v = c->direct->vm;
    uint64_t va = leaf->va + n * (uint64_t)MEM_PAGE_SIZE, entry, page;
    const uint8_t *host;
    uint8_t rights = direct_page(c, &leaf->path, n, &entry, &host);

    if (!rights || !host_may_map(v, leaf->space, va))
        return 0;
    page = (uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT;
    forget_page(v, leaf, n); /* it is mapped over */
    leaf->entry[n] = entry;
    leaf->ram[n] = (uint32_t)page;
    /* Before asking: who makes it code looks for it then. */
    if (rights & (MAPPED_WRITE | MAPPED_EXEC))
        note_place(v, leaf, n, page, rights & MAPPED_WRITE);
    if ((rights & MAPPED_WRITE) && !may_store(c, host))
        rights &= (uint8_t)~MAPPED_WRITE;
    if ((rights & MAPPED_EXEC) &&
        !may_execute(c, leaf->space, va, host, page, rights & MAPPED_WRITE))
        rights &= (uint8_t)~MAPPED_EXEC;
    if (rights == MAPPED_READ)
        forget_place(v, leaf, n);
    leaf->space->has_global |= !!(entry & X86_PTE_G);
    return rights;
}

/* Neighbours in address, in RAM and in rights. */
struct run {
    uint64_t va, len, offset;
    uint8_t rights;
};

static void end_run(struct space *s, const struct direct_out *out, struct run *run)
{
    if (run->len)
        map(s, out, run->va, run->len, run->offset, run->rights);
    run->len = 0;
}

static uint64_t offset_of(const struct direct_vm *v, uint64_t page, uint8_t rights)
{
    uint64_t copy = rights & MAPPED_EXEC && (v->scan[page] & SCAN_STATE) != SCAN_CLEAN
                        ? direct_shadow(v, page) : 0;

    return copy ? copy : page * MEM_PAGE_SIZE;
}

static void add_to_run(const struct direct_vm *v, struct leaf *leaf, const struct direct_out *out, struct run *run, unsigned n,
                       uint8_t rights)
{
    uint64_t va = leaf->va + n * (uint64_t)MEM_PAGE_SIZE;
    uint64_t offset = offset_of(v, leaf->ram[n], rights);

    if (run->len && (run->rights != rights || run->va + run->len != va ||
                     run->offset + run->len != offset))
        end_run(leaf->space, out, run);
    if (!run->len)
        *run = (struct run){va, 0, offset, rights};
    run->len += MEM_PAGE_SIZE;
    leaf->rights[n] = rights;
    leaf->mapped[n / 64] |= BIT(n % 64);
    leaf->maybe[leaf->ram[n] % LEAF_PAGES / 64] |= BIT(leaf->ram[n] % 64);
    leaf->count++;
    leaf->space->pages++;
}

/* Pages [first, last) of the leaf, but of those that are mapped only the one named must, if any. */
static void fill_pages(struct x86_cpu *c, struct leaf *leaf, const struct direct_out *out,
                       unsigned first, unsigned last, unsigned must)
{
    struct run run = {0};

    for (unsigned n = first; n < last; n++) {
        uint8_t rights = leaf->rights[n] && n != must ? 0 : grant(c, leaf, n);

        if (rights)
            add_to_run(c->direct->vm, leaf, out, &run, n, rights);
    }
    end_run(leaf->space, out, &run);
}

/* The leaf for va by the tables of now, or NULL. */
static struct leaf *current_leaf(struct x86_cpu *c, struct space *s, const struct direct_out *out,
                                 uint64_t va)
{
    struct direct_vm *v = c->direct->vm;
    struct leaf *leaf = space_leaf(s, va);
    struct direct_path path;

    if (leaf && direct_path_holds(&leaf->path))
        return leaf;
    if (leaf)
        drop_leaf(v, leaf, out);
    if (va >> 47 || !direct_walk(c, va, &path))
        return NULL;
    if (s->leaves >= DIRECT_LEAVES_MAX)
        space_clear(c, s, out);
    return make_leaf(v, s, va, &path);
}

uint8_t space_fill(struct x86_cpu *c, struct space *s, const struct direct_out *out, uint64_t va)
{
    struct leaf *leaf = current_leaf(c, s, out, va);
    unsigned n = leaf_index(va), first = n / DIRECT_AROUND * DIRECT_AROUND;

    if (!leaf)
        return 0;
    if (leaf->path.table)
        fill_pages(c, leaf, out, first, first + DIRECT_AROUND, n);
    else
        fill_pages(c, leaf, out, 0, LEAF_PAGES, n);
    return leaf->rights[n];
}

void space_fill_all(struct x86_cpu *c, struct space *s, const struct direct_out *out)
{
    uint64_t va = 0;

    while ((va = direct_next_leaf(c, va)) != UINT64_MAX) {
        struct leaf *leaf = current_leaf(c, s, out, va);

        if (leaf)
            fill_pages(c, leaf, out, 0, LEAF_PAGES, LEAF_PAGES);
        if (s->leaves >= DIRECT_LEAVES_MAX || s->commands >= DIRECT_COMMANDS_MAX / 2)
            return;
        va += LEAF_BYTES;
    }
}

/* Note that a page is to be unmapped before anything else happens in the space. */
static void add_gone(struct leaf *leaf, unsigned n)
{
    struct space *s = leaf->space;

    if (s->gone_count < DIRECT_FLUSHES)
        s->gone[s->gone_count++] = leaf->va + n * (uint64_t)MEM_PAGE_SIZE;
    else
        s->gone_all = true;
}

/* Somewhere; found again if it is in one place only. */
static uint64_t page_gone_anywhere(struct direct_vm *v, uint64_t page, uint8_t rights)
{
    uint64_t spaces = 0;
    uint8_t left = 0;

    for (uint32_t id = 0; id < v->leaf_count; id++) {
        struct leaf *leaf = v->leaf[id];

        if (!leaf || !(leaf->maybe[page % LEAF_PAGES / 64] & BIT(page % 64)))
            continue;
        FOR_MAPPED (n, leaf) {
            if (leaf->ram[n] != page || !(leaf->rights[n] & (MAPPED_WRITE | MAPPED_EXEC)))
                continue;
            left |= leaf->rights[n];
            if (!(leaf->rights[n] & rights))
                continue;
            add_gone(leaf, n);
            spaces |= BIT(leaf->space - v->space);
        }
    }
    atomic_store_explicit(&v->where[page], !left ? 0 : WHERE_MANY | (left & MAPPED_WRITE ? WHERE_WRITABLE : 0),
                          memory_order_seq_cst);
    return spaces;
}

uint64_t space_page_gone(struct direct_vm *v, uint64_t page, uint8_t rights)
{
    uint32_t place = atomic_load_explicit(&v->where[page], memory_order_seq_cst) & ~WHERE_WRITABLE;
    struct leaf *leaf;
    unsigned n;

    if (!place)
        return 0;
    if (place == WHERE_MANY)
        return page_gone_anywhere(v, page, rights);
    leaf = v->leaf[(place - 1) / LEAF_PAGES];
    n = (place - 1) % LEAF_PAGES;
    if (!leaf || !(leaf->rights[n] & rights))
        return 0;
    add_gone(leaf, n);
    return BIT(leaf->space - v->space);
}

void space_drop_gone(struct x86_cpu *c, struct space *s, const struct direct_out *out)
{
    if (s->gone_all) {
        space_clear(c, s, out);
        return;
    }
    for (unsigned n = 0; n < s->gone_count; n++) {
        struct leaf *leaf = space_leaf(s, s->gone[n]);

        if (leaf)
            drop_page(c->direct->vm, leaf, out, leaf_index(s->gone[n]));
    }
    s->gone_count = 0;
}
