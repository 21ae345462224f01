/* SPDX-License-Identifier: MIT */
/* Where guest memory is zeros that the host has no memory for. To read them would take some, or at least a fault each,
 * and most of a large machine's memory is such. Of anonymous memory the host's kernel says it by a file that is opened
 * with the memory, since a process in its sandbox opens none. */
#ifndef VZ_MEM_MEM_HOLES_H
#define VZ_MEM_MEM_HOLES_H

#include "mem/mem.h"

#define MEM_HOLE_PIECE ((uint64_t)2 * MIB)

/* Which of the count pages from offset on are zeros that nothing is kept for? False: maybe not. In a child process: of
 * none. */
void mem_find_holes(const struct mem *mem, uint64_t offset, unsigned count, bool *ret);

/* Which pieces of mem_ram_size() have anything else, as far as can be told? Takes less than half a millisecond for
 * each GiB that is in use, so that it can be asked while a machine stands still. */
void mem_find_used(const struct mem *mem, bool *ret);

static inline uint64_t mem_hole_pieces(uint64_t len)
{
    return (len + MEM_HOLE_PIECE - 1) / MEM_HOLE_PIECE;
}

/* For mem.c, which calls them when what they are called for is done. */
void mem_holes_open(struct mem *mem);
void mem_holes_close(struct mem *mem);
void mem_holes_mapped(struct mem *mem, uint64_t offset, uint64_t len);
void mem_holes_unmapped(struct mem *mem);

#endif
