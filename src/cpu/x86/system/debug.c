/* SPDX-License-Identifier: MIT */
/* Single steps and breakpoints between instructions. SDM vol. 3, 18.2 and 18.3. */
#include "base/checked.h"
#include "cpu/x86/event.h"

enum { DR7_EXECUTE, DR7_WRITE, DR7_PORT, DR7_ACCESS }; /* R/W */

static unsigned dr7_type(uint64_t dr7, unsigned n)
{
    return (unsigned)(dr7 >> (16 + 4 * n)) & 3;
}

static bool dr7_enabled(uint64_t dr7, unsigned n) /* L or G */
{
    return dr7 >> (2 * n) & 3;
}

/* Types of R/W: bits. 18.2.5: LEN is 1, 2, 8 or 4 for 0 to 3; of ports, 2 is undefined (18.2.4). */
static void watch(struct x86_cpu *c, unsigned types, uint64_t va, unsigned size)
{
    static const uint8_t length[4] = {1, 2, 8, 4};

    for (unsigned n = 0; n < 4; n++) {
        unsigned len = length[c->dr7 >> (18 + 4 * n) & 3];
        uint64_t at = align_down(c->dr[n], len);

        if (dr7_enabled(c->dr7, n) && types & 1u << dr7_type(c->dr7, n) && va < at + len && at < va + size)
            c->watch_hits |= (uint8_t)BIT(n);
    }
}

void event_watch_memory(struct x86_cpu *c, uint64_t va, unsigned size, bool write)
{
    watch(c, write ? 1u << DR7_WRITE | 1u << DR7_ACCESS : 1u << DR7_ACCESS, va, size);
}

void event_watch_ports(struct x86_cpu *c, uint16_t port, unsigned size)
{
    if (c->cr4 & X86_CR4_DE)
        watch(c, 1u << DR7_PORT, port, size);
}

bool event_check_breakpoint(struct x86_cpu *c)
{
    uint64_t rip = in_64bit(c) ? c->rip : (uint32_t)(c->rip + c->seg[X86_CS].base);
    uint64_t hits = 0;

    if ((c->rflags & X86_FLAG_RF) || !(c->dr7 & 0xff))
        return false;
    for (unsigned n = 0; n < 4; n++)
        if (c->dr[n] == rip && dr7_type(c->dr7, n) == DR7_EXECUTE && dr7_enabled(c->dr7, n))
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
