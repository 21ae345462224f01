/* SPDX-License-Identifier: MIT */
/* FNSTENV, FLDENV, FNSAVE, FRSTOR: the x87 environment in its four formats (SDM vol. 1, 8.1.10).
 * The unit itself writes and reads the 28-byte protected-mode one; the pointers in it are ours.
 * struct insn: aux as in fpu_exec.h; vreg: 1 for the 16-bit formats. */
#include "cpu/x86/fpu/fpu_exec.h"

#define ENV_LEN 28u
#define ST_LEN  80u

struct env_image {
    uint32_t word[7]; /* FCW, FSW, FTW, FIP, FOP:FCS, FDP, FDS */
    uint8_t st[ST_LEN];
};

static FPU_LIVE_CODE void native_fnstenv(struct x86_cpu *c, struct env_image *e)
{
    fpu_need_live(c);
    __asm__ volatile("fnstenv %0" : "=m"(*e));
    fpu_live_done(c);
}

static FPU_LIVE_CODE void native_fldenv(struct x86_cpu *c, const struct env_image *e)
{
    fpu_need_live(c);
    __asm__ volatile("fldenv %0" : : "m"(*e));
    fpu_live_done(c);
}

static FPU_LIVE_CODE void native_fnsave(struct x86_cpu *c, struct env_image *e)
{
    fpu_need_live(c);
    __asm__ volatile("fnsave %0" : "=m"(*e));
    fpu_live_done(c);
}

static FPU_LIVE_CODE void native_frstor(struct x86_cpu *c, const struct env_image *e)
{
    fpu_need_live(c);
    __asm__ volatile("frstor %0" : : "m"(*e));
    fpu_live_done(c);
}

/* Put the guest's pointers in. Real-address formats have linear addresses; the selectors of the
 * others read as 0, as CPUID.7.EBX[13] allows. */
static void pack_pointers(struct x86_cpu *c, struct env_image *e, bool is16)
{
    uint32_t ip = (uint32_t)c->x87_ip, dp = (uint32_t)c->x87_dp, op = c->x87_op & 0x7ffu;

    if (!in_real_or_v86(c)) {
        e->word[3] = ip;
        e->word[4] = op << 16;
        e->word[5] = dp;
        e->word[6] = 0xffff0000u;
        return;
    }
    ip += (uint32_t)c->seg[X86_CS].base;
    dp += (uint32_t)c->seg[X86_DS].base;
    e->word[3] = is16 ? ip : 0xffff0000u | (ip & 0xffff);
    e->word[4] = ((ip >> 16) << 12 | op) & 0x0fffffffu;
    e->word[5] = is16 ? dp : 0xffff0000u | (dp & 0xffff);
    e->word[6] = ((dp >> 16) << 12) & 0x0fffffffu;
}

static void unpack_pointers(struct x86_cpu *c, const struct env_image *e)
{
    if (!in_real_or_v86(c)) {
        c->x87_ip = e->word[3];
        c->x87_op = (e->word[4] >> 16) & 0x7ff;
        c->x87_dp = e->word[5];
        return;
    }
    c->x87_ip = ((e->word[3] & 0xffff) | (e->word[4] & 0x0ffff000u) << 4) -
                (uint32_t)c->seg[X86_CS].base;
    c->x87_op = e->word[4] & 0x7ff;
    c->x87_dp = ((e->word[5] & 0xffff) | (e->word[6] & 0x0ffff000u) << 4) -
                (uint32_t)c->seg[X86_DS].base;
    c->x87_ip = (uint32_t)c->x87_ip;
    c->x87_dp = (uint32_t)c->x87_dp;
}

/* To the 16-bit form in place: words instead of double words. */
static unsigned narrow(struct x86_cpu *c, struct env_image *e)
{
    uint16_t w[7] = {(uint16_t)e->word[0], (uint16_t)e->word[1], (uint16_t)e->word[2],
                     (uint16_t)e->word[3], (uint16_t)e->word[4], (uint16_t)e->word[5],
                     (uint16_t)e->word[6]};

    if (!in_real_or_v86(c))
        w[4] = w[6] = 0;
    fpu_copy(e, w, sizeof(w));
    return sizeof(w);
}

static void widen(struct x86_cpu *c, struct env_image *e)
{
    uint16_t w[7];

    fpu_copy(w, e, sizeof(w));
    for (unsigned k = 0; k < 7; k++)
        e->word[k] = w[k];
    if (!in_real_or_v86(c))
        e->word[4] = e->word[6] = 0; /* selectors, which are not kept; no FOP in this format */
}

static noinline bool store_environment(struct x86_cpu *c, const struct insn *i, bool with_stack)
{
    unsigned env = i->vreg ? 14 : ENV_LEN, len = env + (with_stack ? ST_LEN : 0);
    struct env_image e;
    struct loaded ea;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, len, true);
    if (!ea.ok || !fpu_probe_write(c, i, ea.value, len))
        return false;
    if (with_stack)
        native_fnsave(c, &e);
    else
        native_fnstenv(c, &e);
    pack_pointers(c, &e, i->vreg);
    if (with_stack) {
        c->x87_ip = c->x87_dp = 0;
        c->x87_op = 0;
    }
    fpu_x87_control_changed(c); /* all masked now */
    if (i->vreg)
        narrow(c, &e);
    return fpu_write(c, i, ea.value, &e, env) &&
           (!with_stack || fpu_write(c, i, ea.value + env, e.st, ST_LEN));
}

static noinline bool load_environment(struct x86_cpu *c, const struct insn *i, bool with_stack)
{
    unsigned env = i->vreg ? 14 : ENV_LEN, len = env + (with_stack ? ST_LEN : 0);
    struct env_image e;
    struct loaded ea;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, len, false);
    if (!ea.ok || !fpu_read(c, i, ea.value, &e, env) ||
        (with_stack && !fpu_read(c, i, ea.value + env, e.st, ST_LEN)))
        return false;
    if (i->vreg)
        widen(c, &e);
    unpack_pointers(c, &e);
    e.word[3] = e.word[4] = e.word[5] = e.word[6] = 0;
    if (with_stack)
        native_frstor(c, &e);
    else
        native_fldenv(c, &e);
    fpu_x87_control_changed(c);
    return true;
}

void fpu_fnstenv(struct x86_cpu *c, const struct insn *i)
{
    if (store_environment(c, i, false))
        NEXT;
}

void fpu_fldenv(struct x86_cpu *c, const struct insn *i)
{
    if (load_environment(c, i, false))
        NEXT;
}

void fpu_fnsave(struct x86_cpu *c, const struct insn *i)
{
    if (store_environment(c, i, true))
        NEXT;
}

void fpu_frstor(struct x86_cpu *c, const struct insn *i)
{
    if (load_environment(c, i, true))
        NEXT;
}
