/* SPDX-License-Identifier: MIT */
/* Guest memory for tests: who writes it without asking before (mem.h) ends the test by SIGSEGV. */
#ifndef VZ_TESTS_STRICT_MEM_H
#define VZ_TESTS_STRICT_MEM_H

#include "mem/mem.h"

/* RAM from 0 to len; NULL: the host has not so much. */
static inline struct mem *strict_mem(uint64_t len)
{
    const struct mem_options options = {.capacity = len, .strict = true};
    struct mem *mem;

    if (mem_create_with(&options, &mem, NULL))
        return NULL;
    if (!mem_add(mem, 0, len, false))
        return mem;
    mem_destroy(mem);
    return NULL;
}

#endif
