/* SPDX-License-Identifier: MIT */
/* Integer instructions against the host: random instructions of every encoding in the pools below
 * are bound and interpreted, and run natively, from the same registers, flags and memory; all must
 * end up equal. Memory operands lie in a buffer that the TLB maps to itself, so nothing of the
 * MMU is needed. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/insn.h"
#include "unit.h"

#define BUF_PAGES 4u
#define BUF_LEN (BUF_PAGES * 4096u)

/* Offsets are known to the assembly below. */
struct state {
    uint64_t reg[16]; /* 0 */
    uint64_t flags;   /* 128 */
};

void interp_test_native(struct state *s);
void interp_test_back(void);
__asm__(".pushsection .data\n"
        "interp_test_sp: .quad 0\n"
        "interp_test_state: .quad 0\n"
        "interp_test_rdi: .quad 0\n"
        ".popsection\n"
        ".globl interp_test_native\n"
        "interp_test_native:\n"
        "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp, interp_test_sp(%rip)\n"
        "mov %rdi, interp_test_state(%rip)\n"
        "pushq 128(%rdi)\n popfq\n"
        "mov 0(%rdi), %rax\n mov 8(%rdi), %rcx\n mov 16(%rdi), %rdx\n mov 24(%rdi), %rbx\n"
        "mov 32(%rdi), %rsp\n mov 40(%rdi), %rbp\n mov 48(%rdi), %rsi\n"
        "mov 64(%rdi), %r8\n mov 72(%rdi), %r9\n mov 80(%rdi), %r10\n mov 88(%rdi), %r11\n"
        "mov 96(%rdi), %r12\n mov 104(%rdi), %r13\n mov 112(%rdi), %r14\n mov 120(%rdi), %r15\n"
        "mov 56(%rdi), %rdi\n"
        "jmp *interp_test_code(%rip)\n"
        ".globl interp_test_back\n"
        "interp_test_back:\n"
        "mov %rdi, interp_test_rdi(%rip)\n"
        "mov interp_test_state(%rip), %rdi\n"
        "mov %rax, 0(%rdi)\n mov %rcx, 8(%rdi)\n mov %rdx, 16(%rdi)\n mov %rbx, 24(%rdi)\n"
        "mov %rsp, 32(%rdi)\n mov %rbp, 40(%rdi)\n mov %rsi, 48(%rdi)\n"
        "mov %r8, 64(%rdi)\n mov %r9, 72(%rdi)\n mov %r10, 80(%rdi)\n mov %r11, 88(%rdi)\n"
        "mov %r12, 96(%rdi)\n mov %r13, 104(%rdi)\n mov %r14, 112(%rdi)\n mov %r15, 120(%rdi)\n"
        "mov interp_test_sp(%rip), %rsp\n"
        "pushfq\n popq 128(%rdi)\n cld\n"
        "mov interp_test_rdi(%rip), %rax\n mov %rax, 56(%rdi)\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
        ".pushsection .data\n"
        ".globl interp_test_code\n"
        "interp_test_code: .quad 0\n"
        ".popsection\n");
extern uint64_t interp_test_code;

struct bench {
    struct x86_cpu *cpu;
    struct x86_vm vm;
    struct x86_cpuid_policy cpuid;
    struct tlb_entry *table;
    uint8_t *buf, *code;
    uint8_t before[BUF_LEN], native[BUF_LEN];
    uint64_t seed;
};

static uint64_t rnd(struct bench *b)
{
    b->seed ^= b->seed << 13;
    b->seed ^= b->seed >> 7;
    b->seed ^= b->seed << 17;
    return b->seed * UINT64_C(0x2545f4914f6cdd1d);
}

/* Values that find corners: small, near powers of two, random. */
static uint64_t interesting(struct bench *b)
{
    uint64_t r = rnd(b);

    switch (r % 6) {
    case 0: return r >> 60;
    case 1: return -(r >> 60);
    case 2: return BIT(r >> 58) - 1;
    case 3: return BIT(r >> 58) + (r >> 8 & 1);
    default: return rnd(b);
    }
}

static void bench_init(struct bench *b)
{
    b->cpu = aligned_alloc(64, (sizeof(*b->cpu) + 63) & ~(size_t)63);
    memset(b->cpu, 0, sizeof(*b->cpu));
    memset(b->cpuid.feature, 1, sizeof(b->cpuid.feature));
    b->vm.cpuid = &b->cpuid;
    b->cpu->vm = &b->vm;
    b->cpu->code_size = X86_CODE_64;
    b->cpu->cpl = 3;
    b->cpu->efer = X86_EFER_LMA | X86_EFER_LME;
    b->cpu->cr0 = X86_CR0_PE | X86_CR0_PG;
    b->buf = mmap(NULL, BUF_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    b->code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);
    ck_assert(b->buf != MAP_FAILED && b->code != MAP_FAILED);
    b->table = malloc(sizeof(*b->table) * TLB_ENTRIES);
    memset(b->table, 0xff, sizeof(*b->table) * TLB_ENTRIES);
    b->cpu->tlb[0] = b->cpu->tlb[1] = b->table;
    for (unsigned n = 0; n < BUF_PAGES; n++) {
        uint64_t va = (uintptr_t)b->buf + n * 4096;
        struct tlb_entry *e = tlb_slot(b->cpu->tlb, va);

        e->read = e->write = tlb_page(va);
        e->addend = 0;
    }
    b->seed = 88172645463325252u;
}

static void stop(struct x86_cpu *c, const struct insn *i)
{
    c->rip = i->off;
}

/* Interpret one instruction. False: not an integer one, or it faulted. */
static bool interpret(struct bench *b, const struct x86_decoded *d, struct state *s)
{
    struct x86_cpu *c = b->cpu;
    struct insn insn[4] = {0};

    memcpy(c->reg, s->reg, sizeof(s->reg));
    c->reg[REG_BLOCK_RIP] = (uintptr_t)b->code;
    c->rflags = 0x202 | (s->flags & X86_FLAG_DF);
    c->af = af_from_rflags(s->flags);
    c->fault.pending = false;
    if (!insn_bind(c, d, b->code, &insn[0]) || insn[0].fn == insn_undefined)
        return false;
    insn[1].fn = stop;
    insn[0].fn(c, &insn[0]);
    memcpy(s->reg, c->reg, sizeof(s->reg));
    s->flags = cpu_rflags(c);
    return true;
}

static void set_code(struct bench *b, const uint8_t *bytes, unsigned len)
{
    static const uint8_t jump[6] = { 0xff, 0x25, 0, 0, 0, 0 };
    uint64_t back = (uintptr_t)interp_test_back;

    memcpy(b->code, bytes, len);
    memcpy(b->code + len, jump, 6);
    memcpy(b->code + len + 6, &back, 8);
    interp_test_code = (uintptr_t)b->code;
}

static const char *describe(const struct x86_decoded *d, const uint8_t *bytes)
{
    static char text[200];
    unsigned n;

    x86_format(d, 0, text, 120);
    n = strlen(text);
    n += snprintf(text + n, sizeof(text) - n, " [");
    for (unsigned k = 0; k < d->len; k++)
        n += snprintf(text + n, sizeof(text) - n, "%02x", bytes[k]);
    snprintf(text + n, sizeof(text) - n, "]");
    return text;
}

/* Make the interpreter's outcome the host's in those bits of the result that mean nothing. */
static void allow_undefined(struct bench *b, const struct x86_decoded *d, uint8_t cl,
                            struct state *interp, const struct state *native)
{
    uint64_t bits = x86_undefined_result(d, cl, native->flags);
    unsigned reg = d->operand[0].reg;

    if (!bits)
        return;
    if (d->operand[0].kind == X86_OPERAND_GPR)
        interp->reg[reg] = (interp->reg[reg] & ~bits) | (native->reg[reg] & bits);
    else
        memcpy(b->native, b->buf, BUF_LEN); /* SHLD, SHRD: nothing else is stored */
}

static bool run_both(struct bench *b, const uint8_t *bytes, const struct x86_decoded *d,
                     const struct state *start)
{
    struct state interp = *start, native = *start;
    const uint8_t cl = (uint8_t)start->reg[X86_RCX];
    uint64_t flags = X86_FLAGS_ARITH | X86_FLAG_DF;

    if (getenv("INTERP_TEST_TRACE"))
        fprintf(stderr, "%s\n", describe(d, bytes));
    set_code(b, bytes, d->len);
    memcpy(b->before, b->buf, BUF_LEN);
    if (!interpret(b, d, &interp))
        return false;
    if (b->cpu->fault.pending) {
        bool is_div = d->op == X86_OP_DIV || d->op == X86_OP_IDIV;

        if (!is_div || b->cpu->fault.vector != X86_DE)
            ck_abort_msg("%s faults (%u)", describe(d, bytes), b->cpu->fault.vector);
        memcpy(b->buf, b->before, BUF_LEN);
        return false;
    }
    memcpy(b->native, b->buf, BUF_LEN); /* the interpreter's outcome, for now */
    memcpy(b->buf, b->before, BUF_LEN);
    interp_test_native(&native);
    allow_undefined(b, d, cl, &interp, &native);
    for (unsigned n = 0; n < 16; n++) {
        if (interp.reg[n] == native.reg[n])
            continue; /* an assertion for each would take longer than the test */
        ck_abort_msg("%s: reg %u was %#lx, is %#lx, should be %#lx (rax %#lx rcx %#lx)",
                     describe(d, bytes), n, start->reg[n], interp.reg[n], native.reg[n],
                     start->reg[0], start->reg[1]);
    }
    flags &= ~(uint64_t)x86_undefined_flags(d, &cl);
    if ((interp.flags ^ native.flags) & flags)
        ck_abort_msg("%s: flags were %#lx, are %#lx, should be %#lx", describe(d, bytes),
                     start->flags, interp.flags & flags, native.flags & flags);
    for (unsigned n = 0; memcmp(b->native, b->buf, BUF_LEN) && n < BUF_LEN; n++)
        if (b->native[n] != b->buf[n])
            ck_abort_msg("%s: memory at +%#x is %#x, should be %#x", describe(d, bytes), n,
                         b->native[n], b->buf[n]);
    return true;
}

static void random_state(struct bench *b, struct state *s)
{
    memset(s, 0, sizeof(*s));
    for (unsigned n = 0; n < 16; n++)
        s->reg[n] = interesting(b);
    s->reg[X86_RBX] = (uintptr_t)b->buf + 4096 + 2048 + rnd(b) % 64;
    s->reg[X86_RSP] = (uintptr_t)b->buf + 2 * 4096 + 2048 + rnd(b) % 8 * 8;
    s->reg[X86_RBP] = s->reg[X86_RSP] + 64;
    s->flags = 0x202 | (rnd(b) & X86_FLAGS_ARITH);
    for (unsigned n = 0; n < 32; n++)
        b->buf[4096 + 2048 + rnd(b) % 512 - 256] = (uint8_t)rnd(b);
}

/* A random instruction: prefixes, REX or VEX, an opcode, ModRM (register, or memory at RBX), and
 * immediate bytes. */
static void random_insn(struct bench *b, uint8_t bytes[32])
{
    uint64_t r = rnd(b);
    unsigned n = 0;

    for (unsigned k = 0; k < 32; k++)
        bytes[k] = (uint8_t)rnd(b);
    if (r % 8 == 0) { /* VEX: maps 2 and 3, no register extension of base and index */
        bytes[n++] = 0xc4;
        bytes[n++] = (uint8_t)(0x60 | (r >> 8 & 0x80) | (r >> 9 & 1 ? 2 : 3));
        bytes[n] &= (uint8_t)~4;
        n++;
        bytes[n++] = (uint8_t)(0xf0 | (r >> 16 & 7));
    } else {
        static const uint8_t prefix[8] = { 0x66, 0xf2, 0xf3, 0xf0, 0x66, 0x66, 0xf3, 0xf0 };

        if (r >> 8 & 1)
            bytes[n++] = prefix[r >> 9 & 7];
        if (r >> 12 & 1)
            bytes[n++] = (uint8_t)(0x48 | (r >> 13 & 7 & 4) | (r >> 16 & 7));
        if (n && (bytes[n - 1] & 0xf0) == 0x40) {
            bytes[n - 1] = (uint8_t)(0x40 | (r >> 20 & 0xd)); /* no REX.X */
        }
        if (r >> 24 & 1) {
            bytes[n++] = 0x0f;
            if ((r >> 25 & 7) == 0)
                bytes[n++] = 0x38;
        }
        bytes[n++] = (uint8_t)(r >> 32);
    }
    if (r >> 40 & 1) { /* [rbx + disp8] or with SIB [rbx + rsi*scale + disp8] */
        bytes[n - 0] = (uint8_t)(0x43 | (r >> 41 & 0x38));
        if (r >> 48 & 1) {
            bytes[n] = (uint8_t)((bytes[n] & ~7) | 4);
            bytes[n + 1] = (uint8_t)((r >> 50 & 0xc0) | 0x33);
        }
    } else {
        bytes[n] |= 0xc0;
    }
}

static bool wanted(const struct x86_decoded *d)
{
    if (d->info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM | X86_ATTR_STRING | X86_ATTR_PRIV |
                         X86_ATTR_X87 | X86_ATTR_SSE | X86_ATTR_AVX | X86_ATTR_MMX))
        return false;
    if (x86_undefined_encoding(d))
        return false;
    if (d->has_mem && (d->disp > 127 || d->disp < -128 ||
                       (d->index != X86_NO_REG && d->index != X86_RSI)))
        return false;
    if (d->has_mem && (d->base != X86_RBX || d->seg >= X86_FS || d->asize != 8))
        return false;
    if (d->info->family == X86_FAMILY_SYSTEM || d->info->family == X86_FAMILY_FPU_STATE)
        return false;
    switch (d->op) {
    case X86_OP_RDRAND: case X86_OP_RDSEED: case X86_OP_ENTER: case X86_OP_LEAVE:
    case X86_OP_CMPXCHG16B: case X86_OP_XLAT: case X86_OP_PUSHF: case X86_OP_NOP: /* 0F 0D */
        return false;
    default:
        return true;
    }
}

#define ROUNDS 200000

START_TEST(random_against_host)
{
    static struct bench bench;
    static unsigned seen[X86_OP_COUNT];
    struct bench *b = &bench;
    unsigned ops = 0;

    bench_init(b);
    for (unsigned n = 0; n < ROUNDS; n++) {
        uint8_t bytes[32];
        struct x86_decoded d;
        struct state s;

        random_insn(b, bytes);
        if (x86_decode(bytes, 15, X86_CODE_64, &d) != X86_DECODE_OK || !wanted(&d))
            continue;
        random_state(b, &s);
        s.reg[X86_RSI] = rnd(b) % 16;
        if (d.has_mem && (d.op == X86_OP_BT || d.op == X86_OP_BTS || d.op == X86_OP_BTR ||
                          d.op == X86_OP_BTC)) {
            if (d.reg == X86_RBX || d.reg == X86_RSP || d.reg == X86_RBP)
                continue;
            s.reg[d.reg] = d.reg == X86_RSI ? rnd(b) % 16 : rnd(b) % 4096 - 2048;
        }
        if (d.op == X86_OP_CMPXCHG && (rnd(b) & 1))
            s.reg[X86_RAX] = d.has_mem ? *(guest_u64 *)(s.reg[X86_RBX] + (int8_t)d.disp)
                                       : s.reg[d.rm];
        seen[d.op] += run_both(b, bytes, &d, &s);
    }
    for (unsigned n = 0; n < X86_OP_COUNT; n++) {
        ops += seen[n] > 0;
        if (getenv("INTERP_TEST_LIST") && seen[n])
            printf("%s %u\n", x86_op_info(n)->name, seen[n]);
    }
    ck_assert_msg(ops > 70, "only %u operations seen", ops);
}
END_TEST

static void run_bytes(struct bench *b, const uint8_t *bytes, struct state *s)
{
    struct x86_decoded d;

    if (x86_decode(bytes, 15, X86_CODE_64, &d) != X86_DECODE_OK || !run_both(b, bytes, &d, s))
        ck_abort_msg("%s not run", describe(&d, bytes));
}

START_TEST(strings_against_host)
{
    static const uint8_t opcode[] = { 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf };
    static struct bench bench;
    struct bench *b = &bench;

    bench_init(b);
    for (unsigned n = 0; n < 10000; n++) {
        uint8_t bytes[16] = {0};
        uint64_t r = rnd(b);
        struct state s;
        unsigned k = 0;

        random_state(b, &s);
        for (unsigned m = 4096; m < 3 * 4096; m++) /* few values, so that comparisons go on */
            b->buf[m] = (m & 63) < (r >> 32 & 63) ? 0 : (uint8_t)(rnd(b) & 1);
        s.reg[X86_RSI] = (uintptr_t)b->buf + 4096 + 1024 + (rnd(b) % 64);
        s.reg[X86_RDI] = (uintptr_t)b->buf + 4096 + 1024 + (rnd(b) % 2 ? rnd(b) % 64 : 1024);
        s.reg[X86_RCX] = rnd(b) % 100;
        s.reg[X86_RAX] &= 0x0101010101010101;
        s.flags |= r & X86_FLAG_DF;
        if (r & 1)
            bytes[k++] = r & 2 ? 0xf3 : 0xf2;
        if (r & 4)
            bytes[k++] = r & 8 ? 0x48 : 0x66;
        bytes[k++] = opcode[(r >> 4) % sizeof(opcode)];
        if (k == 3 && bytes[1] == 0x66) {
            bytes[1] = bytes[0];
            bytes[0] = 0x66;
        }
        run_bytes(b, bytes, &s);
    }
}
END_TEST

/* Quotients on both sides of what fits. */
START_TEST(division_limits)
{
    static const struct { uint64_t hi, lo, by; bool is_signed, fits; } cases[] = {
        { 0, 1, 0, false, false }, { 0, 1, 0, true, false },
        { 5, 0, 5, false, false }, { 4, UINT64_MAX, 5, false, true },
        { UINT64_MAX, BIT(63), 1, true, true },  { UINT64_MAX, BIT(63), UINT64_MAX, true, false },
        { 0, BIT(63), UINT64_MAX, true, true },  { 0, BIT(63), 1, true, false },
        { 0, BIT(63) - 1, 1, true, true },       { UINT64_MAX, BIT(63) - 1, 1, true, false },
        { BIT(63), 0, BIT(63), true, false },    { BIT(62), 0, BIT(63), true, true },
        { BIT(62) - 1, UINT64_MAX, BIT(63), true, true },
        { BIT(62) + 1, 0, BIT(63), true, false },
        { -BIT(62), 0, BIT(63), true, false },   { -BIT(62), 1, BIT(63), true, true },
    };
    static const uint8_t div[16] = { 0x48, 0xf7, 0xf1 }, idiv[16] = { 0x48, 0xf7, 0xf9 };
    static struct bench bench;

    bench_init(&bench);
    for (unsigned n = 0; n < ARRAY_SIZE(cases); n++) {
        const uint8_t *bytes = cases[n].is_signed ? idiv : div;
        struct x86_decoded d;
        struct state s;

        random_state(&bench, &s);
        s.reg[X86_RAX] = cases[n].lo;
        s.reg[X86_RDX] = cases[n].hi;
        s.reg[X86_RCX] = cases[n].by;
        ck_assert_int_eq(x86_decode(bytes, 15, X86_CODE_64, &d), X86_DECODE_OK);
        ck_assert_msg(run_both(&bench, bytes, &d, &s) == cases[n].fits, "case %u", n);
    }
}
END_TEST

START_TEST(frames_against_host)
{
    static const uint8_t codes[][16] = {
        { 0xc8, 0x10, 0, 0 }, { 0xc8, 0x20, 0, 1 }, { 0xc8, 8, 0, 5 }, { 0xc8, 0, 0, 31 },
        { 0x66, 0xc8, 0x10, 0, 3 }, { 0xc9 }, { 0x66, 0xc9 }, { 0x8f, 0x44, 0x24, 8 },
        { 0x8f, 0x04, 0x24 }, { 0x66, 0x8f, 0x44, 0x24, 0xf0 }, { 0x5c }, { 0x54 },
        { 0xff, 0x74, 0x24, 8 }, { 0x66, 0x54 }, { 0x66, 0x5c }, { 0x48, 0x0f, 0xc7, 0x0c, 0x24 },
        { 0xd7 }, { 0xf0, 0x0f, 0xc7, 0x0c, 0x24 },
    };
    static struct bench bench;

    bench_init(&bench);
    for (unsigned n = 0; n < 100 * ARRAY_SIZE(codes); n++) {
        struct state s;

        random_state(&bench, &s);
        s.reg[X86_RSP] &= ~UINT64_C(15);
        for (unsigned k = 0; k < 600; k++)
            bench.buf[2 * 4096 + 1600 + k] = (uint8_t)rnd(&bench);
        if (rnd(&bench) & 1)
            memcpy(&s.reg[X86_RAX], (void *)(uintptr_t)s.reg[X86_RSP], 8);
        if (rnd(&bench) & 1)
            memcpy(&s.reg[X86_RDX], (void *)(uintptr_t)(s.reg[X86_RSP] + 8), 8);
        run_bytes(&bench, codes[n % ARRAY_SIZE(codes)], &s);
    }
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, random_against_host);
    UNIT_TEST(suite, strings_against_host);
    UNIT_TEST(suite, division_limits);
    UNIT_TEST(suite, frames_against_host);
}

UNIT_TEST_MAIN("interp", add_tests)
