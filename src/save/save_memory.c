/* SPDX-License-Identifier: MIT */
/* Memory into a saved state: pieces of a megabyte by several threads, each of which seals a piece's
 * frames one behind the other and writes them at once, wherever the file ends just then. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

#include "base/checked.h"
#include "mem/mem.h"
#include "mem/mem_fork.h"
#include "mem/mem_holes.h"
#include "save/save_impl.h"

#define PIECE_FRAMES 64u
#define PIECE        (PIECE_FRAMES * SAVE_FRAME)
#define STRETCH      (8 * MIB) /* written to disk in one go */
/* A frame with its tag, at the next multiple of SAVE_UNIT. */
#define ROOM         (SAVE_FRAME + SAVE_TAG)

struct worker {
    uint8_t *out;    /* a piece */
    uint8_t *packed; /* a frame's pages that are not zeros; and compressed, behind them */
    ZSTD_CCtx *zstd; /* NULL: not compressed */
};

struct writing {
    struct save_writer *w;
    struct mem *mem;
    uint64_t ram_size;
    const bool *used;     /* in the child: what mem_find_used() said before it was made */
    pthread_mutex_t lock; /* for w->end */
    struct worker worker[SAVE_WORKERS_MAX];
};

static bool is_zero(const uint8_t *page)
{
    return !page[0] && !memcmp(page, page + 1, SAVE_PAGE - 1);
}

/* Frame n's pages that are not zeros, to to; hole says of each what mem_find_holes() did. Returns which
 * those are. */
static uint8_t pack(struct mem *mem, uint64_t n, unsigned pages, const bool *hole, uint8_t *to)
{
    uint8_t mask = 0;

    for (unsigned i = 0; i < pages; i++) {
        uint64_t offset = n * SAVE_FRAME + i * SAVE_PAGE;
        const uint8_t *from = mem_ram(mem, offset, SAVE_PAGE, MEM_READ);

        if (hole[i] || is_zero(from))
            continue;
        memcpy(to, from, SAVE_PAGE);
        to += SAVE_PAGE;
        mask |= (uint8_t)BIT(i);
    }
    return mask;
}

/* Frame n, sealed to to, where its offset counts from there on. */
static struct save_frame seal_frame(struct writing *g, struct worker *k, uint64_t n,
                                    unsigned pages, const bool *hole, uint8_t *to)
{
    struct save_frame f = {.pages = pack(g->mem, n, pages, hole, k->packed)};
    size_t len = (size_t)__builtin_popcount(f.pages) * SAVE_PAGE, compressed;
    const uint8_t *plain = k->packed;

    if (!f.pages)
        return f;
    if (k->zstd) {
        compressed = ZSTD_compress2(k->zstd, k->packed + SAVE_FRAME, SAVE_FRAME, k->packed, len);
        if (!ZSTD_isError(compressed) && compressed < len) {
            plain = k->packed + SAVE_FRAME;
            len = compressed;
        }
    }
    save_seal(&g->w->key, SAVE_MEMORY, n, plain, len, to);
    f.len = (uint32_t)(len + SAVE_TAG);
    return f;
}

/* [offset, offset + len) has been written: whenever that ends a stretch of the file, have its disk begin with the
 * stretch, so that the sync at the end finds little to wait for. What other workers have not yet written of it is left
 * for that. */
static void push(const struct save_writer *w, uint64_t offset, uint64_t len)
{
    uint64_t end = align_down(offset + len, STRETCH);

    if (!w->unsynced && end > offset)
        (void)sync_file_range(w->fd, (off_t)(end - STRETCH), STRETCH, SYNC_FILE_RANGE_WRITE);
}

static uint64_t claim(struct writing *g, uint64_t len)
{
    uint64_t at;

    pthread_mutex_lock(&g->lock);
    at = align_up(g->w->end, SAVE_UNIT);
    g->w->end = at + len;
    pthread_mutex_unlock(&g->lock);
    return at;
}

static int write_piece(void *arg, unsigned worker, uint64_t piece)
{
    struct writing *g = arg;
    struct worker *k = &g->worker[worker];
    struct save_frame frame[PIECE_FRAMES];
    uint64_t offset = piece * PIECE, len = MIN(PIECE, g->ram_size - offset), base;
    bool hole[PIECE / SAVE_PAGE];
    unsigned count = 0;
    size_t used = 0;
    int r;

    mem_find_holes(g->mem, offset, (unsigned)(len / SAVE_PAGE), hole);
    for (uint64_t at = 0; at < len; at += SAVE_FRAME, count++) {
        uint64_t n = (offset + at) / SAVE_FRAME, bytes = MIN(SAVE_FRAME, len - at);

        used = align_up(used, SAVE_UNIT);
        frame[count] = seal_frame(g, k, n, (unsigned)(bytes / SAVE_PAGE),
                                  hole + at / SAVE_PAGE, k->out + used);
        frame[count].offset = used;
        used += frame[count].len;
    }
    if (!used)
        return 0; /* the table is zeros */
    base = claim(g, used);
    for (unsigned i = 0; i < count; i++) {
        frame[i].offset += base;
        if (frame[i].len)
            save_frame_write(&frame[i], g->w->table +
                                            (piece * PIECE_FRAMES + i) * SAVE_FRAME_ENTRY);
    }
    r = save_pwrite(g->w->fd, k->out, used, base);
    push(g->w, base, used);
    return r;
}

/* Plain memory: pages to their places, as many at once as lie together. */
static int write_plain(void *arg, unsigned worker, uint64_t piece)
{
    struct writing *g = arg;
    uint64_t offset = piece * PIECE, end = MIN(offset + PIECE, g->ram_size), from = end;
    struct save_frame frame[PIECE_FRAMES] = {{0}};
    bool hole[PIECE / SAVE_PAGE];
    int r = 0;

    mem_find_holes(g->mem, offset, (unsigned)((end - offset) / SAVE_PAGE), hole);
    for (uint64_t at = offset; !r && at < end; at += SAVE_PAGE) {
        const uint8_t *page = mem_ram(g->mem, at, SAVE_PAGE, MEM_READ);
        bool zero = hole[(at - offset) / SAVE_PAGE] || is_zero(page);

        if (!zero) {
            frame[(at - offset) / SAVE_FRAME].pages |= (uint8_t)BIT(at / SAVE_PAGE % SAVE_FRAME_PAGES);
            from = MIN(from, at);
        }
        if (from < end && (zero || at + SAVE_PAGE == end)) {
            uint64_t to = zero ? at : end;

            r = save_pwrite(g->w->fd, mem_ram(g->mem, from, to - from, MEM_READ), to - from,
                            g->w->header.data_offset + from);
            from = end;
        }
    }
    for (unsigned i = 0; i < PIECE_FRAMES && offset + i * SAVE_FRAME < end; i++)
        save_frame_write(&frame[i], g->w->table + (piece * PIECE_FRAMES + i) * SAVE_FRAME_ENTRY);
    push(g->w, g->w->header.data_offset + offset, end - offset);
    return r;
}

static int make_workers(struct writing *g)
{
    for (unsigned i = 0; i < save_workers(); i++) {
        struct worker *k = &g->worker[i];

        k->out = calloc(PIECE_FRAMES, ROOM); /* what lies between frames is zeros, or old */
        k->packed = malloc(2 * SAVE_FRAME);
        if (g->w->compress)
            k->zstd = ZSTD_createCCtx();
        if (!k->out || !k->packed || (g->w->compress && !k->zstd))
            return -ENOMEM;
        if (k->zstd)
            ZSTD_CCtx_setParameter(k->zstd, ZSTD_c_compressionLevel, 1);
    }
    return 0;
}

static void free_workers(struct writing *g)
{
    for (unsigned i = 0; i < SAVE_WORKERS_MAX; i++) {
        free(g->worker[i].out);
        free(g->worker[i].packed);
        ZSTD_freeCCtx(g->worker[i].zstd);
    }
}

static size_t table_bytes(uint64_t ram_size)
{
    return MAX(save_frame_count(ram_size) * SAVE_FRAME_ENTRY, SAVE_RUN_ENTRY) + SAVE_TAG;
}

static void place_plain(struct save_writer *w, uint64_t ram_size)
{
    w->header.data_offset = SAVE_PLAIN_ALIGN;
    w->header.data_len = ram_size;
    w->end = SAVE_PLAIN_ALIGN + ram_size;
}

/* In the child: see mem_fork(). */
static int write_all_plain(void *arg)
{
    struct writing *g = arg;
    int r = 0;

    for (uint64_t piece = 0; !r && piece * PIECE < g->ram_size; piece++) {
        if (g->used[piece * PIECE / MEM_HOLE_PIECE])
            r = write_plain(g, 0, piece);
    }
    return r;
}

int save_memory_fork(struct save_writer *w, struct mem *mem)
{
    struct writing g = {.w = w, .mem = mem, .ram_size = mem_ram_size(mem)};
    size_t len = table_bytes(g.ram_size);
    void *table;
    bool *used;
    int r;

    if (w->header.memory == SAVE_FRAMES || !mem_can_fork(mem))
        return -EOPNOTSUPP;
    used = malloc(mem_hole_pieces(g.ram_size));
    if (!used)
        return -ENOMEM;
    table = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        free(used);
        return -ENOMEM;
    }
    w->header.ram_size = g.ram_size;
    w->table = table;
    w->table_shared = len;
    place_plain(w, g.ram_size);
    mem_find_used(mem, used);
    g.used = used;
    r = mem_fork(mem, w->fd, write_all_plain, &g, &w->child);
    free(used);
    return r;
}

int save_memory_write(struct save_writer *w, struct mem *mem, const struct save_progress *progress)
{
    struct writing g = {.w = w, .mem = mem, .ram_size = mem_ram_size(mem),
                        .lock = PTHREAD_MUTEX_INITIALIZER};
    int r;

    w->header.ram_size = g.ram_size;
    w->table = calloc(1, table_bytes(g.ram_size));
    if (w->header.memory != SAVE_FRAMES) {
        place_plain(w, g.ram_size);
        return w->table ? save_parallel((g.ram_size + PIECE - 1) / PIECE, write_plain, &g, progress)
                        : -ENOMEM;
    }
    r = w->table ? make_workers(&g) : -ENOMEM;
    if (!r)
        r = save_parallel((g.ram_size + PIECE - 1) / PIECE, write_piece, &g, progress);
    free_workers(&g);
    pthread_mutex_destroy(&g.lock);
    return r;
}
