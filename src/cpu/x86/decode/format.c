/* SPDX-License-Identifier: MIT */
/* Prints a decoded instruction for traces and error messages. */
#include <stdio.h>

#include "arch/x86/cpu_state.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/decode/optable.h"

static const char *const condition[16] = { "o", "no", "b", "ae", "e", "ne", "be", "a",
                                           "s", "ns", "p", "np", "l", "ge", "le", "g" };
static const char *const segment[6] = { "es", "cs", "ss", "ds", "fs", "gs" };

struct text { char *buf; unsigned len, used; };

static printf_like(2, 3) void put(struct text *t, const char *fmt, ...)
{
    __builtin_va_list ap;
    int n;

    if (t->used >= t->len)
        return;
    __builtin_va_start(ap, fmt);
    n = vsnprintf(t->buf + t->used, t->len - t->used, fmt, ap);
    __builtin_va_end(ap);
    if (n > 0)
        t->used += n;
}

static void put_gpr(struct text *t, unsigned reg, unsigned size, bool high)
{
    static const char *const word[8] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };

    if (reg >= 8) {
        put(t, "r%u%s", reg, size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "");
        return;
    }
    if (size == 1 && (high || reg < 4))
        put(t, "%c%c", word[reg][0], high ? 'h' : 'l');
    else if (size == 1)
        put(t, "%sl", word[reg]);
    else
        put(t, "%s%s", size == 8 ? "r" : size == 4 ? "e" : "", word[reg]);
}

static void put_size(struct text *t, unsigned size)
{
    static const char *const names[] = { [1] = "byte", [2] = "word", [4] = "dword", [6] = "fword",
                                         [8] = "qword", [10] = "tbyte", [16] = "xmmword",
                                         [32] = "ymmword" };

    if (size < ARRAY_SIZE(names) && names[size])
        put(t, "%s ptr ", names[size]);
}

static void put_mem(struct text *t, const struct x86_decoded *d, unsigned size, uint64_t next)
{
    const char *plus = "";

    put_size(t, size);
    put(t, "%s:[", segment[d->seg % 6]);
    if (d->base == X86_BASE_RIP) {
        put(t, "0x%llx]", (unsigned long long)(next + d->disp));
        return;
    }
    if (d->base != X86_NO_REG) {
        put_gpr(t, d->base, d->asize, false);
        plus = "+";
    }
    if (d->index != X86_NO_REG) {
        put(t, "%s", plus);
        if (d->vsib)
            put(t, "%cmm%u", d->vex_l ? 'y' : 'x', d->index);
        else
            put_gpr(t, d->index, d->asize, false);
        if (d->scale)
            put(t, "*%u", 1u << d->scale);
        plus = "+";
    }
    if (!*plus)
        put(t, "0x%llx", (unsigned long long)d->disp);
    else if (d->disp < 0)
        put(t, "-0x%llx", -(unsigned long long)d->disp);
    else if (d->disp)
        put(t, "+0x%llx", (unsigned long long)d->disp);
    put(t, "]");
}

static void put_operand(struct text *t, const struct x86_decoded *d, unsigned i, uint64_t next)
{
    const struct x86_operand *o = &d->operand[i];
    uint64_t imm = i && o[-1].kind == X86_OPERAND_IMM ? d->imm2 : d->imm;

    switch (o->kind) {
    case X86_OPERAND_GPR: put_gpr(t, o->reg, o->size, o->high_byte); break;
    case X86_OPERAND_SEG: put(t, "%s", segment[o->reg % 6]); break;
    case X86_OPERAND_CR:  put(t, "cr%u", o->reg); break;
    case X86_OPERAND_DR:  put(t, "dr%u", o->reg); break;
    case X86_OPERAND_MEM: put_mem(t, d, o->size, next); break;
    case X86_OPERAND_IMM: put(t, "0x%llx", (unsigned long long)imm); break;
    case X86_OPERAND_REL: put(t, "0x%llx", (unsigned long long)(next + d->imm)); break;
    case X86_OPERAND_FAR:
        put(t, "0x%llx:0x%llx", (unsigned long long)d->imm2, (unsigned long long)d->imm);
        break;
    case X86_OPERAND_ST:  put(t, "st(%u)", o->reg); break;
    case X86_OPERAND_MMX: put(t, "mm%u", o->reg); break;
    case X86_OPERAND_XMM: put(t, "xmm%u", o->reg); break;
    case X86_OPERAND_YMM: put(t, "ymm%u", o->reg); break;
    case X86_OPERAND_STR_SRC:
    case X86_OPERAND_STR_DST:
        put_size(t, o->size);
        put(t, "%s:[", segment[o->kind == X86_OPERAND_STR_DST ? X86_ES : d->seg % 6]);
        put_gpr(t, o->reg, d->asize, false);
        put(t, "]");
        break;
    default: put(t, "?"); break;
    }
}

static bool has_condition(unsigned op)
{
    return op == X86_OP_JCC || op == X86_OP_SETCC || op == X86_OP_CMOVCC;
}

void x86_format(const struct x86_decoded *d, uint64_t rip, char *buf, unsigned len)
{
    struct text t = { buf, len, 0 };

    if (!len)
        return;
    buf[0] = 0;
    if (d->prefixes & X86_PREFIX_LOCK)
        put(&t, "lock ");
    if (d->info->attr & X86_ATTR_REP && d->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE))
        put(&t, "%s ", d->prefixes & X86_PREFIX_REP ? "rep" : "repne");
    put(&t, "%s%s", d->info->name, has_condition(d->op) ? condition[d->opcode & 15] : "");
    for (unsigned i = 0; i < d->operand_count; i++) {
        put(&t, i ? ", " : " ");
        put_operand(&t, d, i, rip + d->len);
    }
}
