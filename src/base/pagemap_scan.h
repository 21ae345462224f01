/* SPDX-License-Identifier: MIT */
/* PAGEMAP_SCAN, an ioctl() of /proc/PID/pagemap since Linux 6.7, which headers of older ones have not:
 * Documentation/admin-guide/mm/pagemap.rst. */
#ifndef VZ_BASE_PAGEMAP_SCAN_H
#define VZ_BASE_PAGEMAP_SCAN_H

#include <sys/ioctl.h>

#include "base/compiler.h"

struct pagemap_region { /* struct page_region */
    uint64_t start, end, categories;
};

struct pagemap_scan { /* struct pm_scan_arg */
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_LOOK _IOWR('f', 16, struct pagemap_scan)

#define PAGEMAP_PRESENT BIT(3) /* PAGE_IS_PRESENT */
#define PAGEMAP_SWAPPED BIT(4) /* PAGE_IS_SWAPPED */

#endif
