/* SPDX-License-Identifier: MIT */
/* VEX-encoded operations on general registers: ANDN BLSI BLSMSK BLSR BEXTR BZHI PDEP PEXT RORX SARX
 * SHLX SHRX. reg, rm and vreg are ModRM.reg, ModRM.rm and VEX.vvvv. */
#include "cpu/x86/interp/interp.h"

/* Asm operands: e_ is r/m, v_ is VEX.vvvv, d_ the result. */
#define EXEC_FLAGS(text)                                                                           \
    uint16_t f = c->af;                                                                            \
    __asm__(FLAGS_LOAD text FLAGS_SAVE : [d_] "=&r"(d), "+&a"(f) : [e_] "r"(e), [v_] "r"(v));      \
    c->af = f
#define EXEC_QUIET(text) __asm__(text : [d_] "=r"(d) : [e_] "r"(e), [v_] "r"(v))

#define VEX_FORMS(name, bits, EXEC, text, DEST)                                                    \
    INSN(name##bits##_r)                                                                           \
    {                                                                                              \
        uint##bits##_t d, e = R##bits(i->rm), v = R##bits(i->vreg);                                \
                                                                                                   \
        EXEC(text);                                                                                \
        SET_R##bits(i->DEST, d);                                                                   \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(name##bits##_m)                                                                           \
    {                                                                                              \
        uint##bits##_t d, e, v;                                                                    \
                                                                                                   \
        LOAD(bits, e);                                                                             \
        v = R##bits(i->vreg);                                                                      \
        {                                                                                          \
            EXEC(text);                                                                            \
        }                                                                                          \
        SET_R##bits(i->DEST, d);                                                                   \
        NEXT;                                                                                      \
    }
#define VEX(name, EXEC, operands, DEST)                                                            \
    VEX_FORMS(name, 32, EXEC, #name "l " operands, DEST)                                           \
    VEX_FORMS(name, 64, EXEC, #name "q " operands, DEST)

#define EVD "%[e_], %[v_], %[d_]"
#define VED "%[v_], %[e_], %[d_]"
#define ED "%[e_], %[d_]"

VEX(andn, EXEC_FLAGS, EVD, reg)
VEX(blsi, EXEC_FLAGS, ED, vreg)
VEX(blsmsk, EXEC_FLAGS, ED, vreg)
VEX(blsr, EXEC_FLAGS, ED, vreg)
VEX(bextr, EXEC_FLAGS, VED, reg)
VEX(bzhi, EXEC_FLAGS, VED, reg)
VEX(pdep, EXEC_QUIET, EVD, reg)
VEX(pext, EXEC_QUIET, EVD, reg)
VEX(sarx, EXEC_QUIET, VED, reg)
VEX(shlx, EXEC_QUIET, VED, reg)
VEX(shrx, EXEC_QUIET, VED, reg)

#define ROTATE_RIGHT(bits, e, n)                                                                   \
    ({                                                                                             \
        uint##bits##_t r_ = (e);                                                                   \
        __asm__("ror" SFX##bits " %%cl, %0" : "+r"(r_) : "c"((uint8_t)(n)));                       \
        r_;                                                                                        \
    })
#define RORX(bits)                                                                                 \
    INSN(rorx##bits##_r)                                                                           \
    {                                                                                              \
        SET_R##bits(i->reg, ROTATE_RIGHT(bits, R##bits(i->rm), i->imm));                           \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(rorx##bits##_m)                                                                           \
    {                                                                                              \
        uint##bits##_t e;                                                                          \
                                                                                                   \
        LOAD(bits, e);                                                                             \
        SET_R##bits(i->reg, ROTATE_RIGHT(bits, e, i->imm));                                        \
        NEXT;                                                                                      \
    }
RORX(32) RORX(64)

bool bmi_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
              struct insn *i)
{
#define CASE(OP, name)                                                                             \
    case X86_OP_##OP:                                                                              \
        i->fn = d->has_mem ? (wide ? name##64_m : name##32_m) : (wide ? name##64_r : name##32_r);  \
        return true;
    bool wide = d->operand[0].size == 8;

    switch (d->op) {
    CASE(ANDN, andn)
    CASE(BLSI, blsi)
    CASE(BLSMSK, blsmsk)
    CASE(BLSR, blsr)
    CASE(BEXTR, bextr)
    CASE(BZHI, bzhi)
    CASE(PDEP, pdep)
    CASE(PEXT, pext)
    CASE(SARX, sarx)
    CASE(SHLX, shlx)
    CASE(SHRX, shrx)
    CASE(RORX, rorx)
    default: return false;
    }
#undef CASE
}
