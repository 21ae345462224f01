/* SPDX-License-Identifier: MIT */
/* Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR SHLD SHRD. The guest's flags go in, so a count
 * of 0 and the flags that rotates leave alone come out right, and the undefined ones as the host
 * has them. */
#include "cpu/x86/interp/interp.h"

/* ROL and ROR of a register by an immediate: on some Intel processors the undefined OF is another
 * one than by CL, or of memory. Translated code has the guest's instruction, and a guest may save
 * its flags somewhere, so the two must agree: here is a piece of code for each count, of this many
 * bytes. */
#define STUB_SIZE 8
#define ROTATE_STUBS(op, bits, reg)                                                                \
    __asm__(".pushsection .text\n"                                                                 \
            ".balign 8\n"                                                                          \
            #op #bits "_stubs:\n"                                                                  \
            ".set count, 0\n"                                                                      \
            ".rept 64\n"                                                                           \
            #op SFX##bits " $count, %" #reg "\n"                                                   \
            "ret\n"                                                                                \
            ".balign 8\n"                                                                          \
            ".set count, count + 1\n"                                                              \
            ".endr\n"                                                                              \
            ".popsection\n");                                                                      \
    extern const uint8_t op##bits##_stubs[64][STUB_SIZE]                                            \
        __attribute__((visibility("hidden")));
ROTATE_STUBS(rol, 8, dl) ROTATE_STUBS(rol, 16, dx) ROTATE_STUBS(rol, 32, edx) ROTATE_STUBS(rol, 64, rdx)
ROTATE_STUBS(ror, 8, dl) ROTATE_STUBS(ror, 16, dx) ROTATE_STUBS(ror, 32, edx) ROTATE_STUBS(ror, 64, rdx)

#define EXEC_ROTATE(op, bits, dst, count)                                                          \
    __asm__(FLAGS_LOAD "call *%[stub]" FLAGS_SAVE                                                  \
            : "+d"(dst), "+&a"(f)                                                                  \
            : [stub] "r"(op##bits##_stubs[(count) & 63]))

#define EXEC_SHIFT(op, bits, dst, con, count)                                                      \
    __asm__(FLAGS_LOAD #op SFX##bits " %%cl, %[d]" FLAGS_SAVE                                      \
            : [d] con(dst), "+&a"(f)                                                               \
            : "c"(count))
#define EXEC_DOUBLE(op, bits, dst, con, src, count)                                                \
    __asm__(FLAGS_LOAD #op SFX##bits " %%cl, %[s], %[d]" FLAGS_SAVE                                \
            : [d] con(dst), "+&a"(f)                                                               \
            : "c"(count), [s] "r"(src))

#define COUNT_IMM ((uint8_t)i->imm)
#define COUNT_CL  R8(REG8_CL)

#define SHIFT_R(name, op, bits, COUNT)                                                             \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm);                                                         \
        uint16_t f = c->af;                                                                        \
        uint8_t n = COUNT;                                                                         \
                                                                                                   \
        EXEC_SHIFT(op, bits, d, "+r", n);                                                          \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define SHIFT_M(name, op, bits, COUNT)                                                             \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint64_t va;                                                                               \
        uint16_t f = c->af;                                                                        \
        uint8_t n = COUNT;                                                                         \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        RMW_AT(bits, va, EXEC_SHIFT(op, bits, *p, "+m", n),                                        \
                   EXEC_SHIFT(op, bits, v, "+r", n));                                              \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define SHIFT(op, bits)                                                                            \
    SHIFT_R(op##bits##_ri, op, bits, COUNT_IMM)                                                    \
    SHIFT_R(op##bits##_rc, op, bits, COUNT_CL)                                                     \
    SHIFT_M(op##bits##_mi, op, bits, COUNT_IMM)                                                    \
    SHIFT_M(op##bits##_mc, op, bits, COUNT_CL)
#define SHIFTS(op) SHIFT(op, 8) SHIFT(op, 16) SHIFT(op, 32) SHIFT(op, 64)

SHIFTS(rcl) SHIFTS(rcr) SHIFTS(shl) SHIFTS(shr) SHIFTS(sar)

#define ROTATE(op, bits)                                                                           \
    INSN(op##bits##_ri)                                                                            \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm);                                                         \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        EXEC_ROTATE(op, bits, d, i->imm);                                                          \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    SHIFT_M(op##bits##_mi, op, bits, COUNT_IMM)                                                    \
    SHIFT_R(op##bits##_rc, op, bits, COUNT_CL)                                                     \
    SHIFT_M(op##bits##_mc, op, bits, COUNT_CL)
#define ROTATES(op) ROTATE(op, 8) ROTATE(op, 16) ROTATE(op, 32) ROTATE(op, 64)

ROTATES(rol) ROTATES(ror)

#define DOUBLE_R(name, op, bits, COUNT)                                                            \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm), s = R##bits(i->reg);                                    \
        uint16_t f = c->af;                                                                        \
        uint8_t n = COUNT;                                                                         \
                                                                                                   \
        EXEC_DOUBLE(op, bits, d, "+r", s, n);                                                      \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define DOUBLE_M(name, op, bits, COUNT)                                                            \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t s = R##bits(i->reg);                                                        \
        uint64_t va;                                                                               \
        uint16_t f = c->af;                                                                        \
        uint8_t n = COUNT;                                                                         \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        RMW_AT(bits, va, EXEC_DOUBLE(op, bits, *p, "+m", s, n),                                    \
                   EXEC_DOUBLE(op, bits, v, "+r", s, n));                                          \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define DOUBLE(op, bits)                                                                           \
    DOUBLE_R(op##bits##_ri, op, bits, COUNT_IMM)                                                   \
    DOUBLE_R(op##bits##_rc, op, bits, COUNT_CL)                                                    \
    DOUBLE_M(op##bits##_mi, op, bits, COUNT_IMM)                                                   \
    DOUBLE_M(op##bits##_mc, op, bits, COUNT_CL)

DOUBLE(shld, 16) DOUBLE(shld, 32) DOUBLE(shld, 64)
DOUBLE(shrd, 16) DOUBLE(shrd, 32) DOUBLE(shrd, 64)

enum { REG_IMM, REG_CL, MEM_IMM, MEM_CL, SHIFT_FORMS };

#define FORM_SIZES(op, form) { op##8_##form, op##16_##form, op##32_##form, op##64_##form }
#define SHIFT_ROW(op)                                                                              \
    {                                                                                              \
        [REG_IMM] = FORM_SIZES(op, ri), [REG_CL] = FORM_SIZES(op, rc),                             \
        [MEM_IMM] = FORM_SIZES(op, mi), [MEM_CL] = FORM_SIZES(op, mc),                             \
    }
#define DOUBLE_SIZES(op, form) { NULL, op##16_##form, op##32_##form, op##64_##form }
#define DOUBLE_ROW(op)                                                                             \
    {                                                                                              \
        [REG_IMM] = DOUBLE_SIZES(op, ri), [REG_CL] = DOUBLE_SIZES(op, rc),                         \
        [MEM_IMM] = DOUBLE_SIZES(op, mi), [MEM_CL] = DOUBLE_SIZES(op, mc),                         \
    }

static insn_fn *const rol_fn[SHIFT_FORMS][4] = SHIFT_ROW(rol);
static insn_fn *const ror_fn[SHIFT_FORMS][4] = SHIFT_ROW(ror);
static insn_fn *const rcl_fn[SHIFT_FORMS][4] = SHIFT_ROW(rcl);
static insn_fn *const rcr_fn[SHIFT_FORMS][4] = SHIFT_ROW(rcr);
static insn_fn *const shl_fn[SHIFT_FORMS][4] = SHIFT_ROW(shl);
static insn_fn *const shr_fn[SHIFT_FORMS][4] = SHIFT_ROW(shr);
static insn_fn *const sar_fn[SHIFT_FORMS][4] = SHIFT_ROW(sar);
static insn_fn *const shld_fn[SHIFT_FORMS][4] = DOUBLE_ROW(shld);
static insn_fn *const shrd_fn[SHIFT_FORMS][4] = DOUBLE_ROW(shrd);

/* The count is operand n: an immediate, or else CL. */
static bool bind_count(const struct x86_decoded *d, struct insn *i, unsigned n,
                       insn_fn *const table[][4])
{
    bool mem = d->operand[0].kind == X86_OPERAND_MEM;
    bool imm = d->operand[n].kind == X86_OPERAND_IMM;

    if (!mem)
        i->rm = reg_code(&d->operand[0]);
    if (n == 2)
        i->reg = d->operand[1].reg;
    i->fn = table[mem ? imm ? MEM_IMM : MEM_CL : imm ? REG_IMM : REG_CL]
                 [size_index(d->operand[0].size)];
    return i->fn != NULL;
}

bool shift_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                struct insn *i)
{
    switch (d->op) {
    case X86_OP_ROL: return bind_count(d, i, 1, rol_fn);
    case X86_OP_ROR: return bind_count(d, i, 1, ror_fn);
    case X86_OP_RCL: return bind_count(d, i, 1, rcl_fn);
    case X86_OP_RCR: return bind_count(d, i, 1, rcr_fn);
    case X86_OP_SHL: return bind_count(d, i, 1, shl_fn);
    case X86_OP_SHR: return bind_count(d, i, 1, shr_fn);
    case X86_OP_SAR: return bind_count(d, i, 1, sar_fn);
    case X86_OP_SHLD: return bind_count(d, i, 2, shld_fn);
    case X86_OP_SHRD: return bind_count(d, i, 2, shrd_fn);
    default: return false;
    }
}
