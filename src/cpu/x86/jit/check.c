/* SPDX-License-Identifier: MIT */
/* See check.h. */
#include "cpu/x86/jit/check.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/checked.h"
#include "cpu/x86/direct/direct.h"
#include "cpu/x86/jit/check_priv.h"
#include "cpu/x86/mmu/mmu_space.h"
#include "cpu/x86/smc.h"

#define ATTEMPTS 3
#define TURN     64 /* blocks */
#define TURN_DIRECT 4096 /* of a CPU that does not run directly: about as long as one that does has */
#define WAIT_NS  2000000 /* for a turn, before whoever is in a stub is made to come out */

/* ---- life ---- */

INSN(insn_check_leave)
{
    /* back to jit_check_enter() */
}

INSN(insn_check_fell)
{
    c->check->fell = true;
}

int jit_check_create(struct x86_cpu *c)
{
    struct jit_check *k = aligned_alloc(64, align_up(sizeof(*k), 64));

    if (!k)
        return -ENOMEM;
    __builtin_memset(k, 0, sizeof(*k));
    k->pages = aligned_alloc(MEM_PAGE_SIZE, 2 * CHECK_PAGES * (size_t)MEM_PAGE_SIZE);
    k->no_tlb = aligned_alloc(64, TLB_ENTRIES * sizeof(struct tlb_entry));
    if (!k->pages || !k->no_tlb) {
        free(k->pages);
        free(k->no_tlb);
        free(k);
        return -ENOMEM;
    }
    __builtin_memset(k->no_tlb, 0xff, TLB_ENTRIES * sizeof(struct tlb_entry));
    for (unsigned n = 0; n < CHECK_PAGES; n++) {
        k->page[n].before = k->pages + 2 * n * (size_t)MEM_PAGE_SIZE;
        k->page[n].after = k->page[n].before + MEM_PAGE_SIZE;
    }
    k->nothing.fn = insn_check_leave;
    k->tags_overflow = true;
    c->check = k;
    return 0;
}

void jit_check_destroy(struct x86_cpu *c)
{
    if (!c->check)
        return;
    free(c->check->pages);
    free(c->check->no_tlb);
    free(c->check);
    c->check = NULL;
}

/* ---- taking turns: a ticket lock that sleeps ---- */

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    register uint64_t r10 __asm__("r10") = (uintptr_t)timeout;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "0"((long)SYS_futex), "D"(word), "S"((long)op), "d"((uint64_t)value), "r"(r10)
                     : "rcx", "r11", "memory");
}

static uint64_t turn_of(const struct x86_cpu *c)
{
    return c->direct ? TURN_DIRECT : TURN;
}

/* Whose turn it is may be in a stub for as long as its program computes. */
static void hurry_others(struct x86_cpu *c)
{
    for (unsigned n = 0; n < c->vm->cpu_count; n++)
        if (n != c->index && c->vm->cpu[n]->direct)
            direct_kick(c->vm->cpu[n]);
}

static void turn_begin(struct x86_cpu *c)
{
    static const struct timespec wait = {.tv_nsec = WAIT_NS};
    struct x86_vm *vm = c->vm;
    uint32_t mine = atomic_fetch_add_explicit(&vm->check_next, 1, memory_order_seq_cst), now;

    while ((now = atomic_load_explicit(&vm->check_serving, memory_order_seq_cst)) != mine) {
        futex(&vm->check_serving, FUTEX_WAIT_PRIVATE, now, c->direct ? &wait : NULL);
        if (c->direct)
            hurry_others(c);
    }
    c->check->left_in = turn_of(c);
}

static void turn_end(struct x86_cpu *c)
{
    atomic_fetch_add_explicit(&c->vm->check_serving, 1, memory_order_seq_cst);
    futex(&c->vm->check_serving, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL);
}

void jit_check_run_begins(struct x86_cpu *c)
{
    turn_begin(c);
    c->check->carry = false;
    x86_cpu_post(c, X86_PENDING_CHECK);
}

void jit_check_run_ends(struct x86_cpu *c)
{
    turn_end(c);
}

void jit_check_between_blocks(struct x86_cpu *c)
{
    struct jit_check *k = c->check;
    struct x86_vm *vm = c->vm;

    k->carry = k->fresh;
    k->fresh = false;
    if (k->left_in && --k->left_in)
        return;
    k->left_in = turn_of(c);
    if (atomic_load_explicit(&vm->check_next, memory_order_seq_cst) ==
        atomic_load_explicit(&vm->check_serving, memory_order_seq_cst) + 1)
        return;
    sync_leave(c); /* while we wait nobody is to wait for us */
    turn_end(c);
    turn_begin(c);
    sync_enter(c);
}

/* ---- the interpreter's turn ---- */

static void differ(struct x86_cpu *c, const char *what, unsigned n)
{
    fpu_park(c);
    snprintf(c->check->what, sizeof(c->check->what), "instruction %u: %s (vector %u)", n, what,
             c->fault.vector);
}

/* Interpret instruction n of the block on its own. True: it has ended as translated code says. */
static bool replay_one(struct x86_cpu *c, unsigned n, unsigned last)
{
    struct jit_check *k = c->check;
    const struct insn *from = &k->block->insn[n + 1];
    bool ends = n == last && k->block->count == n + 2; /* and not fall through */
    unsigned patience = 100000;

    __builtin_memset(k->scratch, 0, sizeof(k->scratch));
    k->scratch[0] = *from;
    if (!ends)
        k->scratch[1].fn = insn_check_fell;
    k->fell = false;
    do {
        c->rip = insn_rip(c, from);
        k->scratch[0].fn(c, k->scratch);
        c->link = NULL;
    } while (!c->fault.pending && !k->fell && !ends && c->rip == insn_rip(c, from) && --patience);
    if (c->fault.pending)
        differ(c, "the interpreter raises an exception", n);
    else if (!ends && !k->fell)
        differ(c, "the interpreter does not go on", n);
    else
        return true;
    return false;
}

static unsigned block_insns(const struct block *b)
{
    return block_end(b)->insns;
}

static bool replay(struct x86_cpu *c)
{
    struct jit_check *k = c->check;
    unsigned insns = block_insns(k->block);
    bool good = true;

    check_aside_begin(c);
    k->fell = false;
    c->reg[REG_BLOCK_RIP] = k->block->home_rip;
    for (unsigned n = k->first; good && n < k->end; n++) {
        check_aside_next(c);
        good = replay_one(c, n, insns - 1);
    }
    check_aside_end(c);
    if (k->fell || k->first == k->end) /* where the last one leads by itself */
        c->rip = k->block->home_rip + k->block->insn[k->end].off + k->block->insn[k->end].len;
    if (good && k->touched_device) {
        differ(c, "the interpreter accesses a device", k->end);
        good = false;
    }
    return good;
}

/* ---- a stretch ---- */

static void begin(struct x86_cpu *c)
{
    struct jit_check *k = c->check;

    check_drop_tags(c);
    k->page_count = 0;
    k->unchecked = false;
    check_save(c, &k->start, jit_exits_of(c, k->block)->vector);
    if (k->carry && c->af == k->jit_af)
        check_cpu(&k->start)->af = k->exact_af;
    k->jit_af = c->af; /* to start the translated code from again */
    k->active = true;
}

/* Flags that hardware may leave as it likes, which then depend on what nobody kept. */
static uint16_t undefined_flags(const struct x86_cpu *c)
{
    const struct jit_check *k = c->check;
    const struct jit_flags *f = jit_checked_of(jit_exits_of(c, k->block))->flags;
    uint16_t undefined = 0;

    for (unsigned n = k->first; n < k->end; n++)
        undefined = (uint16_t)((undefined & ~f[n].set) | f[n].undefined);
    return undefined;
}

/* Flags that must be right where the stretch ended. What a block that follows does not need, its
 * look for events may already have overwritten. */
static uint16_t flags_at_end(struct x86_cpu *c)
{
    struct jit_check *k = c->check;
    const struct block *b = k->block;
    const struct block_end *end = block_end(b);
    uint16_t live = jit_checked_of(jit_exits_of(c, b))->flags[k->end].live;
    const struct insn *next[3] = {block_jump_slot(c, c->rip)->to};

    if (k->end < block_insns(b))
        return live;
    for (unsigned slot = 0; slot < end->links; slot++)
        if (end->link[slot].to)
            next[1 + slot] = block_link_to(&end->link[slot]);
    for (unsigned n = 0; n < 3; n++) {
        const struct block *t;

        if (!next[n])
            continue;
        t = block_of(next[n]);
        if (!t->dead && block_translated_at(t, c->rip))
            live &= jit_checked_of(jit_exits_of(c, t))->flags[0].live;
    }
    return live;
}

static bool compare(struct x86_cpu *c, uint16_t flags)
{
    struct jit_check *k = c->check;
    bool vector = jit_exits_of(c, k->block)->vector, same;
    uint16_t exact, legal;

    check_save(c, &k->jit, vector);
    check_load(c, &k->start, vector);
    k->what[0] = 0;
    same = replay(c);
    check_save(c, &k->interp, vector);
    exact = c->af;
    if (!vector)
        check_cpu(&k->jit)->fpu_slow = c->fpu_slow; /* a report may have parked it */
    check_load(c, &k->jit, vector);
    if (k->unchecked) {
        c->count.jit_unchecked++;
        k->exact_af = c->af;
        return true;
    }
    /* Of undefined ones the translation's are as good, and from now on the ones. */
    legal = af_from_rflags(undefined_flags(c));
    k->exact_af = (uint16_t)((exact & ~legal) | (c->af & legal));
    return same && check_same_state(c, flags & (uint16_t)~undefined_flags(c)) && check_same_memory(c);
}

/* The stretch ended in front of instruction end. */
static void end(struct x86_cpu *c, unsigned end)
{
    struct jit_check *k = c->check;
    uint16_t jit_af = k->jit_af;

    k->active = false;
    k->end = end;
    c->count.jit_checks++;
    if (likely(compare(c, flags_at_end(c)))) {
        k->again = false;
        return;
    }
    if (k->attempt + 1 < ATTEMPTS) {
        bool vector = jit_exits_of(c, k->block)->vector;

        check_undo_memory(k);
        check_load(c, &k->start, vector);
        k->exact_af = c->af;
        c->af = k->jit_af = jit_af;
        k->carry = true;
        k->again = true;
        return;
    }
    k->again = false;
    check_report(c);
}

void jit_check_enter(struct x86_cpu *c, const struct block *b, unsigned first, const void *code)
{
    struct jit_check *k = c->check;
    struct jit_checked *checked = jit_checked_of(jit_exits_of(c, b));
    uint32_t limit = c->vm->jit.check_limit;

    if (limit && checked->count >= limit) {
        k->active = false;
        jit_enter(c, code);
        return;
    }
    checked->count += limit != 0;
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        k->block = b;
        k->first = first;
        k->attempt = attempt;
        k->again = false;
        begin(c);
        jit_enter(c, code);
        if (k->active) {
            end(c, block_insns(b));
            k->jit_af = c->af;
            k->fresh = !k->again;
        }
        if (!k->again)
            break;
        c->count.jit_check_retries++;
    }
}

const struct insn *jit_check_hand_over(struct x86_cpu *c, const struct insn *insn)
{
    struct jit_check *k = c->check;
    unsigned n = 0;

    if (!k->active)
        return insn;
    while (n + 1 < block_insns(k->block) && k->block->insn[n + 1].off != insn->off)
        n++;
    end(c, n);
    if (k->again || c->run_state != X86_RUNNING)
        return &k->nothing;
    c->af = k->exact_af;
    k->carry = false;
    c->reg[REG_BLOCK_RIP] = k->block->home_rip;
    return insn;
}
