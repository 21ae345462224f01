/* SPDX-License-Identifier: MIT */
/* The comparison with Zydis, and the list of differences that are meant. */
#include "oracle.h"

#include <Zydis/Zydis.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "cpu/x86/decode/optable.h"

struct oracle {
    struct x86_decoded d;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    const uint8_t *bytes;
    enum x86_code_size mode;
    struct oracle_result *ret;
};

#include "exceptions.h"

/* Note a difference, unless it is a listed one or there has been another. */
static printf_like(2, 3) void differ(struct oracle *o, const char *fmt, ...)
{
    va_list ap;

    if (o->ret->what[0])
        return;
    va_start(ap, fmt);
    vsnprintf(o->ret->what, sizeof(o->ret->what), fmt, ap);
    va_end(ap);
    if (excused_difference(o))
        o->ret->what[0] = 0;
}

static void decoder_init(ZydisDecoder *decoder, enum x86_code_size mode)
{
    static const struct { ZydisMachineMode mode; ZydisStackWidth width; } modes[3] = {
        { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
        { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
        { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
    };

    ZydisDecoderInit(decoder, modes[mode].mode, modes[mode].width);
    /* Not MPX, CLDEMOTE, WBNOINVD, CET's RDSSP: without them these are NOP and WBINVD. LZCNT and
     * TZCNT, which take the place of BSR and BSF, are offered. The Knights Corner opcodes clash
     * with others. */
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_KNC, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CET, ZYAN_TRUE);
}

static int reg_number(ZydisRegister reg)
{
    return ZydisRegisterGetId(reg);
}

static void compare_reg(struct oracle *o, unsigned i, const struct x86_operand *us,
                        const ZydisDecodedOperand *z)
{
    static const ZydisRegisterClass classes[] = {
        [X86_OPERAND_SEG] = ZYDIS_REGCLASS_SEGMENT, [X86_OPERAND_CR] = ZYDIS_REGCLASS_CONTROL,
        [X86_OPERAND_DR] = ZYDIS_REGCLASS_DEBUG, [X86_OPERAND_ST] = ZYDIS_REGCLASS_X87,
        [X86_OPERAND_MMX] = ZYDIS_REGCLASS_MMX, [X86_OPERAND_XMM] = ZYDIS_REGCLASS_XMM,
        [X86_OPERAND_YMM] = ZYDIS_REGCLASS_YMM, [X86_OPERAND_STR_DST] = 0,
    };
    ZydisRegisterClass class = ZydisRegisterGetClass(z->reg.value);
    int number = reg_number(z->reg.value);

    if (us->kind == X86_OPERAND_GPR) {
        static const ZydisRegisterClass by_size[9] = {
            [1] = ZYDIS_REGCLASS_GPR8, [2] = ZYDIS_REGCLASS_GPR16, [4] = ZYDIS_REGCLASS_GPR32,
            [8] = ZYDIS_REGCLASS_GPR64,
        };
        bool high = z->reg.value >= ZYDIS_REGISTER_AH && z->reg.value <= ZYDIS_REGISTER_BH;

        if (class == ZYDIS_REGCLASS_GPR8)
            number = z->reg.value - (high ? ZYDIS_REGISTER_AH
                                     : z->reg.value >= ZYDIS_REGISTER_SPL
                                         ? ZYDIS_REGISTER_SPL - 4 : ZYDIS_REGISTER_AL);
        if (us->size > 8 || by_size[us->size] != class || us->reg != number ||
            us->high_byte != high)
            differ(o, "operand %u: gpr %u size %u, not %s", i, us->reg, us->size,
                   ZydisRegisterGetString(z->reg.value));
    } else if (classes[us->kind] != class || us->reg != number) {
        differ(o, "operand %u: register %u of kind %u, not %s", i, us->reg, us->kind,
               ZydisRegisterGetString(z->reg.value));
    }
}

static unsigned gpr_of(ZydisRegister reg)
{
    if (reg == ZYDIS_REGISTER_NONE)
        return X86_NO_REG;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
        return X86_BASE_RIP;
    return reg_number(reg);
}

/* BNDxx, INVLPG, FXSAVE and the like: Zydis has a size of its own for what we leave at 0. */
static bool size_differs(unsigned ours, unsigned bits)
{
    return ours && ours != bits / 8;
}

static void compare_mem(struct oracle *o, unsigned i, const struct x86_operand *us,
                        const ZydisDecodedOperand *z)
{
    const struct x86_decoded *d = &o->d;
    bool has_scale = z->mem.index != ZYDIS_REGISTER_NONE;

    if (us->kind != X86_OPERAND_MEM || !d->has_mem) {
        differ(o, "operand %u: not memory", i);
        return;
    }
    if (size_differs(us->size, z->size))
        differ(o, "operand %u: memory size %u, not %u", i, us->size, z->size / 8);
    if (d->base != gpr_of(z->mem.base) || d->index != gpr_of(z->mem.index))
        differ(o, "operand %u: base %u index %u", i, d->base, d->index);
    if (has_scale && 1 << d->scale != z->mem.scale)
        differ(o, "operand %u: scale %u, not %u", i, 1 << d->scale, z->mem.scale);
    /* LEA and the like have no segment at all in Zydis. */
    if (z->mem.type == ZYDIS_MEMOP_TYPE_MEM && d->seg != reg_number(z->mem.segment))
        differ(o, "operand %u: segment %u, not %d", i, d->seg, reg_number(z->mem.segment));
    /* Zydis sign-extends absolute offsets (A0-A3) of 16 and 32 bits, too. */
    if (d->has_modrm ? d->disp != z->mem.disp.value
                     : (d->disp ^ z->mem.disp.value) & (UINT64_MAX >> (64 - 8 * d->asize)))
        differ(o, "operand %u: displacement %llx, not %llx", i, (long long)d->disp,
               (long long)z->mem.disp.value);
    if (o->z.address_width / 8 != d->asize)
        differ(o, "address size %u", d->asize);
}

static void compare_imm(struct oracle *o, unsigned i, const struct x86_operand *us,
                        const ZydisDecodedOperand *z)
{
    const struct x86_decoded *d = &o->d;
    uint64_t value = i && us[-1].kind == X86_OPERAND_IMM ? d->imm2 : d->imm;
    uint64_t mask = us->size >= 8 ? UINT64_MAX : BIT(8 * us->size) - 1;

    if (us->kind == X86_OPERAND_REL) {
        if (!z->imm.is_relative || value != z->imm.value.u)
            differ(o, "operand %u: relative", i);
    } else if (us->kind != X86_OPERAND_IMM) {
        differ(o, "operand %u: not an immediate", i);
    } else if (z->imm.is_signed ? value != z->imm.value.u : (value ^ z->imm.value.u) & mask) {
        differ(o, "operand %u: immediate %llx, not %llx", i, (long long)value,
               (long long)z->imm.value.u);
    }
}

static void compare_operand(struct oracle *o, unsigned i, const struct x86_operand *us,
                            const ZydisDecodedOperand *z)
{
    bool read = z->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
    bool written = z->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

    switch (z->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER: compare_reg(o, i, us, z); break;
    case ZYDIS_OPERAND_TYPE_MEMORY:   compare_mem(o, i, us, z); break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE: compare_imm(o, i, us, z); break;
    case ZYDIS_OPERAND_TYPE_POINTER:
        if (us->kind != X86_OPERAND_FAR || o->d.imm != z->ptr.offset ||
            o->d.imm2 != z->ptr.segment)
            differ(o, "operand %u: far pointer", i);
        break;
    default: break;
    }
    if (z->type == ZYDIS_OPERAND_TYPE_MEMORY && z->mem.type != ZYDIS_MEMOP_TYPE_MEM)
        return; /* addresses only */
    if (us->kind != X86_OPERAND_ST && (us->read != read || us->written != written))
        differ(o, "operand %u: access %s%s, not %s%s", i, us->read ? "r" : "",
               us->written ? "w" : "", read ? "r" : "", written ? "w" : "");
}

static void compare_operands(struct oracle *o)
{
    unsigned n = 0;

    for (unsigned i = 0; i < o->d.operand_count; i++) {
        if (o->d.operand[i].implicit)
            continue;
        while (n < o->z.operand_count_visible &&
               o->op[n].visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
            n++;
        if (n == o->z.operand_count_visible) {
            differ(o, "too many operands");
            return;
        }
        compare_operand(o, i, &o->d.operand[i], &o->op[n++]);
    }
    for (; n < o->z.operand_count_visible; n++)
        if (o->op[n].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
            differ(o, "too few operands");
}

static void compare_name(struct oracle *o)
{
    static const char *const cc[16] = { "o", "no", "b", "nb", "z", "nz", "be", "nbe",
                                        "s", "ns", "p", "np", "l", "nl", "le", "nle" };
    /* One operation here, several by size there; or another name for the same. */
    static const struct { uint16_t op; const char *names; } merged[] = {
        { X86_OP_CBW, "cbw cwde cdqe" }, { X86_OP_CWD, "cwd cdq cqo" },
        { X86_OP_JCXZ, "jcxz jecxz jrcxz" }, { X86_OP_MOVD, "movd movq" },
        { X86_OP_VMOVD, "vmovd vmovq" }, { X86_OP_PINSRD, "pinsrd pinsrq" },
        { X86_OP_PEXTRD, "pextrd pextrq" }, { X86_OP_VPINSRD, "vpinsrd vpinsrq" },
        { X86_OP_VPEXTRD, "vpextrd vpextrq" }, { X86_OP_PUSHF, "pushf pushfd pushfq" },
        { X86_OP_POPF, "popf popfd popfq" }, { X86_OP_PUSHA, "pusha pushad" },
        { X86_OP_POPA, "popa popad" }, { X86_OP_IRET, "iret iretd iretq" },
        { X86_OP_MOVS, "movsb movsw movsd movsq" }, { X86_OP_CMPS, "cmpsb cmpsw cmpsd cmpsq" },
        { X86_OP_STOS, "stosb stosw stosd stosq" }, { X86_OP_LODS, "lodsb lodsw lodsd lodsq" },
        { X86_OP_SCAS, "scasb scasw scasd scasq" }, { X86_OP_INS, "insb insw insd" },
        { X86_OP_OUTS, "outsb outsw outsd" }, { X86_OP_FXSAVE, "fxsave fxsave64" },
        { X86_OP_FXRSTOR, "fxrstor fxrstor64" }, { X86_OP_XSAVE, "xsave xsave64" },
        { X86_OP_XRSTOR, "xrstor xrstor64" }, { X86_OP_XSAVEOPT, "xsaveopt xsaveopt64" },
        { X86_OP_XSAVEC, "xsavec xsavec64" }, { X86_OP_JMP_FAR, "jmp" },
        { X86_OP_JMP_FAR_IND, "jmp" }, { X86_OP_CALL_FAR, "call" },
        { X86_OP_CALL_FAR_IND, "call" }, { X86_OP_RET_FAR, "ret" },
        { X86_OP_FNENI, "feni8087_nop" },
        { X86_OP_FNDISI, "fdisi8087_nop" }, { X86_OP_FNSETPM, "fsetpm287_nop" },
        { X86_OP_PREFETCH, "prefetch" },
    };
    const char *theirs = o->ret->mnemonic;
    char ours[32];
    unsigned op = o->d.op;

    snprintf(ours, sizeof(ours), "%s%s", o->d.info->name,
             op == X86_OP_JCC || op == X86_OP_SETCC || op == X86_OP_CMOVCC
                 ? cc[o->d.opcode & 15] : "");
    if (!strcmp(ours, theirs))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(merged); i++) {
        const char *at = op == merged[i].op ? strstr(merged[i].names, theirs) : NULL;

        if (at && (at == merged[i].names || at[-1] == ' '))
            return;
    }
    differ(o, "operation %s", ours);
}

void oracle_compare(const uint8_t *bytes, unsigned avail, enum x86_code_size mode,
                    struct oracle_result *ret)
{
    struct oracle o = { .bytes = bytes, .mode = mode, .ret = ret };
    enum x86_decode_result us = x86_decode(bytes, avail, mode, &o.d);
    ZydisDecoder decoder;
    ZyanStatus status;
    bool valid;

    decoder_init(&decoder, mode);
    status = ZydisDecoderDecodeFull(&decoder, bytes, avail, &o.z, o.op);
    valid = ZYAN_SUCCESS(status);
    ret->what[0] = ret->mnemonic[0] = 0;
    ret->len = valid ? o.z.length : 1;
    if (valid)
        snprintf(ret->mnemonic, sizeof(ret->mnemonic), "%s",
                 ZydisMnemonicGetString(o.z.mnemonic));
    if (valid && us == X86_DECODE_OK) {
        if (o.d.len != o.z.length)
            differ(&o, "length %u, not %u", o.d.len, o.z.length);
        compare_name(&o);
        compare_operands(&o);
    } else if (valid) {
        if (!not_offered(&o))
            differ(&o, "result %d: not decoded (%s)", us, ZydisISASetGetString(o.z.meta.isa_set));
    } else if (us == X86_DECODE_OK) {
        snprintf(ret->mnemonic, sizeof(ret->mnemonic), "(%s)", o.d.info->name);
        if (!only_ours(&o))
            differ(&o, "Zydis finds it invalid (%x)", status & 0xfffff);
    } else if ((us == X86_DECODE_MORE) != (status == ZYDIS_STATUS_NO_MORE_DATA) &&
               !excused_truncation(&o, us)) {
        differ(&o, "out of bytes: %d, Zydis %x", us, status & 0xfffff);
    }
}
