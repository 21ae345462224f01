/* SPDX-License-Identifier: MIT */
/* Intel 8254 programmable interval timer (data sheet 231164) and the PC's port 61h. */
#ifndef VZ_ARCH_X86_PIT_SPEC_H
#define VZ_ARCH_X86_PIT_SPEC_H

#define PIT_HZ 1193182u

#define PIT_PORT_CHANNEL0 0x40
#define PIT_PORT_CONTROL  0x43
#define PIT_PORT_SPEAKER  0x61

/* Control word */
#define PIT_CW_BCD        0x01
#define PIT_CW_MODE(v)    (((v) >> 1) & 7)
#define PIT_CW_RW(v)      (((v) >> 4) & 3)
#define PIT_CW_CHANNEL(v) ((v) >> 6) /* 3: read-back command */
#define PIT_RW_LATCH      0
#define PIT_RW_LSB        1
#define PIT_RW_MSB        2
#define PIT_RW_BOTH       3

/* Read-back command; bits 1..3 select channels 0..2 */
#define PIT_RB_NO_COUNT  0x20
#define PIT_RB_NO_STATUS 0x10

/* Status byte: bits 5:0 are those of the control word */
#define PIT_STATUS_OUT  0x80
#define PIT_STATUS_NULL 0x40

/* Port 61h */
#define PIT_61_GATE2   0x01
#define PIT_61_SPEAKER 0x02
#define PIT_61_WRITE   0x0f
#define PIT_61_REFRESH 0x10 /* toggles with each memory refresh */
#define PIT_61_OUT2    0x20
#define PIT_REFRESH_NS 15085

#endif
