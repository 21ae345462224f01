/* SPDX-License-Identifier: MIT */
#include "mem/mem_holes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pagemap_scan.h"

void mem_holes_open(struct mem *mem)
{
    if (mem->base && mem->fd < 0 && !mem->pool)
        mem->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void mem_holes_close(struct mem *mem)
{
    if (mem->pagemap >= 0)
        close(mem->pagemap);
    free(mem->from_file);
}

void mem_holes_mapped(struct mem *mem, uint64_t offset, uint64_t len)
{
    if (!mem->from_file && !mem->mapped) /* else there was no memory for it once, and nobody knows of the pieces before */
        mem->from_file = calloc(mem_hole_pieces(mem->capacity), 1);
    if (mem->from_file)
        memset(mem->from_file + offset / MEM_HOLE_PIECE, 1,
               mem_hole_pieces(offset + len) - offset / MEM_HOLE_PIECE);
}

void mem_holes_unmapped(struct mem *mem)
{
    free(mem->from_file);
    mem->from_file = NULL;
}

/* What is a file's need not be present to be something. */
static bool is_from_file(const struct mem *mem, uint64_t offset)
{
    return mem->mapped && (!mem->from_file || mem->from_file[offset / MEM_HOLE_PIECE]);
}

/* proc(5): what is neither present nor swapped of anonymous memory has never been written. */
#define ENTRY_THERE (BIT(63) | BIT(62))

static void find_untouched(const struct mem *mem, uint64_t offset, unsigned count, bool *ret)
{
    uint64_t first = (uintptr_t)(mem->base + offset) / MEM_PAGE_SIZE, entry[256];

    for (unsigned n = 0, some; n < count; n += some) {
        some = MIN(count - n, (unsigned)ARRAY_SIZE(entry));
        if (pread(mem->pagemap, entry, some * sizeof(entry[0]), (off_t)((first + n) * sizeof(entry[0]))) !=
            (ssize_t)(some * sizeof(entry[0])))
            return;
        for (unsigned i = 0; i < some; i++)
            ret[n + i] = !(entry[i] & ENTRY_THERE) &&
                         !is_from_file(mem, offset + (n + i) * (uint64_t)MEM_PAGE_SIZE);
    }
}

/* One call of the kernel's for each stretch, of data or of a hole. */
static void find_file_holes(const struct mem *mem, uint64_t offset, unsigned count, bool *ret)
{
    uint64_t data = 0, end = 0; /* [data, end): the stretch of data at or behind at */

    for (unsigned n = 0; n < count; n++) {
        uint64_t at = offset + n * (uint64_t)MEM_PAGE_SIZE;

        if (at >= end) {
            off_t found = lseek(mem->fd, (off_t)at, SEEK_DATA);
            off_t hole = found < 0 ? -1 : lseek(mem->fd, found, SEEK_HOLE);

            if (found < 0 && errno != ENXIO)
                return;
            data = found < 0 ? UINT64_MAX : (uint64_t)found;
            end = hole < 0 ? UINT64_MAX : (uint64_t)hole;
        }
        ret[n] = data >= at + MEM_PAGE_SIZE;
    }
}

void mem_find_holes(const struct mem *mem, uint64_t offset, unsigned count, bool *ret)
{
    memset(ret, 0, count * sizeof(*ret));
    if (mem->pool)
        return;
    if (mem->fd < 0)
        find_untouched(mem, offset, count, ret);
    else
        find_file_holes(mem, offset, count, ret);
}

/* The first page at or behind offset that is present or swapped: 1, and where. 0: there is none. -1: that cannot be
 * told. */
static int find_there(const struct mem *mem, uint64_t offset, uint64_t len, uint64_t *ret)
{
    struct pagemap_region found;
    struct pagemap_scan scan = {.size = sizeof(scan),
                            .start = (uintptr_t)mem->base + offset,
                            .end = (uintptr_t)mem->base + len,
                            .vec = (uintptr_t)&found,
                            .vec_len = 1,
                            .max_pages = 1,
                            .category_anyof_mask = PAGEMAP_PRESENT | PAGEMAP_SWAPPED,
                            .return_mask = PAGEMAP_PRESENT | PAGEMAP_SWAPPED};
    int n = ioctl(mem->pagemap, PAGEMAP_LOOK, &scan);

    if (n > 0)
        *ret = found.start - (uintptr_t)mem->base;
    return n;
}

void mem_find_used(const struct mem *mem, bool *ret)
{
    uint64_t len = mem_ram_size(mem), at = 0, found;
    int r;

    for (uint64_t i = 0; i < mem_hole_pieces(len); i++)
        ret[i] = is_from_file(mem, i * MEM_HOLE_PIECE);
    while (at < len && (r = find_there(mem, at, len, &found)) != 0) {
        if (r < 0) {
            memset(ret, 1, mem_hole_pieces(len));
            return;
        }
        ret[found / MEM_HOLE_PIECE] = true;
        at = (found / MEM_HOLE_PIECE + 1) * MEM_HOLE_PIECE;
    }
}
