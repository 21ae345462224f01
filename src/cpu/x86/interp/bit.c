/* SPDX-License-Identifier: MIT */
/* Single bits and bit counts: BT BTS BTR BTC, BSF BSR TZCNT LZCNT POPCNT, CRC32, ADCX ADOX. */
#include "cpu/x86/interp/interp.h"

/* ---- BT and its kin; the bit number in a register may reach beyond a memory operand ---- */

#define EXEC_BIT(lock, op, bits, dst, con, n)                                                      \
    __asm__(FLAGS_LOAD lock #op SFX##bits " %[n_], %[d]" FLAGS_SAVE                                \
            : [d] con(dst), "+&a"(f)                                                               \
            : [n_] "r"((uint##bits##_t)(n)))

#define BIT_R(name, op, bits, N)                                                                   \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm);                                                         \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        EXEC_BIT("", op, bits, d, "+r", N);                                                        \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
/* BT leaves its operand alone, upper half and all. */
#define BT_R(name, bits, N)                                                                        \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm);                                                         \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        EXEC_BIT("", bt, bits, d, "+r", N);                                                        \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }

/* The linear address of the operand that holds bit n (signed, as wide as the operand). */
#define BIT_EA(va, bits, n, write)                                                                 \
    do {                                                                                           \
        uint64_t plus_ = (uint64_t)((int64_t)(int##bits##_t)(n) >> LOG2_##bits) * (bits / 8);      \
        (va) = insn_ea_fast(c, i) + plus_;                                                         \
        if (unlikely(i->flags & INSN_EA_SLOW)) {                                                   \
            struct loaded ea_ = insn_ea_slow_plus(c, i, plus_, bits / 8, write);                   \
            if (!ea_.ok)                                                                           \
                return;                                                                            \
            (va) = ea_.value;                                                                      \
        }                                                                                          \
    } while (0)
#define LOG2_16 4
#define LOG2_32 5
#define LOG2_64 6

#define BIT_M(name, op, bits, N, EA, HOW, lock)                                                    \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t n = (uint##bits##_t)(N);                                                    \
        uint16_t f = c->af;                                                                        \
        uint64_t va;                                                                               \
                                                                                                   \
        EA(va, bits, n, true);                                                                     \
        n &= bits - 1;                                                                             \
        HOW(bits, va, EXEC_BIT(lock, op, bits, *p, "+m", n), EXEC_BIT("", op, bits, v, "+r", n));  \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define BT_M(name, bits, N, EA)                                                                    \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t n = (uint##bits##_t)(N), d;                                                 \
        uint16_t f = c->af;                                                                        \
        uint64_t va;                                                                               \
                                                                                                   \
        EA(va, bits, n, false);                                                                    \
        LOAD_AT(bits, d, va);                                                                      \
        EXEC_BIT("", bt, bits, d, "+r", n);                                                        \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define PLAIN_EA(va, bits, n, write) INSN_EA(va, bits / 8, write)

#define BIT_OP(op, bits)                                                                           \
    BIT_R(op##bits##_rr, op, bits, R##bits(i->reg))                                                \
    BIT_R(op##bits##_ri, op, bits, i->imm)                                                         \
    BIT_M(op##bits##_mr, op, bits, R##bits(i->reg), BIT_EA, RMW_AT, "")                            \
    BIT_M(op##bits##_mi, op, bits, i->imm, PLAIN_EA, RMW_AT, "")                                   \
    BIT_M(op##bits##_lmr, op, bits, R##bits(i->reg), BIT_EA, LOCKED_AT, "lock ")                   \
    BIT_M(op##bits##_lmi, op, bits, i->imm, PLAIN_EA, LOCKED_AT, "lock ")
#define BT_OP(bits)                                                                                \
    BT_R(bt##bits##_rr, bits, R##bits(i->reg))                                                     \
    BT_R(bt##bits##_ri, bits, i->imm)                                                              \
    BT_M(bt##bits##_mr, bits, R##bits(i->reg), BIT_EA)                                             \
    BT_M(bt##bits##_mi, bits, i->imm, PLAIN_EA)
#define BIT_SIZES(op) BIT_OP(op, 16) BIT_OP(op, 32) BIT_OP(op, 64)

BT_OP(16) BT_OP(32) BT_OP(64)
BIT_SIZES(bts) BIT_SIZES(btr) BIT_SIZES(btc)

enum { BIT_RR, BIT_RI, BIT_MR, BIT_MI, BIT_LMR, BIT_LMI, BIT_FORMS };

#define ROW(op, form) { op##16_##form, op##32_##form, op##64_##form }
#define BT_ROWS(op)                                                                                \
    [BIT_RR] = ROW(op, rr), [BIT_RI] = ROW(op, ri), [BIT_MR] = ROW(op, mr), [BIT_MI] = ROW(op, mi)
#define BIT_ROWS(op) BT_ROWS(op), [BIT_LMR] = ROW(op, lmr), [BIT_LMI] = ROW(op, lmi)

static insn_fn *const bt_fn[BIT_FORMS][3] = { BT_ROWS(bt) };
static insn_fn *const bts_fn[BIT_FORMS][3] = { BIT_ROWS(bts) };
static insn_fn *const btr_fn[BIT_FORMS][3] = { BIT_ROWS(btr) };
static insn_fn *const btc_fn[BIT_FORMS][3] = { BIT_ROWS(btc) };

static bool bind_bit(const struct x86_decoded *d, struct insn *i, insn_fn *const table[][3])
{
    enum form form = insn_form(d, i);
    bool lock = i->flags & INSN_LOCK;
    unsigned row = form == FORM_RR ? BIT_RR : form == FORM_RI ? BIT_RI :
                   form == FORM_MR ? (lock ? BIT_LMR : BIT_MR) : (lock ? BIT_LMI : BIT_MI);

    i->fn = table[row][size_index(d->operand[0].size) - 1];
    return i->fn != NULL;
}

/* ---- counts and scans: the host sees the whole destination register, which BSF and BSR may
 * leave alone ---- */

#define EXEC_SCAN(op, bits, sel)                                                                   \
    __asm__(FLAGS_LOAD #op SFX##bits " %[s_], %" sel "[d_]" FLAGS_SAVE                             \
            : [d_] "+&r"(d), "+&a"(f)                                                              \
            : [s_] "r"(s))
#define SCAN(op, bits, sel)                                                                        \
    INSN(op##bits##_rr)                                                                            \
    {                                                                                              \
        uint64_t d = c->reg[i->rm];                                                                \
        uint##bits##_t s = R##bits(i->reg);                                                        \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        EXEC_SCAN(op, bits, sel);                                                                  \
        c->reg[i->rm] = d;                                                                         \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(op##bits##_rm)                                                                            \
    {                                                                                              \
        uint64_t d;                                                                                \
        uint##bits##_t s;                                                                          \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        LOAD(bits, s);                                                                             \
        d = c->reg[i->reg];                                                                        \
        EXEC_SCAN(op, bits, sel);                                                                  \
        c->reg[i->reg] = d;                                                                        \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define SCANS(op) SCAN(op, 16, "w") SCAN(op, 32, "k") SCAN(op, 64, "q")

SCANS(bsf) SCANS(bsr) SCANS(tzcnt) SCANS(lzcnt) SCANS(popcnt)
SCAN(adcx, 32, "k") SCAN(adcx, 64, "q") SCAN(adox, 32, "k") SCAN(adox, 64, "q")

#define SCAN_TABLE(op)                                                                             \
    static insn_fn *const op##_fn[2][3] = {                                                        \
        { op##16_rr, op##32_rr, op##64_rr }, { op##16_rm, op##32_rm, op##64_rm },                  \
    };
#define CARRY_TABLE(op)                                                                            \
    static insn_fn *const op##_fn[2][3] = {                                                        \
        { NULL, op##32_rr, op##64_rr }, { NULL, op##32_rm, op##64_rm },                            \
    };
SCAN_TABLE(bsf) SCAN_TABLE(bsr) SCAN_TABLE(tzcnt) SCAN_TABLE(lzcnt) SCAN_TABLE(popcnt)
CARRY_TABLE(adcx) CARRY_TABLE(adox)

static bool bind_scan(const struct x86_decoded *d, struct insn *i, insn_fn *const table[2][3])
{
    enum form form = insn_form(d, i);

    i->fn = table[form == FORM_RM][size_index(d->operand[0].size) - 1];
    return i->fn != NULL && (form == FORM_RM || form == FORM_RR);
}

/* ---- CRC32: no flags; the destination has 32 significant bits in every form ---- */

#define CRC32(bits, dsel)                                                                          \
    INSN(crc##bits##_rr)                                                                           \
    {                                                                                              \
        uint64_t d = R32(i->rm);                                                                   \
        uint##bits##_t s = R##bits(i->reg);                                                        \
                                                                                                   \
        __asm__("crc32" SFX##bits " %[s_], %" dsel "[d_]" : [d_] "+r"(d) : [s_] "r"(s));           \
        c->reg[i->rm] = d;                                                                         \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(crc##bits##_rm)                                                                           \
    {                                                                                              \
        uint64_t d;                                                                                \
        uint##bits##_t s;                                                                          \
                                                                                                   \
        LOAD(bits, s);                                                                             \
        d = R32(i->reg);                                                                           \
        __asm__("crc32" SFX##bits " %[s_], %" dsel "[d_]" : [d_] "+r"(d) : [s_] "r"(s));           \
        c->reg[i->reg] = d;                                                                        \
        NEXT;                                                                                      \
    }
CRC32(8, "k") CRC32(16, "k") CRC32(32, "k") CRC32(64, "q")

static bool bind_crc(const struct x86_decoded *d, struct insn *i)
{
    static insn_fn *const fn[2][4] = {
        { crc8_rr, crc16_rr, crc32_rr, crc64_rr }, { crc8_rm, crc16_rm, crc32_rm, crc64_rm },
    };

    i->fn = fn[insn_form(d, i) == FORM_RM][size_index(d->operand[1].size)];
    return true;
}

bool bit_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
              struct insn *i)
{
    switch (d->op) {
    case X86_OP_BT: return bind_bit(d, i, bt_fn);
    case X86_OP_BTS: return bind_bit(d, i, bts_fn);
    case X86_OP_BTR: return bind_bit(d, i, btr_fn);
    case X86_OP_BTC: return bind_bit(d, i, btc_fn);
    case X86_OP_BSF: return bind_scan(d, i, bsf_fn);
    case X86_OP_BSR: return bind_scan(d, i, bsr_fn);
    case X86_OP_TZCNT: return bind_scan(d, i, tzcnt_fn);
    case X86_OP_LZCNT: return bind_scan(d, i, lzcnt_fn);
    case X86_OP_POPCNT: return bind_scan(d, i, popcnt_fn);
    case X86_OP_ADCX: return bind_scan(d, i, adcx_fn);
    case X86_OP_ADOX: return bind_scan(d, i, adox_fn);
    case X86_OP_CRC32: return bind_crc(d, i);
    default: return false;
    }
}
