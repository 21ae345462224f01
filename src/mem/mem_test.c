/* SPDX-License-Identifier: MIT */
#include "mem/mem.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

static struct mem *make(void)
{
    struct mem *mem;

    ck_assert_int_eq(mem_create(64 * 4096, &mem, NULL), 0);
    return mem;
}

START_TEST(regions_are_sorted_and_never_overlap)
{
    struct mem *mem = make();

    ck_assert_int_eq(mem_add(mem, 0x100000, 0x4000, false), 0);
    ck_assert_int_eq(mem_add(mem, 0, 0x4000, false), 0);
    ck_assert_int_eq(mem_add(mem, 0x3000, 0x2000, false), -EEXIST);
    ck_assert_int_eq(mem_add(mem, 0x10, 0x1000, false), -EINVAL);
    ck_assert_int_eq(mem_add(mem, 0x200000, 0x10, false), -EINVAL);
    ck_assert_int_eq(mem_add(mem, 0x200000, 0, false), -EINVAL);
    ck_assert_int_eq(mem_add(mem, UINT64_MAX - 0xfff, 0x1000, false), -EINVAL);
    ck_assert_int_eq(mem_add(mem, 0x200000, 64 * 4096, false), -ENOSPC);
    ck_assert_uint_eq(mem->region_count, 2);
    ck_assert_uint_eq(mem->region[0].gpa, 0);
    ck_assert_ptr_eq(mem_find(mem, 0x103fff), &mem->region[1]);
    ck_assert_ptr_null(mem_find(mem, 0x104000));
    ck_assert_ptr_null(mem_find(mem, UINT64_MAX));
    mem_destroy(mem);
}
END_TEST

START_TEST(the_region_limit_is_an_error)
{
    struct mem *mem = make();

    for (unsigned i = 0; i < MEM_REGIONS_MAX; i++)
        ck_assert_int_eq(mem_add(mem, i * 0x2000, 0x1000, false), 0);
    ck_assert_int_eq(mem_add(mem, 0x100000, 0x1000, false), -ENOSPC);
    mem_destroy(mem);
}
END_TEST

START_TEST(copies_cross_adjacent_regions_and_are_all_or_nothing)
{
    struct mem *mem = make();
    uint8_t buf[64], zero[64] = {0};

    ck_assert_int_eq(mem_add(mem, 0x2000, 0x1000, true), 0);
    ck_assert_int_eq(mem_add(mem, 0x1000, 0x1000, false), 0);
    memset(buf, 0x5a, sizeof(buf));
    ck_assert_int_eq(mem_write(mem, 0x2000 - 32, buf, 64), 0);
    memset(buf, 0, sizeof(buf));
    ck_assert_int_eq(mem_read(mem, 0x2000 - 32, buf, 64), 0);
    ck_assert_uint_eq(buf[0], 0x5a);
    ck_assert_uint_eq(buf[63], 0x5a);
    ck_assert_ptr_null(mem_ptr(mem, 0x2000 - 32, 64, MEM_READ));
    ck_assert_ptr_nonnull(mem_ptr(mem, 0x2000 - 32, 32, MEM_READ));
    ck_assert_int_eq(mem_zero(mem, 0x2000 - 32, 64), 0);
    ck_assert_int_eq(mem_read(mem, 0x2000 - 32, buf, 64), 0);
    ck_assert_mem_eq(buf, zero, 64);
    memset(buf, 0x77, sizeof(buf));
    ck_assert_int_eq(mem_write(mem, 0x3000 - 32, buf, 64), -EFAULT);
    ck_assert_int_eq(mem_read(mem, 0x3000 - 32, buf, 32), 0);
    ck_assert_mem_eq(buf, zero, 32);
    ck_assert_int_eq(mem_read(mem, 0x1000, buf, UINT64_MAX), -EFAULT);
    ck_assert_ptr_null(mem_ptr(mem, 0x1000, UINT64_MAX, MEM_READ));
    ck_assert_int_eq(mem_read(mem, UINT64_MAX, buf, 0), 0);
    mem_destroy(mem);
}
END_TEST

struct heard {
    unsigned calls;
    gpa_t gpa;
    uint64_t len;
};

static void hear(void *arg, gpa_t gpa, uint64_t len)
{
    struct heard *h = arg;

    h->calls++;
    h->gpa = gpa;
    h->len = len;
}

START_TEST(hidden_memory_is_none_by_guest_addresses)
{
    struct mem *mem;
    uint8_t byte = 7, bytes[8192];

    ck_assert_int_eq(mem_create(0x4000, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 0x4000, false), 0);
    ck_assert_int_eq(mem_write(mem, 0x2000, &byte, 1), 0);
    mem_hide(mem, 0x2000, 0x1000);
    ck_assert_ptr_null(mem_find(mem, 0x2000));
    ck_assert_ptr_nonnull(mem_find(mem, 0x1fff));
    ck_assert_ptr_nonnull(mem_find(mem, 0x3000));
    ck_assert_ptr_null(mem_ptr(mem, 0x1ff8, 9, MEM_WRITE));
    ck_assert_ptr_nonnull(mem_ptr(mem, 0x1ff8, 8, MEM_WRITE));
    ck_assert_ptr_null(mem_ptr(mem, 0, 0x4000, MEM_READ)); /* it lies in the middle */
    ck_assert_int_eq(mem_read(mem, 0x1800, bytes, sizeof(bytes)), -EFAULT);
    ck_assert_int_eq(mem_write(mem, 0x2fff, &byte, 1), -EFAULT);
    ck_assert_int_eq(mem_zero(mem, 0x1000, 0x3000), -EFAULT);
    ck_assert_int_eq(mem_read(mem, 0x1800, bytes, 0x800), 0);
    ck_assert_uint_eq(mem_find_any(mem, 0x2000)->host[0x2000], 7);
    ck_assert_ptr_null(mem_find_any(mem, 0x4000));
    mem_hide(mem, 0, 0);
    ck_assert_int_eq(mem_read(mem, 0x1800, bytes, sizeof(bytes)), 0);
    ck_assert_uint_eq(bytes[0x800], 7);
    mem_destroy(mem);
}
END_TEST

static void *hide_again_and_again(void *arg)
{
    for (unsigned n = 0; n < 200000; n++)
        mem_hide(arg, 0x2000, 0x1000);
    return NULL;
}

START_TEST(hidden_memory_does_not_show_while_it_is_hidden_again)
{
    struct mem *mem;
    pthread_t thread;

    ck_assert_int_eq(mem_create(0x4000, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 0x4000, false), 0);
    mem_hide(mem, 0x2000, 0x1000);
    ck_assert_int_eq(pthread_create(&thread, NULL, hide_again_and_again, mem), 0);
    for (unsigned n = 0; n < 200000; n++)
        ck_assert_ptr_null(mem_find(mem, 0x2800));
    pthread_join(thread, NULL);
    mem_destroy(mem);
}
END_TEST

START_TEST(writes_to_code_are_told_and_others_are_not)
{
    struct mem *mem = make();
    struct heard h = {0};
    uint8_t buf[0x2000] = {0};

    ck_assert_int_eq(mem_add(mem, 0x4000, 0x4000, false), 0);
    mem->code_written = hear;
    mem->cpus = &h;
    mem_code_of(mem, mem_ptr(mem, 0x5000, 1, MEM_READ))->granules = UINT64_C(1) << 2;
    ck_assert_int_eq(mem_write(mem, 0x5000 + 127, buf, 1), 0);
    ck_assert_int_eq(mem_write(mem, 0x5000 + 192, buf, 64), 0);
    ck_assert_uint_eq(h.calls, 0);
    ck_assert_int_eq(mem_write(mem, 0x5000 + 127, buf, 2), 0);
    ck_assert_uint_eq(h.calls, 1);
    ck_assert_uint_eq(h.gpa, 0x507f);
    ck_assert_uint_eq(h.len, 2);
    ck_assert_int_eq(mem_write(mem, 0x4800, buf, 0x2000), 0);
    ck_assert_uint_eq(h.calls, 2);
    ck_assert_uint_eq(h.gpa, 0x5000);
    mem_code_of(mem, mem_ptr(mem, 0x5000, 1, MEM_READ))->granules = UINT64_C(1) << 63;
    ck_assert_int_eq(mem_zero(mem, 0x5fff, 1), 0);
    ck_assert_uint_eq(h.calls, 3);
    mem_destroy(mem);
}
END_TEST

/* A device's pieces are put together where the host has them in a row: RAM below and above a gap. */
START_TEST(writes_across_regions_of_the_host_are_told_at_both_addresses)
{
    struct mem *mem;
    struct heard h = {0};
    uint8_t *host;

    ck_assert_int_eq(mem_create(0x8000, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 0x4000, false), 0);
    ck_assert_int_eq(mem_add(mem, 0x100000, 0x4000, false), 0);
    mem->code_written = hear;
    mem->cpus = &h;
    host = mem_ptr(mem, 0x3000, 0x1000, MEM_WRITE);
    ck_assert_ptr_eq(mem_ptr(mem, 0x100000, 1, MEM_WRITE), host + 0x1000);
    mem_code_of(mem, host + 0x1000)->granules = 1;
    mem_written_at(mem, host, 0x2000);
    ck_assert_uint_eq(h.calls, 1);
    ck_assert_uint_eq(h.gpa, 0x100000);
    mem_written_at(mem, host, 0x1000);
    ck_assert_uint_eq(h.calls, 1);
    mem_destroy(mem);
}
END_TEST

START_TEST(sizes_that_cannot_be_are_refused)
{
    struct mem *mem = NULL;
    struct vz_error *none = NULL;

    ck_assert_int_eq(mem_create(0, &mem, none), -EINVAL);
    ck_assert_int_eq(mem_create(4097, &mem, none), -EINVAL);
    ck_assert_int_eq(mem_create(UINT64_C(1) << 62, &mem, none), -ENOMEM);
    ck_assert_ptr_null(mem);
    mem_destroy(NULL);
}
END_TEST

/* Bytes of these that are there, of 4 MiB at most. */
static uint64_t present_at(uint8_t *at, uint64_t len)
{
    unsigned char in[4 * MIB / MEM_PAGE_SIZE];
    uint64_t n = 0;

    ck_assert_int_eq(mincore(at, len, in), 0);
    for (unsigned i = 0; i < len / MEM_PAGE_SIZE; i++)
        n += in[i] & 1 ? MEM_PAGE_SIZE : 0;
    return n;
}

static uint64_t present(const struct mem *mem)
{
    return present_at(mem->base, 3 * MIB);
}

START_TEST(memory_is_preallocated_on_demand)
{
    struct mem_options o = {.capacity = 4 * MIB, .preallocate = true};
    struct mem *mem;

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_uint_eq((uintptr_t)mem->base % (2 * MIB), 0);
    ck_assert_uint_eq(present(mem), 0);
    ck_assert_int_eq(mem_add(mem, 0, 3 * MIB, false), 0);
    ck_assert_uint_ge(present(mem), 3 * MIB);
    mem_destroy(mem);
    o.preallocate = false;
    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 3 * MIB, false), 0);
    ck_assert_uint_eq(present(mem), 0);
    mem_destroy(mem);
}
END_TEST

/* From a pool that may be empty: then it fails now, and not when the guest touches its memory. */
START_TEST(huge_pages_are_there_or_refused)
{
    const struct mem_options o = {.capacity = 4 * MIB, .huge_pages = true, .transparent = true};
    struct mem *mem;
    int r = mem_create_with(&o, &mem, NULL);

    if (r < 0)
        return; /* a kernel without them */
    r = mem_add(mem, 0, 4 * MIB, false);
    if (r == 0)
        ck_assert_int_eq(mem_write(mem, 0, "x", 1), 0);
    else
        ck_assert_int_eq(r, -ENOMEM);
    mem_destroy(mem);
}
END_TEST

/* Other processes see it by its descriptor, and what is given back is gone there too. */
START_TEST(shared_memory_is_a_file)
{
    const struct mem_options o = {.capacity = 4 * MIB, .shared = true};
    struct mem *mem;
    char buf[4] = "";

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_ge(mem->fd, 0);
    ck_assert_int_eq(mem_add(mem, 0, MIB, false), 0);
    ck_assert_int_eq(mem_add(mem, 16 * MIB, 3 * MIB, false), 0);
    ck_assert_int_eq(mem_write(mem, 16 * MIB + 5, "abc", 4), 0);
    ck_assert_int_eq(pread(mem->fd, buf, 4, MIB + 5), 4);
    ck_assert_str_eq(buf, "abc");
    ck_assert_int_eq(pwrite(mem->fd, "x", 1, MIB + 5), 1);
    ck_assert_int_eq(mem_read(mem, 16 * MIB + 5, buf, 4), 0);
    ck_assert_str_eq(buf, "xbc");
    ck_assert_int_eq(mem_discard(mem, mem_ptr(mem, 16 * MIB, MEM_PAGE_SIZE, MEM_READ), MEM_PAGE_SIZE), 0);
    ck_assert_int_eq(pread(mem->fd, buf, 4, MIB + 5), 4);
    ck_assert_str_eq(buf, "");
    /* Where it has huge pages (mem_file.h) a piece of one is zeroed in place. */
    ck_assert(present(mem) == 0 || present(mem) == 2 * MIB - MEM_PAGE_SIZE);
    mem_destroy(mem);
}
END_TEST

/* A mapping of the source, in place of another process's; NULL: refused. */
static uint8_t *map_source(const struct mem_source *s, int prot)
{
    uint8_t *at = mmap(NULL, MEM_PAGE_SIZE, prot, MAP_SHARED, s->fd, (off_t)s->offset);

    return at == MAP_FAILED ? NULL : at;
}

START_TEST(other_processes_map_what_the_source_says)
{
    const struct mem_options o = {.capacity = 4 * MIB, .shared = true};
    struct mem_source s;
    struct mem *mem;
    uint8_t *at;

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, MIB, false), 0);
    ck_assert_int_eq(mem_add(mem, 16 * MIB, MIB, true), 0);
    ck_assert_int_eq(mem_source(mem, mem_ptr(mem, 0x3000, 1, MEM_READ), MEM_WRITE, &s), 0);
    ck_assert(s.writable && s.fd == mem->fd && s.offset == 0x3000 && s.len == MIB - 0x3000);
    at = map_source(&s, PROT_READ | PROT_WRITE);
    ck_assert_ptr_nonnull(at);
    memcpy(at, "abc", 4);
    ck_assert_str_eq(mem_ptr(mem, 0x3000, 4, MEM_READ), "abc");
    munmap(at, MEM_PAGE_SIZE);

    ck_assert_int_eq(mem_source(mem, mem_ptr(mem, 0x3000, 1, MEM_READ), MEM_READ, &s), 0);
    ck_assert(!s.writable && s.fd == mem->fd_ro && s.offset == 0x3000);
    ck_assert_ptr_null(map_source(&s, PROT_READ | PROT_WRITE));
    at = map_source(&s, PROT_READ);
    ck_assert_ptr_nonnull(at);
    ck_assert_str_eq((char *)at, "abc");
    ck_assert_int_lt(mprotect(at, MEM_PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
    munmap(at, MEM_PAGE_SIZE);

    ck_assert_int_eq(mem_source(mem, mem_ptr(mem, 16 * MIB + 1, 1, MEM_READ), MEM_WRITE, &s), 0);
    ck_assert(!s.writable && s.fd == mem->fd_ro && s.offset == MIB + 1 && s.len == MIB - 1);
    ck_assert_int_eq(mem_source(mem, mem->base + 2 * MIB, MEM_READ, &s), -EFAULT);
    mem_destroy(mem);
    mem = make();
    ck_assert_int_eq(mem_add(mem, 0, 4096, false), 0);
    ck_assert_int_eq(mem_source(mem, mem_ptr(mem, 0, 1, MEM_READ), MEM_READ, &s), -EOPNOTSUPP);
    mem_destroy(mem);
}
END_TEST

/* Does a store to the byte at host fail? The kernel is asked, since it says so without a signal. */
static bool is_read_only(const void *host)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, (void *)host, 1);

    ck_assert(n == 1 || errno == EFAULT);
    close(fd);
    return n != 1;
}

static struct mem *make_strict(bool shared)
{
    const struct mem_options o = {.capacity = 64 * 4096, .shared = shared, .strict = true};
    struct mem *mem;

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 16 * 4096, false), 0);
    ck_assert_int_eq(mem_add(mem, MIB, 16 * 4096, false), 0);
    return mem;
}

static void protected(void *cpus)
{
    ++*(unsigned *)cpus;
}

START_TEST(strict_memory_is_written_by_those_who_ask)
{
    struct mem *mem = make_strict(false);
    const uint8_t *at = mem_ptr(mem, 0, 1, MEM_READ);
    unsigned told = 0;

    mem->protected = protected;
    mem->cpus = &told;
    ck_assert(is_read_only(at) && !mem_may_store(mem, at));
    ck_assert_int_eq(mem_write(mem, 0x1ffe, "abcd", 4), 0); /* two pages */
    ck_assert_int_eq(mem_zero(mem, 0x4000, 1), 0);
    ck_assert_int_eq(mem_discard(mem, mem_ptr(mem, 0x6000, 0x1000, MEM_READ), 0x1000), 0);
    ck_assert_ptr_nonnull(mem_ptr(mem, 0x8fff, 0x1002, MEM_WRITE)); /* three */
    mem_own(mem, at + 0xb000, 0);
    mem_own(mem, at + 0xbfff, 1);
    for (unsigned n = 0; n < 16; n++) {
        bool own = (n >= 1 && n <= 2) || n == 4 || n == 6 || (n >= 8 && n <= 11);

        ck_assert_msg(is_read_only(at + n * 0x1000) == !own && mem_may_store(mem, at + n * 0x1000) == own,
                      "page %u", n);
    }
    ck_assert(is_read_only(mem_ptr(mem, MIB, 1, MEM_READ)));
    mem_protect(mem);
    ck_assert_uint_eq(told, 1);
    for (unsigned n = 0; n < 16; n++)
        ck_assert(is_read_only(at + n * 0x1000) && !mem_may_store(mem, at + n * 0x1000));
    ck_assert_int_eq(memcmp(at + 0x1ffe, "ab", 2), 0); /* nothing was lost */
    mem_destroy(mem);
}
END_TEST

START_TEST(held_memory_can_always_be_written)
{
    struct mem *mem = make_strict(false);
    struct mem_hold hold[3] = {0};
    uint8_t *at[3];

    for (unsigned n = 0; n < 3; n++) {
        at[n] = mem_hold(mem, &hold[n], n * 0x2000, 0x1000);
        ck_assert(at[n] && !is_read_only(at[n]));
    }
    ck_assert_ptr_null(mem_hold(mem, &(struct mem_hold){0}, 0x10000, 1));
    mem_release(&hold[1]);
    mem_release(&hold[1]);
    ck_assert(!is_read_only(at[1])); /* until it is taken back */
    mem_protect(mem);
    ck_assert(!is_read_only(at[0]) && is_read_only(at[1]) && !is_read_only(at[2]));
    mem_release(&hold[2]);
    mem_release(&hold[0]);
    mem_protect(mem);
    ck_assert(is_read_only(at[0]) && is_read_only(at[2]));
    mem_destroy(mem);
}
END_TEST

START_TEST(other_processes_do_not_write_what_was_not_asked_for)
{
    struct mem *mem = make_strict(true);
    const uint8_t *at = mem_ptr(mem, MIB, 1, MEM_READ);
    struct mem_source s;

    mem_own(mem, at + 0x2000, 0x3000);
    ck_assert_int_eq(mem_source(mem, at + 1, MEM_WRITE, &s), 0);
    ck_assert(!s.writable && s.fd == mem->fd_ro && s.offset == 0x10001 && s.len == 0x1fff);
    ck_assert_int_eq(mem_source(mem, at + 0x2000, MEM_WRITE, &s), 0);
    ck_assert(s.writable && s.fd == mem->fd && s.offset == 0x12000 && s.len == 0x3000);
    ck_assert_int_eq(mem_source(mem, at + 0x2000, MEM_READ, &s), 0);
    ck_assert(!s.writable && s.fd == mem->fd_ro && s.len == 0xe000);
    ck_assert_int_eq(mem_source(mem, at + 0x5000, MEM_WRITE, &s), 0);
    ck_assert(!s.writable && s.offset == 0x15000 && s.len == 0xb000);
    mem_destroy(mem);
}
END_TEST

START_TEST(shared_memory_is_huge_at_once_where_it_will_be_used)
{
    struct mem_options o = {.capacity = 8 * MIB, .shared = true};
    struct mem *mem;

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 8 * MIB, false), 0);
    memset(mem->base, 1, 2 * MIB);
    if (mem_collapse(mem)) { /* else the host's kernel cannot, or not now */
        mem_use_huge(mem, 3 * MIB, 4 * MIB);
        ck_assert(mem->collapsed[0] && !mem->collapsed[1] && mem->collapsed[2] && !mem->collapsed[3]);
        ck_assert(present_at(mem->base + 4 * MIB, 2 * MIB) && !present_at(mem->base + 6 * MIB, 2 * MIB));
        ck_assert_int_eq(mem->base[5 * MIB], 0);
    }
    mem_destroy(mem);
}
END_TEST

/* Only what is nearly full, once, and again after a part of it was given back. */
START_TEST(shared_memory_in_use_is_collapsed)
{
    struct mem_options o = {.capacity = 4 * MIB, .shared = true};
    struct mem *mem;

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 4 * MIB, false), 0);
    ck_assert(!mem_collapse(mem));
    memset(mem->base + 2 * MIB, 1, 2 * MIB);
    if (!mem_collapse(mem)) { /* the host's kernel cannot, or not now */
        mem_destroy(mem);
        return;
    }
    ck_assert(mem->collapsed[1] && !mem->collapsed[0] && !mem_collapse(mem));
    for (unsigned off = 0; off < 2 * MIB; off += 4096)
        ck_assert_int_eq(mem->base[2 * MIB + off], 1);
    ck_assert_int_eq(mem_discard(mem, mem->base + 3 * MIB, 512 * KIB), 0);
    ck_assert(!mem->collapsed[1]);
    /* A kernel that cannot split the huge page now empties the part and keeps it. */
    if (!present_at(mem->base + 3 * MIB, 512 * KIB))
        ck_assert(!mem_collapse(mem));
    ck_assert_int_eq(mem->base[3 * MIB], 0);
    mem_destroy(mem);
    o.shared = false;
    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem->fd, -1);
    ck_assert_int_eq(mem_add(mem, 0, 4 * MIB, false), 0);
    memset(mem->base, 1, 4 * MIB);
    ck_assert(!mem_collapse(mem));
    mem_destroy(mem);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, shared_memory_is_a_file);
    UNIT_TEST(s, other_processes_map_what_the_source_says);
    UNIT_TEST(s, strict_memory_is_written_by_those_who_ask);
    UNIT_TEST(s, held_memory_can_always_be_written);
    UNIT_TEST(s, other_processes_do_not_write_what_was_not_asked_for);
    UNIT_TEST(s, shared_memory_in_use_is_collapsed);
    UNIT_TEST(s, shared_memory_is_huge_at_once_where_it_will_be_used);
    UNIT_TEST(s, memory_is_preallocated_on_demand);
    UNIT_TEST(s, huge_pages_are_there_or_refused);
    UNIT_TEST(s, regions_are_sorted_and_never_overlap);
    UNIT_TEST(s, the_region_limit_is_an_error);
    UNIT_TEST(s, copies_cross_adjacent_regions_and_are_all_or_nothing);
    UNIT_TEST(s, hidden_memory_is_none_by_guest_addresses);
    UNIT_TEST(s, hidden_memory_does_not_show_while_it_is_hidden_again);
    UNIT_TEST(s, writes_to_code_are_told_and_others_are_not);
    UNIT_TEST(s, writes_across_regions_of_the_host_are_told_at_both_addresses);
    UNIT_TEST(s, sizes_that_cannot_be_are_refused);
}

UNIT_TEST_MAIN("mem", add_tests)
