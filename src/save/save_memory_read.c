/* SPDX-License-Identifier: MIT */
/* Memory out of a saved state, by several threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/le.h"
#include "mem/mem.h"
#include "save/save_impl.h"

#define PIECE_FRAMES 64u
#define SPAN         (PIECE_FRAMES * (SAVE_FRAME + SAVE_TAG))

struct worker {
    uint8_t *in;    /* what is read at once */
    uint8_t *plain; /* a frame, opened; and decompressed, behind it */
    ZSTD_DCtx *zstd;
};

struct reading {
    struct save_reader *r;
    struct mem *mem;
    struct worker worker[SAVE_WORKERS_MAX];
};

/* From its pages, one behind the other. */
static void unpack(struct reading *g, uint64_t n, uint8_t pages, const uint8_t *from)
{
    uint8_t *to;

    for (unsigned i = 0; i < SAVE_FRAME_PAGES; i++) {
        if (!(pages & BIT(i)))
            continue;
        to = mem_ram(g->mem, n * SAVE_FRAME + i * SAVE_PAGE, SAVE_PAGE, MEM_WRITE);
        memcpy(to, from, SAVE_PAGE);
        mem_written_at(g->mem, to, SAVE_PAGE);
        from += SAVE_PAGE;
    }
}

static int open_frame(struct reading *g, struct worker *k, uint64_t n, const struct save_frame *f,
                      const uint8_t *sealed)
{
    size_t len = (size_t)__builtin_popcount(f->pages) * SAVE_PAGE, have = f->len - SAVE_TAG;
    unsigned top = 32u - (unsigned)__builtin_clz(f->pages); /* the last frame of RAM may be short */
    const uint8_t *plain = k->plain;

    if (have > len || n * SAVE_FRAME + top * SAVE_PAGE > g->r->header.ram_size)
        return -EBADMSG;
    if (!save_open(&g->r->key, SAVE_MEMORY, n, sealed, f->len, k->plain))
        return -EBADMSG;
    if (have < len) {
        size_t got = ZSTD_decompressDCtx(k->zstd, k->plain + SAVE_FRAME, len, k->plain, have);

        if (got != len)
            return -EBADMSG;
        plain = k->plain + SAVE_FRAME;
    }
    unpack(g, n, f->pages, plain);
    return 0;
}

/* Entries of count frames from first on. *ret_low and *ret_high: where what they need lies. */
static int look_up(struct reading *g, uint64_t first, unsigned count, struct save_frame *frame,
                   uint64_t *ret_low, uint64_t *ret_high)
{
    *ret_low = UINT64_MAX;
    *ret_high = 0;
    for (unsigned i = 0; i < count; i++) {
        if (save_frame_read(g->r->table + (first + i) * SAVE_FRAME_ENTRY, &g->r->header,
                            &frame[i]) < 0)
            return -EBADMSG;
        if (!frame[i].len)
            continue;
        *ret_low = MIN(*ret_low, frame[i].offset);
        *ret_high = MAX(*ret_high, frame[i].offset + frame[i].len);
    }
    return 0;
}

static int read_piece(void *arg, unsigned worker, uint64_t piece)
{
    struct reading *g = arg;
    struct worker *k = &g->worker[worker];
    struct save_frame frame[PIECE_FRAMES];
    uint64_t first = piece * PIECE_FRAMES, low, high;
    unsigned count = (unsigned)MIN(PIECE_FRAMES,
                                   save_frame_count(g->r->header.ram_size) - first);
    int e = look_up(g, first, count, frame, &low, &high);
    bool together;

    if (e < 0 || !high)
        return e;
    together = high - low <= SPAN; /* as our writer does it */
    if (together)
        e = save_pread(g->r->fd, k->in, (size_t)(high - low), low);
    for (unsigned i = 0; !e && i < count; i++) {
        const uint8_t *sealed = k->in + (together ? frame[i].offset - low : 0);

        if (!frame[i].len)
            continue;
        if (!together)
            e = save_pread(g->r->fd, k->in, frame[i].len, frame[i].offset);
        if (!e)
            e = open_frame(g, k, first + i, &frame[i], sealed);
    }
    return e;
}

/* ---- Plain memory --------------------------------------------------------------------------- */

static int pages_of(const struct reading *g, uint64_t n, uint8_t *ret)
{
    struct save_frame f;

    if (save_frame_read(g->r->table + n * SAVE_FRAME_ENTRY, &g->r->header, &f) < 0)
        return -EBADMSG;
    *ret = f.pages;
    return 0;
}

static int read_plain(void *arg, unsigned worker, uint64_t n)
{
    struct reading *g = arg;
    const struct save_header *h = &g->r->header;
    uint8_t pages, *to;
    int e = pages_of(g, n, &pages);

    for (unsigned i = 0; !e && i < SAVE_FRAME_PAGES; i++) {
        uint64_t at = n * SAVE_FRAME + i * SAVE_PAGE;

        if (!(pages & BIT(i)))
            continue;
        if (at >= h->ram_size)
            return -EBADMSG;
        to = mem_ram(g->mem, at, SAVE_PAGE, MEM_WRITE);
        e = save_pread(g->r->fd, to, SAVE_PAGE, h->data_offset + at);
        mem_written_at(g->mem, to, SAVE_PAGE);
    }
    return e;
}

/* Frame n of a run: of the pages in it those of zeros are left alone. */
static int read_frame(struct reading *g, uint64_t n)
{
    static const uint8_t zero[SAVE_PAGE];
    const struct save_header *h = &g->r->header;
    uint64_t offset = n * SAVE_FRAME, len = MIN(SAVE_FRAME, h->ram_size - offset);
    uint8_t data[SAVE_FRAME], *to;
    int e = save_pread(g->r->fd, data, (size_t)len, h->data_offset + offset);

    for (uint64_t at = 0; !e && at < len; at += SAVE_PAGE) {
        if (!memcmp(data + at, zero, SAVE_PAGE))
            continue;
        to = mem_ram(g->mem, offset + at, SAVE_PAGE, MEM_WRITE);
        memcpy(to, data + at, SAVE_PAGE);
        mem_written_at(g->mem, to, SAVE_PAGE);
    }
    return e;
}

static uint64_t run_count(const struct reading *g)
{
    return (g->r->header.table_len - SAVE_TAG) / SAVE_RUN_ENTRY;
}

/* Of runs that check_runs() has seen. */
static int read_if_there(void *arg, unsigned worker, uint64_t n)
{
    struct reading *g = arg;
    uint64_t low = 0, high = run_count(g);

    while (low < high) { /* the first one that ends behind n */
        uint64_t middle = low + (high - low) / 2;

        if (load_le64(g->r->table + middle * SAVE_RUN_ENTRY + 8) > n)
            high = middle;
        else
            low = middle + 1;
    }
    return low < run_count(g) && load_le64(g->r->table + low * SAVE_RUN_ENTRY) <= n ? read_frame(g, n) : 0;
}

/* Frames [first, end), which may end behind RAM. Where there are too many mappings it is read. */
static int map_run(struct reading *g, uint64_t first, uint64_t end)
{
    const struct save_header *h = &g->r->header;
    uint64_t offset = first * SAVE_FRAME, to = MIN(end * SAVE_FRAME, h->ram_size);
    int e = mem_map(g->mem, offset, to - offset, g->r->fd, h->data_offset + offset);

    if (!e)
        return 0;
    for (e = 0; !e && first < end; first++)
        e = h->memory == SAVE_RUNS ? read_frame(g, first) : read_plain(g, 0, first);
    return e;
}

/* All of them are right before anything is done by them. */
static int check_runs(struct reading *g)
{
    struct save_run run = {.end = 0};
    int e = 0;

    for (uint64_t i = 0; !e && i < run_count(g); i++)
        e = save_run_read(g->r->table + i * SAVE_RUN_ENTRY, &g->r->header, run.end, &run);
    return e ? -EBADMSG : 0;
}

static int map_runs(struct reading *g)
{
    struct save_run run;
    int e = 0;

    for (uint64_t i = 0; !e && i < run_count(g); i++) {
        e = save_run_read(g->r->table + i * SAVE_RUN_ENTRY, &g->r->header, 0, &run);
        if (!e)
            e = map_run(g, run.first, run.end);
    }
    return e;
}

static int map_plain(struct reading *g)
{
    uint64_t count = save_frame_count(g->r->header.ram_size), first = count, last = 0;
    uint8_t pages = 0;
    int e = 0;

    for (uint64_t n = 0; !e && n < count; n++) {
        e = pages_of(g, n, &pages);
        if (!e && first < count && n > last + SAVE_RUN_GAP) {
            e = map_run(g, first, last + 1);
            first = count;
        }
        if (pages) {
            first = MIN(first, n);
            last = n;
        }
    }
    return !e && first < count ? map_run(g, first, last + 1) : e;
}

/* Only who owns it can change it, and that is this user or the system. */
static bool is_trusted(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & 022);
}

/* Mapped, which reads nothing, where that can be. */
static int read_all_plain(struct reading *g, const struct save_progress *progress)
{
    uint64_t count = save_frame_count(g->r->header.ram_size);
    bool runs = g->r->header.memory == SAVE_RUNS;
    int e = runs ? check_runs(g) : 0;

    if (e < 0)
        return e;
    if (!mem_can_map(g->mem) || !is_trusted(g->r->fd))
        return save_parallel(count, runs ? read_if_there : read_plain, g, progress);
    if (progress && progress->tick && progress->tick(progress->arg, count, count))
        return -ECANCELED;
    return runs ? map_runs(g) : map_plain(g);
}

/* ---- All ------------------------------------------------------------------------------------ */

static int make_workers(struct reading *g)
{
    for (unsigned i = 0; i < save_workers(); i++) {
        struct worker *k = &g->worker[i];

        k->in = malloc(SPAN);
        k->plain = malloc(2 * SAVE_FRAME);
        k->zstd = ZSTD_createDCtx();
        if (!k->in || !k->plain || !k->zstd)
            return -ENOMEM;
    }
    return 0;
}

static void free_workers(struct reading *g)
{
    for (unsigned i = 0; i < SAVE_WORKERS_MAX; i++) {
        free(g->worker[i].in);
        free(g->worker[i].plain);
        ZSTD_freeDCtx(g->worker[i].zstd);
    }
}

int save_memory_read(struct save_reader *r, struct mem *mem, const struct save_progress *progress)
{
    struct reading g = {.r = r, .mem = mem};
    uint64_t frames = save_frame_count(r->header.ram_size);
    int e = mem_clear(mem);

    if (!e && r->header.memory != SAVE_FRAMES)
        return read_all_plain(&g, progress);
    if (!e)
        e = make_workers(&g);
    if (!e)
        e = save_parallel((frames + PIECE_FRAMES - 1) / PIECE_FRAMES, read_piece, &g, progress);
    free_workers(&g);
    return e;
}
