/* SPDX-License-Identifier: MIT */
/* Cases for the differential test. First a corpus: random encodings, sorted by operation, until
 * every operation has some. Then a random state for each, with registers chosen so that memory
 * operands, the stack and strings lie in the data pages. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "arch/x86/regs.h"
#include "diff.h"

#define ENCODINGS_MAX 512u /* kept per operation */
#define TRIES 12000000

struct encoding {
    uint8_t bytes[16];
    uint8_t len;
};

static struct encoding (*corpus)[ENCODINGS_MAX];
static uint16_t counts[X86_OP_COUNT];
static uint16_t usable[X86_OP_COUNT];
static unsigned usable_count;
static uint64_t rng;

void diff_seed(uint64_t seed)
{
    rng = seed * 2 + 1;
}

uint64_t diff_random(void)
{
    uint64_t z = rng += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool chance(unsigned one_in)
{
    return diff_random() % one_in == 0;
}

unsigned diff_encodings(unsigned op)
{
    return counts[op];
}

const char *diff_why_excluded(unsigned op)
{
    const struct x86_op_info *info = x86_op_info(op);

    switch (op) {
    case X86_OP_INVALID:
        return "not an operation";
    case X86_OP_CPUID: case X86_OP_XGETBV: case X86_OP_RDPID: case X86_OP_SMSW:
    case X86_OP_SGDT: case X86_OP_SIDT: case X86_OP_SLDT: case X86_OP_STR: case X86_OP_LAR:
    case X86_OP_LSL: case X86_OP_VERR: case X86_OP_VERW: case X86_OP_RDPMC:
        return "shows the machine it runs on";
    case X86_OP_RDTSC: case X86_OP_RDTSCP: case X86_OP_RDRAND: case X86_OP_RDSEED:
        return "differs at every execution";
    case X86_OP_INT: case X86_OP_SYSCALL: case X86_OP_SYSENTER: case X86_OP_INT3: case X86_OP_INT1:
        return "enters the host's kernel";
    case X86_OP_MOV_TO_SEG: case X86_OP_POP_SEG: case X86_OP_LSS: case X86_OP_LFS:
    case X86_OP_LGS: case X86_OP_MOV_FROM_SEG: case X86_OP_PUSH_SEG: case X86_OP_JMP_FAR_IND:
    case X86_OP_JMP_FAR: case X86_OP_CALL_FAR: case X86_OP_LDS: case X86_OP_LES:
    case X86_OP_CALL_FAR_IND: case X86_OP_RET_FAR: case X86_OP_IRET: case X86_OP_RDFSBASE:
    case X86_OP_RDGSBASE: case X86_OP_WRFSBASE: case X86_OP_WRGSBASE:
        return "depends on the host's segments";
    case X86_OP_POPF: case X86_OP_PUSHF:
        return "depends on the host's system flags";
    case X86_OP_FXSAVE: case X86_OP_XSAVE: case X86_OP_XSAVEOPT: case X86_OP_XSAVEC:
    case X86_OP_FXRSTOR: case X86_OP_XRSTOR: case X86_OP_FNSTENV: case X86_OP_FNSAVE:
    case X86_OP_FLDENV: case X86_OP_FRSTOR:
        return "shows x87 pointers; has tests of its own";
    case X86_OP_CLFLUSH: case X86_OP_CLFLUSHOPT: case X86_OP_CLWB:
        return "";
    default:
        break;
    }
    if (info->attr & X86_ATTR_PRIV)
        return "privileged";
    if (info->attr & (diff_narrow ? X86_ATTR_ONLY64 : X86_ATTR_NO64))
        return diff_narrow ? "only in 64-bit mode" : "not in 64-bit mode";
    return strncmp(info->name, "vm", 2) || (info->attr & X86_ATTR_AVX) ? NULL
                                                                       : "talks to a hypervisor";
}

static bool excluded(unsigned op)
{
    const char *why = diff_why_excluded(op);

    return why && *why;
}

/* Random bytes shaped like an instruction. */
static void random_encoding(uint8_t b[16])
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x67};
    unsigned n = 0;

    for (unsigned k = 0; k < 16; k++)
        b[k] = (uint8_t)diff_random();
    while (chance(3) && n < 2)
        b[n++] = prefixes[diff_random() % sizeof(prefixes)];
    switch (diff_random() % 8) {
    case 0:
    case 1: /* VEX, three bytes */
        b[n] = 0xc4;
        b[n + 1] = (uint8_t)((b[n + 1] & 0xe0) | (1 + diff_random() % 3));
        if (diff_narrow)
            b[n + 1] |= 0xc0; /* else it is LES */
        if (chance(2))
            b[n + 2] |= 0x78; /* vvvv unused */
        return;
    case 2:
        b[n] = 0xc5;
        if (diff_narrow)
            b[n + 1] |= 0xc0;
        if (chance(2))
            b[n + 1] |= 0x78;
        return;
    default:
        break;
    }
    if (chance(2))
        b[n++] = (uint8_t)(0x40 | diff_random() % 16);
    switch (diff_random() % 8) {
    case 0: case 1: case 2:
        b[n] = 0x0f;
        break;
    case 3:
        b[n] = 0x0f, b[n + 1] = 0x38;
        break;
    case 4:
        b[n] = 0x0f, b[n + 1] = 0x3a;
        break;
    case 5:
        b[n] = (uint8_t)(0xd8 + diff_random() % 8);
        break;
    default:
        break;
    }
}

static void add_encoding(const uint8_t b[16])
{
    struct x86_decoded d;

    if (x86_decode(b, 15, diff_code_size(), &d) != X86_DECODE_OK || excluded(d.op) ||
        counts[d.op] == ENCODINGS_MAX ||
        (d.has_mem && d.seg >= X86_FS) || (d.seg_override && (!diff_narrow || d.seg >= X86_FS)))
        return;
    memcpy(corpus[d.op][counts[d.op]].bytes, b, 16);
    corpus[d.op][counts[d.op]++].len = d.len;
}

bool diff_make_corpus(void)
{
    static const uint8_t rare[][16] = {{0xf3, 0x0f, 0x1e, 0xfa}, /* ENDBR64, 32 */
                                       {0xf3, 0x0f, 0x1e, 0xfb}};

    corpus = calloc(X86_OP_COUNT, sizeof(*corpus));
    if (!corpus)
        return false;
    for (unsigned n = 0; n < sizeof(rare) / sizeof(rare[0]); n++)
        add_encoding(rare[n]);
    for (unsigned n = 0; n < TRIES; n++) {
        uint8_t b[16];

        random_encoding(b);
        add_encoding(b);
    }
    for (unsigned op = 0; op < X86_OP_COUNT; op++)
        if (counts[op])
            usable[usable_count++] = (uint16_t)op;
    return usable_count;
}

/* ---- states ---- */

static uint64_t random_value(void)
{
    static const uint64_t edges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
                                     0x80000000, 0xffffffff, INT64_MAX, (uint64_t)INT64_MIN,
                                     UINT64_MAX, UINT64_MAX - 1};

    switch (diff_random() % 4) {
    case 0:
        return edges[diff_random() % 16];
    case 1:
        return diff_random() % 256;
    default:
        return diff_random() >> diff_random() % 64;
    }
}

static uint64_t random_target(void)
{
    uint64_t at = DIFF_DATA + 1024 + diff_random() % (DIFF_DATA_LEN - 2048);

    if (chance(8)) /* across a page */
        at = DIFF_DATA + 8192 - 1 - diff_random() % 16;
    else if (!chance(4))
        at &= ~UINT64_C(31);
    return at;
}

/* What a register of the code in hand holds of v. */
static uint64_t in_width(uint64_t v)
{
    return diff_narrow ? (uint32_t)v : v;
}

static void write_le32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

/* SHA's memory operand must be aligned on Intel and need not be on AMD. */
static bool is_sha(const struct x86_decoded *d)
{
    return !strncmp(d->info->name, "sha1", 4) || !strncmp(d->info->name, "sha256", 6);
}

/* Make the memory operand of c point into the data pages. False: this encoding cannot. */
static bool aim(struct diff_case *c)
{
    struct x86_decoded *d = &c->d;
    uint64_t *gpr = c->before.gpr, target = random_target();
    unsigned modrm = d->opcode_off + 1u, widest = diff_narrow ? 4 : 8;

    if (d->asize == 2)
        return false; /* nothing is mapped in the lowest 64 KiB */
    if (!d->has_modrm) { /* moffs */
        if (d->asize == 8)
            memcpy(c->bytes + d->opcode_off + 1, &target, 8);
        else
            write_le32(c->bytes + d->opcode_off + 1, (uint32_t)target);
        return true;
    }
    if (d->base == X86_BASE_RIP) {
        write_le32(c->bytes + modrm + 1, (uint32_t)(target - DIFF_INSN - d->len));
        return d->asize == 8;
    }
    if (is_sha(d))
        target &= ~UINT64_C(15);
    if (d->vsib) /* four or eight indexes: keep them small, see random_vectors() */
        target = DIFF_DATA + DIFF_DATA_LEN / 2;
    if (d->index != X86_NO_REG && !d->vsib) {
        gpr[d->index] = diff_random() % 64;
        if (d->base == d->index) {
            gpr[d->base] = in_width(target - (uint64_t)d->disp) / (1 + (UINT64_C(1) << d->scale));
            return true;
        }
        if (d->base == X86_NO_REG) {
            gpr[d->index] = in_width(target - (uint64_t)d->disp) >> d->scale;
            return d->asize == widest;
        }
    }
    if (d->base == X86_NO_REG) {
        if (!d->vsib) /* behind a SIB byte, or in 32-bit code without one */
            write_le32(c->bytes + modrm + ((d->modrm & 7) == 4 ? 2 : 1), (uint32_t)target);
        return !d->vsib;
    }
    gpr[d->base] = target - (uint64_t)d->disp;
    if (d->index != X86_NO_REG && !d->vsib)
        gpr[d->base] -= gpr[d->index] << d->scale;
    return true;
}

static void random_vectors(struct diff_case *c)
{
    static const float floats[] = {0.0f, -0.0f, 1.0f, -1.5f, 3.25e7f, 1e-40f, 1e38f, -2e-3f};
    uint8_t *x = c->before.xsave;

    memset(x, 0, DIFF_XSAVE_LEN);
    for (unsigned at = 160; at < 416; at += 4) { /* XMM */
        uint32_t v = (uint32_t)random_value();

        if (c->d.vsib)
            v = chance(4) ? v & 0x8000003f : v & 63; /* mask signs, small indexes */
        else if (chance(3))
            memcpy(&v, &floats[diff_random() % 8], 4);
        write_le32(x + at, v);
    }
    for (unsigned at = 576; at < 832; at += 8) { /* upper halves of YMM */
        uint64_t v = c->d.vsib ? diff_random() & UINT64_C(0x8000003f0000003f) : random_value();

        memcpy(x + at, &v, 8);
    }
    for (unsigned n = 0; n < 8; n++) { /* x87 or MMX */
        uint64_t mantissa = chance(4) ? random_value() : diff_random() | UINT64_C(1) << 63;
        uint16_t exponent = (uint16_t)(0x3fff - 40 + diff_random() % 80 + (diff_random() & 0x8000));

        if (chance(8))
            exponent = (uint16_t)(diff_random() | (chance(2) ? 0x7fff : 0));
        if (c->d.info->attr & X86_ATTR_MMX)
            exponent = 0xffff;
        memcpy(x + 32 + 16 * n, &mantissa, 8);
        memcpy(x + 40 + 16 * n, &exponent, 2);
    }
    uint16_t fcw = (uint16_t)(0x37f & ~(chance(4) ? 0x300 : 0)), fsw = 0;

    fcw = (uint16_t)(fcw | (chance(4) ? (diff_random() & 3) << 10 : 0));
    fsw = (uint16_t)((diff_random() & 7) << 11 | (diff_random() & 0x4700));
    memcpy(x, &fcw, 2);
    memcpy(x + 2, &fsw, 2);
    x[4] = chance(3) ? (uint8_t)diff_random() : 0xff; /* which registers are not empty */
    write_le32(x + 24, (uint32_t)(0x1f80 | (chance(4) ? (diff_random() & 3) << 13 : 0)));
    x[512] = 7;
    if (c->d.vsib) /* with nothing to gather AMD does not clear the upper parts */
        x[160 + 16 * c->d.vvvv + 3] |= 0x80, x[160 + 16 * c->d.vvvv + 7] |= 0x80;
}

static void small_counts(struct diff_case *c)
{
    const struct x86_decoded *d = &c->d;
    uint64_t *gpr = c->before.gpr;

    if (d->info->attr & X86_ATTR_STRING || d->op == X86_OP_XLAT || d->op == X86_OP_MASKMOVQ ||
        d->op == X86_OP_MASKMOVDQU || d->op == X86_OP_VMASKMOVDQU) {
        gpr[X86_RSI] = random_target();
        gpr[X86_RDI] = random_target();
        gpr[X86_RBX] = random_target();
        gpr[X86_RCX] = diff_random() % 40;
        if (chance(2))
            c->before.rflags |= X86_FLAG_DF;
    }
    if (d->has_mem && d->operand_count > 1 && d->operand[1].kind == X86_OPERAND_GPR &&
        (d->op == X86_OP_BT || d->op == X86_OP_BTS || d->op == X86_OP_BTR || d->op == X86_OP_BTC) &&
        d->reg != d->base && d->reg != d->index)
        gpr[d->reg] = diff_random() % 2000 - 1000;
}

/* Where AMD and Intel (whom we follow) differ, and the host may be either. */
static bool vendors_differ(const struct x86_decoded *d)
{
    const unsigned repeated = X86_PREFIX_REP | X86_PREFIX_REPNE;
    const unsigned prefixes = X86_PREFIX_OPSIZE | repeated;

    if (x86_undefined_encoding(d))
        return true;
    /* 66 makes 16-bit branches on AMD and is ignored by Intel, in 64-bit code; with REP before it
     * AMD's LOOPcc does not look at ZF. */
    if (d->info->attr & X86_ATTR_BRANCH && d->prefixes & (diff_narrow ? repeated : prefixes))
        return true;
    if (d->asize == 2 && (d->op == X86_OP_MASKMOVQ || d->op == X86_OP_MASKMOVDQU ||
                          d->op == X86_OP_VMASKMOVDQU))
        return true; /* where nothing is mapped: which byte faults, and if one does, varies */
    if (d->op == X86_OP_ARPL && d->seg == X86_CS)
        return true; /* AMD faults only if there is something to write */
    if (d->map == X86_MAP_0F && d->opcode == 0x0d && d->mod == 3)
        return true; /* #UD on AMD, NOP on Intel */
    return false;
}

/* A branch into its own bytes would run for ever, or run something else. */
static bool branches_into_itself(const struct x86_decoded *d)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == X86_OPERAND_REL && d->imm + d->len < d->len)
            return true;
    return false;
}

bool diff_next_case(struct diff_case *c, unsigned long n)
{
    unsigned op = usable[n % usable_count];
    const struct encoding *e = &corpus[op][diff_random() % counts[op]];

    memset(c, 0, sizeof(*c));
    memcpy(c->bytes, e->bytes, 16);
    if (x86_decode(c->bytes, e->len, diff_code_size(), &c->d) != X86_DECODE_OK)
        return false;
    if (branches_into_itself(&c->d) || vendors_differ(&c->d))
        return false;
    for (unsigned r = 0; r < 16; r++)
        c->before.gpr[r] = random_value();
    c->before.rflags = 0x202 | (diff_random() & X86_FLAGS_ARITH);
    c->before.rip = DIFF_INSN;
    c->before.gpr[X86_RSP] = random_target() & ~UINT64_C(7);
    if (c->d.op == X86_OP_LEAVE || c->d.op == X86_OP_ENTER)
        c->before.gpr[X86_RBP] = random_target();
    if (c->d.info->attr & X86_ATTR_BRANCH && !c->d.has_mem && c->d.op == X86_OP_JMP_IND)
        c->before.gpr[c->d.rm] = DIFF_CODE + diff_random() % 4096;
    if (c->d.op == X86_OP_CALL_IND && !c->d.has_mem)
        c->before.gpr[c->d.rm] = DIFF_CODE + diff_random() % 4096;
    small_counts(c);
    if (c->d.has_mem && !aim(c))
        return false;
    random_vectors(c);
    for (unsigned r = 0; r < 16; r++)
        c->before.gpr[r] = in_width(c->before.gpr[r]);
    /* aim() may have patched the displacement */
    return x86_decode(c->bytes, e->len, diff_code_size(), &c->d) == X86_DECODE_OK;
}
