/* SPDX-License-Identifier: MIT */
/* The decoder's contract: chosen encodings with what they mean, truncation at every byte, and
 * arbitrary bytes. The comparison with another decoder is in tests/decoder/. */
#include <stdio.h>
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/decode/optable.h"
#include "unit.h"

struct sample {
    const char *hex;
    enum x86_code_size mode;
    enum x86_decode_result result;
    const char *text; /* x86_format(), at address 0x1000 */
};

#define C16 X86_CODE_16
#define C32 X86_CODE_32
#define C64 X86_CODE_64
#define OK X86_DECODE_OK
#define BAD X86_DECODE_INVALID

static const struct sample samples[] = {
    { "4801d8", C64, OK, "add rax, rbx" },
    { "00e0", C64, OK, "add al, ah" },
    { "4000e0", C64, OK, "add al, spl" },
    { "8b4df8", C64, OK, "mov ecx, dword ptr ss:[rbp-0x8]" },
    { "8b05f8ffffff", C64, OK, "mov eax, dword ptr ds:[0xffe]" },
    { "8b05f8ffffff", C32, OK, "mov eax, dword ptr ds:[0xfffffffffffffff8]" },
    { "648b042528000000", C64, OK, "mov eax, dword ptr fs:[0x28]" },
    { "2e8b00", C64, OK, "mov eax, dword ptr ds:[rax]" },
    { "2e8b00", C32, OK, "mov eax, dword ptr cs:[eax]" },
    { "8b00", C16, OK, "mov ax, word ptr ds:[bx+si]" },
    { "678b4434aa", C16, OK, "mov ax, word ptr ss:[esp+esi-0x56]" },
    { "7402", C64, OK, "je 0x1004" },
    { "66e901000000", C64, OK, "jmp 0x1007" },      /* 66 is ignored */
    { "66e90100", C32, OK, "jmp 0x1005" },
    { "4866c3", C64, OK, "ret" },
    { "4866b80100", C64, OK, "mov ax, 0x1" },       /* REX before 66 does nothing */
    { "90", C64, OK, "nop" },
    { "f390", C64, OK, "pause" },
    { "4190", C64, OK, "xchg r8d, eax" },
    { "f3a4", C64, OK, "rep movs byte ptr es:[rdi], byte ptr ds:[rsi]" },
    { "66a5", C32, OK, "movs word ptr es:[edi], word ptr ds:[esi]" },
    { "64ac", C32, OK, "lods al, byte ptr fs:[esi]" },
    { "f00108", C64, OK, "lock add dword ptr ds:[rax], ecx" },
    { "f001c8", C64, BAD, NULL }, { "f00308", C64, BAD, NULL }, { "f03908", C64, BAD, NULL },
    { "f08b08", C64, BAD, NULL },
    { "f00fc70e", C64, OK, "lock cmpxchg8b qword ptr ds:[rsi]" },
    { "480fc70e", C64, OK, "cmpxchg16b xmmword ptr ds:[rsi]" },
    { "0fc7ce", C64, BAD, NULL },
    { "06", C32, OK, "push es" }, { "06", C64, BAD, NULL },
    { "6200", C32, OK, "bound eax, qword ptr ds:[eax]" }, { "62f17c48", C64, BAD, NULL },
    { "c400", C32, OK, "les eax, fword ptr ds:[eax]" },
    { "c5f877", C64, OK, "vzeroupper" }, { "c5f877", C32, OK, "vzeroupper" },
    { "66c5f877", C64, BAD, NULL }, { "40c5f877", C64, BAD, NULL },
    { "c5f0c677", C64, X86_DECODE_MORE, NULL },
    { "c5fc28c1", C64, OK, "vmovaps ymm0, ymm1" },
    { "c5f428c1", C64, BAD, NULL },                 /* vvvv in use */
    { "c4e27590040500000000", C64, BAD, NULL },     /* index is the destination */
    { "c4e2759004bd00000000", C64, OK,
      "vpgatherdd ymm0, dword ptr ds:[ymm7*4], ymm1" },
    { "f20f38f1c1", C64, OK, "crc32 eax, ecx" },
    { "66f20f38f1c1", C64, OK, "crc32 eax, cx" },
    { "0f38f001", C64, OK, "movbe eax, dword ptr ds:[rcx]" },
    { "0f20d8", C64, OK, "mov rax, cr3" }, { "0f2018", C64, OK, "mov rax, cr3" },
    { "0f20c8", C64, BAD, NULL }, { "440f20c0", C64, OK, "mov rax, cr8" },
    { "8ec8", C64, BAD, NULL }, { "8ed0", C64, OK, "mov ss, ax" },
    { "9a341200100800", C32, OK, "call far 0x8:0x10001234" },
    { "9a341200100800", C64, BAD, NULL },
    { "c8100001", C64, OK, "enter 0x10, 0x1" },
    { "6aff", C64, OK, "push 0xffffffffffffffff" },
    { "a1f0ffffffffffffff", C64, OK, "mov eax, dword ptr ds:[0xfffffffffffffff0]" },
    { "d9c1", C64, OK, "fld st(1)" }, { "def9", C64, OK, "fdivp st(1), st(0)" },
    { "dd3f", C64, OK, "fnstsw word ptr ds:[rdi]" },
    { "660fefc0", C64, OK, "pxor xmm0, xmm0" }, { "0fefc0", C64, OK, "pxor mm0, mm0" },
    { "f30fb8c1", C64, OK, "popcnt eax, ecx" }, { "f30fbcc1", C64, OK, "tzcnt eax, ecx" },
    { "0fbcc1", C64, OK, "bsf eax, ecx" },
    { "f30f1efa", C64, OK, "endbr64" }, { "0f0b", C64, OK, "ud2" },
    { "0f01f8", C64, OK, "swapgs" }, { "0f01f8", C32, BAD, NULL },
    { "8fe878c000", C64, BAD, NULL },               /* XOP */
    { "0f0f", C64, BAD, NULL }, { "d6", C64, BAD, NULL }, { "d6", C16, OK, "salc" },
    { "", C64, X86_DECODE_MORE, NULL },
    /* Cut short, but nothing that follows can help. */
    { "f0c700", C64, BAD, NULL }, { "0fd784", C64, BAD, NULL },
    { "2e2e2e2e2e2e2ea000", C64, X86_DECODE_LONG, NULL },
    { "6666666666666666666666666666666690", C64, X86_DECODE_LONG, NULL },
    { "666666666666666666666666666690", C64, OK, "nop" },
};

static unsigned unhex(const char *hex, uint8_t *bytes)
{
    unsigned n, byte;

    for (n = 0; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        bytes[n] = byte;
    return n;
}

START_TEST(decode_samples)
{
    for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
        const struct sample *s = &samples[i];
        struct x86_decoded d;
        uint8_t bytes[32];
        char text[100];
        unsigned len = unhex(s->hex, bytes);

        ck_assert_msg(x86_decode(bytes, len, s->mode, &d) == s->result, "%s", s->hex);
        if (s->result != OK)
            continue;
        ck_assert_msg(d.len == len, "%s: %u bytes", s->hex, d.len);
        x86_format(&d, 0x1000, text, sizeof(text));
        ck_assert_msg(!strcmp(text, s->text), "%s: %s, not %s", s->hex, text, s->text);
    }
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Everything about d that a user may index with. */
static void check_ranges(const struct x86_decoded *d)
{
    ck_assert_uint_gt(d->len, 0);
    ck_assert_uint_le(d->len, X86_INSN_MAX);
    ck_assert_uint_lt(d->op, X86_OP_COUNT);
    ck_assert_uint_lt(d->opcode_off, d->len);
    ck_assert_uint_lt(d->seg, 6);
    ck_assert(d->base < 16 || d->base == X86_NO_REG || d->base == X86_BASE_RIP);
    ck_assert(d->index < 16 || d->index == X86_NO_REG);
    ck_assert_uint_lt(d->feature, X86_FEATURE_COUNT);
    ck_assert_uint_le(d->operand_count, ARRAY_SIZE(d->operand));
    for (unsigned i = 0; i < d->operand_count; i++) {
        ck_assert_uint_ne(d->operand[i].kind, X86_OPERAND_NONE);
        ck_assert_uint_lt(d->operand[i].reg, 16);
    }
}

/* A valid instruction is asked for until its last byte, and bytes behind it do not matter. */
START_TEST(decode_truncated)
{
    uint64_t seed = 88172645463325252u;
    unsigned valid = 0;

    for (unsigned n = 0; n < 60000; n++) {
        union { uint64_t word[2]; uint8_t bytes[16]; } u;
        struct x86_decoded d, again;
        enum x86_code_size mode = n % 3;

        u.word[0] = next_random(&seed);
        u.word[1] = next_random(&seed);
        if (n & 8)
            u.bytes[0] = 0x0f;
        if (n & 16 && n & 32)
            u.bytes[0] = 0xc4, u.bytes[1] = 0xe1 + n % 3, u.bytes[2] |= 0x79;
        if (x86_decode(u.bytes, 16, mode, &d) != X86_DECODE_OK)
            continue;
        valid++;
        check_ranges(&d);
        for (unsigned len = 0; len < d.len; len++)
            ck_assert_int_eq(x86_decode(u.bytes, len, mode, &again), X86_DECODE_MORE);
        ck_assert_int_eq(x86_decode(u.bytes, d.len, mode, &again), X86_DECODE_OK);
        ck_assert_mem_eq(&d, &again, sizeof(d));
    }
    ck_assert_uint_gt(valid, 10000);
}
END_TEST

START_TEST(format_fits)
{
    static const uint8_t bytes[] = { 0xf0, 0x64, 0x81, 0x84, 0x88, 1, 2, 3, 4, 5, 6, 7, 8 };
    struct x86_decoded d;
    char buf[64];

    ck_assert_int_eq(x86_decode(bytes, sizeof(bytes), X86_CODE_64, &d), X86_DECODE_OK);
    for (unsigned len = 0; len < 40; len++) {
        memset(buf, '#', sizeof(buf));
        x86_format(&d, 0, buf, len);
        ck_assert_int_eq(buf[len], '#');
        ck_assert(len == 0 || memchr(buf, 0, len));
    }
}
END_TEST

/* ---- the columns against what the code said before there were any ---- */

static bool old_plain(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_ADD: case X86_OP_ADC: case X86_OP_SUB: case X86_OP_SBB: case X86_OP_AND:
    case X86_OP_OR: case X86_OP_XOR: case X86_OP_CMP: case X86_OP_TEST: case X86_OP_INC:
    case X86_OP_DEC: case X86_OP_NEG: case X86_OP_NOT: case X86_OP_MOV: case X86_OP_MOVZX:
    case X86_OP_MOVSX: case X86_OP_IMUL: case X86_OP_MUL: case X86_OP_SETCC:
    case X86_OP_CMOVCC: case X86_OP_SHL: case X86_OP_SHR: case X86_OP_SAR: case X86_OP_ROL:
    case X86_OP_ROR: case X86_OP_RCL: case X86_OP_RCR: case X86_OP_SHLD: case X86_OP_SHRD:
    case X86_OP_XADD: case X86_OP_CMPXCHG: case X86_OP_POPCNT: case X86_OP_BSF:
    case X86_OP_BSR: case X86_OP_TZCNT: case X86_OP_LZCNT: case X86_OP_XCHG:
    case X86_OP_CRC32: case X86_OP_ADCX: case X86_OP_ADOX:
        return true;
    case X86_OP_MOVSXD:
        return d->osize >= 4;
    case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
        return !d->has_mem || d->opcode == 0xba; /* bit strings reach beyond the operand */
    default:
        return false;
    }
}

static bool old_fixed(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_CBW: case X86_OP_CWD: case X86_OP_CLC: case X86_OP_STC: case X86_OP_CMC:
    case X86_OP_LAHF: case X86_OP_SAHF:
        return true;
    default: /* al/ax/eax/rax, immediate */
        return d->map == X86_MAP_1 && !d->has_modrm &&
               ((d->opcode < 0x40 && (d->opcode & 6) == 4) || d->opcode == 0xa8 ||
                d->opcode == 0xa9);
    }
}

static bool old_reg_is_operand(const struct x86_decoded *d)
{
    if (d->map == X86_MAP_0F38)
        return true;
    if (d->map == X86_MAP_0F)
        return d->opcode != 0xba && (d->opcode & 0xf0) != 0x90;
    switch (d->opcode) {
    case 0x80: case 0x81: case 0x83: case 0xc0: case 0xc1: case 0xc6: case 0xc7:
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: case 0xf6: case 0xf7: case 0xfe: case 0xff:
        return false;
    default:
        return true;
    }
}

static bool old_minds(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_XCHG: case X86_OP_XADD: case X86_OP_CMPXCHG:
        return true;
    case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
        return d->opcode != 0xba;
    default:
        return false;
    }
}

static bool old_accesses(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_PUSH: case X86_OP_POP: case X86_OP_LEAVE: case X86_OP_CALL: case X86_OP_RET:
    case X86_OP_CALL_IND: case X86_OP_MOVS: case X86_OP_STOS: case X86_OP_PUSHF:
        return true;
    case X86_OP_NOP: case X86_OP_LEA: case X86_OP_PREFETCHT0: case X86_OP_PREFETCHT1:
    case X86_OP_PREFETCHT2: case X86_OP_PREFETCHNTA: case X86_OP_PREFETCHW: case X86_OP_PREFETCHWT1:
    case X86_OP_PREFETCH:
        return false;
    default:
        return d->has_mem;
    }
}

static bool old_shift(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_SHL: case X86_OP_SHR: case X86_OP_SAR: case X86_OP_ROL: case X86_OP_ROR:
    case X86_OP_RCL: case X86_OP_RCR: case X86_OP_SHLD: case X86_OP_SHRD:
        return true;
    default:
        return false;
    }
}

static bool old_vex(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_ANDN: case X86_OP_BZHI: case X86_OP_BEXTR: case X86_OP_PEXT: case X86_OP_PDEP:
    case X86_OP_SARX: case X86_OP_SHLX: case X86_OP_SHRX: case X86_OP_RORX: case X86_OP_MULX:
    case X86_OP_BLSR: case X86_OP_BLSI: case X86_OP_BLSMSK:
        return true;
    default:
        return false;
    }
}

static bool old_simd(const struct x86_decoded *d)
{
    unsigned op = d->opcode;

    switch (d->map) {
    case X86_MAP_0F:
        return (op >= 0x2a && op <= 0x2f && op != 0x2b) || op == 0x51 ||
               (op >= 0x58 && op <= 0x5f) || op == 0xc2 || op == 0x7c || op == 0x7d || op == 0xd0 ||
               op == 0xe6;
    case X86_MAP_0F38:
        return op == 0x13 || (op >= 0x96 && op <= 0xbf);
    case X86_MAP_0F3A:
        return (op >= 0x08 && op <= 0x0b) || op == 0x1d || op == 0x40 || op == 0x41;
    default:
        return false;
    }
}
static bool old_scmp(const struct x86_decoded *d)
{
    return d->map == X86_MAP_0F3A && d->opcode >= 0x60 && d->opcode <= 0x63;
}
static bool old_is4(const struct x86_decoded *d)
{
    return d->map == X86_MAP_0F3A && (d->prefixes & X86_PREFIX_VEX) && d->opcode >= 0x4a &&
           d->opcode <= 0x4c;
}
static bool old_wide(const struct x86_decoded *d)
{
    unsigned op = d->opcode;

    if (d->map == X86_MAP_0F3A)
        return op == 0x16 || op == 0x22 || old_scmp(d);
    return d->map == X86_MAP_0F &&
           (op == 0x2a || op == 0x2c || op == 0x2d || op == 0x6e || op == 0x7e);
}

static bool old_alignment(const struct x86_decoded *d, const struct x86_operand *mem)
{
    if (mem->size < 16)
        return false;
    if (d->info->attr & X86_ATTR_ALIGNED)
        return true;
    if (d->prefixes & X86_PREFIX_VEX)
        return false;
    switch (d->op) {
    case X86_OP_MOVUPS: case X86_OP_MOVUPD: case X86_OP_MOVDQU: case X86_OP_LDDQU:
        return false;
    default:
        return !old_scmp(d);
    }
}

static bool old_gpr_place(const struct x86_decoded *d)
{
    if (d->map != X86_MAP_0F)
        return false;
    switch (d->opcode) {
    case 0x2c: case 0x2d: case 0x50: case 0xc5: case 0xd7:
        return true;
    default:
        return false;
    }
}

static int old_family(const struct x86_decoded *d)
{
    if (d->info->attr & (X86_ATTR_X87 | X86_ATTR_MMX | X86_ATTR_SSE | X86_ATTR_AVX))
        return 2;
#define SYSTEM_CASE(id, name, feature, family, attr, used, set, undefined) case X86_OP_##id:
    switch (d->op) {
    case X86_OP_XSAVE: case X86_OP_XRSTOR: case X86_OP_XSAVEOPT: case X86_OP_XSAVEC:
    case X86_OP_FXSAVE: case X86_OP_FXRSTOR:
        return 2;
    default:
        break;
    }
    switch (d->op) {
    X86_OPS_SYSTEM(SYSTEM_CASE)
    case X86_OP_PUSH_SEG: case X86_OP_POP_SEG: case X86_OP_MOV_TO_SEG: case X86_OP_MOV_FROM_SEG:
    case X86_OP_LES: case X86_OP_LDS: case X86_OP_LSS: case X86_OP_LFS: case X86_OP_LGS:
    case X86_OP_ARPL: case X86_OP_IN: case X86_OP_OUT: case X86_OP_INS: case X86_OP_OUTS:
    case X86_OP_JMP_FAR: case X86_OP_JMP_FAR_IND: case X86_OP_CALL_FAR:
    case X86_OP_CALL_FAR_IND: case X86_OP_RET_FAR: case X86_OP_INT: case X86_OP_INT1:
    case X86_OP_INT3: case X86_OP_INTO: case X86_OP_IRET: case X86_OP_SYSCALL:
    case X86_OP_SYSRET: case X86_OP_SYSENTER: case X86_OP_SYSEXIT: case X86_OP_RSM:
        return 1;
    default:
        return 0;
    }
#undef SYSTEM_CASE
}


static bool is_vector(const struct x86_decoded *d)
{
    return d->info->attr & (X86_ATTR_X87 | X86_ATTR_MMX | X86_ATTR_SSE | X86_ATTR_AVX);
}

static const struct x86_operand *find_kind(const struct x86_decoded *d, unsigned kind)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == kind && !d->operand[n].implicit)
            return &d->operand[n];
    return NULL;
}

#define SAME(a, b) ck_assert_msg(!(a) == !(b), "%s: %s", #b, text)

static bool bit_string(const struct x86_decoded *d)
{
    return d->info->attr & X86_ATTR_BIT_STRING && d->operand[1].kind == X86_OPERAND_GPR;
}

static void compare_integer(const struct x86_decoded *d, const char *text)
{
    uint32_t attr = d->info->attr;
    bool copied = attr & X86_ATTR_COPY && !(d->has_mem && bit_string(d)) &&
                  !(d->op == X86_OP_MOVSXD && d->osize < 4);
    bool reg = false;

    for (unsigned n = 0; n < d->operand_count; n++)
        reg |= d->operand[n].modrm_reg;
    SAME(old_plain(d), copied);
    SAME(old_fixed(d), attr & X86_ATTR_FIXED ||
         (attr & X86_ATTR_COPY && !d->has_modrm && d->operand[0].implicit &&
          d->operand[1].kind == X86_OPERAND_IMM));
    if (copied && d->has_modrm && d->opcode != 0x82) /* never copied */
        SAME(old_reg_is_operand(d), reg);
    SAME(old_minds(d), attr & X86_ATTR_MINDS_MEMORY || bit_string(d));
    SAME(old_shift(d), d->info->family == X86_FAMILY_SHIFT);
    SAME(old_vex(d), d->prefixes & X86_PREFIX_VEX && d->info->family != X86_FAMILY_FPU);
}

static void compare_vector(const struct x86_decoded *d, const char *text)
{
    uint32_t attr = d->info->attr;
    const struct x86_operand *gpr = find_kind(d, X86_OPERAND_GPR);
    const struct x86_operand *mem = find_kind(d, X86_OPERAND_MEM);

    if (find_kind(d, X86_OPERAND_XMM) || find_kind(d, X86_OPERAND_YMM))
        SAME(old_simd(d), attr & X86_ATTR_SIMD);
    if (d->prefixes & X86_PREFIX_VEX && d->op != X86_OP_VMOVQ) /* which ignores W */
        SAME(old_wide(d), attr & X86_ATTR_WIDE);
    SAME(old_scmp(d), attr & X86_ATTR_STRING_COMPARE);
    SAME(old_is4(d), attr & X86_ATTR_IMM_REG);
    if (gpr)
        SAME(old_gpr_place(d), gpr->modrm_reg);
    if (mem && mem->size >= 16)
        SAME(old_alignment(d, mem), attr & X86_ATTR_ALIGNED ||
             !(d->prefixes & X86_PREFIX_VEX || attr & X86_ATTR_UNALIGNED));
}

static void compare(const uint8_t *bytes, enum x86_code_size mode)
{
    struct x86_decoded d;
    char text[100];
    unsigned family;

    if (x86_decode(bytes, 16, mode, &d) != X86_DECODE_OK)
        return;
    x86_format(&d, 0x1000, text, sizeof(text));
    family = d.info->family;
    ck_assert_msg(old_family(&d) == (family == X86_FAMILY_SYSTEM ? 1 :
                  family == X86_FAMILY_FPU || family == X86_FAMILY_FPU_STATE ? 2 : 0), "%s", text);
    SAME(is_vector(&d), family == X86_FAMILY_FPU);
    if (is_vector(&d))
        compare_vector(&d, text);
    else
        compare_integer(&d, text);
    if (d.info->attr & X86_ATTR_ADDRESS)
        ck_assert_msg(!old_accesses(&d), "%s", text);
    else if (d.has_mem)
        ck_assert_msg(old_accesses(&d), "%s", text);
    else if (old_accesses(&d))
        ck_assert_msg(d.info->attr & X86_ATTR_MEMORY, "%s", text);
}

static unsigned put_legacy(uint8_t *b, unsigned prefix, unsigned map)
{
    static const uint8_t prefixes[] = {0x66, 0xf3, 0xf2};
    unsigned n = 0;

    if (prefix & 3)
        b[n++] = prefixes[(prefix & 3) - 1];
    if (prefix & 4)
        b[n++] = 0x48;
    if (map)
        b[n++] = 0x0f;
    if (map > 1)
        b[n++] = map == 2 ? 0x38 : 0x3a;
    return n;
}

START_TEST(columns_say_what_the_code_said)
{
    for (unsigned code = 0; code < 0x10000 * 3; code++) {
        enum x86_code_size mode = code >> 16;

        for (unsigned k = 0; k < 8 * 4; k++) {
            uint8_t b[16] = {0};
            unsigned n = put_legacy(b, k & 7, k >> 3);

            b[n++] = (uint8_t)code;
            b[n++] = (uint8_t)(code >> 8);
            if (mode == X86_CODE_64 || !(k & 4))
                compare(b, mode);
        }
        for (unsigned k = 0; k < 3 * 32; k++) {
            uint8_t b[16] = {0xc4, 0xe0 | (k % 3 + 1),
                             (k / 3 & 7) | (k / 24 & 1) << 7 | (k / 48 ? 0x78 : 0x70),
                             (uint8_t)code, (uint8_t)(code >> 8)};
            compare(b, mode);
        }
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, columns_say_what_the_code_said);
    UNIT_TEST(s, decode_samples);
    UNIT_TEST(s, decode_truncated);
    UNIT_TEST(s, format_fits);
}

UNIT_TEST_MAIN("decode", add_tests)
