/* SPDX-License-Identifier: MIT */
/* Large pieces of memory of our own, zeroed, of huge pages where the host's kernel gives them: looking
 * here and there into it costs few misses of the host's TLB, and first touching it few faults. */
#ifndef VZ_BASE_PAGES_H
#define VZ_BASE_PAGES_H

#include "base/compiler.h"

#define PAGES_HUGE  ((size_t)2 << 20)
#define PAGES_SMALL ((size_t)4096)

/* len bytes at a multiple of PAGES_HUGE, or NULL; below PAGES_HUGE / 2 they are of small pages, at a multiple of
 * PAGES_SMALL. The host gives memory where it is touched. */
void *pages_map(size_t len) must_check;
/* The same of small pages, for what may stay small: what is touched is what it takes. */
void *pages_reserve(size_t len) must_check;
void pages_unmap(void *p, size_t len); /* of either; the same len; NULL is fine */

/* Of what pages_reserve() gave: have huge pages from now on, where it has been touched too. p at a multiple of
 * PAGES_HUGE; what is not a whole one at the end stays small. */
void pages_use_huge(void *p, size_t len);
/* Give the host back what [p, p + len) holds, which is zero again, and be of small pages. Whole pages. */
void pages_give_back(void *p, size_t len);

#endif
