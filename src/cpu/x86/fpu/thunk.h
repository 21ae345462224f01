/* SPDX-License-Identifier: MIT */
/* Code memory for the one-instruction functions that run guest vector instructions natively.
 *
 * A thunk is at most 8 bytes: one normalised instruction (encode.h) and RET. Its bytes are its
 * identity, so each is made once per vCPU however often the guest's code has it. The memory is
 * mapped twice, once writable and once executable; no address is ever both.
 *
 * A hostile guest can make up millions of encodings. When the area is nearly full, get() posts
 * X86_PENDING_FLUSH to its CPU: the main loop then empties block cache and thunks together (decoded
 * instructions hold addresses of thunks) before it decodes another block. What is left of the area
 * is enough for the block being decoded.
 *
 * Threads: the vCPU's own. */
#ifndef VZ_CPU_X86_FPU_THUNK_H
#define VZ_CPU_X86_FPU_THUNK_H

#include "cpu/x86/cpu.h"

#define THUNK_COUNT   65536u
#define THUNK_RESERVE 1024u /* more than one block can need */

/* Sets c->thunks. 0, or -errno: no memory, or no executable memory allowed here. */
int thunk_cache_create(struct x86_cpu *c) must_check;
void thunk_cache_destroy(struct x86_cpu *c); /* not created is fine */

/* Forget all thunks. Only together with block_cache_empty(), no block runs. */
void thunk_cache_empty(struct x86_cpu *c);

/* The address of the function that consists of the instruction bytes (least significant byte
 * first, len at most 7) and RET; 0 when the area is full. */
uint64_t thunk_get(struct thunk_cache *t, uint64_t bytes, unsigned len);

#endif
