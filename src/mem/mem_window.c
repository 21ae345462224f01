/* SPDX-License-Identifier: MIT */
/* See mem_window.h. What mend_ functions do may be done in the handler of a signal, on any thread, also one that runs
 * guest code: they make system calls, and take one lock, which nobody has who touches a window. */
#include "mem/mem_window.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"

#define TRIES   4u    /* faults in what a file has: it may have grown meanwhile, or been shown meanwhile */
#define BAD_MAX 4096u /* pages replaced one by one: each is a mapping or two, of which a process can have 65530 */

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static atomic_flag locked = ATOMIC_FLAG_INIT;
static struct mem_window *windows[MEM_WINDOWS_MAX]; /* under the lock, as the next */
static unsigned bad_pages;

static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&locked, memory_order_acquire))
        sched_yield();
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&locked, memory_order_release);
}

int mem_window_clear(uint8_t *host, uint64_t len)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

    if (mmap(host, len, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
        return -errno;
    (void)madvise(host, len, MADV_DONTFORK);
    return 0;
}

static uint8_t *host_of(const struct mem_window *w, const struct mem_window_piece *p)
{
    return w->host + (uint64_t)(p - w->piece) * MEM_WINDOW_PIECE;
}

/* How much of the piece the file has, in whole pages. */
static uint64_t there_locked(const struct mem_window_piece *p)
{
    struct stat st;

    /* Not fstat(), which some C libraries make another call of. */
    if (syscall(SYS_fstat, p->file->fd, &st) < 0 || (uint64_t)st.st_size <= p->offset)
        return 0;
    return MIN(align_up((uint64_t)st.st_size - p->offset, MEM_PAGE_SIZE), MEM_WINDOW_PIECE);
}

static void set_end_locked(struct mem_window *w, struct mem_window_piece *p, uint64_t end)
{
    bool was = p->end < MEM_WINDOW_PIECE, is = end < MEM_WINDOW_PIECE;

    p->end = end;
    if (was != is)
        atomic_fetch_add(&w->mended, is ? 1u : -1u);
}

/* ---- Mending -------------------------------------------------------------------------------- */

static bool cut_locked(struct mem_window *w, struct mem_window_piece *p, uint64_t end)
{
    if (mem_window_clear(host_of(w, p) + end, MEM_WINDOW_PIECE - end) < 0) {
        end = 0; /* one mapping instead of two */
        if (mem_window_clear(host_of(w, p), MEM_WINDOW_PIECE) < 0)
            return false;
    }
    set_end_locked(w, p, end);
    p->faults = 0;
    return true;
}

/* Is it the same page again and again? */
static bool is_stuck_locked(struct mem_window_piece *p, uint64_t at)
{
    if (p->fault_at != align_down(at, MEM_PAGE_SIZE))
        p->faults = 0;
    p->fault_at = align_down(at, MEM_PAGE_SIZE);
    return ++p->faults >= TRIES;
}

/* The file has the page, and the host cannot give it. */
static bool replace_page_locked(struct mem_window *w, struct mem_window_piece *p, uint64_t at)
{
    atomic_store(&p->file->lost, true);
    if (bad_pages == BAD_MAX || mem_window_clear(host_of(w, p) + align_down(at, MEM_PAGE_SIZE), MEM_PAGE_SIZE) < 0)
        return cut_locked(w, p, 0);
    bad_pages++;
    p->bad++;
    return true;
}

/* Somebody had a fault at that place of the window. True: it can be tried again. */
static bool mend_locked(struct mem_window *w, uint64_t off)
{
    struct mem_window_piece *p = &w->piece[off / MEM_WINDOW_PIECE];
    uint64_t at = off % MEM_WINDOW_PIECE, there;

    if (!p->file) /* it does not show any more what the fault was in; or memory has failed */
        return !is_stuck_locked(p, at) || mem_window_clear(host_of(w, p), MEM_WINDOW_PIECE) == 0;
    there = there_locked(p);
    if (at >= there)
        return cut_locked(w, p, MIN(there, p->end));
    return !is_stuck_locked(p, at) || replace_page_locked(w, p, at);
}

bool mem_window_mend_at(const void *address)
{
    bool mended = false;

    lock();
    for (unsigned i = 0; i < MEM_WINDOWS_MAX && !mended; i++) {
        struct mem_window *w = windows[i];

        if (w && (uintptr_t)address - (uintptr_t)w->host < w->len)
            mended = mend_locked(w, (uint64_t)((uintptr_t)address - (uintptr_t)w->host));
    }
    unlock();
    return mended;
}

/* ---- CPUs in the host's kernel -------------------------------------------------------------- */

/* shrunk: only of files that have less than they had, since what is mended is looked at by mem_window_regain(). */
static bool mend_ends_locked(struct mem_window *w, bool shrunk)
{
    bool mended = false;

    for (unsigned i = 0; w && i < w->count; i++) {
        struct mem_window_piece *p = &w->piece[i];
        uint64_t there = p->file ? there_locked(p) : MEM_WINDOW_PIECE;

        if (there < p->end && (!shrunk || there < p->seen))
            mended |= cut_locked(w, p, there);
    }
    return mended;
}

/* Pages that the host cannot give. */
static bool mend_pages_locked(struct mem_window *w, struct mem_window_piece *p)
{
    int advice = p->writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    bool mended = false;

    if (!p->file || madvise(host_of(w, p), p->end, advice) == 0 || errno == EINVAL)
        return false;
    for (uint64_t at = 0; at < p->end; at += MEM_PAGE_SIZE) {
        if (madvise(host_of(w, p) + at, MEM_PAGE_SIZE, advice) == 0 || errno == EINVAL)
            continue;
        mended |= replace_page_locked(w, p, at);
    }
    return mended;
}

bool mem_windows_mend(void)
{
    bool mended = false;

    lock();
    for (unsigned i = 0; i < MEM_WINDOWS_MAX; i++)
        mended |= mend_ends_locked(windows[i], true);
    for (unsigned i = 0; i < MEM_WINDOWS_MAX && !mended; i++)
        mended = mend_ends_locked(windows[i], false);
    for (unsigned i = 0; i < MEM_WINDOWS_MAX && !mended; i++) {
        for (unsigned n = 0; windows[i] && n < windows[i]->count; n++)
            mended |= mend_pages_locked(windows[i], &windows[i]->piece[n]);
    }
    unlock();
    return mended;
}

/* ---- Showing -------------------------------------------------------------------------------- */

static const struct mem_window_piece nothing = {.end = MEM_WINDOW_PIECE};

static void set_locked(struct mem_window *w, unsigned n, const struct mem_window_piece *is)
{
    set_end_locked(w, &w->piece[n], MEM_WINDOW_PIECE);
    bad_pages -= w->piece[n].bad;
    w->piece[n] = *is;
    w->piece[n].seen = is->file ? there_locked(is) : 0;
}

/* A file system that lets none be mapped may say so when what was in the place is gone already, and a CPU that looks there
 * just then would find nothing: so it is asked elsewhere first. */
static int try_elsewhere(const struct mem_window_piece *is, int flags)
{
    void *at = mmap(NULL, MEM_WINDOW_PIECE, PROT_READ | PROT_WRITE, flags, is->file->fd, (off_t)is->offset);

    return at == MAP_FAILED ? -errno : munmap(at, MEM_WINDOW_PIECE) < 0 ? -errno : 0;
}

static int show_locked(struct mem_window *w, unsigned n, const struct mem_window_piece *is)
{
    uint8_t *host = w->host + n * MEM_WINDOW_PIECE;
    int flags = is->writable ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE, r = try_elsewhere(is, flags);

    if (!r && mmap(host, MEM_WINDOW_PIECE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, is->file->fd, (off_t)is->offset) ==
                  MAP_FAILED)
        r = -errno;
    if (r < 0) {
        if (mem_window_clear(host, MEM_WINDOW_PIECE) == 0)
            set_locked(w, n, &nothing);
        return r;
    }
    (void)madvise(host, MEM_WINDOW_PIECE, MADV_DONTFORK);
    set_locked(w, n, is);
    return 0;
}

/* As mem_written_at(), for so many pages that have no code. */
static void tell_written(struct mem_window *w, unsigned n)
{
    uint8_t *host = w->host + n * MEM_WINDOW_PIECE;
    const struct mem_code *code = mem_code_of(w->mem, host);

    if (!w->mem->code_written)
        return;
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < MEM_WINDOW_PIECE / MEM_PAGE_SIZE; i++) {
        if (atomic_load_explicit(&code[i].granules, memory_order_relaxed))
            mem_written_at(w->mem, host + i * (uint64_t)MEM_PAGE_SIZE, MEM_PAGE_SIZE);
    }
}

int mem_window_show(struct mem_window *w, unsigned n, struct mem_window_file *file, uint64_t offset, bool writable)
{
    const struct mem_window_piece is = {.file = file, .writable = writable, .offset = offset, .end = MEM_WINDOW_PIECE};
    int r;

    lock();
    r = show_locked(w, n, &is);
    unlock();
    tell_written(w, n);
    return r;
}

int mem_window_hide(struct mem_window *w, unsigned n)
{
    int r = 0;

    lock();
    if (w->piece[n].file)
        r = mem_window_clear(w->host + n * MEM_WINDOW_PIECE, MEM_WINDOW_PIECE);
    if (!r)
        set_locked(w, n, &nothing);
    unlock();
    if (!r)
        tell_written(w, n);
    return r;
}

void mem_window_reopen(struct mem_window_file *file, int fd)
{
    int old;

    lock();
    old = file->fd;
    file->fd = fd;
    unlock();
    close(old);
}

static bool regain_locked(struct mem_window *w, unsigned n)
{
    struct mem_window_piece is = w->piece[n];

    if (!is.file || is.end == MEM_WINDOW_PIECE || there_locked(&is) <= is.end)
        return false;
    is.end = MEM_WINDOW_PIECE;
    is.faults = is.bad = 0;
    return show_locked(w, n, &is) == 0;
}

/* The first from n on that could be regained. */
static unsigned regain_from(struct mem_window *w, unsigned n)
{
    lock();
    while (n < w->count && !regain_locked(w, n))
        n++;
    unlock();
    return n;
}

void mem_window_regain(struct mem_window *w)
{
    for (unsigned n = 0; atomic_load(&w->mended) && (n = regain_from(w, n)) < w->count; n++)
        tell_written(w, n);
}

void mem_window_written(struct mem_window *w, const struct mem_window_file *file)
{
    for (unsigned n = 0; w->mem->code_written && n < w->count; n++) {
        if (w->piece[n].file == file)
            tell_written(w, n);
    }
}

/* ---- Life ----------------------------------------------------------------------------------- */

static bool add(struct mem_window *w)
{
    unsigned i = 0;

    lock();
    while (i < MEM_WINDOWS_MAX && windows[i])
        i++;
    if (i < MEM_WINDOWS_MAX)
        windows[i] = w;
    unlock();
    return i < MEM_WINDOWS_MAX;
}

static const struct mem_region *window_region(const struct mem *mem)
{
    for (unsigned i = 0; i < mem->region_count; i++) {
        if (mem->region[i].window)
            return &mem->region[i];
    }
    return NULL;
}

int mem_window_create(struct mem *mem, uint64_t len, struct mem_window **ret)
{
    const struct mem_region *r = window_region(mem);
    unsigned count = (unsigned)(len / MEM_WINDOW_PIECE);
    struct mem_window *w;

    if (!r || !count || len % MEM_WINDOW_PIECE || len > r->len - mem->windows_taken)
        return -ENOSPC;
    w = calloc(1, sizeof(*w) + count * sizeof(w->piece[0]));
    if (!w)
        return -ENOMEM;
    w->mem = mem;
    w->gpa = r->gpa + mem->windows_taken;
    w->host = r->host + mem->windows_taken;
    w->len = len;
    w->count = count;
    for (unsigned n = 0; n < count; n++)
        w->piece[n].end = MEM_WINDOW_PIECE;
    if (!add(w)) {
        free(w);
        return -ENOSPC;
    }
    mem->windows_taken += len;
    *ret = w;
    return 0;
}

void mem_window_destroy(struct mem_window *w)
{
    if (!w)
        return;
    for (unsigned n = 0; n < w->count; n++)
        if (mem_window_hide(w, n) < 0)
            break; /* they go with mem */
    lock();
    for (unsigned i = 0; i < MEM_WINDOWS_MAX; i++) {
        if (windows[i] == w)
            windows[i] = NULL;
    }
    unlock();
    free(w);
}
