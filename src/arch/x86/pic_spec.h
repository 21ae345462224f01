/* SPDX-License-Identifier: MIT */
/* Intel 8259A programmable interrupt controller (data sheet 231468) and the edge/level control
 * registers of PCI chipsets. */
#ifndef VZ_ARCH_X86_PIC_SPEC_H
#define VZ_ARCH_X86_PIC_SPEC_H

#define PIC_MASTER_CMD  0x20
#define PIC_MASTER_DATA 0x21
#define PIC_SLAVE_CMD   0xa0
#define PIC_SLAVE_DATA  0xa1
#define PIC_ELCR0       0x4d0
#define PIC_ELCR1       0x4d1

#define PIC_CASCADE_IRQ 2

/* Command port */
#define PIC_ICW1_INIT 0x10
#define PIC_ICW1_LTIM 0x08 /* level-triggered for all; PCI chipsets ignore it (ELCR instead) */
#define PIC_ICW1_SNGL 0x02
#define PIC_ICW1_IC4  0x01
#define PIC_OCW3      0x08
#define PIC_OCW3_ESMM 0x40
#define PIC_OCW3_SMM  0x20
#define PIC_OCW3_POLL 0x04
#define PIC_OCW3_RR   0x02
#define PIC_OCW3_RIS  0x01

/* OCW2, bits 7:5 */
#define PIC_OCW2_ROTATE_AEOI_CLEAR 0
#define PIC_OCW2_EOI               1
#define PIC_OCW2_NOP               2
#define PIC_OCW2_SPECIFIC_EOI      3
#define PIC_OCW2_ROTATE_AEOI_SET   4
#define PIC_OCW2_ROTATE_EOI        5
#define PIC_OCW2_SET_PRIORITY      6
#define PIC_OCW2_ROTATE_SPECIFIC   7

/* ICW4 */
#define PIC_ICW4_SFNM 0x10 /* special fully nested mode */
#define PIC_ICW4_AEOI 0x02

/* Where a PC's BIOS has the vectors of lines 0 and 8 (IBM PC/AT Technical Reference) */
#define PIC_BIOS_MASTER_BASE 0x08
#define PIC_BIOS_SLAVE_BASE  0x70

/* Lines whose trigger mode ELCR may not change: 0, 1, 2; 8, 13 */
#define PIC_ELCR0_MASK 0xf8
#define PIC_ELCR1_MASK 0xde

#endif
