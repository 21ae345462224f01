/* SPDX-License-Identifier: MIT */
/* Local APIC, Intel SDM vol. 3, chapter 11 (APIC). Offsets in the xAPIC page; the x2APIC MSR is
 * 800h + offset / 16. */
#ifndef VZ_ARCH_X86_LAPIC_SPEC_H
#define VZ_ARCH_X86_LAPIC_SPEC_H

#define APIC_ID        0x020
#define APIC_VERSION   0x030
#define APIC_TPR       0x080
#define APIC_APR       0x090 /* xAPIC only */
#define APIC_PPR       0x0a0
#define APIC_EOI       0x0b0
#define APIC_RRD       0x0c0 /* xAPIC only */
#define APIC_LDR       0x0d0
#define APIC_DFR       0x0e0 /* xAPIC only */
#define APIC_SVR       0x0f0
#define APIC_ISR       0x100 /* 8 registers each, 16 bytes apart */
#define APIC_TMR       0x180
#define APIC_IRR       0x200
#define APIC_ESR       0x280
#define APIC_ICR       0x300 /* x2APIC: all 64 bits */
#define APIC_ICR2      0x310 /* xAPIC only */
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_ERROR 0x370
#define APIC_TMICT     0x380
#define APIC_TMCCT     0x390
#define APIC_TDCR      0x3e0
#define APIC_SELF_IPI  0x3f0 /* x2APIC only */

/* Index of an LVT register: (offset - APIC_LVT_TIMER) / 16 */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define LVT_VECTOR(v)  ((uint8_t)(v))
#define LVT_MODE(v)    (((v) >> 8) & 7)
#define LVT_MASKED     0x10000u
#define LVT_TIMER_MODE 0x60000u
#define LVT_TIMER_ONE_SHOT 0x00000u
#define LVT_TIMER_PERIODIC 0x20000u
#define LVT_TIMER_DEADLINE 0x40000u

/* Version: an integrated APIC, with suppression of EOI broadcasts (11.8.5) */
#define APIC_VERSION_VALUE (0x14u | (LVT_COUNT - 1) << 16 | 1u << 24)

/* Delivery modes, SDM vol. 3, 11.6.1; the same numbers everywhere. */
enum apic_mode {
    APIC_MODE_FIXED,
    APIC_MODE_LOWEST,
    APIC_MODE_SMI,
    APIC_MODE_RESERVED,
    APIC_MODE_NMI,
    APIC_MODE_INIT,
    APIC_MODE_SIPI,
    APIC_MODE_EXTINT,
};

#define SVR_ENABLED      0x100u
#define SVR_NO_BROADCAST 0x1000u
#define SVR_WRITABLE     0x13ffu

#define ESR_SEND_ILLEGAL    0x20u
#define ESR_RECEIVE_ILLEGAL 0x40u
#define ESR_REGISTER        0x80u

#define ICR_VECTOR(v)    ((uint8_t)(v))
#define ICR_MODE(v)      ((uint8_t)((v) >> 8 & 7))
#define ICR_LOGICAL      0x800u
#define ICR_ASSERT       0x4000u
#define ICR_LEVEL        0x8000u
#define ICR_SHORTHAND(v) (((v) >> 18) & 3)
#define ICR_WRITABLE     0xccfffu /* of the low half; bit 12, delivery status, reads as 0 */
enum { ICR_TO_DEST, ICR_TO_SELF, ICR_TO_ALL, ICR_TO_OTHERS };

#define TDCR_WRITABLE 0xbu

#endif
