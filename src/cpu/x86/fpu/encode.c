/* SPDX-License-Identifier: MIT */
/* Re-encoding of vector and x87 instructions: encode.h says how. SDM vol. 2, chapter 2. */
#include "cpu/x86/fpu/encode.h"

/* Vector instructions that touch nothing but vector registers, one ModRM operand, ECX (string
 * compares) and the arithmetic flags. */
static bool is_data_opcode_0f(unsigned op)
{
    if (op < 0x80)
        return (op >= 0x10 && op <= 0x17) || (op >= 0x28 && op <= 0x2f) || op >= 0x50;
    return op == 0xc2 || (op >= 0xc4 && op <= 0xc6) || (op >= 0xd0 && op <= 0xfe);
}

static bool is_data_opcode(const struct x86_decoded *d)
{
    switch (d->map) {
    case X86_MAP_1:
        return d->opcode >= 0xd8 && d->opcode <= 0xdf;
    case X86_MAP_0F:
        return is_data_opcode_0f(d->opcode);
    case X86_MAP_0F38: /* 80-82 INVEPT and so on, F0-FF general registers */
        return d->opcode < 0xf0 && (d->opcode < 0x80 || d->opcode > 0x82);
    case X86_MAP_0F3A: /* F0 RORX */
        return d->opcode < 0xf0;
    default:
        return false;
    }
}

/* How many bytes ModRM, SIB and displacement take. */
static unsigned modrm_len(const struct x86_decoded *d, const uint8_t *modrm)
{
    unsigned len = 1, rm = d->modrm & 7;
    bool no_base;

    if (!d->has_modrm)
        return 0;
    if (d->mod == 3)
        return 1;
    if (d->asize == 2)
        return len + (d->mod == 0 ? (rm == 6 ? 2 : 0) : d->mod);
    no_base = rm == 5;
    if (rm == 4) {
        no_base = (modrm[1] & 7) == 5;
        len++;
    }
    if (d->mod == 0)
        return len + (no_base ? 4 : 0);
    return len + (d->mod == 1 ? 1 : 4);
}

static void put(struct encoded *e, unsigned byte)
{
    e->bytes |= (uint64_t)(byte & 0xff) << (8 * e->len++);
}

/* The one legacy prefix that selects the opcode: the last of F2 and F3, else 66. */
static unsigned mandatory_prefix(const struct x86_decoded *d)
{
    if (d->prefixes & X86_PREFIX_REP)
        return 0xf3;
    if (d->prefixes & X86_PREFIX_REPNE)
        return 0xf2;
    return d->prefixes & X86_PREFIX_OPSIZE ? 0x66 : 0;
}

static void put_legacy(struct encoded *e, const struct x86_decoded *d, unsigned reg, unsigned rm)
{
    unsigned rex = (d->rex_w ? 8u : 0) | (reg >> 3) << 2 | rm >> 3;

    if (mandatory_prefix(d))
        put(e, mandatory_prefix(d));
    if (rex)
        put(e, 0x40 | rex);
    put(e, 0x0f);
    if (d->map == X86_MAP_0F38)
        put(e, 0x38);
    if (d->map == X86_MAP_0F3A)
        put(e, 0x3a);
}

/* pp is in the byte before the opcode in both forms of VEX; always written as C4 here. */
static void put_vex(struct encoded *e, const struct x86_decoded *d, const uint8_t *bytes,
                    unsigned reg, unsigned rm)
{
    unsigned pp = bytes[d->opcode_off - 1] & 3u;

    put(e, 0xc4);
    put(e, (~reg >> 3 & 1) << 7 | 0x40 | (~rm >> 3 & 1) << 5 | d->map);
    put(e, (d->rex_w ? 0x80u : 0) | (~(unsigned)d->vvvv & 15) << 3 | (d->vex_l ? 4u : 0) | pp);
}

bool encode_thunk(const struct x86_decoded *d, const uint8_t *bytes, enum encode_gpr gpr,
                  bool at_rsi, struct encoded *ret)
{
    unsigned tail = d->opcode_off + 1u, end = tail + modrm_len(d, bytes + tail), reg, rm;
    struct encoded e = {0, 0};

    if (!is_data_opcode(d) || d->len < end || d->len - end > 1)
        return false;
    reg = gpr == ENCODE_GPR_REG ? 1 : d->reg;
    rm = d->mod != 3 ? (at_rsi ? 6 : 0) : gpr == ENCODE_GPR_RM ? 1 : d->rm;
    if (d->map == X86_MAP_1)
        reg &= 7, rm &= 7;
    else if (d->prefixes & X86_PREFIX_VEX)
        put_vex(&e, d, bytes, reg, rm);
    else
        put_legacy(&e, d, reg, rm);
    put(&e, d->opcode);
    if (d->has_modrm)
        put(&e, (d->mod == 3 ? 0xc0u : 0) | (reg & 7) << 3 | (rm & 7));
    if (d->len > end)
        put(&e, bytes[end]);
    *ret = e;
    return true;
}
