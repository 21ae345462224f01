/* SPDX-License-Identifier: MIT */
/* Large tables of our own: zeroed memory, of huge pages where the host's kernel gives them, so that
 * looking here and there into it costs few misses of the host's TLB. */
#ifndef VZ_BASE_PAGES_H
#define VZ_BASE_PAGES_H

#include "base/compiler.h"

#define PAGES_HUGE ((size_t)2 << 20)

/* len bytes at a multiple of PAGES_HUGE, or NULL. The host gives memory where it is touched. */
void *pages_map(size_t len) must_check;
void pages_unmap(void *p, size_t len); /* the same len; NULL is fine */

#endif
