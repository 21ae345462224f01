/* SPDX-License-Identifier: MIT */
/* Single steps and breakpoints between instructions. SDM vol. 3, 18.2 and 18.3. */
#include "base/checked.h"
#include "cpu/x86/event.h"

static unsigned dr7_type(uint64_t dr7, unsigned n) /* R/W: 0 execute, 1 write, 2 I/O, 3 access */
{
    return (unsigned)(dr7 >> (16 + 4 * n)) & 3;
}

static bool dr7_enabled(uint64_t dr7, unsigned n) /* L or G */
{
    return dr7 >> (2 * n) & 3;
}

/* 18.2.4: R/W 2 means ports, where CR4.DE allows it; LEN is 1, 2 or 4 for 0, 1 and 3. */
void event_watch_ports(struct x86_cpu *c, uint16_t port, unsigned size)
{
    for (unsigned n = 0; n < 4 && (c->cr4 & X86_CR4_DE); n++) {
        unsigned len = (unsigned)(c->dr7 >> (18 + 4 * n) & 3) + 1;
        uint64_t at = align_down(c->dr[n], len == 3 ? 1 : len);

        if (dr7_enabled(c->dr7, n) && dr7_type(c->dr7, n) == 2 && port < at + len && at < (uint64_t)port + size)
            c->watch_hits |= (uint8_t)BIT(n);
    }
}

bool event_check_breakpoint(struct x86_cpu *c)
{
    uint64_t rip = in_64bit(c) ? c->rip : (uint32_t)(c->rip + c->seg[X86_CS].base);
    uint64_t hits = 0;

    if ((c->rflags & X86_FLAG_RF) || !(c->dr7 & 0xff))
        return false;
    for (unsigned n = 0; n < 4; n++)
        if (c->dr[n] == rip && dr7_type(c->dr7, n) == 0 && dr7_enabled(c->dr7, n))
            hits |= BIT(n);
    if (!hits)
        return false;
    c->dr6 = (c->dr6 & ~UINT64_C(15)) | hits;
    /* Only the breakpoint is a fault that does not set RF in the frame: error 0. */
    cpu_raise(c, X86_DB, false, 0);
    return true;
}

void event_after_single_step(struct x86_cpu *c, bool tf_was_set)
{
    uint64_t hits = c->watch_hits & 15;

    /* MOV SS puts traps off: data breakpoints to after the next instruction (the hits stay), the
     * single step for good. SDM vol. 3, 6.8.3. */
    if (c->mov_ss_shadow)
        return;
    if (c->watch_hits & EVENT_NO_STEP_TRAP)
        tf_was_set = false;
    c->watch_hits = 0;
    if (!hits && !tf_was_set)
        return;
    if (hits)
        c->dr6 = (c->dr6 & ~UINT64_C(15)) | hits;
    if (tf_was_set)
        c->dr6 |= X86_DR6_BS;
    cpu_raise(c, X86_DB, false, 0);
}
