/* SPDX-License-Identifier: MIT */
/* Page tables that change at random, in every way and at every level, are flushed in every way there
 * is, or not yet, and are used by user code and by the kernel: each access must do what one of the
 * translations does that may be in use then (mappings_model.h), in value, error code, CR2, accessed
 * and dirty flags. With two CPUs the other one is in user mode whenever it has nothing to do.
 *
 * Words of the command line: seed=N, steps=N; tcg=1 where QEMU emulates the CPU, which leaves bits out
 * of some error codes; trace=STEP, from which on all that is
 * done is printed; and leave=NAME, which leaves out one kind of flush
 * that the model takes for done, so that the program has to fail: invlpg, cr3 (reloaded), switch (to
 * another CR3 without bit 63), invpcid0 to invpcid3, pge, pg, pcide, ipi (what the other CPU
 * is asked to flush). */
#include "mappings_model.h"

#define KEEP     (UINT64_C(1) << 63)
#define PGE      (UINT64_C(1) << 7)
#define PCIDE    (UINT64_C(1) << 17)
#define TIMER    0xf0
#define DO_IT    0x71 /* the vector that tells the other CPU to look */
#define SPURIOUS 0xff
#define PATIENCE UINT64_C(60000000000) /* cycles: only against hanging */
#define BATCH    12
#define CODE_AT  16
#define DATA_AT  64
#define CROSSING 4092

/* ---- what user code does ---- */

enum kind {
    READ, LODS, POP, SSE, ADD_ZERO, WRITE, XCHG, PUSH, STOS, WRITE_CODE, CALL, SYNC, KINDS
};

/* Known to user_ops below: offsets 0, 8, 16, 24, and the size. */
struct op {
    uint32_t kind;
    int32_t error; /* of the page fault that it met, or -1 */
    uint64_t va, value, result, cr2;
    uint16_t v, offset;
    bool user, late; /* late: the fault was not that of the first instruction of what was called */
};
_Static_assert(sizeof(struct op) == 48, "");

static const bool writes[KINDS] = {[ADD_ZERO] = true, [WRITE] = true, [XCHG] = true,
                                   [PUSH] = true, [STOS] = true, [WRITE_CODE] = true};
static const char *const names[KINDS] = {"read", "lods", "pop", "movups", "xadd", "write", "xchg",
                                         "push", "stos", "write to code", "call", "cpuid"};

extern char user_ops[], user_next[], user_ops_end[], user_wait[];

__asm__(".pushsection .text; .balign 4096\n"
        "user_ops: test %r12, %r12; jz 1f\n"
        "  mov 8(%rbx), %rdi; mov 16(%rbx), %rdx; mov (%rbx), %eax; jmp *op_table(,%rax,8)\n"
        "1: syscall\n"
        "user_next: mov %rbp, %rsp; cld; add $48, %rbx; dec %r12; jmp user_ops\n"
        "op_done: mov %rax, 24(%rbx); jmp user_next\n"
        "op_read: mov (%rdi), %rax; jmp op_done\n"
        "op_lods: mov %rdi, %rsi; lodsq; jmp op_done\n"
        "op_pop: mov %rdi, %rsp; pop %rax; jmp op_done\n"
        "op_sse: movups (%rdi), %xmm0; movq %xmm0, %rax; jmp op_done\n"
        "op_add_zero: xor %eax, %eax; lock xadd %rax, (%rdi); jmp op_done\n"
        "op_write: mov %rdx, (%rdi); jmp op_done\n"
        "op_xchg: mov %rdx, %rax; xchg %rax, (%rdi); jmp op_done\n"
        "op_push: lea 8(%rdi), %rsp; push %rdx; jmp op_done\n"
        "op_stos: mov %rdx, %rax; mov $1, %ecx; rep stosq; jmp op_done\n"
        "op_write_code: mov %edx, (%rdi); jmp op_done\n"
        "op_call: call *%rdi; jmp op_done\n"
        ".balign 8\n"
        "op_table: .quad op_read, op_lods, op_pop, op_sse, op_add_zero, op_write, op_xchg, op_push\n"
        "  .quad op_stos, op_write_code, op_call, op_sync\n"
        /* The other CPU's rest: until there is a word for it that it has not seen. */
        "user_wait: cmp %rsi, (%rdi); je user_wait; syscall\n"
        /* In a page of its own: there are engines that shun pages with CPUID. */
        ".balign 4096; op_sync: mov %rbx, %r13; xor %eax, %eax; cpuid; mov %r13, %rbx; jmp op_done\n"
        ".balign 4096; user_ops_end: .popsection\n");

struct shared { /* with user mode: in pages of its own */
    struct op op[CPUS][BATCH + 1];
    volatile uint64_t word;
};

static struct shared *shared;
static uint8_t *stacks[CPUS];
static uint64_t seed, first_seed, step, trace_from = UINT64_MAX, accesses, faults, stale_ones;

static uint64_t rnd(uint64_t below)
{
    return next_random(&seed) % below;
}

static _Noreturn void failed(void)
{
    print("FAIL mappings (seed=%lu, step %lu)\n", first_seed, step);
    guest_exit(1);
}

/* ---- flushes ---- */

enum flush {
    F_INVLPG, F_CR3, F_SWITCH, F_INVPCID0, F_INVPCID1, F_INVPCID2, F_INVPCID3, F_PGE, F_PG, F_PCIDE,
    FLUSHES, F_KEEP
};
static const char *const flush_names[FLUSHES] = {"invlpg", "cr3", "switch", "invpcid0", "invpcid1",
                                                 "invpcid2", "invpcid3", "pge", "pg", "pcide"};
static unsigned left_out; /* bits by enum flush */
static bool ipi_left_out, is_tcg;

struct order { /* to a CPU */
    enum flush what;
    unsigned space, pcid;
    uint64_t va;
};

static uint64_t cr3_of(unsigned space, unsigned pcid)
{
    return (uint64_t)roots[space] | (has_pcid ? pcid : 0);
}

static void invpcid(uint64_t type, uint64_t pcid, uint64_t va)
{
    uint64_t d[2] = {pcid, va};

    __asm__ volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

/* To compatibility mode, there paging off and on again, and back. */
void paging_off_and_on(void);
__asm__("paging_off_and_on: push %rbx; lea 1f(%rip), %rax; push $0x18; push %rax; lretq\n"
        ".code32\n"
        "1: mov %cr0, %eax; btr $31, %eax; mov %eax, %cr0; bts $31, %eax; mov %eax, %cr0\n"
        "   ljmp $8, $2f\n"
        ".code64\n"
        "2: pop %rbx; ret\n");

static void without_pcids(bool paging_too)
{
    uint64_t cr3 = READ_CR(3);

    if (has_pcid) {
        WRITE_CR(4, READ_CR(4) & ~PCIDE);
        WRITE_CR(3, cr3 & ~UINT64_C(0xfff));
    }
    if (paging_too)
        paging_off_and_on();
    if (has_pcid) {
        WRITE_CR(4, READ_CR(4) | PCIDE);
        WRITE_CR(3, cr3 | KEEP);
    }
}

static void do_flush(const struct order *o)
{
    uint64_t keep = o->what != F_KEEP && !(left_out >> F_SWITCH & 1) ? 0 : KEEP;

    if (o->what == F_SWITCH || o->what == F_KEEP) { /* has to be done in any case */
        WRITE_CR(3, cr3_of(o->space, o->pcid) | (has_pcid ? keep : 0));
        return;
    }
    if (left_out >> o->what & 1)
        return;
    switch (o->what) {
    case F_INVLPG: flush_page((void *)o->va); break;
    case F_CR3: WRITE_CR(3, READ_CR(3)); break;
    case F_INVPCID0: invpcid(0, o->pcid, o->va); break;
    case F_INVPCID1: invpcid(1, o->pcid, 0); break;
    case F_INVPCID2: invpcid(2, 0, 0); break;
    case F_INVPCID3: invpcid(3, 0, 0); break;
    case F_PGE:
        WRITE_CR(4, READ_CR(4) ^ PGE);
        WRITE_CR(4, READ_CR(4) ^ PGE);
        break;
    case F_PG: without_pcids(true); break;
    default: without_pcids(false);
    }
}

static void model_flush(unsigned cpu, const struct order *o, unsigned v)
{
    struct tlb_model *t = &tlb[cpu];

    switch (o->what) {
    case F_INVLPG: flushed_page(cpu, t->pcid, v, true); break;
    case F_CR3: flushed_pcid(cpu, t->pcid); break;
    case F_KEEP:
    case F_SWITCH: switched(cpu, o->space, o->pcid, has_pcid && o->what == F_KEEP); break;
    case F_INVPCID0: flushed_page(cpu, o->pcid, v, false); break;
    case F_INVPCID1: flushed_pcid(cpu, o->pcid); break;
    case F_INVPCID3: flushed_all(cpu, false); break;
    case F_PG:
    case F_PCIDE:
        flushed_all(cpu, true);
        t->used[0] |= (uint8_t)(1u << t->space);
        break;
    default: flushed_all(cpu, true);
    }
}

static bool can_flush(enum flush what)
{
    if (what >= F_INVPCID0 && what <= F_INVPCID3)
        return has_invpcid && has_pcid;
    return what != F_PCIDE || has_pcid;
}

/* ---- the other CPU ---- */

static struct {
    volatile unsigned asked, done, arrived;
    bool run; /* the batch, or the order */
    unsigned count;
    struct order order;
} other;

static void timer(void)
{
    apic_write(0xf0, 0x100 | SPURIOUS);
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x20000 | TIMER);
    apic_write(0x380, 3000000);
}

/* Until the batch is through: page faults are what it is about, the timer is just there. */
static void run_batch(unsigned cpu, unsigned count)
{
    struct frame f = user_frame(user_ops, stacks[cpu] + 4096 - 64);
    struct op *op = shared->op[cpu];

    f.rbx = (uint64_t)op;
    f.r12 = count;
    f.rbp = f.rsp;
    user_cpus[cpu].sysret = count & 1;
    for (;;) {
        unsigned vector = user_run(cpu, &f);

        user_cpus[cpu].sysret = false;
        if (vector == USER_SYSCALL)
            return;
        if (vector >= 32) {
            apic_write(0xb0, 0);
            continue;
        }
        op = (struct op *)f.rbx;
        if (vector != 14 || op < shared->op[cpu] || op >= shared->op[cpu] + count) {
            print("FAIL vector %u, error %lx at %lx\n", vector, f.error, f.rip);
            failed();
        }
        op->cr2 = READ_CR(2);
        op->error = (int32_t)f.error;
        op->late = op->kind == CALL && f.rip == op->va + 5 && op->cr2 == f.rip;
        if (op->kind == CALL ? f.rip != op->va && !op->late
                             : f.rip < (uint64_t)user_ops || f.rip >= (uint64_t)user_ops_end) {
            print("FAIL a page fault at %lx\n", f.rip);
            failed();
        }
        f.rip = (uint64_t)user_next;
    }
}

static void obey(void)
{
    if (other.asked == other.done)
        return;
    if (!other.run && !ipi_left_out)
        do_flush(&other.order);
    if (other.run)
        run_batch(1, other.count);
    other.done = other.asked;
}

void guest_ap_main(void)
{
    load_idt();
    user_setup(1);
    WRITE_CR(3, cr3_of(0, 0) & ~UINT64_C(0xfff));
    if (has_pcid)
        WRITE_CR(4, READ_CR(4) | PCIDE);
    timer();
    other.arrived = 1;
    for (;;) {
        struct frame f = user_frame(user_wait, stacks[1] + 4096 - 64);
        unsigned vector;

        f.rdi = (uint64_t)&shared->word;
        f.rsi = shared->word;
        obey();
        vector = user_run(1, &f);
        if (vector < 32)
            failed();
        if (vector < 256)
            apic_write(0xb0, 0);
    }
}

/* Tell it, by the word it looks at in user mode or by an interrupt, and wait. */
static void ask(void)
{
    uint64_t end = rdtsc() + PATIENCE;

    other.asked++;
    if (rnd(2)) {
        apic_write(0x310, 1 << 24);
        apic_write(0x300, 0x4000 | DO_IT);
    } else {
        shared->word = other.asked;
    }
    while (other.done != other.asked)
        if (rdtsc() > end) {
            print("FAIL the other CPU does not answer\n");
            failed();
        }
}

static void flush_on(unsigned cpu, enum flush what, unsigned space, unsigned pcid, unsigned v)
{
    struct order o = {what, space, pcid, va_of(v) + (rnd(2) ? rnd(4096) : 0)};

    if (step >= trace_from)
        print("%lu: CPU %u: %s %u %u %lx\n", step, cpu, what == F_KEEP ? "keep" : flush_names[what], space, pcid,
              o.va);
    if (cpu) {
        other.run = false;
        other.order = o;
        ask();
    } else {
        do_flush(&o);
    }
    model_flush(cpu, &o, v);
}

/* ---- contents ---- */

/* What is in a page of the pool: at DATA_AT eight words; at CODE_AT a function that returns imm;
 * and what follows it in the page behind may complete what its last bytes begin, for which see
 * CROSSING: a byte, MOV EAX, two bytes | two bytes, RET, a byte. */
struct content {
    uint64_t data[8];
    uint32_t imm, tail, head;
};
static struct content content[POOL];

static uint32_t valid_tail(uint64_t r)
{
    return ((uint32_t)r & 0xffff00ff) | 0xb800;
}

static uint32_t valid_head(uint64_t r)
{
    return ((uint32_t)r & 0xff00ffff) | 0xc30000;
}

static void fill(unsigned n)
{
    struct content *k = &content[n];
    uint8_t *p = pool_page(n);

    for (unsigned i = 0; i < 8; i++)
        k->data[i] = ((uint64_t *)(p + DATA_AT))[i] = rnd(UINT64_MAX);
    k->imm = (uint32_t)rnd(UINT32_MAX);
    p[CODE_AT] = 0xb8;
    memcpy(p + CODE_AT + 1, &k->imm, 4);
    p[CODE_AT + 5] = 0xc3;
    *(uint32_t *)(p + CROSSING) = k->tail = valid_tail(rnd(UINT32_MAX));
    *(uint32_t *)p = k->head = valid_head(rnd(UINT32_MAX));
}

static bool crosses(const struct op *op)
{
    return op->offset >= CROSSING;
}

/* What a read by op of these two pages gives. */
static uint64_t value_in(const struct op *op, unsigned a, unsigned b)
{
    if (op->kind == CALL)
        return crosses(op) ? content[a].tail >> 16 | content[b].head << 16 : content[a].imm;
    return crosses(op) ? content[a].tail | (uint64_t)content[b].head << 32
                       : content[a].data[(op->offset - DATA_AT) / 8];
}

static void store_in_model(const struct op *op, unsigned a, unsigned b)
{
    if (op->kind == WRITE_CODE) {
        content[a].imm = (uint32_t)op->value;
    } else if (crosses(op)) {
        content[a].tail = (uint32_t)op->value;
        content[b].head = (uint32_t)(op->value >> 32);
    } else {
        content[a].data[(op->offset - DATA_AT) / 8] = op->value;
    }
}

/* Is it what memory says? */
static bool is_stored(const struct op *op, unsigned a, unsigned b)
{
    uint8_t *p = pool_page(a), *q = pool_page(b);

    if (op->kind == WRITE_CODE)
        return *(uint32_t *)(p + CODE_AT + 1) == (uint32_t)op->value;
    if (crosses(op))
        return *(uint32_t *)(p + CROSSING) == (uint32_t)op->value && *(uint32_t *)q == op->value >> 32;
    return *(uint64_t *)(p + op->offset) == op->value;
}

static void look_at_page(unsigned n)
{
    const struct content *k = &content[n];
    const uint8_t *p = pool_page(n);
    bool ok = *(uint32_t *)(p + CROSSING) == k->tail && *(uint32_t *)p == k->head &&
              *(uint32_t *)(p + CODE_AT + 1) == k->imm;

    for (unsigned i = 0; i < 8; i++)
        ok &= ((uint64_t *)(p + DATA_AT))[i] == k->data[i];
    if (!ok) {
        print("FAIL page %u of the pool is not as it was written\n", n);
        failed();
    }
}

/* ---- judging ---- */

/* -1, or the error code. */
static int predict(xlat x, const struct op *op)
{
    int how = (writes[op->kind] ? 2 : 0) | (op->user ? 4 : 0) | (op->kind == CALL ? 16 : 0);
    bool ok;

    if (!(x & X_P))
        return how;
    if (x & X_RESERVED)
        return how | 9;
    ok = (!op->user || (x & X_U)) && (!writes[op->kind] || (x & X_W)) && (op->kind != CALL || !(x & X_NX));
    return ok ? -1 : how | 1;
}

static unsigned page_of(xlat x)
{
    return x >> X_PAGE;
}

static void complain(unsigned cpu, const struct op *op, const char *what)
{
    xlat x[16];

    print("FAIL %s: CPU %u space %u PCID %u, %s %s at %lx: value %lx, result %lx, error %d, CR2 %lx\n",
          what, cpu, tlb[cpu].space, tlb[cpu].pcid, op->user ? "user" : "kernel", names[op->kind], op->va,
          op->value, op->result, op->error, op->cr2);
    for (unsigned w = op->v; w < VAS && w <= next_va(op->v) && w < op->v + 2u; w++) {
        unsigned count = possible(cpu, w, x, 16);

        for (unsigned n = 0; n < count; n++)
            print("   %lx may be page %u,%s%s%s%s%s%s%s\n", va_of(w), page_of(x[n]), x[n] & X_P ? " P" : "",
                  x[n] & X_W ? " W" : "", x[n] & X_U ? " U" : "", x[n] & X_NX ? " NX" : "",
                  x[n] & X_RESERVED ? " reserved" : "", x[n] & X_LARGE ? " large" : "", x[n] & X_G ? " G" : "");
    }
    failed();
}

/* The entry for v was used, or may have been. */
static void mark(unsigned cpu, unsigned v, bool exact, bool write)
{
    struct leaf *l = leaf_of(tlb[cpu].space, v);

    if (!l)
        return;
    l->must_a |= exact;
    l->must_d |= exact && write;
    l->may_d |= write;
}

/* A store to two pages of which the second one faults may or may not have marked the first. */
static void mark_half(unsigned cpu, const struct op *op)
{
    struct leaf *l = leaf_of(tlb[cpu].space, op->v);

    if (l && writes[op->kind] && crosses(op) && op->cr2 != op->va)
        l->may_d = true;
}

static void look_at_leaf(unsigned cpu, const struct op *op, unsigned v)
{
    struct leaf *l = v < VAS ? leaf_of(tlb[cpu].space, v) : NULL;
    uint64_t e;

    if (!l)
        return;
    e = *(volatile uint64_t *)l->entry;
    if ((l->must_a && !(e & PTE_A)) || (l->must_d && !(e & PTE_D)))
        complain(cpu, op, "a flag is missing in the entry");
    if (!l->may_d && (e & PTE_D))
        complain(cpu, op, "dirty without a write");
}

/* P with reserved bits, and W of the read that a locked instruction begins with. */
static int forgotten_by_tcg(const struct op *op, int error)
{
    return !is_tcg ? 0 : (error & 8 ? 1 : 0) | (op->kind == ADD_ZERO || op->kind == XCHG ? 2 : 0);
}

/* One combination of translations: does it explain what was seen? */
static bool explains(const struct op *op, xlat x, xlat y)
{
    int error = predict(x, op);
    uint64_t cr2 = op->va;

    if (op->late) /* where the next instruction is, which is not where the first one was any more */
        return predict(crosses(op) ? y : x, op) == op->error;

    if (error < 0 && crosses(op)) {
        error = predict(y, op);
        cr2 = va_of(next_va(op->v));
    }
    if (error >= 0 && op->error >= 0)
        return ((error ^ op->error) & ~forgotten_by_tcg(op, error)) == 0 && cr2 == op->cr2;
    if (error >= 0 || op->error >= 0)
        return false;
    if (op->kind == WRITE || op->kind == PUSH || op->kind == STOS || op->kind == WRITE_CODE)
        return true;
    return op->kind == CALL ? (uint32_t)op->result == (uint32_t)value_in(op, page_of(x), page_of(y))
                            : op->result == value_in(op, page_of(x), page_of(y));
}

/* Nothing comes behind an op of which it is not known what it writes: so memory can be asked. */
static bool judge(unsigned cpu, const struct op *op, bool last)
{
    xlat x[16], y[16] = {0};
    unsigned nx, ny = 1, other_page = crosses(op) ? next_va(op->v) : VAS;
    bool stores = writes[op->kind] && op->kind != ADD_ZERO && op->error < 0;

    if (op->kind == SYNC)
        return true;
    nx = possible(cpu, op->v, x, 16);
    if (crosses(op))
        ny = possible(cpu, other_page, y, 16);
    if (op->late && nx == 1 && ny == 1)
        return false;
    for (unsigned n = 0; n < nx; n++)
        for (unsigned m = 0; m < ny; m++) {
            if (!explains(op, x[n], y[m]))
                continue;
            if (stores && last && !is_stored(op, page_of(x[n]), page_of(y[m])))
                continue;
            accesses++;
            faults += op->error >= 0;
            stale_ones += n || m;
            if (stores)
                store_in_model(op, page_of(x[n]), page_of(y[m]));
            if (op->error < 0) {
                mark(cpu, op->v, nx == 1, writes[op->kind]);
                if (crosses(op))
                    mark(cpu, other_page, ny == 1, writes[op->kind]);
            } else {
                mark_half(cpu, op);
            }
            return true;
        }
    return false;
}

/* ---- making batches ---- */

static unsigned recent[8];

static unsigned some_v(void)
{
    return rnd(100) < 60 ? recent[rnd(8)] : (unsigned)rnd(VAS);
}

static struct op random_op(void)
{
    static const uint8_t weights[] = {READ, READ, READ, LODS, POP, SSE, ADD_ZERO, WRITE, WRITE, WRITE,
                                      XCHG, PUSH, STOS, WRITE_CODE, CALL, CALL, CALL, CALL};
    struct op op = {.error = -1, .v = (uint16_t)some_v(), .user = true,
                    .kind = weights[rnd(sizeof(weights))]};
    bool locked = op.kind == XCHG || op.kind == ADD_ZERO; /* split ones are punished by some hosts */
    bool cross = rnd(100) < (locked ? !is_tcg : 15) && next_va(op.v) < VAS && op.kind != WRITE_CODE &&
                 op.kind != SSE;

    op.value = rnd(UINT64_MAX);
    if (cross) {
        op.offset = op.kind == CALL ? CROSSING + 1 : CROSSING;
        op.value = valid_tail(op.value) | (uint64_t)valid_head(op.value >> 32) << 32;
    } else {
        op.offset = op.kind == CALL ? CODE_AT : op.kind == WRITE_CODE ? CODE_AT + 1
                                                                        : DATA_AT + 8 * (uint16_t)rnd(7);
    }
    op.va = va_of(op.v) + op.offset;
    return op;
}

static bool is_ambiguous(unsigned cpu, const struct op *op)
{
    xlat x[16];

    return writes[op->kind] && op->kind != ADD_ZERO &&
           (possible(cpu, op->v, x, 16) > 1 ||
            (crosses(op) && possible(cpu, next_va(op->v), x, 16) > 1));
}

static void judge_batch(unsigned cpu, unsigned count)
{
    struct op *op = shared->op[cpu];

    for (unsigned n = 0; n < count && step >= trace_from; n++)
        print("%lu: CPU %u: %s %lx error %d\n", step, cpu, names[op[n].kind], op[n].va, op[n].error);
    for (unsigned n = 0; n < count; n++)
        if (!judge(cpu, &op[n], n == count - 1))
            complain(cpu, &op[n], "not what any translation gives");
    for (unsigned n = 0; n < count; n++) {
        if (op[n].kind == SYNC)
            continue;
        look_at_leaf(cpu, &op[n], op[n].v);
        if (crosses(&op[n]))
            look_at_leaf(cpu, &op[n], next_va(op[n].v));
    }
    for (unsigned n = 0; n < POOL; n++)
        if (step % 16 == n % 16)
            look_at_page(n);
}

static void batch(unsigned cpu)
{
    unsigned count = 0, wanted = 1 + (unsigned)rnd(BATCH);
    struct op *op = shared->op[cpu];
    bool wrote_code = false;

    while (count < wanted) {
        struct op o = random_op();

        /* Code changed by way of another address has to be told (SDM vol. 3, 8.1.3). */
        if (o.kind == CALL && wrote_code)
            op[count++] = (struct op){.kind = SYNC, .error = -1};
        wrote_code = (wrote_code && o.kind != CALL) || o.kind == WRITE_CODE ||
                     (writes[o.kind] && crosses(&o));
        op[count++] = o;
        if (is_ambiguous(cpu, &o))
            break;
    }
    if (cpu) {
        other.run = true;
        other.count = count;
        ask();
    } else {
        run_batch(0, count);
    }
    judge_batch(cpu, count);
}

/* The kernel's own accesses, by the same translations: -1, or the error code. */
uint64_t kernel_load(uint64_t va, uint64_t *ret);
uint64_t kernel_store(uint64_t va, uint64_t value);
extern char kernel_load_at[], kernel_store_at[], kernel_access_end[];
__asm__("kernel_load: mov $-1, %rax; kernel_load_at: mov (%rdi), %rdx; mov %rdx, (%rsi); ret\n"
        "kernel_store: mov $-1, %rax; kernel_store_at: mov %rsi, (%rdi); kernel_access_end: ret\n");

static void on_kernel_fault(struct frame *f)
{
    if (f->rip != (uint64_t)kernel_load_at && f->rip != (uint64_t)kernel_store_at) {
        print("FAIL the kernel's page fault at %lx, CR2 %lx\n", f->rip, READ_CR(2));
        failed();
    }
    f->rip = (uint64_t)kernel_access_end;
    f->rax = f->error;
}

static void kernel_access(void)
{
    struct op op = random_op();

    op.kind = rnd(2) ? READ : WRITE;
    op.user = false;
    op.offset = crosses(&op) ? CROSSING : DATA_AT;
    op.va = va_of(op.v) + op.offset;
    op.error = (int32_t)(op.kind == READ ? kernel_load(op.va, &op.result) : kernel_store(op.va, op.value));
    op.cr2 = READ_CR(2);
    shared->op[0][0] = op;
    judge_batch(0, 1);
}

/* ---- steps ---- */

static void flush_somehow(unsigned cpu, struct range r)
{
    for (unsigned tries = 0; tries < 30 && has_stale(cpu, r.first, r.last); tries++) {
        enum flush what = (enum flush)rnd(FLUSHES);
        unsigned v = r.first + (unsigned)rnd(r.last - r.first + 1);

        if (!can_flush(what) || (what == F_SWITCH && rnd(4)))
            continue;
        flush_on(cpu, what, what == F_SWITCH ? (unsigned)rnd(SPACES) : 0, (unsigned)rnd(pcids), v);
    }
    if (has_stale(cpu, r.first, r.last))
        flush_on(cpu, F_PGE, 0, 0, r.first);
}

static void settle(void)
{
    for (unsigned c = 0; c < cpus; c++)
        flush_somehow(c, (struct range){0, VAS - 1});
}

static void change_something(void)
{
    unsigned v = some_v();
    struct range r;

    if (is_upper_stale() || is_nearly_full())
        settle();
    r = change(&seed, v);
    if (step >= trace_from)
        print("%lu: change at %lx to %lx\n", step, va_of(r.first), va_of(r.last));
    recent[rnd(8)] = r.first + (unsigned)rnd(r.last - r.first + 1);
    if (rnd(100) < 60)
        for (unsigned c = 0; c < cpus; c++)
            flush_somehow(c, r);
}

static void one_step(void)
{
    unsigned cpu = (unsigned)rnd(cpus);

    switch (rnd(10)) {
    case 0:
    case 1:
    case 2: change_something(); break;
    case 3: flush_on(cpu, has_pcid && rnd(2) ? F_KEEP : F_SWITCH, (unsigned)rnd(SPACES), (unsigned)rnd(pcids),
                     0); break;
    case 4: kernel_access(); break;
    default: batch(cpu);
    }
}

static void leave_out(void)
{
    ipi_left_out = guest_option_is("leave", "ipi");
    for (unsigned n = 0; n < FLUSHES; n++)
        if (guest_option_is("leave", flush_names[n]))
            left_out |= 1u << n;
}

static void ignore(struct frame *f)
{
    (void)f;
    apic_write(0xb0, 0);
}

int guest_main(void)
{
    uint64_t steps = guest_option("steps", 4000);

    seed = first_seed = guest_option("seed", 20000) | 1;
    trace_from = guest_option("trace", UINT64_MAX);
    is_tcg = guest_option("tcg", 0);
    leave_out();
    take_from_user();
    user_setup(0);
    pcids = has_pcid ? PCIDS : 1;
    map_user(user_ops, (size_t)(user_ops_end - user_ops));
    shared = user_pages(1);
    for (unsigned n = 0; n < CPUS; n++)
        stacks[n] = user_pages(1);
    for (unsigned n = 0; n < POOL; n++)
        fill(n);
    model_create(&seed);
    set_handler(14, on_kernel_fault);
    set_handler(TIMER, ignore);
    set_handler(DO_IT, ignore);
    WRITE_CR(3, cr3_of(0, 0));
    if (has_pcid)
        WRITE_CR(4, READ_CR(4) | PCIDE);
    switched(0, 0, 0, false);
    cpus = 1;
    apic_enable();
    if (guest_option("cpus", 1) > 1) {
        cpus += start_cpus(1);
        switched(1, 0, 0, false);
        while (cpus > 1 && !other.arrived)
            __asm__ volatile("pause");
    }
    timer();
    for (step = 0; step < steps; step++)
        one_step();
    print("# %u CPUs, %lu steps, %lu accesses, %lu faults, %lu by a stale translation\n", cpus, steps,
          accesses, faults, stale_ones);
    CHECK("every access by a translation that may be in use", true);
    return check_failures();
}
