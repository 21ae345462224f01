/* SPDX-License-Identifier: MIT */
/* --jit direct=check: before each stretch in a stub the interpreter runs ahead from the same state, on copies
 * of the pages it stores to, until something that ends the stretch, for a millisecond at most. What
 * the stub then comes back with must be a state that the interpreter came by: registers, flags, vector
 * state, and those pages. So it is registers on their way into a stub and out of it, and mappings, that
 * are judged. Nothing is translated, and one vCPU runs at a time.
 *
 * Not compared, but counted: stretches that go on for longer, that come to what only the processor knows
 * (RDTSC and its like), or that store to too many pages. Running ahead sets accessed and dirty flags, and
 * makes pages known as code: what depends on that is seen by other tests. */
#ifndef VZ_CPU_X86_DIRECT_CHECK_H
#define VZ_CPU_X86_DIRECT_CHECK_H

#include "cpu/x86/cpu.h"
#include "stub/stub.h"

int direct_check_create(struct x86_cpu *c) must_check; /* also c->check; 0 or -ENOMEM */
void direct_check_destroy(struct x86_cpu *c);

/* Around a stretch, which may not come to run; the vector state is parked. after: the state has been imported.
 * False: they differ, and the machine is stopped. */
void direct_check_before(struct x86_cpu *c);
bool direct_check_after(struct x86_cpu *c, enum stub_event event) must_check;

#endif
