/* SPDX-License-Identifier: MIT */
/* I/O APIC: Intel 82093AA data sheet (290566), with version 20h's EOI register (ICH data
 * sheets). */
#ifndef VZ_ARCH_X86_IOAPIC_SPEC_H
#define VZ_ARCH_X86_IOAPIC_SPEC_H

#define IOAPIC_REGSEL 0x00
#define IOAPIC_WIN    0x10
#define IOAPIC_EOI    0x40

/* Indirect registers */
#define IOAPIC_REG_ID    0x00
#define IOAPIC_REG_VER   0x01
#define IOAPIC_REG_ARB   0x02
#define IOAPIC_REG_REDIR 0x10 /* two per pin: low, high */

#define IOAPIC_VERSION  0x20u
#define IOAPIC_ID_MASK  0x0f000000u

/* Redirection table entry */
#define IOAPIC_VECTOR       UINT64_C(0xff)
#define IOAPIC_MODE(e)      ((unsigned)((e) >> 8) & 7)
#define IOAPIC_LOGICAL      BIT(11)
#define IOAPIC_DELIVERY     BIT(12) /* read-only: send pending; we never wait */
#define IOAPIC_ACTIVE_LOW   BIT(13)
#define IOAPIC_REMOTE_IRR   BIT(14) /* read-only */
#define IOAPIC_LEVEL        BIT(15)
#define IOAPIC_MASKED       BIT(16)
#define IOAPIC_DEST(e)      ((uint8_t)((e) >> 56))
#define IOAPIC_WRITABLE     (UINT64_C(0xff0000000001ffff) & ~(IOAPIC_DELIVERY | IOAPIC_REMOTE_IRR))

#endif
