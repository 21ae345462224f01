/* SPDX-License-Identifier: MIT */
#include "base/pages.h"

#include <sys/mman.h>

#include "base/checked.h"

void *pages_map(size_t len)
{
    size_t size = align_up(len, PAGES_HUGE), all = size + PAGES_HUGE;
    uint8_t *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0), *at;

    if (p == MAP_FAILED)
        return NULL;
    at = (uint8_t *)align_up((uintptr_t)p, PAGES_HUGE);
    if (at > p)
        munmap(p, (size_t)(at - p));
    if (p + all > at + size)
        munmap(at + size, (size_t)(p + all - (at + size)));
    if (len >= PAGES_HUGE / 2)
        (void)madvise(at, size, MADV_HUGEPAGE); /* refused where the kernel has none */
    return at;
}

void pages_unmap(void *p, size_t len)
{
    if (p)
        munmap(p, align_up(len, PAGES_HUGE));
}
