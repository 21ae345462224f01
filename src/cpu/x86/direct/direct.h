/* SPDX-License-Identifier: MIT */
/* The third engine: guest code of ring 3 runs on the host's processor as it is, in processes ("stubs",
 * src/stub/) whose address spaces are copies of the guest's page tables, made of mappings of guest
 * RAM. The guest's kernel stays with the other engines, and so do programs that leave user mode too
 * often for it to pay (direct_policy.c).
 *
 * The rule that makes it exact: a stub runs until something happens, and what happened is not taken
 * from the stub. Its registers are imported, and the CPU does exactly that one instruction itself
 * (x86_step()): it walks the page tables, sets accessed and dirty flags, raises exceptions with
 * their error codes. docs/direct.md follows a system call and a page fault through it. */
#ifndef VZ_CPU_X86_DIRECT_DIRECT_H
#define VZ_CPU_X86_DIRECT_DIRECT_H

#include "cpu/x86/engine.h"

extern const struct x86_engine x86_direct;

/* Make what the machine's vCPUs share, if vm->jit asks for it and the host allows it: else vm->direct
 * stays NULL, and the log says why. name: by which the host shows its stubs; NULL: "vz-stub". 0, or
 * -ENOMEM. */
int direct_vm_create(struct x86_vm *vm, const char *name) must_check;
void direct_vm_destroy(struct x86_vm *vm); /* no vCPU runs; NULL in vm->direct is fine */

/* Something is pending for a vCPU that runs in a stub. Any thread, signal handlers too. */
void direct_kick(struct x86_cpu *c);

/* A vCPU has been kicked and must stop, whatever has become of the stub that it runs in. The same threads. */
void direct_must_stop(struct x86_cpu *c);

/* The machine is reset: kill all stubs. No vCPU runs. */
void direct_vm_forget(struct x86_vm *vm);

#endif
