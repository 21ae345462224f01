/* SPDX-License-Identifier: MIT */
/* See block.h. Blocks lie in one arena that is only ever emptied as a whole. */
#include "cpu/x86/block_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/pages.h"
#include "cpu/x86/block_beside.h"
#include "cpu/x86/engine.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/fpu/thunk.h"
#include "cpu/x86/jit/jit.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

#define HASH_BUCKETS_FIRST (4u << 10) /* they double when there are more blocks than that, */
#define HASH_BUCKETS_MAX   (256u << 10) /* up to these */
#define PAGE_BUCKETS 16384u
#define BLOCK_BYTES_MAX (sizeof(struct block) + (BLOCK_INSNS_MAX + 4) * sizeof(struct insn))
#define PLACE_UNIT 8u /* all begins at multiples of it */
/* Blocks of the same bytes: at different addresses of programs that take turns, and those of them that
 * cannot be moved, or that differ in their second page only. */
#define ADDRESSES_MAX 4u
#define OTHERS_MAX    8u

/* Many machines run little, so tables begin small, and take memory where they are touched. One that has missed its TLBs
 * more often than this since they were empty looks into them often enough for huge pages. */
#define WELL_USED 200000u

struct block_cache {
    struct block_jump jumps[BLOCK_JUMPS_MAX + BLOCK_JUMPS_BEHIND];
    uint32_t hash[HASH_BUCKETS_MAX];  /* places of blocks */
    uint32_t page[PAGE_BUCKETS];
    struct beside beside; /* chains by the page of code and the page of addresses where it is right */
    uint32_t buckets;     /* of hash[] in use */
    uint32_t hashed;      /* blocks in there */
    uint32_t jump_fights; /* entries of jumps[] that took the place of one that was in use, since the last look */
    uint8_t *arena;
    size_t used;
    uint64_t misses; /* of the TLBs, when it was small */
    bool well_used;
    struct block *single; /* scratch, outside the arena */
};

_Static_assert(sizeof(struct block_jump) * BLOCK_JUMPS_MAX % PAGES_HUGE == 0, "they can be huge pages");
_Static_assert((BLOCK_JUMP_SPACES - 1) * BLOCK_JUMP_APART <= BLOCK_JUMPS_BEHIND, "there is room for all");
_Static_assert(offsetof(struct block_cache, buckets) % MEM_PAGE_SIZE == 0, "the tables can be given back");

static void zero(void *p, size_t len)
{
    size_t words = len / 8;

    __asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(0) : "memory");
}

static void *at_place(const struct block_cache *cache, uint32_t place)
{
    return place ? cache->arena + (size_t)place * PLACE_UNIT : NULL;
}

static uint32_t place_of(const struct block_cache *cache, const void *p)
{
    return (uint32_t)((size_t)((const uint8_t *)p - cache->arena) / PLACE_UNIT);
}

static uint32_t jumps_in_use(const struct x86_cpu *c)
{
    return (c->jump_mask >> BLOCK_JUMP_SHIFT) + 1;
}

/* Which of the places where lower halves begin is that of now? */
static unsigned jump_space(const struct x86_cpu *c)
{
    return (unsigned)(c->jumps[0] - c->jumps[1]) / BLOCK_JUMP_APART;
}

/* Nothing is in it. */
static void begin(struct x86_cpu *c)
{
    struct block_cache *b = c->blocks;

    b->used = PLACE_UNIT; /* place 0 is none */
    b->buckets = HASH_BUCKETS_FIRST;
    b->hashed = b->jump_fights = 0;
    c->jump_mask = block_jump_mask(BLOCK_JUMPS_FIRST);
}

int block_cache_create(struct x86_cpu *c)
{
    struct block_cache *b = pages_reserve(sizeof(*b));

    if (!b)
        return -ENOMEM;
    c->blocks = b;
    b->single = aligned_alloc(64, align_up(BLOCK_BYTES_MAX, 64));
    b->arena = pages_reserve(BLOCK_CACHE_BYTES);
    if (!b->single || !b->arena)
        return -ENOMEM;
    c->jumps[0] = c->jumps[1] = b->jumps;
    begin(c);
    return 0;
}

void block_cache_destroy(struct x86_cpu *c)
{
    if (!c->blocks)
        return;
    pages_unmap(c->blocks->arena, BLOCK_CACHE_BYTES);
    free(c->blocks->single);
    pages_unmap(c->blocks, sizeof(*c->blocks));
    c->blocks = NULL;
    c->jumps[0] = c->jumps[1] = NULL;
}

void block_cache_empty(struct x86_cpu *c)
{
    struct block_cache *b = c->blocks;

    zero(b->hash, b->buckets * sizeof(b->hash[0]));
    zero(b->page, sizeof(b->page));
    beside_empty(&b->beside);
    zero(b->jumps, (jumps_in_use(c) + BLOCK_JUMPS_BEHIND) * sizeof(b->jumps[0]));
    begin(c);
    thunk_cache_empty(c); /* nothing refers to them any more */
    jit_empty(c);
    c->link = NULL;
    c->count.cache_flushes++;
}

void block_cache_give_back(struct x86_cpu *c)
{
    struct block_cache *b = c->blocks;

    block_cache_empty(c);
    pages_give_back(b->jumps, offsetof(struct block_cache, buckets));
    pages_give_back(b->arena, BLOCK_CACHE_BYTES);
    b->well_used = false;
    b->misses = c->count.tlb_misses;
    jit_give_back(c);
}

size_t block_cache_used(const struct x86_cpu *c)
{
    return c->blocks->used;
}

/* ---- instructions of our own ---- */

/* What every instruction of an invalidated block becomes, */
INSN(insn_stale)
{
    c->rip = insn_rip(c, i);
}

/* and what leads into it. */
INSN(insn_stale_entry)
{
    c->rip = c->reg[REG_BLOCK_RIP];
}

/* May b run at rip? */
static bool serves(const struct block *b, uint64_t rip)
{
    return !b->fixed || b->home_rip == rip;
}

/* In front of one that may be: enter its translation, or count until it is worth one. */
void insn_block_entry(struct x86_cpu *c, const struct insn *i)
{
    struct block *b = block_of(i);

    if (block_translated_at(b, c->reg[REG_BLOCK_RIP])) {
        struct block_jump *jump = block_jump_slot(c, b->home_rip);

        if (jump->to == i && jump->rip == b->home_rip)
            jump->code = jit_code_of(c, b);
        jit_enter_block(c, b);
        return;
    }
    if (unlikely(!serves(b, c->reg[REG_BLOCK_RIP]))) {
        c->rip = c->reg[REG_BLOCK_RIP]; /* linked from another mapping of the same page */
        return;
    }
    if (!b->tried && ++b->runs >= c->vm->jit.threshold)
        block_translate(c, b, c->reg[REG_BLOCK_RIP]); /* another process may have had it elsewhere */
    NEXT;
}

/* ---- finding ---- */

static uint32_t *bucket_of(struct block_cache *cache, const uint8_t *host, unsigned mode)
{
    uint64_t v = (uint64_t)(uintptr_t)host;

    return &cache->hash[(v ^ (v >> 14) ^ mode) & (cache->buckets - 1)];
}

static unsigned page_bucket(const uint8_t *page)
{
    uint64_t v = (uint64_t)(uintptr_t)page >> MEM_PAGE_SHIFT;

    return (unsigned)((v ^ (v >> 12)) & (PAGE_BUCKETS - 1));
}

static uint64_t linear_rip(const struct x86_cpu *c, uint64_t rip)
{
    return in_64bit(c) ? rip : (uint32_t)(rip + c->seg[X86_CS].base);
}

/* Host address of the code at rip, or NULL: the fault is recorded. */
static const uint8_t *fetch(struct x86_cpu *c, uint64_t *ret_lin)
{
    const uint8_t *host;

    if (unlikely(block_beyond_limit(c, c->rip))) {
        cpu_raise(c, X86_GP, true, 0);
        return NULL;
    }
    *ret_lin = linear_rip(c, c->rip);
    return mmu_fetch(c, *ret_lin, &host) ? host : NULL;
}

static void hash_in(struct block_cache *cache, struct block *b)
{
    uint32_t *bucket = bucket_of(cache, b->host, b->mode);

    b->hash_next = *bucket;
    *bucket = place_of(cache, b);
    cache->hashed++;
}

/* Each chain becomes two, in the same order. */
static void grow_hash(struct block_cache *cache)
{
    uint32_t old = cache->buckets;

    cache->buckets *= 2;
    for (uint32_t n = 0; n < old; n++) {
        uint32_t *stays = &cache->hash[n], *goes = &cache->hash[n + old];
        struct block *b = at_place(cache, *stays);

        for (; b; b = at_place(cache, b->hash_next)) {
            uint32_t **end = bucket_of(cache, b->host, b->mode) == &cache->hash[n] ? &stays : &goes;

            **end = place_of(cache, b);
            *end = &b->hash_next;
        }
        *stays = *goes = 0;
    }
}

static void hash_out(struct block_cache *cache, struct block *b)
{
    uint32_t *at = bucket_of(cache, b->host, b->mode), wanted = place_of(cache, b);

    while (*at && *at != wanted)
        at = &((struct block *)at_place(cache, *at))->hash_next;
    if (!*at)
        return;
    *at = b->hash_next;
    cache->hashed--;
}

static struct block *to_front(struct block_cache *cache, struct block *b)
{
    if (at_place(cache, *bucket_of(cache, b->host, b->mode)) != b) {
        hash_out(cache, b);
        hash_in(cache, b);
    }
    return b;
}

static void kill_block(struct x86_cpu *c, struct block *b);

static void move_block(struct x86_cpu *c, struct block *b);

/* What there is of the bytes at RIP. */
struct found {
    struct block *here, *anywhere;  /* right at RIP only, or wherever they are mapped */
    struct block *movable, *other;  /* right elsewhere, or with another second page: the oldest */
    unsigned movables, others;
    bool regretted;                 /* one was here before it was moved */
    const uint8_t *second;          /* the page behind theirs, if somebody wanted to know */
    bool fault;                     /* which cannot be fetched: recorded */
};

/* One that crosses a page fits only if its second page is still the one behind the first in the
 * address space of now. */
static bool second_page_fits(struct x86_cpu *c, struct found *f, const struct block *b, uint64_t lin)
{
    if (!b->crosses)
        return true;
    if (!f->second && !f->fault)
        f->fault = !mmu_fetch(c, (lin | (MEM_PAGE_SIZE - 1)) + 1, &f->second);
    return f->second == block_page(b, 1);
}

/* Mappings move by pages. What lies near both addresses is in the lower half. */
static bool may_move(const struct x86_cpu *c, const struct block *b)
{
    return !b->stays && jit_may_move(c, b->home_rip, c->rip);
}

static uint16_t hash_of_page(uint64_t rip)
{
    return (uint16_t)((rip >> MEM_PAGE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) >> 48) | 1;
}

static void note_found(struct x86_cpu *c, struct found *f, struct block *b, uint64_t lin)
{
    bool fits = second_page_fits(c, f, b, lin);

    if (fits && !b->fixed) {
        f->anywhere = b;
    } else if (fits && b->home_rip == c->rip) {
        f->here = b;
    } else if (fits && may_move(c, b)) {
        f->movable = b;
        f->movables++;
        f->regretted |= b->left == hash_of_page(c->rip);
    } else {
        f->other = b;
        f->others++;
    }
}

/* Where the program goes on whose block was taken away it gets one of its own. */
static bool shall_move(const struct found *f)
{
    return f->movables >= (f->regretted ? ADDRESSES_MAX : 1);
}

/* A block of these bytes. The same code may be mapped at several addresses, and its links serve all
 * of them as long as they stay within its page; else there is one for each of some addresses, and
 * the one that has not been looked up for longest is moved to the next. */
static struct block *lookup(struct x86_cpu *c, const uint8_t *host, uint64_t lin)
{
    struct block_cache *cache = c->blocks;
    unsigned mode = block_mode(c);
    struct block *b = at_place(cache, *bucket_of(cache, host, mode));
    struct found f = {0};

    c->count.block_lookups++;
    for (; b && !f.here && !f.fault; b = at_place(cache, b->hash_next)) {
        c->count.block_steps++;
        if (b->host == host && b->mode == mode)
            note_found(c, &f, b, lin);
    }
    if (f.fault)
        return NULL;
    if (!f.here && !f.anywhere && shall_move(&f)) {
        move_block(c, f.movable);
        f.here = f.movable;
    }
    if (!f.here && f.others >= OTHERS_MAX)
        kill_block(c, f.other);
    return f.here ? to_front(cache, f.here) : f.anywhere;
}

/* Where the chain of blocks of a page goes on behind b. */
static uint32_t *page_next(struct block *b, unsigned bucket)
{
    return page_bucket(block_page(b, 0)) == bucket ? &b->page_next : &block_end(b)->page_next;
}

/* Blocks of b's page of code that are right at addresses of the page of rip; others may be among them. */
static uint32_t *beside_at(struct block_cache *cache, const struct block *b, uint64_t rip)
{
    uint64_t v = ((uint64_t)(uintptr_t)b->host >> MEM_PAGE_SHIFT) + (rip >> MEM_PAGE_SHIFT);

    return &cache->beside.chain[v * UINT64_C(0x9e3779b97f4a7c15) >> (64 - BESIDE_BITS)];
}

static void beside_in(struct block_cache *cache, struct block *b)
{
    beside_add(&cache->beside, beside_at(cache, b, b->home_rip), place_of(cache, b));
}

static void beside_out(struct block_cache *cache, struct block *b)
{
    beside_remove(&cache->beside, beside_at(cache, b, b->home_rip), place_of(cache, b));
}

/* b is right at one address from now on. What can never move is beside nothing. */
static void note_fixed(struct x86_cpu *c, struct block *b)
{
    if (jit_may_move(c, b->home_rip, b->home_rip))
        beside_in(c->blocks, b);
}

static void insert(struct block_cache *cache, struct block *b)
{
    unsigned bucket;

    if (cache->hashed == cache->buckets && cache->buckets < HASH_BUCKETS_MAX)
        grow_hash(cache);
    hash_in(cache, b);
    for (unsigned n = 0; n < 2 && block_page(b, n); n++) {
        bucket = page_bucket(block_page(b, n));
        *(n ? &block_end(b)->page_next : &b->page_next) = cache->page[bucket];
        cache->page[bucket] = place_of(cache, b);
    }
}

/* ---- links between blocks ---- */

/* The chain of links to a block: from block.incoming on, by block_link.next. The next behind at, or NULL. */
static struct block_link *link_at(const struct block_cache *cache, const uint32_t *at)
{
    return at_place(cache, *at & ~BLOCK_LINK_SECOND);
}

/* Let the chain go on at the link at place. */
static void chain_link(uint32_t *at, uint32_t place)
{
    *at = (*at & BLOCK_LINK_SECOND) | (place & ~BLOCK_LINK_SECOND);
}

/* Take the link behind at out of the chain. */
static void unchain_link(uint32_t *at, struct block_link *link)
{
    chain_link(at, link->next);
    chain_link(&link->next, 0);
}

static void unlink_from(struct block_cache *cache, struct block *b, struct block_link *link)
{
    uint32_t *at = &b->incoming;
    struct block_link *l;

    while ((l = link_at(cache, at)) && l != link)
        at = &l->next;
    if (l)
        unchain_link(at, l);
}

static void aim_link(struct block_link *link, const struct block *to)
{
    link->to = (int32_t)((const uint8_t *)to->insn - (const uint8_t *)link);
}

/* May link lead to a block? One that runs at several addresses must not be led on from to one that
 * is right at one of them only, unless that looks itself. */
static bool may_link(const struct block_link *link, const struct block *to)
{
    return !to->fixed || block_end_with(link)->fixed || to->insn[0].fn == insn_block_entry;
}

static void set_link(struct x86_cpu *c, struct block_link *link, struct block *to)
{
    if (!may_link(link, to))
        return;
    if (!link->to || block_link_to(link) != to->insn) {
        jit_unlink(c, link);
        if (link->to)
            unlink_from(c->blocks, block_of(block_link_to(link)), link);
        aim_link(link, to);
        chain_link(&link->next, to->incoming);
        to->incoming = place_of(c->blocks, link);
    }
    link->ctx = c->code_ctx[c->rip >> 63];
    jit_link(c, link, to);
}

/* b has just been translated, unless it could not be: make its links, and those to it, ones of
 * translated code at once. Each would come by the main loop otherwise. */
static void link_translation(struct x86_cpu *c, struct block *b)
{
    struct block_end *end = block_end(b);
    struct block_link *link = link_at(c->blocks, &b->incoming);
    uint64_t rip = c->rip;

    if (!b->translated)
        return;
    c->rip = b->home_rip;
    for (; link; link = link_at(c->blocks, &link->next))
        jit_link(c, link, b);
    for (unsigned slot = 0; slot < end->links; slot++) {
        const struct block *to;

        link = &end->link[slot];
        if (!link->to)
            continue;
        to = block_of(block_link_to(link));
        c->rip = to->home_rip;
        jit_link(c, link, to);
    }
    c->rip = rip;
}

void block_translate(struct x86_cpu *c, struct block *b, uint64_t rip)
{
    bool fixed = b->fixed;

    b->home_rip = rip;
    b->tried = true;
    jit_translate(c, b);
    if (b->fixed && !fixed)
        note_fixed(c, b);
    link_translation(c, b);
}

static void unlink_incoming(struct x86_cpu *c, struct block *b)
{
    struct block_link *link;

    while ((link = link_at(c->blocks, &b->incoming))) {
        jit_unlink(c, link);
        link->ctx = 0;
        link->to = 0;
        unchain_link(&b->incoming, link);
    }
}

/* ---- moving ---- */

/* Blocks of one page that move at once: what a program runs of a page at a new address it seldom runs
 * alone, and each would come by the main loop. */
#define GROUP_MAX 128

struct group {
    struct block *block[GROUP_MAX];
    unsigned count;
    uint64_t by; /* what their addresses change by */
    uint64_t taken[MEM_PAGE_SIZE / 64]; /* bits of offsets in the page that have one where they go */
};

/* Is x, which is right at one address only, in the page of code of b, and right in the page of rip? */
static bool is_near(const struct block *x, const struct block *b, uint64_t rip)
{
    return x->mode == b->mode && block_page(x, 0) == block_page(b, 0) && tlb_page(x->home_rip) == tlb_page(rip);
}

static void note_taken(struct group *g, const struct block *x)
{
    unsigned offset = x->home_rip & (MEM_PAGE_SIZE - 1);

    g->taken[offset / 64] |= BIT(offset % 64);
}

static bool is_taken(const struct group *g, const struct block *x)
{
    unsigned offset = x->home_rip & (MEM_PAGE_SIZE - 1);

    return g->taken[offset / 64] & BIT(offset % 64);
}

/* May it go along with b, as if it had been looked up there? */
static bool goes_along(struct x86_cpu *c, const struct group *g, const struct block *x, const struct block *b)
{
    uint64_t to = x->home_rip + g->by;

    return is_near(x, b, b->home_rip) && !x->crosses && !x->stays && x->left != hash_of_page(to) &&
           jit_may_move(c, x->home_rip, to) && !is_taken(g, x);
}

/* The entries of the front cache by which the lower halves of now know b: that many of them, BLOCK_JUMP_APART from each
 * other. */
static struct block_jump *jumps_to(struct x86_cpu *c, const struct block *b)
{
    return c->jumps[1] + (block_jump_slot(c, b->home_rip) - c->jumps[b->home_rip >> 63]);
}

/* What a move looks at lies all over the place: let it come at once. */
static void prefetch_for_move(struct x86_cpu *c, const struct block *b, uint64_t by)
{
    const struct block_jump *jump = jumps_to(c, b);

    __builtin_prefetch(block_end(b), 1);
    __builtin_prefetch(block_jump_slot(c, b->home_rip + by), 1);
    for (unsigned n = 0; n < BLOCK_JUMP_SPACES; n++)
        if (b->spaces & 1u << n)
            __builtin_prefetch(&jump[n * BLOCK_JUMP_APART], 1);
}

static void add_to_group(struct x86_cpu *c, struct group *g, struct block *b)
{
    prefetch_for_move(c, b, g->by);
    b->moving = true;
    g->block[g->count++] = b;
}

/* Let what is in the chain come at once. */
static void prefetch_chain(struct block_cache *cache, uint32_t chain)
{
    const struct beside_node *node;

    for (; chain; chain = node->next) {
        node = &cache->beside.node[chain];
        for (uint32_t n = 0; n < node->count; n++) {
            const struct block *x = at_place(cache, node->place[n]);

            __builtin_prefetch(&x->home_rip, 1);
            __builtin_prefetch(&x->left, 1); /* which may be in the next cache line */
        }
    }
}

static void note_all_taken(struct block_cache *cache, struct group *g, const struct block *b, uint64_t rip)
{
    const struct beside_node *node;

    for (uint32_t chain = *beside_at(cache, b, rip); chain; chain = node->next) {
        node = &cache->beside.node[chain];
        for (uint32_t n = 0; n < node->count; n++) {
            const struct block *x = at_place(cache, node->place[n]);

            if (is_near(x, b, rip))
                note_taken(g, x);
        }
    }
}

/* They are beside nothing until they are where they go. */
static void gather_group(struct x86_cpu *c, struct group *g, struct block *b)
{
    struct block_cache *cache = c->blocks;
    uint32_t *chain = beside_at(cache, b, b->home_rip), old = *chain;
    struct beside_node node;

    prefetch_chain(cache, old);
    prefetch_chain(cache, *beside_at(cache, b, c->rip));
    note_all_taken(cache, g, b, c->rip);
    add_to_group(c, g, b);
    *chain = 0;
    while (beside_take(&cache->beside, &old, &node)) {
        for (uint32_t n = 0; n < node.count; n++) {
            struct block *x = at_place(cache, node.place[n]);

            if (x == b)
                continue;
            if (g->count < GROUP_MAX && goes_along(c, g, x, b))
                add_to_group(c, g, x);
            else
                beside_add(&cache->beside, chain, node.place[n]);
        }
    }
}

/* Is link kept because whoever follows it looks first, or because both of its ends move? Within a page nobody
 * has to look; into another one it must be, since what is there in some address space was known of the old place. */
static bool outlives_move(struct x86_cpu *c, struct block_link *link)
{
    link->ctx = 0;
    return jit_looks_first(c, link) || (block_with(link)->moving && block_of(block_link_to(link))->moving);
}

static void cut_incoming(struct x86_cpu *c, struct block *b)
{
    uint32_t *at = &b->incoming;
    struct block_link *link;

    while ((link = link_at(c->blocks, at))) {
        if (outlives_move(c, link)) {
            at = &link->next;
            continue;
        }
        jit_unlink(c, link);
        link->to = 0;
        unchain_link(at, link);
    }
}

static void cut_outgoing(struct x86_cpu *c, struct block *b)
{
    struct block_end *end = block_end(b);

    for (unsigned slot = 0; slot < end->links; slot++) {
        struct block_link *link = &end->link[slot];

        if (c->link == link)
            c->link = NULL;
        if (!link->to || outlives_move(c, link))
            continue;
        jit_unlink(c, link);
        unlink_from(c->blocks, block_of(block_link_to(link)), link);
        link->to = 0;
    }
}

/* No address space is to find b where it is now by the front cache. Which of them may stays noted: one may know b from
 * elsewhere, to where b comes later, and then it is given the code without being noted again. */
static void forget_jumps(struct x86_cpu *c, struct block *b)
{
    struct block_jump *jump = jumps_to(c, b);

    for (unsigned n = 0; n < BLOCK_JUMP_SPACES; n++)
        if (b->spaces & 1u << n && jump[n * BLOCK_JUMP_APART].to == b->insn)
            jump[n * BLOCK_JUMP_APART].ctx = 0;
}

/* Put b, for rip, into the front cache. */
static void note_jump(struct x86_cpu *c, struct block_jump *jump, struct block *b, uint64_t rip, const void *code)
{
    *jump = (struct block_jump){.rip = rip, .ctx = c->code_ctx[rip >> 63], .to = b->insn, .code = code};
    b->spaces |= (uint8_t)((rip >> 63 ? 1u : 1u << jump_space(c)) & 15);
}

/* Its page is mapped at the new address, so what is found by that is known at once. */
static void move_one(struct x86_cpu *c, struct block *b, uint64_t by)
{
    forget_jumps(c, b);
    b->left = hash_of_page(b->home_rip);
    b->home_rip += by;
    beside_in(c->blocks, b);
    c->count.blocks_moved++;
    if (!b->translated)
        return;
    jit_move(c, b);
    note_jump(c, block_jump_slot(c, b->home_rip), b, b->home_rip, jit_code_of(c, b));
}

/* b to c->rip, with what is beside it; whatever leads there finds it anew. Not while a block runs. */
static void move_block(struct x86_cpu *c, struct block *b)
{
    struct group g = {.by = c->rip - b->home_rip};

    gather_group(c, &g, b);
    for (unsigned n = 0; n < g.count; n++)
        jit_prefetch(c, g.block[n]);
    for (unsigned n = 0; n < g.count; n++) {
        cut_incoming(c, g.block[n]);
        cut_outgoing(c, g.block[n]);
    }
    for (unsigned n = 0; n < g.count; n++) {
        move_one(c, g.block[n], g.by);
        g.block[n]->moving = false;
    }
}

/* ---- invalidation ---- */

static void kill_block(struct x86_cpu *c, struct block *b)
{
    if (b->dead)
        return;
    b->dead = true;
    hash_out(c->blocks, b);
    if (b->fixed)
        beside_out(c->blocks, b);
    unlink_incoming(c, b);
    jit_kill(c, b);
    b->begin = insn_stale_entry;
    for (unsigned n = 1; n < b->count; n++)
        b->insn[n].fn = insn_stale;
}

/* Granules of the page of RAM that b relies on: at least those claimed for it. */
static uint64_t relied_on(const struct x86_cpu *c, const struct block *b, const uint8_t *page)
{
    unsigned left = MEM_PAGE_SIZE - (unsigned)(b->host - mem_page_of(b->host));
    unsigned end = b->insn[b->count - 1].off + (unsigned)X86_INSN_MAX;
    uint64_t granules = 0;

    if (block_page(b, 0) == page)
        granules |= smc_granules(b->host, MIN(left, end)) |
                    jit_granules(c, b);
    if (block_page(b, 1) == page)
        granules |= smc_granules(page, X86_INSN_MAX);
    return granules;
}

/* page: NULL for all. */
static void invalidate_bucket(struct x86_cpu *c, unsigned bucket, const uint8_t *page,
                              uint64_t granules)
{
    uint32_t *at = &c->blocks->page[bucket];
    struct block *b;

    while ((b = at_place(c->blocks, *at))) {
        uint32_t *next = page_next(b, bucket);

        if (b->dead || !page || relied_on(c, b, page) & granules) {
            kill_block(c, b);
            *at = *next;
        } else {
            at = next;
        }
    }
}

void block_invalidate(struct x86_cpu *c, const uint8_t *host, uint64_t granules)
{
    const uint8_t *page = mem_page_of(host);

    invalidate_bucket(c, page_bucket(page), page, granules);
}

void block_invalidate_all(struct x86_cpu *c)
{
    for (unsigned bucket = 0; bucket < PAGE_BUCKETS; bucket++)
        invalidate_bucket(c, bucket, NULL, 0);
}

void block_each_in_page(const struct x86_cpu *c, const uint8_t *host,
                        void (*fn)(void *arg, const struct block *b), void *arg)
{
    unsigned bucket = page_bucket(mem_page_of(host));
    struct block *b = at_place(c->blocks, c->blocks->page[bucket]);

    for (; b; b = at_place(c->blocks, *page_next(b, bucket)))
        if (!b->dead && block_page(b, 0) == mem_page_of(host))
            fn(arg, b);
}

/* ---- new ones ---- */

static size_t block_size(const struct block *b)
{
    const struct block_end *end = block_end(b);

    return (size_t)((const uint8_t *)&end->link[end->links] - (const uint8_t *)b) +
           (b->crosses ? sizeof(const uint8_t *) : 0);
}

static void use_huge_pages(struct x86_cpu *c)
{
    struct block_cache *cache = c->blocks;
    size_t used = align_up(cache->used, PAGES_HUGE);

    fpu_park(c);
    pages_use_huge(cache->jumps, sizeof(cache->jumps));
    pages_use_huge(cache->arena + used, BLOCK_CACHE_BYTES - used);
    mmu_use_huge_pages(c);
    cache->well_used = true;
}

static struct block *decode_new(struct x86_cpu *c, const uint8_t *host, uint64_t lin)
{
    struct block_cache *cache = c->blocks;
    struct block *b;

    if (cache->used + BLOCK_BYTES_MAX > BLOCK_CACHE_BYTES)
        block_cache_empty(c);
    if (unlikely(c->count.tlb_misses - cache->misses > WELL_USED && !cache->well_used))
        use_huge_pages(c);
    b = (struct block *)(cache->arena + cache->used);
    if (!block_build(c, b, host, lin, BLOCK_INSNS_MAX))
        return NULL;
    cache->used += align_up(block_size(b), PLACE_UNIT);
    insert(cache, b);
    if (b->fixed)
        note_fixed(c, b);
    return b;
}

struct block *block_known(struct x86_cpu *c)
{
    const struct block_jump *jump = block_jump_slot(c, c->rip);
    struct block *b;

    if (unlikely(jump->rip != c->rip || jump->ctx != c->code_ctx[c->rip >> 63]))
        return NULL;
    b = block_of(jump->to);
    return likely(!b->dead && serves(b, c->rip)) ? b : NULL;
}

/* Those for which one bit more of the address is set go as much further on as there were places: from the last to the
 * first, so that none comes where another has not been looked at. */
static void grow_jumps(struct x86_cpu *c)
{
    struct block_jump *jumps = c->blocks->jumps;
    uint32_t old = jumps_in_use(c), bit = old << BLOCK_JUMP_SHIFT;

    c->jump_mask = block_jump_mask(2 * old);
    for (uint32_t n = old + BLOCK_JUMPS_BEHIND; n--;) {
        if (!(jumps[n].rip & bit))
            continue;
        jumps[n + old] = jumps[n];
        jumps[n] = (struct block_jump){0};
    }
}

/* Make the place for c->rip in the front cache. Where many of them take another's that was good, there are too few. */
static struct block_jump *take_jump(struct x86_cpu *c)
{
    const struct block_jump *jump = block_jump_slot(c, c->rip);
    struct block_cache *cache = c->blocks;

    cache->jump_fights += jump->to && jump->rip != c->rip && jump->ctx == c->code_ctx[jump->rip >> 63];
    if (cache->jump_fights >= jumps_in_use(c) && jumps_in_use(c) < BLOCK_JUMPS_MAX) {
        cache->jump_fights = 0;
        grow_jumps(c);
    }
    return block_jump_slot(c, c->rip);
}

const struct insn *block_find(struct x86_cpu *c)
{
    struct block *b = block_known(c);
    const uint8_t *host;
    uint64_t lin;

    if (unlikely(!b)) {
        host = fetch(c, &lin);
        if (!host)
            return NULL;
        b = lookup(c, host, lin);
        if (!b && (c->fault.pending || !(b = decode_new(c, host, lin))))
            return NULL;
        note_jump(c, take_jump(c), b, c->rip, block_translated_at(b, c->rip) ? jit_code_of(c, b) : jit_interpret_stub(c));
    }
    if (c->link) {
        set_link(c, c->link, b);
        c->link = NULL;
    }
    c->reg[REG_BLOCK_RIP] = c->rip;
    return b->insn;
}

/* ---- the engine ---- */

static void interpret(struct x86_cpu *c, const void *code)
{
    const struct insn *first = code;

    first->fn(c, first);
}

/* Of translated blocks too, where the translator has not seen it at once: their first instruction
 * leads there. */
static enum x86_offer next_block(struct x86_cpu *c, struct x86_stretch *ret)
{
    const struct insn *first = block_find(c);

    *ret = (struct x86_stretch){interpret, first};
    return first ? X86_OFFER_READY : X86_OFFER_FAULT;
}

static void code_gone(struct x86_cpu *c, const uint8_t *host, uint64_t granules)
{
    if (host)
        block_invalidate(c, host, granules);
    else
        block_invalidate_all(c);
}

const struct x86_engine x86_interpreter = {
    .name = "interpreter",
    .create = block_cache_create, .destroy = block_cache_destroy,
    .next = next_block,
    .code_gone = code_gone, .empty = block_cache_empty,
};

const struct insn *block_single(struct x86_cpu *c)
{
    const uint8_t *host;
    uint64_t lin;

    c->link = NULL;
    host = fetch(c, &lin);
    if (!host || !block_build(c, c->blocks->single, host, lin, 1))
        return NULL;
    c->reg[REG_BLOCK_RIP] = c->rip;
    return c->blocks->single->insn + 1;
}

bool block_single_branched(const struct x86_cpu *c)
{
    return c->blocks->single->branches && !(c->link && block_link_slot(c->link));
}
