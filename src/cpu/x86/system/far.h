/* SPDX-License-Identifier: MIT */
/* Far transfers of control and returns from them. SDM vol. 2: JMP, CALL, RET, IRET; vol. 3, 5.8.
 *
 * Each is one instruction less its operand fetch: c->rip is at the instruction when called and at
 * the target afterwards. False: an exception was recorded and nothing has changed, except that a
 * task switch may have been made. osize: 2, 4, 8 bytes. */
#ifndef VZ_CPU_X86_FAR_H
#define VZ_CPU_X86_FAR_H

#include "cpu/x86/cpu.h"

bool far_jump(struct x86_cpu *c, uint16_t selector, uint64_t offset, uint64_t next_rip) must_check;
bool far_call(struct x86_cpu *c, uint16_t selector, uint64_t offset, unsigned osize,
              uint64_t next_rip) must_check;
bool far_return(struct x86_cpu *c, unsigned osize, uint16_t pop_bytes) must_check;
bool far_iret(struct x86_cpu *c, unsigned osize, uint64_t next_rip) must_check;

#endif
