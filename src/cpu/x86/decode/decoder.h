/* SPDX-License-Identifier: MIT */
/* What the parts of the decoder share: the state of decoding one instruction. */
#ifndef VZ_CPU_X86_DECODE_DECODER_H
#define VZ_CPU_X86_DECODE_DECODER_H

#include "cpu/x86/decode/tables.h"

struct decoder {
    const uint8_t *bytes;
    uint8_t pos, limit;     /* next byte; bytes available, 15 at most */
    uint8_t mode;           /* enum x86_code_size */
    uint8_t rex;            /* REX bits W R X B (8 4 2 1), from REX or VEX */
    uint8_t mandatory;      /* index for SEL_PREFIX: 0 none, 1 66, 2 F3, 3 F2 */
    uint8_t seg_prefix;     /* enum x86_seg, or X86_NO_REG */
    bool opsize, addrsize;  /* 66, 67 seen */
    bool vex, have_modrm, high_bytes; /* high_bytes: no REX, so 4..7 are AH..BH */
    bool selected;          /* the table entry is known and ModRM read if there is one */
    bool vvvv_used, vvvv_set; /* an operand in VEX.vvvv; other than 1111b */
};

/* Take count bytes (1, 2, 4, 8), little endian. False: there are not enough. */
static always_inline bool decoder_take(struct decoder *s, unsigned count, uint64_t *ret)
{
    const uint8_t *p = s->bytes + s->pos;
    uint64_t value = 0;

    if (unlikely(s->pos + count > s->limit))
        return false;
    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)p[i] << (8 * i);
    s->pos += count;
    *ret = value;
    return true;
}

/* Read ModRM and split it, once. */
static always_inline bool decoder_modrm(struct decoder *s, struct x86_decoded *d)
{
    if (s->have_modrm)
        return true;
    if (unlikely(s->pos >= s->limit))
        return false;
    d->modrm = s->bytes[s->pos++];
    d->mod = d->modrm >> 6;
    d->reg = (d->modrm >> 3 & 7) | (s->rex & 4) << 1;
    d->rm = (d->modrm & 7) | (s->rex & 1) << 3;
    d->has_modrm = s->have_modrm = true;
    return true;
}

/* Results: X86_DECODE_OK; X86_DECODE_MORE stands for "out of bytes" and the caller decides which
 * of MORE and LONG it is; X86_DECODE_INVALID. */

/* SIB and displacement of a ModRM with mod != 3 (operands.c). */
enum x86_decode_result decoder_memory(struct decoder *s, struct x86_decoded *d);

/* Fill d->operand[] as the entry says and read the immediates (operands.c). */
enum x86_decode_result decoder_operands(struct decoder *s, const struct enc *e,
                                        struct x86_decoded *d);

#endif
