/* SPDX-License-Identifier: MIT */
#include "mappings_model.h"

/* The tables below one entry of a top-level table. A region has two tables, so that the one that
 * may still be walked is left alone when another takes its place. */
struct area {
    uint64_t *pdpt, *pd, *pt[REGIONS][2];
    unsigned which[REGIONS];
    struct leaf leaf[REGIONS][PAGES], large[REGIONS];
};

uint64_t *roots[SPACES];
struct tlb_model tlb[CPUS];
unsigned cpus, pcids;
uint64_t reserved_bit;

static struct area areas[AREAS];
static unsigned area_of[SPACES][SLOTS];

/* The last slot's last region ends where user addresses do. */
static const unsigned in_pml4[SLOTS] = {1, 170, 255}, in_pdpt[SLOTS] = {0, 3, 511},
                      in_pd[SLOTS] = {0, 5, 509}, in_pt[PAGES] = {0, 1, 2, 255, 510, 511};

static uint64_t chunk_address(unsigned n)
{
    return UINT64_C(0x4000000) + n * UINT64_C(0x200000);
}

uint8_t *pool_page(unsigned n)
{
    uint64_t at = n < CHUNKS * PAGES ? chunk_address(n / PAGES) + in_pt[n % PAGES] * UINT64_C(4096)
                                     : chunk_address(CHUNKS) + (n - CHUNKS * PAGES) * UINT64_C(4096) * 3;

    return (uint8_t *)at;
}

static unsigned page_number(uint64_t address)
{
    for (unsigned n = 0; n < POOL; n++)
        if ((uint64_t)pool_page(n) == address)
            return n;
    print("FAIL the tables lead to %lx\n", address);
    guest_exit(1);
}

uint64_t va_of(unsigned v)
{
    unsigned slot = v / PER_SLOT, region = v % PER_SLOT / PAGES;

    return (uint64_t)in_pml4[slot] << 39 | (uint64_t)in_pdpt[slot] << 30 |
           (uint64_t)(in_pd[slot] + region) << 21 | (uint64_t)in_pt[v % PAGES] << 12;
}

unsigned next_va(unsigned v)
{
    return v + 1 < VAS && va_of(v + 1) == va_of(v) + 4096 ? v + 1 : VAS;
}

static struct area *area_at(unsigned space, unsigned v)
{
    return &areas[area_of[space][v / PER_SLOT]];
}

static uint64_t *region_entry(unsigned space, unsigned v)
{
    unsigned slot = v / PER_SLOT;

    return &area_at(space, v)->pd[in_pd[slot] + v % PER_SLOT / PAGES];
}

/* The entry of the table that region has, or will have. */
static uint64_t *page_slot(unsigned space, unsigned v)
{
    struct area *a = area_at(space, v);
    unsigned region = v % PER_SLOT / PAGES;

    return &a->pt[region][a->which[region]][in_pt[v % PAGES]];
}

xlat walk(unsigned space, unsigned v)
{
    uint64_t e = roots[space][in_pml4[v / PER_SLOT]], rights = PTE_W | PTE_U, nx = 0, address;
    xlat x = X_P;

    for (unsigned level = 4;; level--) {
        if (!(e & PTE_P))
            return 0;
        rights &= e;
        nx |= e & PTE_NX;
        if (level == 1 || (level == 2 && (e & PTE_PS)))
            break;
        e = ((uint64_t *)(e & PTE_ADDR))[va_of(v) >> (12 + 9 * (level - 2)) & 511];
    }
    x |= (rights & PTE_W ? X_W : 0) | (rights & PTE_U ? X_U : 0) | (nx ? X_NX : 0) | (e & PTE_G ? X_G : 0);
    if (e & PTE_PS) {
        address = (e & PTE_ADDR & ~UINT64_C(0x1fffff)) + in_pt[v % PAGES] * UINT64_C(4096);
        x |= X_LARGE | (e & 0x2000 ? X_RESERVED : 0);
    } else {
        address = e & PTE_ADDR & ~reserved_bit;
        x |= reserved_bit && (e & reserved_bit) ? X_RESERVED : 0;
    }
    return (xlat)(x | page_number(address) << X_PAGE);
}

struct leaf *leaf_of(unsigned space, unsigned v)
{
    struct area *a = area_at(space, v);
    unsigned region = v % PER_SLOT / PAGES;
    uint64_t e = *region_entry(space, v);

    return !(e & PTE_P) ? NULL : e & PTE_PS ? &a->large[region] : &a->leaf[region][v % PAGES];
}

/* ---- what may be cached ---- */

static void add(struct stale *s, xlat x)
{
    for (unsigned n = 0; n < s->count; n++)
        if (s->x[n] == x)
            return;
    if (s->count < STALE)
        s->x[s->count++] = x;
    else
        print("FAIL more stale translations than the model can hold\n");
}

/* This translation of v in space is about to be replaced. */
static void note(unsigned space, unsigned v, xlat old)
{
    if (!reaches_page(old))
        return; /* never cached */
    for (unsigned c = 0; c < cpus; c++) {
        if (old & X_G) {
            add(&tlb[c].global[v], old);
            continue;
        }
        for (unsigned p = 0; p < pcids; p++)
            if (tlb[c].used[p] >> space & 1)
                add(&tlb[c].of_pcid[p][v], old);
    }
}

static void note_range(unsigned space, struct range r, bool upper)
{
    bool shared = r.first / PER_SLOT == SHARED_SLOT;

    for (unsigned s = 0; s < SPACES; s++) {
        if (s != space && !shared)
            continue;
        for (unsigned v = r.first; v <= r.last; v++) {
            note(s, v, walk(s, v));
            for (unsigned c = 0; upper && c < cpus; c++)
                for (unsigned p = 0; p < pcids; p++)
                    if (tlb[c].used[p] >> s & 1)
                        tlb[c].upper[p] |= (uint16_t)(1u << v / PAGES);
        }
    }
}

unsigned possible(unsigned cpu, unsigned v, xlat *x, unsigned max)
{
    struct tlb_model *t = &tlb[cpu];
    const struct stale *stale[2] = {&t->of_pcid[t->pcid][v], &t->global[v]};
    unsigned count = 0;

    x[count++] = walk(t->space, v);
    for (unsigned s = 0; s < SPACES && count < max; s++)
        if (s != t->space && (t->used[t->pcid] >> s & 1))
            x[count++] = walk(s, v);
    for (unsigned k = 0; k < 2; k++)
        for (unsigned n = 0; n < stale[k]->count && count < max; n++)
            x[count++] = stale[k]->x[n];
    return count;
}

bool has_stale(unsigned cpu, unsigned first, unsigned last)
{
    struct tlb_model *t = &tlb[cpu];

    for (unsigned v = first; v <= last; v++) {
        if (t->global[v].count)
            return true;
        for (unsigned p = 0; p < pcids; p++)
            if (t->of_pcid[p][v].count || (t->upper[p] >> v / PAGES & 1))
                return true;
    }
    return false;
}

bool is_upper_stale(void)
{
    for (unsigned c = 0; c < cpus; c++)
        for (unsigned p = 0; p < pcids; p++)
            if (tlb[c].upper[p])
                return true;
    return false;
}

bool is_nearly_full(void)
{
    for (unsigned c = 0; c < cpus; c++)
        for (unsigned v = 0; v < VAS; v++) {
            if (tlb[c].global[v].count > STALE - 2)
                return true;
            for (unsigned p = 0; p < pcids; p++)
                if (tlb[c].of_pcid[p][v].count > STALE - 2)
                    return true;
        }
    return false;
}

/* ---- flushes ---- */

void flushed_pcid(unsigned cpu, unsigned pcid)
{
    struct tlb_model *t = &tlb[cpu];

    for (unsigned v = 0; v < VAS; v++)
        t->of_pcid[pcid][v].count = 0;
    t->upper[pcid] = 0;
    t->used[pcid] = t->pcid == pcid ? (uint8_t)(1u << t->space) : 0;
}

/* A large page is dropped by any address in it. */
static void drop(struct stale *all, unsigned v)
{
    unsigned first = v / PAGES * PAGES;

    all[v].count = 0;
    for (unsigned w = first; w < first + PAGES; w++) {
        unsigned kept = 0;

        for (unsigned n = 0; n < all[w].count; n++)
            if (!(all[w].x[n] & X_LARGE))
                all[w].x[kept++] = all[w].x[n];
        all[w].count = (uint8_t)kept;
    }
}

void flushed_page(unsigned cpu, unsigned pcid, unsigned v, bool invlpg)
{
    struct tlb_model *t = &tlb[cpu];

    drop(t->of_pcid[pcid], v);
    if (invlpg) {
        drop(t->global, v);
        t->upper[pcid] = 0;
    } else {
        t->upper[pcid] &= (uint16_t)~(1u << v / PAGES);
    }
}

void flushed_all(unsigned cpu, bool global_too)
{
    for (unsigned p = 0; p < pcids; p++)
        flushed_pcid(cpu, p);
    for (unsigned v = 0; global_too && v < VAS; v++)
        tlb[cpu].global[v].count = 0;
}

void switched(unsigned cpu, unsigned space, unsigned pcid, bool keep)
{
    struct tlb_model *t = &tlb[cpu];

    t->space = space;
    t->pcid = pcid;
    if (keep)
        t->used[pcid] |= (uint8_t)(1u << space);
    else
        flushed_pcid(cpu, pcid);
}

/* ---- changes ---- */

static bool often(uint64_t *seed, unsigned percent)
{
    return next_random(seed) % 100 < percent;
}

static uint64_t some_rights(uint64_t *seed, unsigned percent)
{
    return (often(seed, percent) ? PTE_P : 0) | (often(seed, percent) ? PTE_W : 0) |
           (often(seed, percent) ? PTE_U : 0) | (often(seed, percent) ? 0 : PTE_NX);
}

static void reset(struct leaf *l, uint64_t *entry, uint64_t value)
{
    *(volatile uint64_t *)entry = value;
    *l = (struct leaf){.entry = entry, .may_d = value & PTE_D};
}

static uint64_t random_page(uint64_t *seed, unsigned v)
{
    uint64_t e = (uint64_t)pool_page((unsigned)(next_random(seed) % POOL)) | some_rights(seed, 80);

    if (often(seed, 4))
        e |= reserved_bit;
    if (v / PER_SLOT == SHARED_SLOT && often(seed, 50))
        e |= PTE_G;
    return e | (often(seed, 30) ? PTE_A : 0) | (often(seed, 30) ? PTE_D : 0);
}

static void set_page(unsigned space, unsigned v, uint64_t value)
{
    struct area *a = area_at(space, v);

    reset(&a->leaf[v % PER_SLOT / PAGES][v % PAGES], page_slot(space, v), value);
}

/* A table in place of what is there: of the same pages, or of any. */
static void make_table(uint64_t *seed, unsigned space, unsigned v)
{
    struct area *a = area_at(space, v);
    unsigned region = v % PER_SLOT / PAGES, first = v / PAGES * PAGES;
    uint64_t *entry = region_entry(space, v), old = *entry;
    bool split = (old & PTE_PS) && often(seed, 60);

    a->which[region] ^= 1;
    for (unsigned w = first; w < first + PAGES; w++)
        set_page(space, w, split ? (old & ~(PTE_PS | UINT64_C(0x3000))) + in_pt[w % PAGES] * UINT64_C(4096)
                                 : random_page(seed, w));
    *(volatile uint64_t *)entry = (uint64_t)a->pt[region][a->which[region]] | some_rights(seed, 95) |
                                  (often(seed, 50) ? PTE_A : 0);
}

static void make_large(uint64_t *seed, unsigned space, unsigned v)
{
    uint64_t e = chunk_address((unsigned)(next_random(seed) % CHUNKS)) | PTE_PS | some_rights(seed, 85);

    e |= (often(seed, 30) ? PTE_A : 0) | (often(seed, 30) ? PTE_D : 0) | (often(seed, 4) ? 0x2000 : 0);
    if (v / PER_SLOT == SHARED_SLOT && often(seed, 50))
        e |= PTE_G;
    reset(&area_at(space, v)->large[v % PER_SLOT / PAGES], region_entry(space, v), e);
}

static void change_region(uint64_t *seed, unsigned space, unsigned v)
{
    uint64_t *entry = region_entry(space, v), e = *entry;

    if (!(e & PTE_P) || often(seed, 60)) {
        if (often(seed, 60))
            make_table(seed, space, v);
        else
            make_large(seed, space, v);
    } else {
        e = (e & ~(PTE_P | PTE_W | PTE_U | PTE_NX)) | some_rights(seed, 85);
        if (e & PTE_PS)
            reset(&area_at(space, v)->large[v % PER_SLOT / PAGES], entry, e);
        else
            *(volatile uint64_t *)entry = e;
    }
}

static void change_page(uint64_t *seed, unsigned space, unsigned v)
{
    uint64_t e = *page_slot(space, v), rights = PTE_P | PTE_W | PTE_U | PTE_NX;

    switch (next_random(seed) % 4) {
    case 0: e = (e & ~rights) | some_rights(seed, 75); break;
    case 1: e &= ~(PTE_A | PTE_D); break;
    case 2: e = (e & ~(rights | PTE_D)) | PTE_P | PTE_U; break; /* as for a copy on write */
    default: e = random_page(seed, v);
    }
    set_page(space, v, e);
}

static void aim_slot(uint64_t *seed, unsigned space, unsigned slot)
{
    struct area *a = &areas[area_of[space][slot]];
    uint64_t e = (uint64_t)a->pdpt | some_rights(seed, 96);

    for (unsigned s = 0; s < SPACES; s++)
        if (s == space || slot == SHARED_SLOT)
            *(volatile uint64_t *)&roots[s][in_pml4[slot]] = e;
    *(volatile uint64_t *)&a->pdpt[in_pdpt[slot]] = (uint64_t)a->pd | some_rights(seed, 96);
}

static struct range range_of_slot(unsigned slot)
{
    return (struct range){slot * PER_SLOT, slot * PER_SLOT + PER_SLOT - 1};
}

/* Two spaces exchange what they have in a slot. */
static struct range exchange(uint64_t *seed, unsigned space, unsigned slot)
{
    unsigned other = (unsigned)((space + 1 + next_random(seed) % (SPACES - 1)) % SPACES);
    unsigned mine = area_of[space][slot];

    note_range(space, range_of_slot(slot), true);
    note_range(other, range_of_slot(slot), true);
    area_of[space][slot] = area_of[other][slot];
    area_of[other][slot] = mine;
    aim_slot(seed, space, slot);
    aim_slot(seed, other, slot);
    return range_of_slot(slot);
}

/* The space ends, and another one begins with its top-level table. */
static struct range begin_anew(uint64_t *seed, unsigned space)
{
    struct range r = {0, SHARED_SLOT * PER_SLOT - 1};

    note_range(space, r, true);
    for (unsigned v = 0; v <= r.last; v += PAGES) {
        if (often(seed, 70))
            make_table(seed, space, v);
        else
            make_large(seed, space, v);
    }
    for (unsigned slot = 0; slot < SHARED_SLOT; slot++)
        aim_slot(seed, space, slot);
    return r;
}

struct range change(uint64_t *seed, unsigned favourite)
{
    unsigned kind = (unsigned)(next_random(seed) % 100), space = (unsigned)(next_random(seed) % SPACES);
    unsigned v = favourite, slot = v / PER_SLOT;
    struct range r = {v, v};

    if (often(seed, 60))
        space = tlb[next_random(seed) % cpus].space;
    if (kind < 60) {
        note_range(space, r, false);
        change_page(seed, space, v);
        return r;
    }
    if (kind < 85) {
        r = (struct range){v / PAGES * PAGES, v / PAGES * PAGES + PAGES - 1};
        note_range(space, r, true);
        change_region(seed, space, v);
        return r;
    }
    if (kind < 91 && slot != SHARED_SLOT)
        return exchange(seed, space, slot);
    if (kind < 95)
        return begin_anew(seed, space);
    r = range_of_slot(slot);
    note_range(space, r, true);
    aim_slot(seed, space, slot);
    return r;
}

/* ---- the start ---- */

static void make_area(struct area *a)
{
    a->pdpt = alloc_page();
    a->pd = alloc_page();
    for (unsigned n = 0; n < REGIONS; n++)
        for (unsigned k = 0; k < 2; k++)
            a->pt[n][k] = alloc_page();
}

void model_create(uint64_t *seed)
{
    uint32_t eax = 0x80000008;

    __asm__("cpuid" : "+a"(eax) : : "rbx", "rcx", "rdx");
    reserved_bit = (eax & 255) < 52 ? UINT64_C(1) << 51 : 0;
    for (unsigned n = 0; n < AREAS; n++)
        make_area(&areas[n]);
    for (unsigned s = 0; s < SPACES; s++) {
        roots[s] = alloc_page();
        roots[s][0] = pml4[0];
        for (unsigned slot = 0; slot < SLOTS; slot++)
            area_of[s][slot] = slot == SHARED_SLOT ? AREAS - 1 : s * (SLOTS - 1) + slot;
    }
    for (unsigned s = 0; s < SPACES; s++) {
        for (unsigned v = s ? 0 : SHARED_SLOT * PER_SLOT; v < (s ? SHARED_SLOT * PER_SLOT : VAS); v += PAGES)
            make_table(seed, s, v);
        for (unsigned slot = 0; slot < SLOTS; slot++)
            aim_slot(seed, s, slot);
        begin_anew(seed, s);
    }
}
