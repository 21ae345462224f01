/* SPDX-License-Identifier: MIT */
#include "base/pages.h"

#include <sys/mman.h>

#include "base/checked.h"

#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

/* What is small takes no more addresses than it needs: a process may be short of them. */
static bool is_small(size_t len)
{
    return len < PAGES_HUGE / 2;
}

static size_t room_of(size_t len)
{
    return align_up(len, is_small(len) ? PAGES_SMALL : PAGES_HUGE);
}

static void *map_aligned(size_t len)
{
    size_t size = room_of(len), all = size + (is_small(len) ? 0 : PAGES_HUGE);
    uint8_t *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0), *at;

    if (p == MAP_FAILED)
        return NULL;
    if (is_small(len))
        return p;
    at = (uint8_t *)align_up((uintptr_t)p, PAGES_HUGE);
    if (at > p)
        munmap(p, (size_t)(at - p));
    if (p + all > at + size)
        munmap(at + size, (size_t)(p + all - (at + size)));
    return at;
}

/* madvise() is refused where the kernel has no huge pages. */

void *pages_map(size_t len)
{
    void *p = map_aligned(len);

    if (p && !is_small(len))
        (void)madvise(p, room_of(len), MADV_HUGEPAGE);
    return p;
}

void *pages_reserve(size_t len)
{
    void *p = map_aligned(len);

    if (p)
        (void)madvise(p, room_of(len), MADV_NOHUGEPAGE); /* some hosts give them unasked */
    return p;
}

void pages_use_huge(void *p, size_t len)
{
    len = align_down(len, PAGES_HUGE);
    if (!len || madvise(p, len, MADV_HUGEPAGE) < 0)
        return;
    for (size_t at = 0; at < len; at += PAGES_HUGE)
        if (madvise((uint8_t *)p + at, PAGES_HUGE, MADV_COLLAPSE) < 0) /* nothing is there yet, */
            return; /* so nothing will be behind it */
}

void pages_give_back(void *p, size_t len)
{
    (void)madvise(p, len, MADV_DONTNEED);
    (void)madvise(p, len, MADV_NOHUGEPAGE);
}

void pages_unmap(void *p, size_t len)
{
    if (p)
        munmap(p, room_of(len));
}
