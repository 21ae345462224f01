/* SPDX-License-Identifier: MIT */
/* Large pieces of memory of our own, zeroed, of huge pages where the host's kernel gives them: looking
 * here and there into it costs few misses of the host's TLB, and first touching it few faults. */
#ifndef VZ_BASE_PAGES_H
#define VZ_BASE_PAGES_H

#include "base/compiler.h"

#define PAGES_HUGE ((size_t)2 << 20)

/* len bytes (below PAGES_HUGE / 2 of small pages) at a multiple of PAGES_HUGE, or NULL. The host gives memory where it is touched. */
void *pages_map(size_t len) must_check;
void pages_unmap(void *p, size_t len); /* the same len; NULL is fine */

#endif
