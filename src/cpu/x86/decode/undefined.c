/* SPDX-License-Identifier: MIT */
/* What the manuals leave undefined after one instruction with the operands in hand. The rows of
 * optable.h say what may be undefined; aUCNT and aUDST rows leave it to the count or the source. */
#include "arch/x86/regs.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/decode/optable.h"

/* The count of a shift or rotate as the processor masks it. False: it is in CL, and that is not
 * known. */
static bool masked_count(const struct x86_decoded *d, const uint8_t *cl, unsigned *ret)
{
    const struct x86_operand *o = &d->operand[d->operand_count - 1];
    unsigned mask = d->operand[0].size == 8 ? 63 : 31;

    if (o->kind != X86_OPERAND_IMM && !cl)
        return false;
    *ret = (o->kind == X86_OPERAND_IMM ? (unsigned)d->imm : *cl) & mask;
    return true;
}

uint16_t x86_undefined_flags(const struct x86_decoded *d, const uint8_t *cl)
{
    uint16_t undefined = d->info->flags_undefined;
    unsigned count, bits = 8u * d->operand[0].size;

    if (!(d->info->attr & X86_ATTR_UNDEF_COUNT) || !masked_count(d, cl, &count))
        return undefined;
    if (!count)
        return 0;
    if (count == 1)
        undefined &= (uint16_t)~X86_FLAG_OF;
    if (d->op == X86_OP_SHLD || d->op == X86_OP_SHRD) /* beyond the size all are */
        return count > bits ? undefined : undefined & (X86_FLAG_AF | X86_FLAG_OF);
    return count < bits ? undefined & (uint16_t)~X86_FLAG_CF : undefined;
}

uint64_t x86_undefined_result(const struct x86_decoded *d, uint8_t cl, uint64_t flags)
{
    unsigned count, size = d->operand[0].size;

    if (!(d->info->attr & X86_ATTR_UNDEF_RESULT))
        return 0;
    if (d->op == X86_OP_BSF || d->op == X86_OP_BSR)
        return size == 4 && (flags & X86_FLAG_ZF) ? ~(uint64_t)UINT32_MAX : 0;
    return masked_count(d, &cl, &count) && count > 8 * size ? BIT(8 * size) - 1 : 0;
}

/* F3 90 with REX.B: PAUSE on Intel, XCHG R8 on AMD and here. */
bool x86_undefined_encoding(const struct x86_decoded *d)
{
    return d->op == X86_OP_XCHG && d->opcode == 0x90 && (d->prefixes & X86_PREFIX_REP);
}
