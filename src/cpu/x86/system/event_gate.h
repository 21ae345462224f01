/* SPDX-License-Identifier: MIT */
/* Inside event delivery: one event on its way through the IVT or IDT. */
#ifndef VZ_CPU_X86_EVENT_GATE_H
#define VZ_CPU_X86_EVENT_GATE_H

#include "cpu/x86/cpu.h"

struct event {
    uint8_t vector;
    bool soft;          /* INT n, INT3, INTO: the gate's DPL counts */
    bool has_error;
    uint8_t ext;        /* EXT bit for errors met on the way: 0 when soft */
    uint32_t error;
    uint64_t rip;       /* to return to */
    uint64_t rflags;    /* image to push: RF as the event has it */
};

/* Deliver in one attempt. False: another exception was recorded, nothing architectural changed. */
bool event_through_ivt(struct x86_cpu *c, const struct event *e) must_check;
bool event_through_idt(struct x86_cpu *c, const struct event *e) must_check;      /* legacy */
bool event_through_long_idt(struct x86_cpu *c, const struct event *e) must_check; /* long mode */

#endif
