/* SPDX-License-Identifier: MIT */
/* Guest memory: RAM as the guest's physical addresses see it.
 *
 * All RAM of a machine is one mapping; regions are windows of it placed at guest-physical addresses.
 * Regions do not change once vCPUs run. ROM is RAM that the guest's CPUs may not write. A process
 * that is forked off does not have it. The mapping is anonymous, which is what host kernels give huge
 * pages to, or on demand a file in memory (mem_options.shared), which other processes can be given.
 *
 * The other kind (mem_create_foreign()) has no mapping of its own: its regions are windows of
 * memory that someone else owns, and all of them can be exchanged while no CPU looks
 * (hv_ops.memory_changed).
 *
 * Everybody who writes guest memory asks before, and tells after.
 *
 * Asking makes pages the machine's own (mem_own()), so that a page may be something else until its
 * first write. mem_write(), mem_zero() and mem_discard() ask; who wants to write through a pointer gets
 * it for MEM_WRITE, and writes in the same request; who keeps one for longer, holds it (mem_hold()). A
 * CPU asks before it lets itself store to a page as often as it likes. CPUs in the host's kernel do not
 * ask. What was asked for stays the machine's own until mem_protect().
 *
 * All pages are own from the start, and asking costs a comparison, but where memory is strict: there
 * what nobody asked for is mapped read-only, and who writes it without asking gets SIGSEGV, or EFAULT
 * from a system call. For tests: they find who forgot.
 *
 * Everything that writes guest memory other than through a CPU's own stores ends in mem_written():
 * mem_write() does so itself, DMA through mem_ptr() must call it. That is how a CPU that caches
 * decoded code (cpu/x86/) learns that the code has changed.
 *
 * Threads: any, once built. Copies are not atomic beyond what memcpy gives; the guest may change
 * its memory at any time, so copy out once, then check, then use. */
#ifndef VZ_MEM_MEM_H
#define VZ_MEM_MEM_H

#include "base/compiler.h"

struct vz_error;

typedef uint64_t gpa_t; /* guest-physical address */

#define MEM_PAGE_SIZE  4096u
#define MEM_PAGE_SHIFT 12
#define MEM_REGIONS_MAX 8
#define MEM_FOREIGN_REGIONS_MAX 512

/* Per page of RAM, what CPUs that cache decoded guest code have to know of it: cpu/x86/smc.h. Bit n
 * of the first two stands for the granule of bytes [64 n, 64 n + 64). All zero: no code. */
struct mem_code {
    _Atomic uint64_t granules; /* some CPU may have cached code of it, or had */
    _Atomic uint64_t stale;    /* of these: written since, so that none has now */
    _Atomic uint64_t writers;  /* CPUs (bit: index modulo 64) that may store there without looking */
};

enum mem_access { MEM_READ, MEM_WRITE };

struct mem_region {
    gpa_t gpa;
    uint64_t len;  /* bytes, whole pages */
    uint8_t *host; /* mapped read-write for us, whatever the guest may do */
    bool rom;
    bool no_exec;       /* instruction fetches fail as they do outside RAM */
    bool window;        /* shows parts of files: mem_window.h. No RAM to save, discard or show to other processes */
    struct mem_code *code; /* foreign regions: one per page; else NULL, see mem.code */
};

struct mem {
    struct mem_region *region; /* sorted by gpa */
    unsigned region_count, region_max;
    uint8_t *base;     /* the mapping; NULL: foreign */
    uint64_t used;     /* bytes of it that regions have, but for that of the windows */
    uint64_t capacity; /* bytes */
    uint64_t windows;  /* of these, so many at the end are for windows, */
    uint64_t windows_taken; /* and so many of them devices have */
    int fd;            /* the file behind the mapping, offset for offset; -1: anonymous */
    int fd_ro;         /* the same file, not to be written through this: see mem_source() */
    bool preallocate;
    bool pool;         /* of huge pages */
    bool transparent;  /* huge pages are asked for */
    _Atomic gpa_t hidden, hidden_end; /* mem_hide() */
    bool mapped;       /* parts are files that somebody saved: mem_map(), */
    uint8_t *from_file; /* and of each MEM_HOLE_PIECE whether any of it is; NULL: unknown */
    int pagemap;       /* what the host's kernel says of the mapping's pages; -1: nobody does */
    uint64_t collapse_next; /* mem_collapse(): the piece to look at next, */
    bool *collapsed;        /* and for each, whether it has been; NULL: none can be */
    struct mem_code *code;  /* one per page of the mapping */
    _Atomic bool *own;      /* likewise, which are the machine's own; NULL: all */
    struct mem_hold *holds;
    /* Told of every write that hits a granule of code[]; NULL when no CPU caches code.
     * Any thread, after the bytes are in memory. */
    void (*code_written)(void *cpus, gpa_t gpa, uint64_t len);
    /* mem_protect(): forget which pages may be stored to. NULL when no CPU keeps that. */
    void (*protected)(void *cpus);
    void *cpus;
};

/* Memory that somebody holds. All zero: nothing. */
struct mem_hold {
    struct mem_hold *next, **at; /* in mem's list; at NULL: not held */
    const uint8_t *host;
    uint64_t len;
};

struct mem_options {
    uint64_t capacity; /* bytes, whole pages: room for RAM and ROM together */
    bool huge_pages;   /* of the host's pool; fails where that has not enough */
    bool transparent;  /* ask the host's kernel for transparent huge pages */
    bool preallocate;  /* mem_add() gives memory that is there, not only promised */
    bool shared;       /* a file in memory, mem.fd, and not anonymous */
    bool strict;       /* not to be written by this process before it has asked. See above */
    uint64_t windows;  /* bytes, whole huge pages: room for mem_add_windows(), beside the capacity */
};

/* 0 or -errno. */
int mem_create_with(const struct mem_options *options, struct mem **ret,
                    struct vz_error *err) must_check;
/* The same, with nothing but room. */
int mem_create(uint64_t capacity, struct mem **ret, struct vz_error *err) must_check;
void mem_destroy(struct mem *mem); /* NULL is fine */

/* Host kernels give files in memory pages of 4 KiB, whatever they are asked for, unless their
 * administrator has said otherwise. Make one huge page of what the guest uses by now: look at the next
 * pieces of 2 MiB, in turn, and collapse the first that is nearly full. Takes some 5 ms, during which
 * who accesses it waits. False: nothing was to be done, as ever where memory is anonymous, of the
 * pool, or the kernel cannot (before Linux 6.1). The thread that calls mem_discard(). */
bool mem_collapse(struct mem *mem);

/* All of [gpa, gpa + len) will be used, so huge pages waste nothing there: ask for them where memory is anonymous, and
 * make them where it is a file. Before it is touched. */
void mem_use_huge(struct mem *mem, gpa_t gpa, uint64_t len);

/* Place len bytes of fresh zeroed memory at gpa (both whole pages). -EEXIST on overlap, -ENOSPC
 * past the capacity or MEM_REGIONS_MAX, -ENOMEM where it is to be preallocated and cannot. */
int mem_add(struct mem *mem, gpa_t gpa, uint64_t len, bool rom) must_check;

/* Place what mem_options.windows made at gpa (2 MiB aligned), once. 0, -EEXIST, -ENOSPC: there is none, or there are
 * MEM_REGIONS_MAX. */
int mem_add_windows(struct mem *mem, gpa_t gpa) must_check;

/* Memory without regions and without a mapping of its own. 0 or -ENOMEM. */
int mem_create_foreign(struct mem **ret) must_check;

/* Exchange all regions of a foreign mem for these: sorted, apart, host page aligned; code is set
 * here. The same host page may appear in several. No CPU looks at mem, and none keeps what it knew
 * of the code in it. 0; -ENOSPC: more than MEM_FOREIGN_REGIONS_MAX; -ENOMEM: then nothing has
 * changed. */
int mem_set_regions(struct mem *mem, const struct mem_region *region, unsigned count) must_check;

/* The region that holds gpa, or NULL. */
const struct mem_region *mem_find(const struct mem *mem, gpa_t gpa);

/* Have [gpa, gpa + len) be no memory for anybody who asks by guest address, but for mem_find_any(), which
 * is for CPUs in System Management Mode. One range at a time; len 0: none. Any thread, one at a
 * time; the same range again changes nothing, not even for a moment. Who has a pointer already keeps it. */
void mem_hide(struct mem *mem, gpa_t gpa, uint64_t len);
const struct mem_region *mem_find_any(const struct mem *mem, gpa_t gpa);

/* Is there such a range now? */
static inline bool mem_hides(const struct mem *mem)
{
    return mem->hidden_end;
}

/* Host address of [gpa, gpa + len), or NULL unless all of it lies in one region. For MEM_WRITE it may be
 * written through, until the next mem_protect(); after that call mem_written(). */
void *mem_ptr(struct mem *mem, gpa_t gpa, uint64_t len, enum mem_access access) must_check;

/* The same for MEM_WRITE, and it stays so until mem_release(), which may come twice. hold is the
 * caller's, and held no more when this is called. Both on the thread that calls mem_protect(). */
void *mem_hold(struct mem *mem, struct mem_hold *hold, gpa_t gpa, uint64_t len) must_check;
void mem_release(struct mem_hold *hold);

/* Make the pages of [host, host + len), inside RAM, the machine's own. Any thread. */
void mem_own(struct mem *mem, const void *host, uint64_t len);

/* From now on everybody has to ask again for what is not held. No CPU runs, and no device has a
 * request. */
void mem_protect(struct mem *mem);

/* All RAM and ROM in one piece, whatever the guest's addresses are: how many bytes; and as mem_ptr(),
 * where [offset, offset + len), which is in it, is. Not of foreign memory. */
uint64_t mem_ram_size(const struct mem *mem);
void *mem_ram(struct mem *mem, uint64_t offset, uint64_t len, enum mem_access access);

/* Can mem_map() do it? Not where other processes see the memory, nor where all of it is to be there. */
bool mem_can_map(const struct mem *mem);

/* Have [offset, offset + len), whole pages, be what the file fd has at position at, until it is written: what
 * is written stays the machine's own, and nothing is read before it is used. The descriptor may be closed;
 * who cuts the file short meanwhile takes the memory away (SIGBUS). No CPU runs, and no device has a
 * request. 0; or -errno, and nothing has changed. */
int mem_map(struct mem *mem, uint64_t offset, uint64_t len, int fd, uint64_t at) must_check;

/* All of it is zeros again, as it was made. No CPU has run, so that none knows code of it, and no device has a request. 0
 * or -errno. */
int mem_clear(struct mem *mem) must_check;

/* Copy. 0, or -EFAULT when any byte lies outside RAM (then nothing was copied). ROM is written
 * too: only CPUs are held off. */
int mem_read(const struct mem *mem, gpa_t gpa, void *buf, uint64_t len) must_check;
int mem_write(struct mem *mem, gpa_t gpa, const void *buf, uint64_t len) must_check;
int mem_zero(struct mem *mem, gpa_t gpa, uint64_t len) must_check;

/* [gpa, gpa + len), inside RAM, has been written. */
void mem_written(struct mem *mem, gpa_t gpa, uint64_t len);

/* The same for len bytes at host, which mem_ptr() gave. */
void mem_written_at(struct mem *mem, const void *host, uint64_t len);

/* Give the host pages at host (whole pages, from mem_ptr()) back: they read as zero from now on.
 * 0 or -errno; -EINVAL: they are a window's. */
int mem_discard(struct mem *mem, void *host, uint64_t len) must_check;

/* What another process may map to see what is at some host address. */
struct mem_source {
    int fd;          /* struct mem's; open for writing only if writable */
    uint64_t offset; /* bytes, in the file */
    uint64_t len;    /* bytes from there on, for which all of this holds */
    bool writable;   /* stores are allowed, and reach the guest's memory */
};

/* The source of RAM from host (inside RAM) on. access is the most that the other process is to have:
 * for MEM_READ the answer is never writable, for MEM_WRITE it is unless the memory is ROM, or somebody
 * has to ask for it first (mem_may_store()). Mapped with what the guest's tables grant there, it lets a
 * guest's program do no more than the guest.
 * 0; -EFAULT: not RAM; -EOPNOTSUPP: other processes cannot see this memory (not
 * mem_options.shared, or a window). */
int mem_source(const struct mem *mem, const void *host, enum mem_access access,
               struct mem_source *ret) must_check;

/* Host address of the page that host (inside RAM) lies in: regions begin at whole pages. */
static inline const uint8_t *mem_page_of(const uint8_t *host)
{
    return (const uint8_t *)((uintptr_t)host & ~(uintptr_t)(MEM_PAGE_SIZE - 1));
}

/* mem_code_of() of foreign memory: the first region that has the page, so that all of its guest
 * addresses share one. */
struct mem_code *mem_foreign_code_of(const struct mem *mem, const void *host);

/* What is known of the code in the page that host (inside RAM) lies in. */
static inline struct mem_code *mem_code_of(const struct mem *mem, const void *host)
{
    if (unlikely(!mem->code))
        return mem_foreign_code_of(mem, host);
    return &mem->code[(uint64_t)((const uint8_t *)host - mem->base) >> MEM_PAGE_SHIFT];
}

/* May a CPU store to the page of RAM at host as often as it likes? If not, mem_own() comes first. */
static inline bool mem_may_store(const struct mem *mem, const void *host)
{
    return likely(!mem->own) || mem->own[(uint64_t)((const uint8_t *)host - mem->base) >> MEM_PAGE_SHIFT];
}

#endif
