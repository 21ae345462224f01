/* SPDX-License-Identifier: MIT */
/* PCMPESTRx and PCMPISTRx, whose operands no ModRM names, interpreted and translated: the same as
 * by the processor, which runs the same program. */
#include <sys/mman.h>

#include "cpu/x86/jit/jit_priv.h"

#include "cpu/x86/long_rig.h"

#define CODE   UINT64_C(0x10000)
#define INPUT  UINT64_C(0x3fff00) /* its operand in memory is partly in the page behind */
#define OUTPUT UINT64_C(0x500000)
#define STACK  UINT64_C(0x7ff000)
#define IMMS   128
#define RUNS   3 /* translated before the last */

enum { CASE_MAX = 64, CASES = 4 * 4 * 3 * IMMS, PROGRAM_MAX = CASES * CASE_MAX + 1 };

struct input { /* at RSI */
    uint8_t xmm[2][16];
    uint64_t rax, rdx, rcx;
    uint8_t pad[0x80 - 56];
    uint8_t within[0x79]; /* at R9, aligned to nothing */
    uint8_t across[16];   /* at RDI */
};

struct output { /* at R8 */
    uint64_t rcx, flags, xmm0[2], rax, rdx;
};

_Static_assert(offsetof(struct input, across) == 0xf9 && sizeof(struct output) == 48,
               "what the program says");

/* Of each instruction: SSE's and AVX' forms, without and with 64 bits of RAX and RDX. */
static const struct prefix {
    uint8_t bytes[5], with_r9[5], len, r9_len;
} prefixes[] = {
    {{0x66, 0x0f, 0x3a}, {0x66, 0x41, 0x0f, 0x3a}, 3, 4},
    {{0x66, 0x48, 0x0f, 0x3a}, {0x66, 0x49, 0x0f, 0x3a}, 4, 4},
    {{0xc4, 0xe3, 0x79}, {0xc4, 0xc3, 0x79}, 3, 3},
    {{0xc4, 0xe3, 0xf9}, {0xc4, 0xc3, 0xf9}, 3, 3},
};

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

#define PUT(at, ...) put(at, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static uint8_t *put_case(uint8_t *at, const struct prefix *p, unsigned opcode, unsigned operand,
                         unsigned imm)
{
    static const uint8_t modrm[] = {0xca, 0x0f, 0x09}; /* xmm1, and: xmm2, [rdi], [r9] */

    at = PUT(at, 0xf3, 0x0f, 0x6f, 0x0e,   /* movdqu xmm1, [rsi] */
             0xf3, 0x0f, 0x6f, 0x56, 0x10, /* movdqu xmm2, [rsi + 16] */
             0xf3, 0x0f, 0x6f, 0x46, 0x10, /* movdqu xmm0, [rsi + 16] */
             0x48, 0x8b, 0x46, 0x20, 0x48, 0x8b, 0x56,
             0x28,                    /* mov rax, [rsi + 32]; mov rdx, [rsi + 40] */
             0x48, 0x8b, 0x4e, 0x30); /* mov rcx, [rsi + 48] */
    at = operand == 2 ? put(at, p->with_r9, p->r9_len) : put(at, p->bytes, p->len);
    at = PUT(at, (uint8_t)opcode, modrm[operand], (uint8_t)imm);
    return PUT(at, 0x49, 0x89, 0x08,               /* mov [r8], rcx */
               0x9c, 0x41, 0x8f, 0x40, 0x08,       /* pushfq; pop qword [r8 + 8] */
               0xf3, 0x41, 0x0f, 0x7f, 0x40, 0x10, /* movdqu [r8 + 16], xmm0 */
               0x49, 0x89, 0x40, 0x20, 0x49, 0x89, 0x50,
               0x28,                    /* mov [r8 + 32], rax; mov [r8 + 40], rdx */
               0x49, 0x83, 0xc0, 0x30); /* add r8, 48 */
}

static uint8_t *put_program(uint8_t *at)
{
    for (unsigned n = 0; n < ARRAY_SIZE(prefixes); n++)
        for (unsigned opcode = 0x60; opcode <= 0x63; opcode++)
            for (unsigned operand = 0; operand < 3; operand++)
                for (unsigned imm = 0; imm < IMMS; imm++)
                    at = put_case(at, &prefixes[n], opcode, operand, imm);
    return at;
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Short strings of few letters, lengths on both sides of what there is room for, and of 32 bits. */
static void randomize(struct input *in, uint64_t *seed)
{
    uint8_t *bytes = (uint8_t *)in;

    for (size_t n = 0; n < sizeof(*in); n++)
        bytes[n] = next_random(seed) % 9 ? (uint8_t)(0x7d + next_random(seed) % 5) : 0;
    in->rax = next_random(seed) % 40 - 20;
    in->rdx = next_random(seed) % 20 | next_random(seed) % 2 << 32;
    in->rcx = next_random(seed);
}

static void run_native(const uint8_t *program, const struct input *in, struct output *out)
{
    typedef void program_fn(const void *rdi, const void *rsi, uint64_t rdx, uint64_t rcx, void *r8,
                            const void *r9);

    ((program_fn *)(uintptr_t)program)(in->across, in, 0, 0, out, in->within + 1);
}

static void run_guest(struct rig *m, const struct input *in)
{
    memset(mem_ptr(m->mem, OUTPUT, CASES * sizeof(struct output), MEM_WRITE), 0,
           CASES * sizeof(struct output));
    memcpy(mem_ptr(m->mem, INPUT, sizeof(*in), MEM_WRITE), in, sizeof(*in));
    m->c->rip = CODE;
    m->c->run_state = X86_RUNNING;
    m->c->reg[X86_RSI] = INPUT;
    m->c->reg[X86_RDI] = INPUT + offsetof(struct input, across);
    m->c->reg[8] = OUTPUT;
    m->c->reg[9] = INPUT + offsetof(struct input, within) + 1;
    m->c->reg[X86_RSP] = STACK;
    ck_assert_int_eq(x86_cpu_run(m->c), X86_STOP_HALT);
}

static void compare(const struct rig *m, const struct output *want, const char *words)
{
    const struct output *got = mem_ptr(m->mem, OUTPUT, CASES * sizeof(*got), MEM_READ);

    for (unsigned n = 0; n < CASES; n++)
        ck_assert_msg(got[n].rcx == want[n].rcx &&
                          !((got[n].flags ^ want[n].flags) & X86_FLAGS_ARITH) &&
                          !memcmp(got[n].xmm0, want[n].xmm0, 16) && got[n].rax == want[n].rax &&
                          got[n].rdx == want[n].rdx,
                      "%s: form %u, opcode %x, operand %u, imm %x", words, n / (12 * IMMS),
                      0x60 + n / (3 * IMMS) % 4, n / IMMS % 3, n % IMMS);
}

static void open_vectors(struct rig *m)
{
    struct x86_cpu_state *s = calloc(1, sizeof(*s));

    x86_cpu_get(m->c, s);
    s->cr4 |= X86_CR4_OSXSAVE;
    s->xcr0 = 7;
    ck_assert_int_eq(x86_cpu_set(m->c, s), 0);
    free(s);
}

static void all_forms(const char *words)
{
    struct output *want = calloc(CASES, sizeof(*want));
    uint8_t *program = mmap(NULL, PROGRAM_MAX, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t seed = 4711;
    struct input in;
    struct rig m;
    uint8_t *end;

    ck_assert(want && program != MAP_FAILED);
    end = put_program(program);
    *end = 0xf4; /* hlt */
    rig_create(&m, words, 1, CODE, program, (size_t)(end + 1 - program));
    open_vectors(&m);
    *end = 0xc3; /* ret */
    for (unsigned n = 0; n < RUNS; n++) {
        randomize(&in, &seed);
        run_native(program, &in, want);
        run_guest(&m, &in);
        compare(&m, want, words);
    }
    if (!VZ_HIDDEN_CALLS) /* only PUSHF is interpreted, and PCMPISTRM of memory: every sixth */
        ck_assert_uint_le(m.c->count.jit_detours, RUNS * (CASES + CASES / 6));
    rig_destroy(&m);
    munmap(program, PROGRAM_MAX);
    free(want);
}

START_TEST(strings_are_compared_as_by_the_processor)
{
    all_forms("off");
    all_forms("on,threshold=1");
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, strings_are_compared_as_by_the_processor);
}

UNIT_TEST_MAIN("jit_string_compare", add_tests)
