/* SPDX-License-Identifier: MIT */
/* A second stack for a thread: a function that can be left in the middle and entered again. The
 * public hypervisor interface runs backends on one, so that a call they make can become a return
 * to the program (hypervisor/hyp_vcpu.c).
 *
 * Threads: a fiber is entered by one thread at a time; code on it that was begun by one thread
 * must be ended by the same. Address and thread sanitizer are told of every switch. */
#ifndef VZ_BASE_FIBER_H
#define VZ_BASE_FIBER_H

#include "base/compiler.h"

struct fiber;

/* A fiber that will call fn(arg), which never returns, when first entered. stack_len: bytes, whole
 * pages; a guard page is added, and memory is taken as it is touched. 0 or -ENOMEM. */
int fiber_create(size_t stack_len, void (*fn)(void *arg), void *arg,
                 struct fiber **ret) must_check;

/* Not while on it. What is on its stack is forgotten. NULL is fine. */
void fiber_destroy(struct fiber *f);

/* Go on on the fiber's stack, until it calls fiber_leave(). */
void fiber_enter(struct fiber *f);

/* On the fiber: return from the fiber_enter() that led here. */
void fiber_leave(struct fiber *f);

#endif
