/* SPDX-License-Identifier: MIT */
#include "mem/mem_holes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pagemap_scan.h"
#include "mem/mem_fork.h"
#include "unit.h"

#define PIECES 8u
#define RAM    (PIECES * MEM_HOLE_PIECE - MEM_PAGE_SIZE) /* the last one is not whole */

static struct mem *make(void)
{
    struct mem *mem;

    ck_assert_int_eq(mem_create(PIECES * MEM_HOLE_PIECE, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, RAM, false), 0);
    ck_assert_int_eq(madvise(mem->base, RAM, MADV_NOHUGEPAGE), 0); /* pages are counted */
    return mem;
}

static void touch(struct mem *mem, uint64_t offset)
{
    *(uint8_t *)mem_ram(mem, offset, 1, MEM_WRITE) = 1;
}

static bool can_scan(const struct mem *mem)
{
    struct pagemap_scan scan = {.size = sizeof(scan), .start = (uintptr_t)mem->base, .end = (uintptr_t)mem->base};

    return ioctl(mem->pagemap, PAGEMAP_LOOK, &scan) == 0;
}

START_TEST(what_was_never_written_is_a_hole)
{
    struct mem *mem = make();
    bool hole[4];

    touch(mem, MEM_HOLE_PIECE + 2 * MEM_PAGE_SIZE);
    mem_find_holes(mem, MEM_HOLE_PIECE, 4, hole);
    ck_assert(hole[0] && hole[1] && !hole[2] && hole[3]);
    ck_assert_int_eq(
        mem_discard(mem, mem_ram(mem, MEM_HOLE_PIECE, 4 * MEM_PAGE_SIZE, MEM_WRITE), 4 * MEM_PAGE_SIZE), 0);
    mem_find_holes(mem, MEM_HOLE_PIECE, 4, hole);
    ck_assert(hole[2]);
    mem_destroy(mem);
}
END_TEST

START_TEST(pieces_are_used_where_anything_is)
{
    struct mem *mem = make();
    bool used[PIECES];

    touch(mem, 2 * MEM_HOLE_PIECE - 1);
    touch(mem, 4 * MEM_HOLE_PIECE);
    touch(mem, RAM - 1);
    mem_find_used(mem, used);
    for (unsigned i = 0; i < PIECES; i++)
        ck_assert(used[i] == (!can_scan(mem) || i == 1 || i == 4 || i == PIECES - 1));
    mem_destroy(mem);
}
END_TEST

/* Pages of a file that nobody has read yet are not there, and are something. */
START_TEST(what_is_mapped_is_no_hole)
{
    struct mem *mem = make();
    int fd = memfd_create("state", MFD_CLOEXEC);
    bool hole[1], used[PIECES];

    ck_assert_int_eq(ftruncate(fd, 2 * MEM_PAGE_SIZE), 0);
    ck_assert_int_eq(mem_map(mem, 3 * MEM_HOLE_PIECE - MEM_PAGE_SIZE, 2 * MEM_PAGE_SIZE, fd, 0), 0);
    close(fd);
    mem_find_holes(mem, 3 * MEM_HOLE_PIECE, 1, hole);
    ck_assert(!hole[0]);
    mem_find_holes(mem, 5 * MEM_HOLE_PIECE, 1, hole);
    ck_assert(hole[0]);
    mem_find_used(mem, used);
    for (unsigned i = 0; i < PIECES; i++)
        ck_assert(used[i] == (!can_scan(mem) || i == 2 || i == 3));
    ck_assert_int_eq(mem_clear(mem), 0);
    mem_find_holes(mem, 3 * MEM_HOLE_PIECE, 1, hole);
    ck_assert(hole[0]);
    mem_destroy(mem);
}
END_TEST

/* Its memory is not what the parent's file tells of. */
static int finds_none(void *arg)
{
    struct mem *mem = arg;
    bool hole[1];

    mem_find_holes(mem, 0, 1, hole);
    return hole[0] ? -1 : 0;
}

START_TEST(a_child_knows_of_no_holes)
{
    struct mem *mem = make();
    pid_t pid;

    ck_assert_int_eq(mem_fork(mem, 0, finds_none, mem, &pid), 0);
    ck_assert_int_eq(mem_fork_wait(pid), 0);
    mem_destroy(mem);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_was_never_written_is_a_hole);
    UNIT_TEST(s, pieces_are_used_where_anything_is);
    UNIT_TEST(s, what_is_mapped_is_no_hole);
    UNIT_TEST(s, a_child_knows_of_no_holes);
}

UNIT_TEST_MAIN("holes of guest memory", add_tests)
