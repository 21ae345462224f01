/* SPDX-License-Identifier: MIT */
/* Vector and x87 instructions, bound and run as the guest's, compared with the same bytes run by
 * the processor; and a sweep over the encodings for any that would fault on the host. */
#include <sys/mman.h>

#include "cpu/x86/fpu/fpu_rig.h"

/* ---- against the processor itself ---- */

struct native {
    uint64_t gpr[16];
    uint64_t flags;
    uint64_t code, saved_rsp;
    uint8_t xsave[XSAVE_END] __attribute__((aligned(64)));
};

void fpu_test_native(struct native *n);
__asm__(".text\n"
        "fpu_test_native:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
        "mov $7, %eax; xor %edx, %edx; xrstor64 192(%rdi)\n"
        "mov %rsp, 144(%rdi)\n"
        "push 128(%rdi); popfq\n"
        "mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
        "mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
        "mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
        "mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
        "push 56(%rdi)\n"
        "push 136(%rdi)\n"
        "mov 8(%rsp), %rdi\n"
        "call *(%rsp)\n"
        "lea 16(%rsp), %rsp\n"
        "push %rdi\n"
        "mov 8(%rsp), %rdi\n"
        "pushfq; pop 128(%rdi)\n"
        "mov %rax, 0(%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
        "mov %rbp, 40(%rdi); mov %rsi, 48(%rdi); pop 56(%rdi)\n"
        "mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)\n"
        "mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
        "mov $7, %eax; xor %edx, %edx; xsave64 192(%rdi)\n"
        "fninit; vzeroupper\n"
        "push $0x1f80; ldmxcsr (%rsp); pop %rax\n"
        "pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");
_Static_assert(offsetof(struct native, xsave) == 192, "as in the assembly");

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Registers full of numbers, small and large, integers and both kinds of floating point. */
static void randomize(struct native *n, uint64_t *seed)
{
    memset(n, 0, sizeof(*n));
    for (unsigned k = 0; k < 16; k++)
        n->gpr[k] = next_random(seed) >> (next_random(seed) & 63);
    n->flags = (next_random(seed) & X86_FLAGS_ARITH) | 2;
    AREA16(n->xsave, XSAVE_FCW) = FCW_DEFAULT;
    AREA32(n->xsave, XSAVE_MXCSR) = MXCSR_DEFAULT;
    AREA32(n->xsave, XSAVE_MXCSR_MASK) = MXCSR_VALID;
    AREA64(n->xsave, XSAVE_BV) = 7;
    for (unsigned k = 0; k < 16; k++) {
        for (unsigned half = 0; half < 2; half++) {
            unsigned at = half ? XSAVE_AVX : XSAVE_XMM;
            uint64_t v = next_random(seed);

            AREA64(n->xsave, at + 16 * k) = v & 1 ? next_random(seed) : 0x3ff8000040490fdb + v % 99;
            AREA64(n->xsave, at + 16 * k + 8) = v & 2 ? v : 0x4008000042280000 - v % 99;
        }
    }
    for (unsigned k = 0; k < 6; k++) { /* two places of the x87 stack stay empty */
        AREA64(n->xsave, XSAVE_ST + 16 * k) = next_random(seed) | BIT(63);
        AREA16(n->xsave, XSAVE_ST + 16 * k + 8) = 0x3ff0 + (next_random(seed) & 31);
    }
    AREA16(n->xsave, XSAVE_FTW) = 0x3f;
}

struct compared {
    struct rig rig;
    uint8_t *code; /* writable and executable, this being a test */
    unsigned run, skipped;
};

/* Pointers are ours to keep, and the legacy area behind the registers is nobody's. */
static void clean_area(uint8_t *p)
{
    AREA16(p, XSAVE_FOP) = 0;
    AREA64(p, XSAVE_FIP) = AREA64(p, XSAVE_FDP) = 0;
    AREA32(p, XSAVE_MXCSR_MASK) = 0;
    AREA64(p, XSAVE_BV) = 0;
    memset(p + XSAVE_LEGACY_END, 0, 96);
    for (unsigned k = 0; k < 8; k++)
        memset(p + XSAVE_ST + 16 * k + 10, 0, 6);
}

static void check_same(const struct compared *t, const struct native *n, const uint8_t *host_mem,
                       const struct x86_op_info *info, const uint8_t *bytes)
{
    struct x86_cpu *c = t->rig.c;
    uint8_t area[X86_XSAVE_MAX], want[XSAVE_END];
    uint16_t flags = info->flags_set;

    fpu_get(c, area);
    memcpy(want, n->xsave, XSAVE_END);
    clean_area(area);
    clean_area(want);
    for (unsigned k = 0; k < XSAVE_END; k++) { /* each check of Check takes its time */
        if (area[k] != want[k])
            ck_abort_msg("%s: state at %u: %x, not %x (%02x %02x %02x %02x)", info->name, k,
                         area[k], want[k], bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    for (unsigned k = 0; k < 16; k++) {
        if (k != X86_RSP && k != X86_RSI && c->reg[k] != n->gpr[k])
            ck_abort_msg("%s: register %u: %lx, not %lx", info->name, k, c->reg[k], n->gpr[k]);
    }
    if ((af_to_rflags(c->af) ^ n->flags) & flags)
        ck_abort_msg("%s: flags", info->name);
    if (memcmp(t->rig.ram + DATA, host_mem, 128))
        ck_abort_msg("%s: memory", info->name);
}

static bool is_compared(const struct x86_decoded *d)
{
    uint32_t mine = X86_ATTR_X87 | X86_ATTR_MMX | X86_ATTR_SSE | X86_ATTR_AVX;

    if (!(d->info->attr & mine) || (d->has_mem && (d->base != X86_RSI || d->seg != X86_DS)))
        return false;
    for (unsigned k = 0; k < d->operand_count; k++) { /* these two differ in the two runs */
        const struct x86_operand *o = &d->operand[k];

        if (o->kind == X86_OPERAND_GPR && (o->reg == X86_RSP || o->reg == X86_RSI))
            return false;
    }
    /* Their images have pointers in them. */
    return strcmp(d->info->name, "fnstenv") && strcmp(d->info->name, "fnsave") &&
           strcmp(d->info->name, "fldenv") && strcmp(d->info->name, "frstor") &&
           strcmp(d->info->name, "fldcw") && strncmp(d->info->name, "ldmxcsr", 7) &&
           strncmp(d->info->name, "vldmxcsr", 8);
}

/* Within the 128 bytes at [RSI], scaled. */
static void small_indices(struct native *n, unsigned reg, unsigned unit, uint64_t *seed)
{
    for (unsigned k = 0; k < 32; k += unit) {
        unsigned at = (k < 16 ? XSAVE_XMM : XSAVE_AVX) + 16 * reg + (k & 15);

        AREA32(n->xsave, at) = next_random(seed) % 15;
        if (unit == 8)
            AREA32(n->xsave, at + 4) = 0;
    }
}

static void compare_one(struct compared *t, const uint8_t *bytes, uint64_t *seed)
{
    static uint8_t host_mem[128] __attribute__((aligned(64)));
    struct x86_cpu *c = t->rig.c;
    struct x86_decoded d;
    struct native n;

    if (x86_decode(bytes, X86_INSN_MAX, X86_CODE_64, &d) != X86_DECODE_OK || !is_compared(&d) ||
        !rig_bind(&t->rig, bytes, X86_INSN_MAX)) {
        t->skipped++;
        return;
    }
    randomize(&n, seed);
    if (d.vsib)
        small_indices(&n, d.index, d.opcode & 1 ? 8 : 4, seed);
    if (strstr(d.info->name, "maskmov") && !d.has_mem)
        n.gpr[X86_RDI] = DATA;
    for (unsigned k = 0; k < 128; k++)
        t->rig.ram[DATA + k] = host_mem[k] = (uint8_t)next_random(seed);
    memcpy(c->reg, n.gpr, sizeof(n.gpr));
    c->reg[X86_RSI] = DATA;
    c->af = af_from_rflags(n.flags);
    c->rflags = 2;
    ck_assert_int_eq(fpu_set(c, n.xsave), 0);
    t->rig.live = !VZ_HIDDEN_CALLS && !t->rig.live;
    ck_assert_msg(rig_run(&t->rig), "%s: fault %d", d.info->name, c->fault.vector);

    memcpy(t->code, bytes, d.len);
    t->code[d.len] = 0xc3;
    n.code = (uint64_t)(uintptr_t)t->code;
    n.gpr[X86_RSI] = (uint64_t)(uintptr_t)host_mem;
    if (strstr(d.info->name, "maskmov") && !d.has_mem)
        n.gpr[X86_RDI] = (uint64_t)(uintptr_t)host_mem;
    fpu_test_native(&n);
    if (strstr(d.info->name, "maskmov") && !d.has_mem)
        n.gpr[X86_RDI] = DATA;
    check_same(t, &n, host_mem, d.info, bytes);
    t->run++;
}

static void compare_open(struct compared *t)
{
    memset(t, 0, sizeof(*t));
    rig_open(&t->rig);
    t->code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);
    ck_assert(t->code != MAP_FAILED);
}

static void compare_close(struct compared *t)
{
    munmap(t->code, 4096);
    rig_close(&t->rig);
}

/* Every opcode with register operands and with [RSI]; modrm's other fields by chance. */
static uint8_t some_modrm(uint64_t *seed, unsigned k)
{
    uint64_t v = next_random(seed);

    return k & 1 ? (uint8_t)(0xc0 | (v & 0x3f)) : (uint8_t)((v & 0x38) | X86_RSI);
}

START_TEST(legacy_instructions_do_what_the_processor_does)
{
    static const uint8_t prefix[4] = {0, 0x66, 0xf3, 0xf2};
    static const uint8_t escape[3] = {0, 0x38, 0x3a};
    uint64_t seed = 0x1234567;
    struct compared t;

    compare_open(&t);
    for (unsigned n = 0; n < 3 * 4 * 256 * 8; n++) {
        unsigned op = n & 255, p = n >> 8 & 3, k = n >> 10 & 7, map = n >> 13;
        uint8_t b[X86_INSN_MAX] = {0}, *at = b;
        bool mem = !(k & 1);

        if (prefix[p])
            *at++ = prefix[p];
        if (k & 2) /* with REX; a memory operand keeps its base */
            *at++ = 0x40 | (next_random(&seed) & (mem ? 0xc : 0xf));
        *at++ = 0x0f;
        if (escape[map])
            *at++ = escape[map];
        *at++ = (uint8_t)op;
        *at++ = some_modrm(&seed, k);
        *at = (uint8_t)next_random(&seed);
        compare_one(&t, b, &seed);
    }
    ck_assert_uint_gt(t.run, 2500);
    compare_close(&t);
}
END_TEST

START_TEST(vex_instructions_do_what_the_processor_does)
{
    uint64_t seed = 0x7654321;
    struct compared t;

    compare_open(&t);
    for (unsigned n = 0; n < 3 * 4 * 256 * 16; n++) {
        unsigned op = n & 255, pp = n >> 8 & 3, k = n >> 10 & 15, map = 1 + (n >> 14);
        uint64_t v = next_random(&seed);
        uint8_t b[X86_INSN_MAX] = {0};

        b[0] = 0xc4;
        b[1] = (uint8_t)((k & 1 ? v & 0xe0 : (v & 0x80) | 0x60) | map);
        b[2] = (uint8_t)((k & 8 ? 0x78 : v & 0x78) | (k & 2) << 6 | (k & 4) | pp);
        b[3] = (uint8_t)op;
        b[4] = some_modrm(&seed, k);
        b[5] = (uint8_t)(v >> 32);
        compare_one(&t, b, &seed);
    }
    ck_assert_uint_gt(t.run, 3500);
    compare_close(&t);
}
END_TEST

START_TEST(gathers_do_what_the_processor_does)
{
    uint64_t seed = 0x9999;
    struct compared t;

    compare_open(&t);
    for (unsigned n = 0; n < 4 * 256; n++) {
        uint64_t v = next_random(&seed);
        uint8_t b[X86_INSN_MAX] = {
            0xc4, (uint8_t)(0x22 | (v & 0xc0)), (uint8_t)(0x01 | (v & 0xfc00) >> 8),
            (uint8_t)(0x90 | (n & 3)), (uint8_t)(0x04 | (v >> 16 & 0x38)),
            (uint8_t)((v >> 24 & 0xf8) | X86_RSI),
        };

        compare_one(&t, b, &seed);
    }
    ck_assert_uint_gt(t.run, 500);
    compare_close(&t);
}
END_TEST

START_TEST(x87_instructions_do_what_the_processor_does)
{
    uint64_t seed = 0x5555;
    struct compared t;

    compare_open(&t);
    for (unsigned n = 0; n < 8 * 256; n++) {
        uint8_t b[X86_INSN_MAX] = {(uint8_t)(0xd8 | (n & 7)), (uint8_t)(n >> 3)};

        compare_one(&t, b, &seed);
    }
    ck_assert_uint_gt(t.run, 400);
    compare_close(&t);
}
END_TEST

/* ---- no encoding that is let through makes the host fault ---- */

static void sweep_one(struct rig *r, const uint8_t *b)
{
    struct x86_cpu *c = r->c;

    if (!rig_bind(r, b, X86_INSN_MAX))
        return;
    for (unsigned k = 0; k < 16; k++)
        c->reg[k] = DATA + 64;
    c->reg[REG_BLOCK_RIP] = DATA + 64;
    (void)rig_run(r);
    if (c->pending) {
        c->pending = 0;
        thunk_cache_empty(c);
    }
}

static bool is_vector(const uint8_t *b, enum x86_code_size size)
{
    struct x86_decoded d;

    return x86_decode(b, X86_INSN_MAX, size, &d) == X86_DECODE_OK &&
           d.info->attr & (X86_ATTR_X87 | X86_ATTR_MMX | X86_ATTR_SSE | X86_ATTR_AVX);
}

static void sweep_legacy(struct rig *r, unsigned op, uint64_t *seed)
{
    static const uint8_t prefix[6][2] = {{0}, {0x66}, {0xf3}, {0xf2}, {0x66, 0xf3}, {0xf2, 0x66}};

    for (unsigned n = 0; n < 3 * 6 * 3 * 256; n++) {
        unsigned modrm = n & 255, rex = (n >> 8) % 3, p = (n >> 8) / 3 % 6, map = (n >> 8) / 18;
        uint8_t b[2 * X86_INSN_MAX] = {0}, *at = b;

        for (unsigned k = 0; k < 2 && prefix[p][k]; k++)
            *at++ = prefix[p][k];
        if (rex && r->c->code_size == X86_CODE_64)
            *at++ = rex == 1 ? 0x48 : 0x47;
        *at++ = 0x0f;
        if (map)
            *at++ = map == 1 ? 0x38 : 0x3a;
        *at++ = (uint8_t)op;
        *at++ = (uint8_t)modrm;
        if (modrm >= 0xc0)
            *at = (uint8_t)next_random(seed);
        if (is_vector(b, r->c->code_size))
            sweep_one(r, b);
    }
}

static void sweep_vex(struct rig *r, unsigned op, uint64_t *seed)
{
    for (unsigned n = 0; n < 3 * 16 * 2 * 256; n++) {
        unsigned modrm = n & 255, x = n >> 8 & 15, v = n >> 12 & 1, map = 1 + (n >> 13);
        uint8_t b[2 * X86_INSN_MAX] = {
            0xc4, (uint8_t)(0xe0 | map),
            (uint8_t)((x & 8) << 4 | (x & 7) | (v ? 0x78 : 0x70)), (uint8_t)op, (uint8_t)modrm,
        };

        if (modrm >= 0xc0)
            b[5] = (uint8_t)next_random(seed);
        if (is_vector(b, r->c->code_size))
            sweep_one(r, b);
    }
}

static void sweep(struct rig *r)
{
    uint64_t seed = 77;

    r->live = false;
    for (unsigned op = 0; op < 256; op++) {
        sweep_legacy(r, op, &seed);
        sweep_vex(r, op, &seed);
    }
    for (unsigned n = 0; n < 8 * 256; n++) {
        uint8_t b[X86_INSN_MAX] = {(uint8_t)(0xd8 | (n & 7)), (uint8_t)(n >> 3)};

        if (is_vector(b, r->c->code_size))
            sweep_one(r, b);
        fpu_reset(r->c);
    }
}

START_TEST(no_64_bit_instruction_faults_on_the_host)
{
    struct rig r;

    rig_open(&r);
    sweep(&r);
    rig_close(&r);
}
END_TEST

START_TEST(no_32_bit_instruction_faults_on_the_host)
{
    struct rig r;

    rig_open(&r);
    leave_long_mode(&r, true);
    sweep(&r);
    rig_close(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, legacy_instructions_do_what_the_processor_does);
    UNIT_TEST(s, vex_instructions_do_what_the_processor_does);
    UNIT_TEST(s, gathers_do_what_the_processor_does);
    UNIT_TEST(s, x87_instructions_do_what_the_processor_does);
    UNIT_TEST(s, no_64_bit_instruction_faults_on_the_host);
    UNIT_TEST(s, no_32_bit_instruction_faults_on_the_host);
}

UNIT_TEST_MAIN("fpu_compare", add_tests)
