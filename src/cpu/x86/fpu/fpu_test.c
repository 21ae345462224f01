/* SPDX-License-Identifier: MIT */
/* Vector and x87 instructions, bound and run against guest memory behind real page tables, compared
 * with the same bytes run by the processor; then what the guest must not notice: traps, exceptions,
 * faults in the middle, areas of the XSAVE family. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/x86/block.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/fpu/fpu_exec.h"
#include "unit.h"

enum { DATA = 0x10000, GAP = 0x20000, AFTER = 0x21000, RAM = 0x200000 };

struct rig {
    struct x86_cpu *c;
    struct x86_vm vm;
    struct x86_cpuid_policy policy;
    struct insn insn[4];
    uint8_t *ram;
    bool live; /* run with the state in the host's registers: the short ways */
};

static void map_pages(struct rig *r)
{
    uint64_t *e = (uint64_t *)(void *)r->ram;

    e[0x1000 / 8] = 0x2007;
    e[0x2000 / 8] = 0x3007;
    e[0x3000 / 8] = 0x4007;
    for (unsigned k = 0; k < 512; k++)
        e[0x4000 / 8 + k] = k == GAP >> 12 ? 0 : (uint64_t)k << 12 | 7;
}

/* What the host may lack among the rest, which is x86-64-v3. */
static void host_features(struct x86_cpuid_policy *p)
{
    uint32_t a, b = 0, c = 0, d;

    memset(p->feature, 1, sizeof(p->feature));
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    p->feature[X86_FEATURE_SHA] = b >> 29 & 1;
    p->feature[X86_FEATURE_GFNI] = c >> 8 & 1;
    p->feature[X86_FEATURE_VAES] = c >> 9 & 1;
    p->feature[X86_FEATURE_VPCLMULQDQ] = c >> 10 & 1;
}

static void rig_open(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->live = !VZ_SANITIZED;
    r->c = aligned_alloc(64, (sizeof(*r->c) + 63) & ~(size_t)63);
    memset(r->c, 0, sizeof(*r->c));
    host_features(&r->policy);
    ck_assert_int_eq(mem_create(RAM, &r->vm.mem, NULL), 0);
    ck_assert_int_eq(mem_add(r->vm.mem, 0, RAM, false), 0);
    r->ram = mem_ptr(r->vm.mem, 0, RAM);
    map_pages(r);
    r->vm.cpuid = &r->policy;
    r->c->vm = &r->vm;
    r->c->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_MP | X86_CR0_WP;
    r->c->cr3 = 0x1000;
    r->c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_OSXMMEXCPT;
    r->c->efer = X86_EFER_LME | X86_EFER_LMA;
    r->c->xcr0 = 7;
    r->c->rflags = 2;
    r->c->code_size = X86_CODE_64;
    r->c->seg[X86_CS].attr = SEG_ATTR_P | SEG_ATTR_L | SEG_ATTR_S | 11;
    ck_assert_int_eq(mmu_create(r->c), 0);
    ck_assert_int_eq(thunk_cache_create(r->c), 0);
    mmu_mode_changed(r->c);
    fpu_init(r->c);
    fpu_mode_changed(r->c);
}

static void rig_close(struct rig *r)
{
    thunk_cache_destroy(r->c);
    mmu_destroy(r->c);
    mem_destroy(r->vm.mem);
    free(r->c);
}

/* What the block would go on with. */
static void stop(struct x86_cpu *c, const struct insn *i)
{
    (void)i;
    c->count.blocks++;
}

static bool rig_bind(struct rig *r, const uint8_t *bytes, unsigned len)
{
    struct x86_decoded d;

    memset(r->insn, 0, sizeof(r->insn));
    r->insn[1].fn = stop;
    if (x86_decode(bytes, len, r->c->code_size, &d) != X86_DECODE_OK)
        return false;
    return insn_bind(r->c, &d, bytes, r->insn) && r->insn->fn != insn_undefined;
}

/* Run what is bound. True: it went on to the next instruction. */
static bool rig_run(struct rig *r)
{
    uint64_t before = r->c->count.blocks;

    r->c->fault.pending = false;
    if (r->live)
        fpu_make_live(r->c);
    r->insn->fn(r->c, r->insn);
    fpu_park(r->c);
    return r->c->count.blocks != before;
}

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}
#define RUN(r, ...)                                                                                \
    ({                                                                                             \
        ck_assert(rig_bind(r, BYTES(__VA_ARGS__), sizeof((uint8_t[]){__VA_ARGS__})));              \
        rig_run(r);                                                                                \
    })
#define RUN_OK(r, ...) ck_assert(RUN(r, __VA_ARGS__))
#define RUN_FAULT(r, v, ...)                                                                       \
    do {                                                                                           \
        ck_assert(!RUN(r, __VA_ARGS__));                                                           \
        ck_assert((r)->c->fault.pending);                                                          \
        ck_assert_uint_eq((r)->c->fault.vector, v);                                                \
    } while (0)

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
    t->rig.live = !VZ_SANITIZED && !t->rig.live;
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

/* ---- what only a guest can tell ---- */

static void put64(struct rig *r, uint64_t at, uint64_t v)
{
    memcpy(r->ram + at, &v, 8);
}

static uint64_t get64(const struct rig *r, uint64_t at)
{
    uint64_t v;

    memcpy(&v, r->ram + at, 8);
    return v;
}

static uint64_t xmm_low(struct rig *r, unsigned n)
{
    fpu_park(r->c);
    return AREA64(r->c->xsave, XSAVE_XMM + 16 * n);
}

START_TEST(state_bits_decide_between_ud_and_nm)
{
    struct rig r;

    rig_open(&r);
    r.c->cr0 |= X86_CR0_TS;
    fpu_mode_changed(r.c);
    RUN_FAULT(&r, X86_NM, 0x0f, 0x58, 0xc1);             /* addps */
    RUN_FAULT(&r, X86_NM, 0xd9, 0xe8);                   /* fld1 */
    RUN_FAULT(&r, X86_NM, 0x0f, 0x77);                   /* emms */
    RUN_FAULT(&r, X86_NM, 0xc5, 0xf0, 0x58, 0xc2);       /* vaddps */
    RUN_FAULT(&r, X86_NM, 0x9b);                         /* fwait, MP set */
    r.c->cr0 &= ~(uint64_t)X86_CR0_MP;
    fpu_mode_changed(r.c);
    RUN_OK(&r, 0x9b);
    r.c->cr0 = (r.c->cr0 & ~(uint64_t)X86_CR0_TS) | X86_CR0_EM;
    fpu_mode_changed(r.c);
    RUN_FAULT(&r, X86_UD, 0x0f, 0x58, 0xc1);
    RUN_FAULT(&r, X86_UD, 0x0f, 0x77);
    RUN_FAULT(&r, X86_NM, 0xd9, 0xe8);
    RUN_OK(&r, 0xc5, 0xf0, 0x58, 0xc2);                  /* EM says nothing of AVX */
    r.c->cr0 &= ~(uint64_t)X86_CR0_EM;
    r.c->cr4 &= ~(uint64_t)X86_CR4_OSFXSR;
    r.c->xcr0 = 3;
    fpu_mode_changed(r.c);
    RUN_FAULT(&r, X86_UD, 0x0f, 0x58, 0xc1);
    RUN_FAULT(&r, X86_UD, 0xc5, 0xf0, 0x58, 0xc2);
    RUN_OK(&r, 0x0f, 0xfc, 0xc1);                        /* paddb mm */
    rig_close(&r);
}
END_TEST

START_TEST(operands_cross_pages_and_faults_change_nothing)
{
    struct rig r;

    rig_open(&r);
    put64(&r, AFTER - 8 + 0x1000, 0x1122334455667788);
    put64(&r, AFTER + 0x1000, 0x99aabbccddeeff00);
    r.c->reg[X86_RSI] = AFTER + 0x1000 - 8;
    RUN_OK(&r, 0x0f, 0x10, 0x06); /* movups xmm0, [rsi] */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x1122334455667788);
    RUN_FAULT(&r, X86_GP, 0x0f, 0x28, 0x06); /* movaps */
    r.c->reg[X86_RSI] = GAP - 8;
    put64(&r, GAP - 8, 77);
    RUN_FAULT(&r, X86_PF, 0x0f, 0x11, 0x06); /* movups [rsi], xmm0 */
    ck_assert_uint_eq(r.c->cr2, GAP);
    ck_assert_uint_eq(get64(&r, GAP - 8), 77);
    RUN_FAULT(&r, X86_PF, 0x0f, 0x10, 0x0e);
    ck_assert_uint_eq(xmm_low(&r, 1), 0);
    RUN_OK(&r, 0x0f, 0x13, 0x06); /* movlps */
    ck_assert_uint_eq(get64(&r, GAP - 8), 0x1122334455667788);
    r.c->reg[X86_RSI] = UINT64_C(0x800000000000);
    RUN_FAULT(&r, X86_GP, 0x0f, 0x10, 0x06);
    rig_close(&r);
}
END_TEST

START_TEST(masked_elements_do_not_fault)
{
    struct rig r;

    rig_open(&r);
    for (unsigned k = 0; k < 16; k++)
        r.ram[DATA + k] = k < 8 ? 0x80 : 0;
    r.c->reg[X86_RSI] = DATA;
    RUN_OK(&r, 0x0f, 0x10, 0x0e); /* movups xmm1, [rsi]: the lower half selected */
    put64(&r, GAP - 8, 0x5566778811223344);
    r.c->reg[X86_RSI] = GAP - 8;
    RUN_OK(&r, 0xc4, 0xe2, 0x71, 0x2c, 0x06); /* vmaskmovps xmm0, xmm1, [rsi]: bytes 3 and 7 */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x5566778811223344);
    put64(&r, GAP - 8, 0);
    RUN_OK(&r, 0xc4, 0xe2, 0x71, 0x2e, 0x06); /* vmaskmovps [rsi], xmm1, xmm0 */
    ck_assert_uint_eq(get64(&r, GAP - 8), 0x5566778811223344);
    put64(&r, GAP - 8, 0);
    r.c->reg[X86_RDI] = GAP - 8;
    RUN_OK(&r, 0x66, 0x0f, 0xf7, 0xc1); /* maskmovdqu xmm0, xmm1 */
    ck_assert_uint_eq(get64(&r, GAP - 8), 0x5566778811223344);
    r.c->reg[X86_RSI] = r.c->reg[X86_RDI] = GAP - 4;
    RUN_FAULT(&r, X86_PF, 0xc4, 0xe2, 0x71, 0x2c, 0x06);
    RUN_FAULT(&r, X86_PF, 0x66, 0x0f, 0xf7, 0xc1);
    rig_close(&r);
}
END_TEST

/* vpgatherqq ymm0, [rsi + ymm2 * 8], ymm1 */
START_TEST(gathers_can_be_restarted_after_a_fault)
{
    uint64_t index[4] = {0, 1, (GAP - DATA) / 8, 2};
    struct rig r;

    rig_open(&r);
    for (unsigned k = 0; k < 4; k++) {
        put64(&r, DATA + 8 * k, 100 + k);
        put64(&r, DATA + 0x100 + 8 * k, index[k]);
    }
    r.c->reg[X86_RSI] = DATA + 0x100;
    RUN_OK(&r, 0xc5, 0xfe, 0x6f, 0x16);             /* vmovdqu ymm2, [rsi] */
    RUN_OK(&r, 0xc5, 0xf5, 0x76, 0xc9);             /* vpcmpeqd ymm1, ymm1, ymm1 */
    r.c->reg[X86_RSI] = DATA;
    RUN_FAULT(&r, X86_PF, 0xc4, 0xe2, 0xf5, 0x91, 0x04, 0xd6);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM), 100);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 8), 101);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 16), 0);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 24), 0);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 16), UINT64_MAX);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 24), UINT64_MAX);
    ((uint64_t *)(void *)r.ram)[0x4000 / 8 + (GAP >> 12)] = GAP | 7;
    put64(&r, GAP, 55);
    RUN_OK(&r, 0xc4, 0xe2, 0xf5, 0x91, 0x04, 0xd6);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 8), 101);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX), 55);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 8), 102);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 24), 0);
    rig_close(&r);
}
END_TEST

START_TEST(unmasked_simd_exceptions_are_raised_and_undone)
{
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1d80); /* zero divide unmasked */
    RUN_OK(&r, 0x0f, 0xae, 0x16); /* ldmxcsr [rsi] */
    put64(&r, DATA, 0x3f800000);
    RUN_OK(&r, 0x0f, 0x10, 0x06); /* movups xmm0, [rsi] */
    RUN_FAULT(&r, X86_XM, 0x0f, 0x5e, 0xc1); /* divps xmm0, xmm1: 1/0 and 0/0 */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x3f800000);
    RUN_OK(&r, 0x0f, 0xae, 0x1e); /* stmxcsr */
    ck_assert_uint_eq((uint32_t)get64(&r, DATA), 0x1d85);
    r.c->cr4 &= ~(uint64_t)X86_CR4_OSXMMEXCPT;
    RUN_FAULT(&r, X86_UD, 0x0f, 0x5e, 0xc1);
    RUN_OK(&r, 0x0f, 0x58, 0xc0); /* addps: nothing wrong */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x40000000);
    put64(&r, DATA, 0x10000);
    RUN_FAULT(&r, X86_GP, 0x0f, 0xae, 0x16);
    rig_close(&r);
}
END_TEST

START_TEST(x87_exceptions_wait_for_the_next_instruction)
{
    struct rig r;

    rig_open(&r);
    RUN_OK(&r, 0xdb, 0xe3); /* fninit */
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x037b);
    RUN_OK(&r, 0xd9, 0x2e); /* fldcw: zero divide unmasked */
    RUN_OK(&r, 0xd9, 0xe8); /* fld1 */
    RUN_OK(&r, 0xd9, 0xee); /* fldz */
    r.c->reg[REG_BLOCK_RIP] = 0x400100;
    RUN_OK(&r, 0xde, 0xf9); /* fdivp */
    r.c->reg[REG_BLOCK_RIP] = 0x400200;
    RUN_OK(&r, 0xdf, 0xe0); /* fnstsw ax */
    ck_assert_uint_eq(r.c->reg[X86_RAX] & 0x84, 0x84);
    RUN_FAULT(&r, X86_MF, 0x9b);
    RUN_FAULT(&r, X86_MF, 0xd9, 0xe8);
    RUN_FAULT(&r, X86_MF, 0x0f, 0xfc, 0xc1); /* paddb */
    RUN_OK(&r, 0xd9, 0x36); /* fnstenv */
    ck_assert_uint_eq((uint32_t)get64(&r, DATA + 12), 0x400100);
    ck_assert_uint_eq(get64(&r, DATA + 16) >> 16 & 0x7ff, 0x6f9);
    RUN_OK(&r, 0xdb, 0xe2); /* fnclex */
    RUN_OK(&r, 0xd9, 0x26); /* fldenv: all as it was, the exception pending again */
    RUN_FAULT(&r, X86_MF, 0x9b);
    RUN_OK(&r, 0xdb, 0xe3);
    RUN_OK(&r, 0x9b);
    rig_close(&r);
}
END_TEST

START_TEST(fxsave_and_fxrstor_keep_everything)
{
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1234);
    RUN_OK(&r, 0x44, 0x0f, 0x10, 0x3e); /* movups xmm15, [rsi] */
    RUN_OK(&r, 0xdb, 0xe3);
    r.c->reg[REG_BLOCK_RIP] = UINT64_C(0x7f0000001000);
    RUN_OK(&r, 0xdd, 0x06); /* fld qword [rsi] */
    r.c->reg[X86_RSI] = DATA + 0x200;
    RUN_OK(&r, 0x48, 0x0f, 0xae, 0x06); /* fxsave64 */
    ck_assert_uint_eq(get64(&r, DATA + 0x200 + 160 + 15 * 16), 0x1234);
    ck_assert_uint_eq(get64(&r, DATA + 0x208), UINT64_C(0x7f0000001000));
    ck_assert_uint_eq(get64(&r, DATA + 0x210), DATA);
    ck_assert_uint_eq(get64(&r, DATA + 0x218), UINT64_C(0xffff00001f80));
    RUN_OK(&r, 0x45, 0x0f, 0x57, 0xff); /* xorps xmm15, xmm15 */
    RUN_OK(&r, 0xdb, 0xe3);
    RUN_OK(&r, 0x48, 0x0f, 0xae, 0x0e); /* fxrstor64 */
    ck_assert_uint_eq(xmm_low(&r, 15), 0x1234);
    ck_assert_uint_eq(r.c->x87_dp, DATA);
    ck_assert_uint_eq(AREA16(r.c->xsave, XSAVE_FTW), 0x80);
    put64(&r, DATA + 0x218, 0x10000);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x0e);
    r.c->reg[X86_RSI] = DATA + 8;
    RUN_FAULT(&r, X86_GP, 0x0f, 0xae, 0x06);
    rig_close(&r);
}
END_TEST

/* Its end says insn_end(), not stop(). */
static void xrstor_ok(struct rig *r)
{
    ck_assert(!RUN(r, 0x48, 0x0f, 0xae, 0x2e));
    ck_assert(!r->c->fault.pending);
}

START_TEST(xsave_areas_are_checked_before_use)
{
    uint64_t area = DATA + 0x400, head = area + XSAVE_BV;
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1234);
    RUN_OK(&r, 0xc5, 0xfc, 0x10, 0x1e); /* vmovups ymm3, [rsi] */
    r.c->reg[X86_RAX] = r.c->reg[X86_RDX] = UINT32_MAX;
    r.c->reg[X86_RSI] = area;
    RUN_OK(&r, 0x48, 0x0f, 0xae, 0x26); /* xsave64 */
    ck_assert_uint_eq(get64(&r, head) & 6, 2 | (get64(&r, head) & 4));
    ck_assert_uint_eq(get64(&r, area + XSAVE_XMM + 48), 0x1234);
    RUN_OK(&r, 0xc5, 0xe4, 0x57, 0xdb); /* vxorps ymm3 */
    xrstor_ok(&r);
    ck_assert_uint_eq(xmm_low(&r, 3), 0x1234);
    put64(&r, head, 0); /* all initial */
    xrstor_ok(&r);
    ck_assert_uint_eq(xmm_low(&r, 3), 0);
    put64(&r, head, 8);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    put64(&r, head, 2);
    put64(&r, head + 8, 1);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    put64(&r, head + 8, BIT(63) | 1); /* compact, SSE not in it */
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    put64(&r, head + 8, BIT(63) | 7);
    xrstor_ok(&r);
    ck_assert_uint_eq(xmm_low(&r, 3), 0x1234);
    RUN_OK(&r, 0x48, 0x0f, 0xc7, 0x26); /* xsavec64 */
    ck_assert_uint_eq(get64(&r, head + 8), BIT(63) | 7);
    ck_assert(get64(&r, head) & 2);
    put64(&r, area + XSAVE_MXCSR, 0xffffffff);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    r.c->reg[X86_RSI] = area + 16;
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x26);
    r.c->cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
    RUN_FAULT(&r, X86_UD, 0x48, 0x0f, 0xae, 0x26);
    rig_close(&r);
}
END_TEST

START_TEST(states_are_checked_and_kept)
{
    uint8_t area[X86_XSAVE_MAX] = {0}, back[X86_XSAVE_MAX];
    struct rig r;

    rig_open(&r);
    AREA64(area, XSAVE_BV) = 7;
    AREA16(area, XSAVE_FCW) = 0x0272;
    AREA32(area, XSAVE_MXCSR) = 0x1f01;
    AREA32(area, XSAVE_MXCSR_MASK) = MXCSR_VALID;
    AREA64(area, XSAVE_FIP) = 0x1000;
    AREA64(area, XSAVE_XMM) = 1;
    AREA64(area, XSAVE_AVX) = 2;
    ck_assert_int_eq(fpu_set(r.c, area), 0);
    ck_assert(r.c->fpu_slow & FPU_MXCSR_UNMASKED && r.c->fpu_slow & FPU_X87_UNMASKED);
    RUN_OK(&r, 0x0f, 0x28, 0xc8); /* movaps xmm1, xmm0 */
    AREA64(area, XSAVE_XMM + 16) = 1;
    fpu_get(r.c, back);
    ck_assert_mem_eq(back, area, XSAVE_END);
    AREA64(area, XSAVE_BV) = 8;
    ck_assert_int_eq(fpu_set(r.c, area), -EINVAL);
    AREA64(area, XSAVE_BV) = 7;
    AREA32(area, XSAVE_MXCSR) = 0x10000;
    ck_assert_int_eq(fpu_set(r.c, area), -EINVAL);
    rig_close(&r);
}
END_TEST

START_TEST(thunks_run_out_and_come_back)
{
    uint64_t first;
    struct rig r;

    rig_open(&r);
    first = thunk_get(r.c->thunks, 0x58000f, 3);
    ck_assert_uint_ne(first, 0);
    ck_assert_uint_eq(thunk_get(r.c->thunks, 0x58000f, 3), first);
    for (uint64_t k = 0; k < THUNK_COUNT - 1; k++) {
        if (!thunk_get(r.c->thunks, 0x590f | k << 16, 7))
            ck_abort_msg("full too early");
    }
    ck_assert(r.c->pending & X86_PENDING_FLUSH);
    ck_assert_uint_eq(thunk_get(r.c->thunks, 0x5a0f, 7), 0);
    ck_assert_uint_eq(thunk_get(r.c->thunks, 0x58000f, 3), first);
    ck_assert(!RUN(&r, 0x0f, 0x58, 0xff) && !r.c->fault.pending); /* leaves, to try again */
    thunk_cache_empty(r.c);
    RUN_OK(&r, 0x0f, 0x58, 0xff);
    rig_close(&r);
}
END_TEST

/* 32-bit protected mode with flat segments, then real-address mode; paging off. */
static void leave_long_mode(struct rig *r, bool protected_mode)
{
    struct x86_cpu *c = r->c;

    c->efer = 0;
    c->cr0 = (c->cr0 & ~(uint64_t)(X86_CR0_PG | X86_CR0_PE)) | (protected_mode ? X86_CR0_PE : 0);
    c->code_size = protected_mode ? X86_CODE_32 : X86_CODE_16;
    for (unsigned k = 0; k < X86_LDTR; k++) {
        c->seg[k].attr = SEG_ATTR_P | SEG_ATTR_S | (k == X86_CS ? 11 : 3);
        c->seg[k].limit = protected_mode ? UINT32_MAX : 0xffff;
        c->seg[k].base = c->ea_base[k] = protected_mode ? 0 : 0x10000; /* real: DS:0 is DATA */
    }
    mmu_mode_changed(c);
    fpu_mode_changed(c);
}

START_TEST(upper_registers_stay_outside_64_bit_mode)
{
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1234);
    RUN_OK(&r, 0x44, 0x0f, 0x10, 0x3e); /* movups xmm15, [rsi] */
    RUN_OK(&r, 0x0f, 0x10, 0x3e);       /* movups xmm7, [rsi] */
    leave_long_mode(&r, true);
    r.c->reg[X86_RAX] = r.c->reg[X86_RDX] = UINT32_MAX;
    r.c->reg[X86_RSI] = DATA + 0x400;
    put64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 15, 99);
    RUN_OK(&r, 0x0f, 0xae, 0x26); /* xsave [esi] */
    ck_assert_uint_eq(get64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 15), 99);
    ck_assert_uint_eq(get64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 7), 0x1234);
    put64(&r, DATA + 0x400 + XSAVE_BV, 0);
    ck_assert(!RUN(&r, 0x0f, 0xae, 0x2e)); /* xrstor: initial state for all */
    ck_assert(!r.c->fault.pending);
    ck_assert_uint_eq(xmm_low(&r, 7), 0);
    ck_assert_uint_eq(xmm_low(&r, 15), 0x1234);
    RUN_OK(&r, 0x0f, 0xae, 0x06); /* fxsave */
    ck_assert_uint_eq(get64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 15), 99);
    r.c->seg[X86_DS].limit = DATA + 0x400 + 511 - 1;
    RUN_FAULT(&r, X86_GP, 0x0f, 0xae, 0x0e); /* fxrstor: one byte beyond the limit */
    rig_close(&r);
}
END_TEST

START_TEST(environments_have_the_format_of_the_mode)
{
    struct rig r;

    rig_open(&r);
    leave_long_mode(&r, true);
    RUN_OK(&r, 0xdb, 0xe3);
    r.c->reg[REG_BLOCK_RIP] = 0x345678;
    r.c->reg[X86_RSI] = DATA + 8;
    RUN_OK(&r, 0xd9, 0x06); /* fld dword [esi] */
    r.c->reg[X86_RSI] = DATA + 0x40;
    RUN_OK(&r, 0x66, 0xd9, 0x36); /* fnstenv, 14 bytes */
    ck_assert_uint_eq(get64(&r, DATA + 0x40), 0x56787fff3800037f);
    ck_assert_uint_eq(get64(&r, DATA + 0x48) & 0xffffffffffff, (uint64_t)(uint16_t)(DATA + 8) << 16);
    RUN_OK(&r, 0xdb, 0xe3);
    RUN_OK(&r, 0x66, 0xd9, 0x26); /* fldenv */
    ck_assert_uint_eq(r.c->x87_ip, 0x5678);
    ck_assert_uint_eq(AREA16(r.c->xsave, XSAVE_FTW), 0x80);
    leave_long_mode(&r, false);
    RUN_OK(&r, 0xdb, 0xe3);
    r.c->reg[REG_BLOCK_RIP] = 0x1230;
    r.c->reg[X86_RSI] = 8;
    RUN_OK(&r, 0xd9, 0x04); /* fld dword [si] */
    r.c->reg[X86_RSI] = 0x40;
    RUN_OK(&r, 0xd9, 0x34); /* fnstenv [si], 14 bytes: linear addresses 11230 and 10008 */
    ck_assert_uint_eq(get64(&r, DATA + 0x46) & 0xffffffff, 0x11041230);
    ck_assert_uint_eq(get64(&r, DATA + 0x4a) & 0xffffffff, 0x10000008);
    RUN_OK(&r, 0x66, 0xdd, 0x34); /* fnsave [si], 108 bytes */
    ck_assert_uint_eq(get64(&r, DATA + 0x4c), 0x00001104ffff1230);
    ck_assert_uint_eq(r.c->x87_ip, 0);
    RUN_OK(&r, 0x66, 0xdd, 0x24); /* frstor */
    ck_assert_uint_eq(r.c->x87_ip, 0x1230);
    ck_assert_uint_eq(r.c->x87_dp, 8);
    ck_assert(!rig_bind(&r, BYTES(0xc5, 0xf0, 0x58, 0xc2), 4)); /* no VEX here */
    rig_close(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, legacy_instructions_do_what_the_processor_does);
    UNIT_TEST(s, vex_instructions_do_what_the_processor_does);
    UNIT_TEST(s, gathers_do_what_the_processor_does);
    UNIT_TEST(s, x87_instructions_do_what_the_processor_does);
    UNIT_TEST(s, state_bits_decide_between_ud_and_nm);
    UNIT_TEST(s, operands_cross_pages_and_faults_change_nothing);
    UNIT_TEST(s, masked_elements_do_not_fault);
    UNIT_TEST(s, gathers_can_be_restarted_after_a_fault);
    UNIT_TEST(s, unmasked_simd_exceptions_are_raised_and_undone);
    UNIT_TEST(s, x87_exceptions_wait_for_the_next_instruction);
    UNIT_TEST(s, fxsave_and_fxrstor_keep_everything);
    UNIT_TEST(s, xsave_areas_are_checked_before_use);
    UNIT_TEST(s, states_are_checked_and_kept);
    UNIT_TEST(s, upper_registers_stay_outside_64_bit_mode);
    UNIT_TEST(s, environments_have_the_format_of_the_mode);
    UNIT_TEST(s, thunks_run_out_and_come_back);
}

UNIT_TEST_MAIN("fpu", add_tests)
