/* SPDX-License-Identifier: MIT */
/* Hardware task switching, outside long mode. SDM vol. 3, chapter 8. */
#ifndef VZ_CPU_X86_TASK_H
#define VZ_CPU_X86_TASK_H

#include "cpu/x86/cpu.h"

enum task_how { TASK_JMP, TASK_CALL, TASK_IRET, TASK_BY_EVENT };

/* Switch to the TSS of selector; rip and rflags are saved for the old task. The caller has checked
 * what depends on how the selector was found (DPL of gate or TSS). False: an exception was
 * recorded; c->rip tells in which task: it is the new one's once the switch is made. */
bool task_switch(struct x86_cpu *c, uint16_t selector, enum task_how how, uint64_t rip,
                 uint64_t rflags) must_check;

/* IRET with NT set: back to the task that the current TSS links to. */
bool task_return(struct x86_cpu *c, uint64_t rip) must_check;

#endif
