/* SPDX-License-Identifier: MIT */
/* The second half of an instruction: SIB and displacement, and the operands that the table entry
 * names, with their immediates. SDM vol. 2, 2.1.3 to 2.1.5. */
#include "arch/x86/cpu_state.h"
#include "cpu/x86/decode/decoder.h"

struct operand_spec { uint8_t place, reg, size, mem_size; };

#define SPEC_ROW(name, place, reg, size, mem_size) [name] = { place, reg, size, mem_size },
static const struct operand_spec specs[ENC_OPERAND_COUNT] = { ENC_OPERANDS(SPEC_ROW) };

static uint64_t sign_extend(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;

    return (uint64_t)((int64_t)(value << shift) >> shift);
}

static bool take_disp(struct decoder *s, struct x86_decoded *d, unsigned bytes)
{
    uint64_t value;

    if (!decoder_take(s, bytes, &value))
        return false;
    d->disp = (int64_t)sign_extend(value, bytes);
    return true;
}

static void default_segment(struct x86_decoded *d, bool stack)
{
    if (stack && !d->seg_override)
        d->seg = X86_SS;
}

/* SDM vol. 2, table 2-1. */
static bool memory16(struct decoder *s, struct x86_decoded *d)
{
    static const uint8_t base[8] = { X86_RBX, X86_RBX, X86_RBP, X86_RBP, X86_RSI, X86_RDI, X86_RBP,
                                     X86_RBX };
    static const uint8_t index[8] = { X86_RSI, X86_RDI, X86_RSI, X86_RDI, X86_NO_REG, X86_NO_REG,
                                      X86_NO_REG, X86_NO_REG };
    unsigned rm = d->modrm & 7;

    if (d->mod == 0 && rm == 6)
        return take_disp(s, d, 2);
    d->base = base[rm];
    d->index = index[rm];
    default_segment(d, d->base == X86_RBP);
    return d->mod == 0 || take_disp(s, d, d->mod);
}

/* SDM vol. 2, table 2-3: no index with 100b unless it is a vector register; no base with 101b and
 * mod 0. */
static bool take_sib(struct decoder *s, struct x86_decoded *d)
{
    uint64_t sib;

    if (!decoder_take(s, 1, &sib))
        return false;
    d->scale = sib >> 6;
    d->index = (sib >> 3 & 7) | (s->rex & 2) << 2;
    if (d->index == X86_RSP && !d->vsib)
        d->index = X86_NO_REG;
    d->base = (sib & 7) | (s->rex & 1) << 3;
    if ((sib & 7) == 5 && d->mod == 0) {
        d->base = X86_NO_REG;
        return take_disp(s, d, 4);
    }
    return true;
}

/* SDM vol. 2, table 2-2; RIP-relative in 64-bit mode: 2.2.1.6. */
static bool memory32(struct decoder *s, struct x86_decoded *d)
{
    unsigned rm = d->modrm & 7;

    if (rm == 4) {
        if (!take_sib(s, d))
            return false;
    } else if (rm == 5 && d->mod == 0) {
        d->base = s->mode == X86_CODE_64 ? X86_BASE_RIP : X86_NO_REG;
        return take_disp(s, d, 4);
    } else {
        d->base = d->rm;
    }
    default_segment(d, d->base == X86_RSP || d->base == X86_RBP);
    return d->mod == 0 || take_disp(s, d, d->mod == 1 ? 1 : 4);
}

enum x86_decode_result decoder_memory(struct decoder *s, struct x86_decoded *d)
{
    bool ok;

    d->has_mem = true;
    if (d->vsib && (d->asize == 2 || (d->modrm & 7) != 4))
        return X86_DECODE_INVALID;
    ok = d->asize == 2 ? memory16(s, d) : memory32(s, d);
    return ok ? X86_DECODE_OK : X86_DECODE_MORE;
}

static uint8_t resolve_size(const struct decoder *s, const struct x86_decoded *d, uint8_t size)
{
    if (likely(size < SZ_V))
        return size;
    switch (size) {
    case SZ_V:      return d->osize;
    case SZ_Z:      return d->osize < 4 ? d->osize : 4;
    case SZ_Y:      return d->rex_w ? 8 : 4;
    case SZ_P:      return d->osize + 2;
    case SZ_A:      return 2 * d->osize;
    case SZ_S:      return s->mode == X86_CODE_64 ? 10 : 6;
    case SZ_N:      return s->mode == X86_CODE_64 ? 8 : 4;
    case SZ_X:      return 16 << d->vex_l;
    case SZ_XH:     return 8 << d->vex_l;
    case SZ_XQ:     return 4 << d->vex_l;
    case SZ_XE:     return 2 << d->vex_l;
    case SZ_DDUP:   return d->vex_l ? 32 : 8;
    case SZ_ENV:    return d->osize == 2 ? 14 : 28;
    default:        return d->osize == 2 ? 94 : 108;
    }
}

static void set_gpr(const struct decoder *s, struct x86_operand *o, uint8_t reg)
{
    o->kind = X86_OPERAND_GPR;
    o->reg = reg;
    if (o->size == 1 && s->high_bytes && reg >= 4) {
        o->reg = reg & 3;
        o->high_byte = true;
    }
}

static void set_vector(struct x86_operand *o, uint8_t reg)
{
    o->kind = o->size == 32 ? X86_OPERAND_YMM : X86_OPERAND_XMM;
    o->reg = reg;
}

static bool set_imm(struct decoder *s, struct x86_decoded *d, struct x86_operand *o, bool sign)
{
    uint64_t value;

    if (!decoder_take(s, o->size, &value))
        return false;
    if (sign)
        value = sign_extend(value, o->size);
    o->kind = X86_OPERAND_IMM;
    /* ENTER has two: the second is imm2. */
    if (o > d->operand && o[-1].kind == X86_OPERAND_IMM)
        d->imm2 = value;
    else
        d->imm = value;
    return true;
}

static bool set_rel(struct decoder *s, struct x86_decoded *d, struct x86_operand *o)
{
    uint64_t value;

    if (!decoder_take(s, o->size, &value))
        return false;
    o->kind = X86_OPERAND_REL;
    d->imm = sign_extend(value, o->size);
    return true;
}

static bool set_far(struct decoder *s, struct x86_decoded *d, struct x86_operand *o)
{
    o->kind = X86_OPERAND_FAR;
    return decoder_take(s, o->size, &d->imm) && decoder_take(s, 2, &d->imm2);
}

static bool set_moffs(struct decoder *s, struct x86_decoded *d, struct x86_operand *o)
{
    uint64_t value;

    if (!decoder_take(s, d->asize, &value))
        return false;
    o->kind = X86_OPERAND_MEM;
    d->has_mem = true;
    d->disp = (int64_t)value;
    return true;
}

/* CR1, CR5-7 and CR9-15 do not exist, DR8-15 neither; there are six segment registers and CS
 * cannot be loaded by MOV. */
static bool set_special(const struct x86_decoded *d, struct x86_operand *o, uint8_t kind)
{
    o->kind = kind;
    o->reg = d->reg;
    if (kind == X86_OPERAND_CR)
        return d->reg <= 8 && BIT(d->reg) & 0x11d;
    if (kind == X86_OPERAND_DR)
        return d->reg < 8;
    o->reg &= 7;
    return o->reg < 6 && !(o->written && o->reg == X86_CS);
}

static bool set_is4(struct decoder *s, struct x86_decoded *d, struct x86_operand *o)
{
    if (!decoder_take(s, 1, &d->imm))
        return false;
    set_vector(o, d->imm >> 4 & (s->mode == X86_CODE_64 ? 15 : 7));
    return true;
}

static enum x86_decode_result out_of_bytes(bool ok)
{
    return ok ? X86_DECODE_OK : X86_DECODE_MORE;
}

static enum x86_decode_result set_operand(struct decoder *s, const struct operand_spec *spec,
                                          struct x86_decoded *d, struct x86_operand *o)
{
    unsigned place = spec->place;

    o->size = resolve_size(s, d, spec->size);
    if ((place == AT_RM || place == AT_VEC_RM || place == AT_MMX_RM || place == AT_MEM) &&
        d->mod != 3) {
        o->size = resolve_size(s, d, spec->mem_size);
        o->kind = X86_OPERAND_MEM;
        return X86_DECODE_OK;
    }
    switch (place) {
    case AT_REG:     set_gpr(s, o, d->reg); o->modrm_reg = true; break;
    case AT_RM:      set_gpr(s, o, d->rm); break;
    case AT_MEM:     return X86_DECODE_INVALID; /* mod is 3 */
    case AT_RM_REG:  set_gpr(s, o, d->rm); return d->mod == 3 ? X86_DECODE_OK : X86_DECODE_INVALID;
    case AT_VVVV:    set_gpr(s, o, d->vvvv); s->vvvv_used = true; break;
    case AT_OPCODE:  set_gpr(s, o, (d->opcode & 7) | (s->rex & 1) << 3); break;
    case AT_FIXED:   o->kind = X86_OPERAND_GPR; o->reg = spec->reg; o->implicit = true; break;
    case AT_SEG:     return set_special(d, o, X86_OPERAND_SEG) ? X86_DECODE_OK : X86_DECODE_INVALID;
    case AT_SEG_FIXED: o->kind = X86_OPERAND_SEG; o->reg = spec->reg; o->implicit = true; break;
    case AT_CR:      return set_special(d, o, X86_OPERAND_CR) ? X86_DECODE_OK : X86_DECODE_INVALID;
    case AT_DR:      return set_special(d, o, X86_OPERAND_DR) ? X86_DECODE_OK : X86_DECODE_INVALID;
    case AT_IMM:     return out_of_bytes(set_imm(s, d, o, true));
    case AT_IMM_ZX:  return out_of_bytes(set_imm(s, d, o, false));
    case AT_ONE:     o->kind = X86_OPERAND_IMM; o->implicit = true; d->imm = 1; break;
    case AT_REL:     return out_of_bytes(set_rel(s, d, o));
    case AT_FAR:     return out_of_bytes(set_far(s, d, o));
    case AT_MOFFS:   o->size = resolve_size(s, d, spec->mem_size);
                     return out_of_bytes(set_moffs(s, d, o));
    case AT_STR_SRC:
    case AT_STR_DST:
        o->kind = place == AT_STR_SRC ? X86_OPERAND_STR_SRC : X86_OPERAND_STR_DST;
        o->size = resolve_size(s, d, spec->mem_size);
        o->reg = spec->reg;
        o->implicit = true;
        break;
    case AT_ST0:     o->kind = X86_OPERAND_ST; o->implicit = true; break;
    case AT_STI:     o->kind = X86_OPERAND_ST; o->reg = d->modrm & 7; break;
    case AT_MMX_REG: o->kind = X86_OPERAND_MMX; o->reg = d->modrm >> 3 & 7; break;
    case AT_MMX_RM:  o->kind = X86_OPERAND_MMX; o->reg = d->modrm & 7; break;
    case AT_MMX_RM_REG:
        o->kind = X86_OPERAND_MMX;
        o->reg = d->modrm & 7;
        return d->mod == 3 ? X86_DECODE_OK : X86_DECODE_INVALID;
    case AT_VEC_REG: set_vector(o, d->reg); break;
    case AT_VEC_RM:  set_vector(o, d->rm); break;
    case AT_VEC_RM_REG:
        set_vector(o, d->rm);
        return d->mod == 3 ? X86_DECODE_OK : X86_DECODE_INVALID;
    case AT_VEC_VVVV: set_vector(o, d->vvvv); s->vvvv_used = true; break;
    case AT_VEC_IS4: return out_of_bytes(set_is4(s, d, o));
    case AT_VEC_XMM0: set_vector(o, 0); o->implicit = true; break;
    default:         break;
    }
    return X86_DECODE_OK;
}

enum x86_decode_result decoder_operands(struct decoder *s, const struct enc *e,
                                        struct x86_decoded *d)
{
    for (unsigned i = 0; i < ARRAY_SIZE(e->operand) && e->operand[i] != NO; i++) {
        struct x86_operand *o = &d->operand[i];
        enum x86_decode_result result;

        o->read = e->access >> (2 * i) & 1;
        o->written = e->access >> (2 * i) & 2;
        result = set_operand(s, &specs[e->operand[i]], d, o);
        if (result != X86_DECODE_OK)
            return result;
        d->operand_count = i + 1;
    }
    return X86_DECODE_OK;
}
