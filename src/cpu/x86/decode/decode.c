/* SPDX-License-Identifier: MIT */
/* Decoding proper: prefixes, opcode map, selection of the table entry, and what the encoding alone
 * forbids. Intel SDM vol. 2, chapter 2; where processors differ this follows Intel's. */
#include "cpu/x86/decode/decode.h"
#include "arch/x86/cpu_state.h"
#include "cpu/x86/decode/decoder.h"

/* Opcodes with a ModRM byte in the maps where both kinds exist: one bit an opcode. */
static const uint32_t map1_modrm[8] = {
    0x0f0f0f0f, 0x0f0f0f0f, 0x00000000, 0x00000a0c, 0x0000ffff, 0x00000000, 0xff0f00f3, 0xc0c00000,
};
static const uint32_t map0f_modrm[8] = {
    0xffffa00f, 0xfa00ffff, 0xffffffff, 0xff7fffff, 0xffff0000, 0xfffff8f8, 0xffff00ff, 0xffffffff,
};

/* VEX 0F 77 (VZEROALL, VZEROUPPER) is the only VEX instruction without ModRM. */
static bool needs_modrm(const struct decoder *s, const struct x86_decoded *d)
{
    switch (d->map) {
    case X86_MAP_1:
        return map1_modrm[d->opcode >> 5] >> (d->opcode & 31) & 1;
    case X86_MAP_0F:
        if (s->vex)
            return d->opcode != 0x77;
        return map0f_modrm[d->opcode >> 5] >> (d->opcode & 31) & 1;
    default:
        return true;
    }
}

/* Take one legacy prefix. In 64-bit mode ES, CS, SS, DS overrides do nothing at all. */
static bool take_prefix(struct decoder *s, struct x86_decoded *d, uint8_t byte)
{
    switch (byte) {
    case 0x26: case 0x2e: case 0x36: case 0x3e:
        if (s->mode != X86_CODE_64)
            s->seg_prefix = byte >> 3 & 3;
        return true;
    case 0x64: case 0x65:
        s->seg_prefix = byte & 7;
        return true;
    case 0x66:
        s->opsize = true;
        d->prefixes |= X86_PREFIX_OPSIZE;
        return true;
    case 0x67:
        s->addrsize = true;
        d->prefixes |= X86_PREFIX_ADDRSIZE;
        return true;
    case 0xf0:
        d->prefixes |= X86_PREFIX_LOCK;
        return true;
    case 0xf2: case 0xf3: /* the last one counts */
        d->prefixes &= ~(X86_PREFIX_REP | X86_PREFIX_REPNE);
        d->prefixes |= byte == 0xf3 ? X86_PREFIX_REP : X86_PREFIX_REPNE;
        s->mandatory = byte == 0xf3 ? 2 : 3;
        return true;
    default:
        return false;
    }
}

/* Prefixes and REX; *ret is the first byte that is neither. A REX counts only directly before the
 * opcode. */
static bool take_prefixes(struct decoder *s, struct x86_decoded *d, uint8_t *ret)
{
    uint8_t byte;

    for (;;) {
        if (unlikely(s->pos >= s->limit))
            return false;
        byte = s->bytes[s->pos++];
        if (s->mode == X86_CODE_64 && (byte & 0xf0) == 0x40) {
            s->rex = byte & 15;
            d->prefixes |= X86_PREFIX_REX;
            continue;
        }
        if (!take_prefix(s, d, byte))
            break;
        s->rex = 0;
        d->prefixes &= ~X86_PREFIX_REX;
    }
    if (s->opsize && !s->mandatory)
        s->mandatory = 1;
    *ret = byte;
    return true;
}

/* The opcode behind 0F, 0F 38 or 0F 3A. */
static bool take_escape(struct decoder *s, struct x86_decoded *d)
{
    uint64_t byte;

    if (!decoder_take(s, 1, &byte))
        return false;
    d->map = byte == 0x38 ? X86_MAP_0F38 : byte == 0x3a ? X86_MAP_0F3A : X86_MAP_0F;
    if (d->map != X86_MAP_0F && !decoder_take(s, 1, &byte))
        return false;
    d->opcode = byte;
    return true;
}

/* The rest of a VEX prefix and the opcode (SDM vol. 2, 2.3.5). Outside 64-bit mode there are eight
 * registers only, and VEX.W does not widen general registers. */
static enum x86_decode_result take_vex(struct decoder *s, struct x86_decoded *d, uint8_t first)
{
    uint64_t p0, p1, opcode;

    if (d->prefixes & (X86_PREFIX_LOCK | X86_PREFIX_REP | X86_PREFIX_REPNE | X86_PREFIX_OPSIZE |
                       X86_PREFIX_REX))
        return X86_DECODE_INVALID;
    if (!decoder_take(s, 1, &p0))
        return X86_DECODE_MORE;
    d->map = X86_MAP_0F;
    p1 = p0;
    s->rex = ~p0 >> 5 & 4;
    if (first == 0xc4) {
        d->map = p0 & 31;
        if (d->map < X86_MAP_0F || d->map > X86_MAP_0F3A)
            return X86_DECODE_INVALID;
        s->rex = ~p0 >> 5 & 7;
        if (!decoder_take(s, 1, &p1))
            return X86_DECODE_MORE;
        s->rex |= p1 >> 4 & 8;
    }
    if (!decoder_take(s, 1, &opcode))
        return X86_DECODE_MORE;
    d->vvvv = ~p1 >> 3 & 15;
    s->vvvv_set = d->vvvv;
    if (s->mode != X86_CODE_64) {
        s->rex &= 8;
        d->vvvv &= 7;
    }
    d->vex_l = p1 >> 2 & 1;
    s->mandatory = p1 & 3; /* pp has the same order */
    s->vex = true;
    s->high_bytes = false;
    d->prefixes |= X86_PREFIX_VEX;
    d->opcode = opcode;
    return X86_DECODE_OK;
}

/* C4, C5: VEX in 64-bit mode, and elsewhere where LES and LDS would have a register operand. */
static bool is_vex(const struct decoder *s, uint8_t byte)
{
    if ((byte & 0xfe) != 0xc4)
        return false;
    return s->mode == X86_CODE_64 || (s->pos < s->limit && s->bytes[s->pos] >= 0xc0);
}

static enum x86_decode_result take_opcode(struct decoder *s, struct x86_decoded *d,
                                          const struct enc **ret)
{
    static const struct enc *const legacy[4] = { x86_map_1, x86_map_0f, x86_map_0f38,
                                                 x86_map_0f3a };
    static const struct enc *const vex[4] = { NULL, x86_vex_0f, x86_vex_0f38, x86_vex_0f3a };
    uint8_t byte;

    if (!take_prefixes(s, d, &byte))
        return X86_DECODE_MORE;
    if (unlikely(is_vex(s, byte))) {
        enum x86_decode_result result = take_vex(s, d, byte);

        if (result != X86_DECODE_OK)
            return result;
        *ret = &vex[d->map][d->opcode];
    } else if (byte == 0x0f) {
        if (!take_escape(s, d))
            return X86_DECODE_MORE;
        *ret = &legacy[d->map][d->opcode];
    } else {
        d->opcode = byte;
        *ret = (byte & 0xf8) == 0xd8 ? &x86_map_x87[byte & 7] : &x86_map_1[byte];
    }
    d->opcode_off = s->pos - 1;
    return X86_DECODE_OK;
}

/* Opcode 90: a REX.B makes it XCHG with r8; F3 makes it PAUSE. */
static unsigned select_nop(const struct decoder *s)
{
    if (s->rex & 1)
        return 0;
    return s->mandatory == 2 ? 2 : 1;
}

/* Go down the selectors to the instruction form; NULL: ModRM is needed and not there. */
static const struct enc *select_entry(struct decoder *s, struct x86_decoded *d,
                                      const struct enc *e)
{
    while (e->select != SEL_NONE) {
        unsigned index = 0;

        if (e->select >= SEL_MODRM && !decoder_modrm(s, d))
            return NULL;
        switch (e->select) {
        case SEL_PREFIX: index = s->mandatory; break;
        case SEL_REP:    index = s->mandatory == 2; break;
        case SEL_MODE64: index = s->mode == X86_CODE_64; break;
        case SEL_W:      index = s->rex >> 3; break; /* also outside 64-bit mode */
        case SEL_L:      index = d->vex_l; break;
        case SEL_NOP:    index = select_nop(s); break;
        case SEL_REG:    index = d->modrm >> 3 & 7; break;
        case SEL_MOD:    index = d->mod == 3; break;
        default:         index = d->modrm & 7; break;
        }
        e = &e->sub[index];
    }
    return e;
}

static void set_sizes(const struct decoder *s, uint32_t flags, struct x86_decoded *d)
{
    if (s->mode == X86_CODE_64) {
        d->osize = d->rex_w ? 8 : s->opsize ? 2 : flags & F_D64 ? 8 : 4;
        if (flags & F_F64)
            d->osize = 8;
    } else {
        d->osize = (s->mode == X86_CODE_32) ^ s->opsize ? 4 : 2;
    }
}

/* What the form demands of mode, VEX.W and VEX.L. */
static bool form_allowed(const struct decoder *s, const struct enc *e,
                         const struct x86_decoded *d)
{
    uint32_t attr = d->info->attr;

    if (s->mode == X86_CODE_64) {
        if (e->flags & F_N64 || attr & X86_ATTR_NO64)
            return false;
    } else if (e->flags & F_O64 || attr & X86_ATTR_ONLY64) {
        return false;
    }
    if (!s->vex)
        return true;
    /* The raw bit: outside 64-bit mode it still must be right where the form fixes it. */
    if ((e->flags & F_W0 && s->rex & 8) || (e->flags & F_W1 && !(s->rex & 8)))
        return false;
    return !(e->flags & F_L0 && d->vex_l) && !(e->flags & F_L1 && !d->vex_l);
}

/* LOCK needs an operation that takes it and a memory destination (SDM vol. 2, "LOCK"). */
static bool lock_allowed(const struct x86_decoded *d)
{
    if (!(d->prefixes & X86_PREFIX_LOCK))
        return true;
    return d->info->attr & X86_ATTR_LOCK && d->operand[0].kind == X86_OPERAND_MEM;
}

/* A gather's destination, index and mask must be three registers (SDM vol. 2, "VPGATHERDD"). */
static bool gather_allowed(const struct x86_decoded *d)
{
    return d->index != X86_NO_REG && d->index != d->reg && d->index != d->vvvv &&
           d->reg != d->vvvv && d->asize != 2;
}

static uint8_t form_feature(const struct enc *e, const struct x86_decoded *d)
{
    if (e->flags >> F_FEATURE_SHIFT)
        return e->flags >> F_FEATURE_SHIFT;
    if (d->info->attr & X86_ATTR_YMM_AVX2 && d->vex_l)
        return X86_FEATURE_AVX2;
    return d->info->feature;
}

static void start(struct decoder *s, const uint8_t *bytes, unsigned avail,
                  enum x86_code_size size, struct x86_decoded *d)
{
    *s = (struct decoder){ .bytes = bytes, .limit = avail < X86_INSN_MAX ? avail : X86_INSN_MAX,
                           .mode = size, .seg_prefix = X86_NO_REG };
    *d = (struct x86_decoded){ .base = X86_NO_REG, .index = X86_NO_REG, .seg = X86_DS };
}

/* After the prefixes: what they say about the instruction as a whole. */
static void apply_prefixes(struct decoder *s, struct x86_decoded *d)
{
    static const uint8_t address_size[3][2] = { { 2, 4 }, { 4, 2 }, { 8, 4 } };

    d->rex_w = s->rex >> 3 & (s->mode == X86_CODE_64);
    d->asize = address_size[s->mode][s->addrsize];
    s->high_bytes = !(d->prefixes & (X86_PREFIX_REX | X86_PREFIX_VEX));
    if (s->seg_prefix != X86_NO_REG) {
        d->seg = s->seg_prefix;
        d->seg_override = true;
    }
}

static enum x86_decode_result decode(struct decoder *s, struct x86_decoded *d)
{
    const struct enc *e;
    enum x86_decode_result result = take_opcode(s, d, &e);

    if (result != X86_DECODE_OK)
        return result;
    apply_prefixes(s, d);
    e = select_entry(s, d, e);
    if (!e)
        return X86_DECODE_MORE;
    d->op = e->op;
    d->info = x86_op_info(e->op);
    if (e->op == X86_OP_INVALID || !form_allowed(s, e, d))
        return X86_DECODE_INVALID;
    set_sizes(s, e->flags, d);
    if (needs_modrm(s, d) && !decoder_modrm(s, d))
        return X86_DECODE_MORE;
    s->selected = true;
    d->vsib = !!(e->flags & F_VSIB);
    if (d->has_modrm && e->flags & F_REGFORM)
        d->mod = 3;
    if (d->has_modrm && d->mod != 3) {
        result = decoder_memory(s, d);
        if (result != X86_DECODE_OK)
            return result;
    }
    result = decoder_operands(s, e, d);
    if (result != X86_DECODE_OK)
        return result;
    if (s->vvvv_set && !s->vvvv_used)
        return X86_DECODE_INVALID;
    if (d->vsib && !gather_allowed(d))
        return X86_DECODE_INVALID;
    d->feature = form_feature(e, d);
    return lock_allowed(d) ? X86_DECODE_OK : X86_DECODE_INVALID;
}

/* The bytes end inside SIB, displacement or immediates. These do not decide validity (except for
 * gathers): is the instruction invalid or too long whatever they are? */
static cold enum x86_decode_result decode_cut(const struct decoder *cut)
{
    uint8_t padded[X86_INSN_MAX] = { 0 };
    struct decoder s;
    struct x86_decoded d;
    enum x86_decode_result result;

    for (unsigned i = 0; i < cut->limit; i++)
        padded[i] = cut->bytes[i];
    start(&s, padded, X86_INSN_MAX, cut->mode, &d);
    result = decode(&s, &d);
    if (result == X86_DECODE_MORE)
        return X86_DECODE_LONG;
    return result == X86_DECODE_INVALID && !d.vsib ? X86_DECODE_INVALID : X86_DECODE_MORE;
}

enum x86_decode_result x86_decode(const uint8_t *bytes, unsigned avail, enum x86_code_size size,
                                  struct x86_decoded *ret)
{
    struct decoder s;
    enum x86_decode_result result;

    start(&s, bytes, avail, size, ret);
    result = decode(&s, ret);
    ret->len = s.pos;
    if (likely(result != X86_DECODE_MORE))
        return result;
    if (s.limit == X86_INSN_MAX)
        return X86_DECODE_LONG;
    return s.selected ? decode_cut(&s) : X86_DECODE_MORE;
}
