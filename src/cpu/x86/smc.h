/* SPDX-License-Identifier: MIT */
/* Self-modifying and cross-modifying code, and the meeting points that vCPUs need for it.
 *
 * struct mem_code says, per page of RAM and 64-byte granule, where some vCPU has cached decoded
 * code. A vCPU that starts to cache code of a page sets the granules first, makes every vCPU that
 * may have write tags for the page drop them and waits until each has done so or is not running
 * guest code, and only then reads the bytes. From then on every write to the page takes the slow
 * path, and a write that hits a set granule tells all vCPUs to forget their blocks of that granule.
 * A vCPU acts on what it was told at the next block boundary, which every serializing instruction
 * is; its own writes act at once, also on the block that is running (block.h).
 *
 * A granule that was written stays set, but stale, until code of it is cached again: code that is
 * rewritten and run in turn then costs no waiting for other vCPUs. Once all of a page's granules
 * are stale and it is still being written, it counts as data again. */
#ifndef VZ_CPU_X86_SMC_H
#define VZ_CPU_X86_SMC_H

#include "cpu/x86/cpu.h"

struct sync_domain;
struct sync_slot;

int sync_create(struct x86_vm *vm) must_check; /* sets vm->sync; 0 or -ENOMEM */
void sync_destroy(struct x86_vm *vm);
int sync_attach(struct x86_cpu *c) must_check; /* sets c->sync */

/* The vCPU enters and leaves x86_cpu_run(), or a stretch in which it may block (a host call):
 * while outside nobody waits for it; enter waits while another vCPU is in an exclusive section. */
void sync_enter(struct x86_cpu *c);
void sync_leave(struct x86_cpu *c);

/* Answer what others asked for: X86_PENDING_SYNC was seen, at a block boundary. */
void sync_service(struct x86_cpu *c);

/* About to cache code of [host, host + len), inside one page of RAM. See above. What is made of it
 * must be among what block_invalidate() forgets when one of its granules is written. */
void smc_claim(struct x86_cpu *c, const uint8_t *host, unsigned len);

/* [host, host + len) inside one page of RAM has been written by this vCPU on the slow path; len
 * at most a page. */
void smc_written(struct x86_cpu *c, const uint8_t *host, unsigned len);

/* May this vCPU store to the page at host without smc_written(), until it is told otherwise? Not
 * where there is cached code. */
bool smc_allows_plain_stores(const struct x86_cpu *c, const uint8_t *host);

/* The granules of [host, host + len), which lies inside one page. */
static inline uint64_t smc_granules(const uint8_t *host, unsigned len)
{
    unsigned first = (unsigned)((uintptr_t)host & (MEM_PAGE_SIZE - 1)) / 64;
    unsigned last = (unsigned)(((uintptr_t)host & (MEM_PAGE_SIZE - 1)) + len - 1) / 64;

    return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (63 - last));
}

/* A host call that may take long begins and ends: nobody waits for the vCPU meanwhile. Ends an
 * exclusive section: what it locked is no plain memory. */
void sync_host_call_begin(struct x86_cpu *c);
void sync_host_call_end(struct x86_cpu *c);

/* Run between: all other vCPUs of the machine stand at a block boundary or outside. For locked
 * accesses that the host cannot do atomically (page crossings, MMIO). Not nestable. Others'
 * requests are served while waiting, so mappings and blocks may have changed: begin it before
 * looking anything up. */
void sync_exclusive_begin(struct x86_cpu *c);
void sync_exclusive_end(struct x86_cpu *c);

#endif
