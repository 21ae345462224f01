/* SPDX-License-Identifier: MIT */
/* Guest memory as one mapping: see mem.h. */
#include "mem/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "mem/mem_file.h"
#include "mem/mem_holes.h"
#include "mem/mem_window.h"

#define HUGE_PAGE (2 * MIB)
#define GUARD     ((uint64_t)MEM_PAGE_SIZE)

#define COLLAPSE_LOOK 64 /* pieces at a time: some 100 us */

#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

static void *reserve(uint64_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static struct mem *allocate(unsigned region_max)
{
    struct mem *mem = calloc(1, sizeof(*mem));

    if (!mem)
        return NULL;
    mem->fd = mem->fd_ro = mem->pagemap = -1;
    mem->region_max = region_max;
    mem->region = calloc(region_max, sizeof(*mem->region));
    if (!mem->region) {
        free(mem);
        return NULL;
    }
    return mem;
}

/* No bytes of it are there yet, unless the pool's. */
static int make_file(uint64_t len, bool pool)
{
    int fd = pool ? memfd_create("vz-ram", MFD_CLOEXEC | MFD_HUGETLB) : mem_file_create(), e;

    if (fd >= 0 && ftruncate(fd, (off_t)len) < 0) {
        e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

/* A descriptor of the same file, through which nobody can map it writable. */
static int read_only(int fd)
{
    char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Address space for len bytes at a multiple of the size of huge pages, or the first and last of it could not be one. A
 * page on each side stays inaccessible: who runs over the end is caught, and a thread's stack that comes to lie in
 * front does not end at such a multiple, where some hosts would give it a huge page. */
static uint8_t *reserve_aligned(uint64_t len)
{
    uint64_t all = len + HUGE_PAGE + 2 * GUARD;
    uint8_t *p = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *at;

    if (p == MAP_FAILED)
        return NULL;
    at = (uint8_t *)align_up((uintptr_t)p + GUARD, HUGE_PAGE);
    if (at - GUARD > p)
        munmap(p, (size_t)(at - GUARD - p));
    if (p + all > at + len + GUARD)
        munmap(at + len + GUARD, (size_t)(p + all - (at + len + GUARD)));
    return at;
}

/* len bytes, and so many for windows behind them, which are zeros at first. fd: the file to map, -1: none. */
static void *map_aligned(uint64_t len, uint64_t windows, int fd, bool pool, bool transparent)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const int kind = fd < 0 ? flags | (pool ? MAP_HUGETLB : MAP_NORESERVE)
                            : MAP_SHARED | (pool ? 0 : MAP_NORESERVE);
    uint8_t *at = reserve_aligned(len + windows);

    if (!at)
        return NULL;
    /* The pool's pages are reserved here, or it fails. */
    if (mmap(at, len, PROT_READ | PROT_WRITE, kind | MAP_FIXED, fd, 0) == MAP_FAILED ||
        (windows && mem_window_clear(at + len, windows) < 0)) {
        munmap(at - GUARD, len + windows + 2 * GUARD);
        return NULL;
    }
    if (transparent)
        (void)madvise(at, len, MADV_HUGEPAGE); /* refused where the kernel has none */
    /* A child process would have every page that the guest writes copied for it. */
    (void)madvise(at, len, MADV_DONTFORK);
    return at;
}

int mem_create_with(const struct mem_options *o, struct mem **ret, struct vz_error *err)
{
    uint64_t capacity = o->capacity;
    struct mem *mem;
    int e;

    if (!capacity || capacity % MEM_PAGE_SIZE || o->windows % HUGE_PAGE || o->windows > INT64_MAX / 4 ||
        capacity > INT64_MAX - 2 * HUGE_PAGE - o->windows)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "memory size is not a number of pages");
    if (o->windows && (e = mem_windows_catch()) < 0)
        return error_set(err, -e, VZ_ERROR_INTERNAL, "cannot catch faults of memory: %s", strerror(-e));
    mem = allocate(MEM_REGIONS_MAX);
    if (!mem)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    if (o->huge_pages || o->windows)
        capacity = align_up(capacity, HUGE_PAGE);
    mem->capacity = capacity + o->windows;
    mem->windows = o->windows;
    mem->preallocate = o->preallocate && !o->huge_pages; /* the pool has them already */
    mem->pool = o->huge_pages;
    mem->transparent = o->transparent;
    if (o->shared) {
        mem->fd = make_file(capacity, o->huge_pages);
        mem->fd_ro = mem->fd < 0 ? -1 : read_only(mem->fd);
        if (mem->fd_ro < 0)
            goto fail;
    }
    if (o->shared && !o->huge_pages)
        mem->collapsed = calloc(capacity / HUGE_PAGE + 1, sizeof(*mem->collapsed));
    mem->base = map_aligned(capacity, o->windows, mem->fd, o->huge_pages, o->transparent);
    /* Never written for most pages, so it costs address space, not memory. */
    mem->code = reserve((mem->capacity >> MEM_PAGE_SHIFT) * sizeof(*mem->code));
    if (o->strict)
        mem->own = calloc(mem->capacity >> MEM_PAGE_SHIFT, sizeof(*mem->own));
    if (!mem->base || !mem->code || (o->strict && !mem->own))
        goto fail;
    mem_holes_open(mem);
    if (mem->own) /* nobody has to ask for what is in windows */
        memset((void *)(mem->own + (capacity >> MEM_PAGE_SHIFT)), 1, o->windows >> MEM_PAGE_SHIFT);
    *ret = mem;
    return 0;
fail:
    e = errno;
    mem_destroy(mem);
    return error_set(err, e, VZ_ERROR_NO_MEMORY,
                     o->huge_pages ? "the host's pool of huge pages has not enough of them for %llu MiB "
                                     "(/proc/sys/vm/nr_hugepages): %s"
                                   : "the host cannot give %llu MiB of guest memory: %s",
                     (unsigned long long)(capacity / MIB), strerror(e));
}

/* ---- memory that someone else owns ---- */

int mem_create_foreign(struct mem **ret)
{
    *ret = allocate(MEM_FOREIGN_REGIONS_MAX);
    return *ret ? 0 : -ENOMEM;
}

static size_t code_bytes(const struct mem_region *r)
{
    return (size_t)(r->len >> MEM_PAGE_SHIFT) * sizeof(*r->code);
}

static void free_code(struct mem_region *r)
{
    if (r->code)
        munmap((void *)r->code, code_bytes(r));
}

static void free_regions(struct mem_region *region, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free_code(&region[i]);
    free(region);
}

int mem_set_regions(struct mem *mem, const struct mem_region *region, unsigned count)
{
    struct mem_region *new;

    if (count > mem->region_max)
        return -ENOSPC;
    new = calloc(mem->region_max, sizeof(*new));
    if (!new)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        new[i] = region[i];
        new[i].code = reserve(code_bytes(&new[i]));
        if (!new[i].code) {
            free_regions(new, i);
            return -ENOMEM;
        }
    }
    free_regions(mem->region, mem->region_count);
    mem->region = new;
    mem->region_count = count;
    return 0;
}

/* The region that host lies in, or NULL. */
static const struct mem_region *region_at(const struct mem *mem, const void *host)
{
    for (unsigned i = 0; i < mem->region_count; i++)
        if ((uintptr_t)host - (uintptr_t)mem->region[i].host < mem->region[i].len)
            return &mem->region[i];
    return NULL;
}

struct mem_code *mem_foreign_code_of(const struct mem *mem, const void *host)
{
    const struct mem_region *r = region_at(mem, host);

    if (!r)
        return NULL; /* not RAM: the caller broke its promise */
    return &r->code[(uint64_t)((const uint8_t *)host - r->host) >> MEM_PAGE_SHIFT];
}

int mem_create(uint64_t capacity, struct mem **ret, struct vz_error *err)
{
    const struct mem_options options = {.capacity = capacity};

    return mem_create_with(&options, ret, err);
}

void mem_destroy(struct mem *mem)
{
    if (!mem)
        return;
    for (unsigned i = 0; i < mem->region_count; i++)
        free_code(&mem->region[i]);
    if (mem->code)
        munmap((void *)mem->code, (mem->capacity >> MEM_PAGE_SHIFT) * sizeof(*mem->code));
    if (mem->fd >= 0)
        close(mem->fd);
    if (mem->fd_ro >= 0)
        close(mem->fd_ro);
    mem_holes_close(mem);
    free(mem->collapsed);
    free((void *)mem->own);
    if (mem->base)
        munmap(mem->base - GUARD, mem->capacity + 2 * GUARD);
    free(mem->region);
    free(mem);
}

/* What the host's kernel thinks it can give (proc(5)), in bytes. */
static uint64_t available(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    unsigned long long kib;
    uint64_t found = UINT64_MAX;
    char line[128];

    while (f && found == UINT64_MAX && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            found = kib * KIB;
    }
    if (f)
        fclose(f);
    return found;
}

/* Have the host's kernel find pages for all of it now. Ask first: where there are not enough, it
 * kills. */
static int populate(uint8_t *at, uint64_t len)
{
    if (len > available())
        return -ENOMEM;
    if (madvise(at, len, MADV_POPULATE_WRITE) == 0)
        return 0;
    if (errno != EINVAL) /* EFAULT, EHWPOISON: pages that are not there */
        return -ENOMEM;
    for (uint64_t off = 0; off < len; off += MEM_PAGE_SIZE) /* before Linux 5.14 */
        *(volatile uint8_t *)(at + off) = 0;
    return 0;
}

/* Where a region comes in the list; -EEXIST: it overlaps one. */
static int place_for(const struct mem *mem, gpa_t gpa, uint64_t len)
{
    unsigned at = 0;

    for (unsigned i = 0; i < mem->region_count; i++) {
        if (ranges_overlap(gpa, len, mem->region[i].gpa, mem->region[i].len))
            return -EEXIST;
        if (mem->region[i].gpa < gpa)
            at = i + 1;
    }
    return mem->region_count == mem->region_max ? -ENOSPC : (int)at;
}

static void insert(struct mem *mem, int at, const struct mem_region *r)
{
    memmove(&mem->region[at + 1], &mem->region[at],
            (mem->region_count - (unsigned)at) * sizeof(mem->region[0]));
    mem->region[at] = *r;
    mem->region_count++;
}

int mem_add(struct mem *mem, gpa_t gpa, uint64_t len, bool rom)
{
    int at, r;

    if (!len || gpa % MEM_PAGE_SIZE || len % MEM_PAGE_SIZE || gpa > UINT64_MAX - len)
        return -EINVAL;
    at = place_for(mem, gpa, len);
    if (at >= 0 && len > mem->capacity - mem->windows - mem->used)
        at = -ENOSPC;
    if (at < 0)
        return at;
    r = mem->preallocate ? populate(mem->base + mem->used, len) : 0;
    if (!r && mem->own && mprotect(mem->base + mem->used, len, PROT_READ) < 0)
        r = -errno;
    if (r < 0)
        return r;
    insert(mem, at, &(struct mem_region){.gpa = gpa, .len = len, .host = mem->base + mem->used, .rom = rom});
    mem->used += len;
    return 0;
}

int mem_add_windows(struct mem *mem, gpa_t gpa)
{
    uint64_t len = mem->windows;
    int at;

    if (gpa % HUGE_PAGE || gpa > UINT64_MAX - len)
        return -EINVAL;
    at = len ? place_for(mem, gpa, len) : -ENOSPC;
    for (unsigned i = 0; i < mem->region_count; i++) {
        if (mem->region[i].window)
            at = -EEXIST;
    }
    if (at < 0)
        return at;
    insert(mem, at, &(struct mem_region){.gpa = gpa, .len = len, .host = mem->base + mem->capacity - len,
                                         .window = true});
    return 0;
}

void mem_hide(struct mem *mem, gpa_t gpa, uint64_t len)
{
    /* What is hidden stays hidden all the time: guests can have this called again at will. */
    if (atomic_load_explicit(&mem->hidden, memory_order_relaxed) == gpa &&
        atomic_load_explicit(&mem->hidden_end, memory_order_relaxed) == gpa + len)
        return;
    atomic_store_explicit(&mem->hidden_end, 0, memory_order_relaxed);
    atomic_store_explicit(&mem->hidden, gpa, memory_order_release);
    atomic_store_explicit(&mem->hidden_end, gpa + len, memory_order_release);
}

/* How much of [gpa, gpa + len) comes before what is hidden. */
static uint64_t before_hidden(const struct mem *mem, gpa_t gpa, uint64_t len)
{
    gpa_t end = atomic_load_explicit(&mem->hidden_end, memory_order_acquire);
    gpa_t begin = atomic_load_explicit(&mem->hidden, memory_order_relaxed);

    if (likely(gpa >= end))
        return len;
    return gpa >= begin ? 0 : MIN(len, begin - gpa);
}

const struct mem_region *mem_find(const struct mem *mem, gpa_t gpa)
{
    return before_hidden(mem, gpa, 1) ? mem_find_any(mem, gpa) : NULL;
}

const struct mem_region *mem_find_any(const struct mem *mem, gpa_t gpa)
{
    unsigned low = 0, high = mem->region_count;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (gpa < mem->region[mid].gpa)
            high = mid;
        else if (gpa - mem->region[mid].gpa < mem->region[mid].len)
            return &mem->region[mid];
        else
            low = mid + 1;
    }
    return NULL;
}

/* ---- asking ---- */

/* The state of pages [from, to) from the first on, and to where it is the same. */
static uint64_t same_until(const struct mem *mem, uint64_t from, uint64_t to)
{
    uint64_t at = from + 1;

    while (at < to && mem->own[at] == mem->own[from])
        at++;
    return at;
}

/* Every page that differs from its neighbours in this is a mapping, of which a process can have
 * 65530; so where one is refused, all of it becomes one. */
static void own_pages(struct mem *mem, uint64_t from, uint64_t to)
{
    if (mprotect(mem->base + from * MEM_PAGE_SIZE, (to - from) * MEM_PAGE_SIZE,
                 PROT_READ | PROT_WRITE) < 0) {
        from = 0;
        to = mem->used / MEM_PAGE_SIZE;
        (void)mprotect(mem->base, mem->used, PROT_READ | PROT_WRITE);
    }
    for (uint64_t n = from; n < to; n++)
        mem->own[n] = true; /* behind mprotect(): others rely on it */
}

static uint64_t page_number(const struct mem *mem, const void *host)
{
    return (uint64_t)((const uint8_t *)host - mem->base) / MEM_PAGE_SIZE;
}

void mem_own(struct mem *mem, const void *host, uint64_t len)
{
    uint64_t end;

    if (likely(!mem->own) || !len)
        return;
    end = page_number(mem, (const uint8_t *)host + len - 1) + 1;
    for (uint64_t at = page_number(mem, host), next; at < end; at = next) {
        next = same_until(mem, at, end);
        if (!mem->own[at])
            own_pages(mem, at, next);
    }
}

void mem_protect(struct mem *mem)
{
    if (!mem->own)
        return;
    if (mem->protected)
        mem->protected(mem->cpus);
    (void)mprotect(mem->base, mem->used, PROT_READ);
    memset((void *)mem->own, 0, mem->used / MEM_PAGE_SIZE * sizeof(*mem->own));
    for (const struct mem_hold *h = mem->holds; h; h = h->next)
        mem_own(mem, h->host, h->len);
}

void *mem_ptr(struct mem *mem, gpa_t gpa, uint64_t len, enum mem_access access)
{
    const struct mem_region *r = mem_find_any(mem, gpa);
    uint8_t *host;

    if (!r || !range_fits(gpa - r->gpa, len, r->len) || before_hidden(mem, gpa, len) < len)
        return NULL;
    host = r->host + (gpa - r->gpa);
    if (access == MEM_WRITE)
        mem_own(mem, host, len);
    return host;
}

uint64_t mem_ram_size(const struct mem *mem)
{
    return mem->used;
}

void *mem_ram(struct mem *mem, uint64_t offset, uint64_t len, enum mem_access access)
{
    if (access == MEM_WRITE)
        mem_own(mem, mem->base + offset, len);
    return mem->base + offset;
}

void *mem_hold(struct mem *mem, struct mem_hold *hold, gpa_t gpa, uint64_t len)
{
    uint8_t *host = mem_ptr(mem, gpa, len, MEM_WRITE);

    if (!host)
        return NULL;
    *hold = (struct mem_hold){.next = mem->holds, .at = &mem->holds, .host = host, .len = len};
    if (hold->next)
        hold->next->at = &hold->next;
    mem->holds = hold;
    return host;
}

void mem_release(struct mem_hold *hold)
{
    if (!hold->at)
        return;
    *hold->at = hold->next;
    if (hold->next)
        hold->next->at = hold->at;
    hold->at = NULL;
}

/* ---- copies ---- */

/* The bytes at gpa that are contiguous on the host, at most len; 0: not RAM. */
static uint64_t run_at(const struct mem *mem, gpa_t gpa, uint64_t len, uint8_t **ret)
{
    const struct mem_region *r = mem_find_any(mem, gpa);

    if (!r)
        return 0;
    *ret = r->host + (gpa - r->gpa);
    return MIN(before_hidden(mem, gpa, len), r->len - (gpa - r->gpa));
}

static bool all_ram(const struct mem *mem, gpa_t gpa, uint64_t len)
{
    uint8_t *host = NULL;

    while (len) {
        uint64_t n = run_at(mem, gpa, len, &host);

        if (!n)
            return false;
        gpa += n;
        len -= n;
    }
    return true;
}

int mem_read(const struct mem *mem, gpa_t gpa, void *buf, uint64_t len)
{
    uint8_t *to = buf, *host = NULL;

    if (!all_ram(mem, gpa, len))
        return -EFAULT;
    for (uint64_t n; len; gpa += n, to += n, len -= n) {
        n = run_at(mem, gpa, len, &host);
        if (!n)
            return -EFAULT; /* hidden meanwhile */
        memcpy(to, host, n);
    }
    return 0;
}

int mem_write(struct mem *mem, gpa_t gpa, const void *buf, uint64_t len)
{
    const uint8_t *from = buf;
    uint8_t *host = NULL;

    if (!all_ram(mem, gpa, len))
        return -EFAULT;
    for (uint64_t n; len; gpa += n, from += n, len -= n) {
        n = run_at(mem, gpa, len, &host);
        if (!n)
            return -EFAULT; /* hidden meanwhile */
        mem_own(mem, host, n);
        memcpy(host, from, n);
        mem_written(mem, gpa, n);
    }
    return 0;
}

int mem_zero(struct mem *mem, gpa_t gpa, uint64_t len)
{
    uint8_t *host = NULL;

    if (!all_ram(mem, gpa, len))
        return -EFAULT;
    for (uint64_t n; len; gpa += n, len -= n) {
        n = run_at(mem, gpa, len, &host);
        if (!n)
            return -EFAULT; /* hidden meanwhile */
        mem_own(mem, host, n);
        memset(host, 0, n);
        mem_written(mem, gpa, n);
    }
    return 0;
}

/* ---- telling ---- */

/* The granule bits of [off, off + len) of a page; len is 1..page. */
static uint64_t granules(uint64_t off, uint64_t len)
{
    unsigned first = (unsigned)(off / 64), last = (unsigned)((off + len - 1) / 64);

    return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (63 - last));
}

void mem_written(struct mem *mem, gpa_t gpa, uint64_t len)
{
    uint8_t *host = NULL;

    if (!mem->code_written)
        return;
    for (uint64_t n; len; gpa += n, len -= n) {
        uint64_t off = gpa % MEM_PAGE_SIZE;

        n = run_at(mem, gpa, MIN(len, MEM_PAGE_SIZE - off), &host);
        if (!n)
            return;
        /* Sequentially consistent: the bytes must be out before the map is looked at, against a
         * CPU that marks the granule and then reads the bytes. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&mem_code_of(mem, host)->granules, memory_order_relaxed) &
            granules(off, n))
            mem->code_written(mem->cpus, gpa, n);
    }
}

void mem_written_at(struct mem *mem, const void *host, uint64_t len)
{
    const uint8_t *at = host;

    if (!mem->code_written)
        return;
    /* Regions that follow each other on the host need not do so for the guest. */
    for (uint64_t n; len; at += n, len -= n) {
        const struct mem_region *r = region_at(mem, at);
        uint64_t off;

        if (!r)
            return;
        off = (uint64_t)(at - r->host);
        n = MIN(len, r->len - off);
        mem_written(mem, r->gpa + off, n);
    }
}

int mem_source(const struct mem *mem, const void *host, enum mem_access access,
               struct mem_source *ret)
{
    const struct mem_region *r = region_at(mem, host);
    const uint8_t *end;
    bool writable;

    if (!r)
        return -EFAULT;
    if (mem->fd < 0 || r->window)
        return -EOPNOTSUPP;
    end = r->host + r->len;
    if (mem->own && access == MEM_WRITE)
        end = mem->base + same_until(mem, page_number(mem, host), page_number(mem, end)) * MEM_PAGE_SIZE;
    writable = access == MEM_WRITE && !r->rom && mem_may_store(mem, host);
    *ret = (struct mem_source){.fd = writable ? mem->fd : mem->fd_ro,
                               .offset = (uint64_t)((const uint8_t *)host - mem->base),
                               .len = (uint64_t)(end - (const uint8_t *)host),
                               .writable = writable};
    return 0;
}

#define FORGET_MIN (64 * KIB)

/* Fresh memory in place of what is mapped from a file, as map_aligned() made it. */
static int forget_mapped(struct mem *mem, uint8_t *at, uint64_t len)
{
    int r = mem_window_clear(at, len);

    if (!r && mem->transparent)
        (void)madvise(at, len, MADV_HUGEPAGE);
    return r;
}

/* What is given back of a mapped file would be the file's again. Each piece costs a mapping, of which a
 * process can have so many, so small ones are not given back, and neither is what fails. */
static void discard_mapped(struct mem *mem, void *host, uint64_t len)
{
    if (len < FORGET_MIN || forget_mapped(mem, host, len) < 0)
        memset(host, 0, len);
}

/* mem_discard() without telling CPUs. */
static int discard(struct mem *mem, void *host, uint64_t len)
{
    if (mem->collapsed) /* what is left of them is small pages */
        memset(&mem->collapsed[((uint8_t *)host - mem->base) / HUGE_PAGE], 0,
               ((uint8_t *)host + len - 1 - mem->base) / HUGE_PAGE -
                   ((uint8_t *)host - mem->base) / HUGE_PAGE + 1);
    mem_own(mem, host, len);
    if (mem->mapped) {
        discard_mapped(mem, host, len);
        return 0;
    }
    if (madvise(host, len, mem->fd < 0 ? MADV_DONTNEED : MADV_REMOVE) < 0) {
        if (errno != EINVAL)
            return -errno;
        memset(host, 0, len); /* parts of the pool's pages cannot be given back */
    }
    return 0;
}

int mem_discard(struct mem *mem, void *host, uint64_t len)
{
    bool in_window = mem->windows && (uint64_t)((uint8_t *)host - mem->base) >= mem->capacity - mem->windows;
    int r = in_window ? -EINVAL : discard(mem, host, len);

    if (!r)
        mem_written_at(mem, host, len);
    return r;
}

bool mem_can_map(const struct mem *mem)
{
    return mem->base && mem->fd < 0 && !mem->preallocate && !mem->pool;
}

int mem_map(struct mem *mem, uint64_t offset, uint64_t len, int fd, uint64_t at)
{
    uint8_t *host = mem->base + offset;

    if (!mem_can_map(mem))
        return -EOPNOTSUPP;
    mem_own(mem, host, len);
    if (mmap(host, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd, (off_t)at) ==
        MAP_FAILED)
        return -errno;
    (void)madvise(host, len, MADV_DONTFORK);
    mem_holes_mapped(mem, offset, len);
    mem->mapped = true;
    mem_written_at(mem, host, len);
    return 0;
}

/* What is preallocated stays so. */
int mem_clear(struct mem *mem)
{
    int r = mem->mapped ? forget_mapped(mem, mem->base, mem->used) : 0;

    if (!r)
        mem_holes_unmapped(mem);
    mem->mapped = mem->mapped && r < 0;

    for (unsigned i = 0; !r && i < mem->region_count; i++) {
        struct mem_region *g = &mem->region[i];

        if (g->window) /* is its device's */
            continue;
        if (mem->preallocate)
            r = mem_zero(mem, g->gpa, g->len);
        else
            r = discard(mem, g->host, g->len);
    }
    return r;
}

/* A huge page of a piece of the file, if the kernel has one for it: mem->collapsed says. */
static bool collapse(struct mem *mem, uint64_t piece)
{
    mem->collapsed[piece] = madvise(mem->base + piece * HUGE_PAGE, HUGE_PAGE, MADV_COLLAPSE) == 0; /* EBUSY: later */
    return mem->collapsed[piece];
}

void mem_use_huge(struct mem *mem, gpa_t gpa, uint64_t len)
{
    uint8_t *host = mem_ptr(mem, gpa, len, MEM_READ);
    uintptr_t from = align_up((uintptr_t)host, HUGE_PAGE), to = align_down((uintptr_t)host + len, HUGE_PAGE);

    if (!host || mem->pool || mem->mapped || from >= to)
        return;
    if (mem->fd < 0)
        (void)madvise((void *)from, to - from, MADV_HUGEPAGE); /* refused where the kernel has none */
    for (uintptr_t at = from; mem->collapsed && at < to; at += HUGE_PAGE) {
        (void)*(volatile uint8_t *)at; /* what has no page at all is not collapsed */
        if (!collapse(mem, (at - (uintptr_t)mem->base) / HUGE_PAGE))
            return;
    }
}

/* ---- huge pages of a file ---- */

/* Is so much of the piece in use that a huge page wastes little? */
static bool is_nearly_full(uint8_t *at)
{
    unsigned char present[HUGE_PAGE / MEM_PAGE_SIZE];
    unsigned count = 0;

    if (mincore(at, HUGE_PAGE, present) < 0)
        return false;
    for (unsigned n = 0; n < ARRAY_SIZE(present); n++)
        count += present[n] & 1;
    return count >= ARRAY_SIZE(present) * 9 / 10;
}

bool mem_collapse(struct mem *mem)
{
    uint64_t all = mem->used / HUGE_PAGE;

    for (unsigned n = 0; mem->collapsed && n < COLLAPSE_LOOK && n < all; n++) {
        uint64_t piece = mem->collapse_next;
        uint8_t *at = mem->base + piece * HUGE_PAGE;

        mem->collapse_next = (piece + 1) % all;
        if (mem->collapsed[piece] || !is_nearly_full(at))
            continue;
        return collapse(mem, piece);
    }
    return false;
}
