/* SPDX-License-Identifier: MIT */
/* A chunk whose bytes all go to RAM that is equally far from their place in the file is decompressed there, what is
 * between segments too, which is zeroed in the end. Others, which have the end of one segment and the beginning of
 * one that lies elsewhere, go through a buffer. Two threads, each a chunk at a time. */
#include "board/pc/boot/unpack.h"

#include <lz4.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/log.h"
#include "base/pages.h"
#include "base/thread.h"
#include "board/pc/boot/decompress.h"
#include "mem/mem.h"

#define CHUNKS_MAX ((unsigned)(GIB / DECOMPRESS_LZ4_CHUNK))
#define HEAD_LEN   4096u /* of the file: its headers */

struct chunk {
    const uint8_t *src;
    uint32_t src_len, len;
    uint64_t off;  /* of its bytes in the file */
    uint64_t gpa;  /* where it is decompressed to, or */
    uint8_t *host; /* NULL: a buffer */
};

struct unpacking {
    struct boot_ctx *ctx;
    const struct elf_image *elf;
    struct chunk chunk[CHUNKS_MAX];
    unsigned count;
    _Atomic unsigned next;
    _Atomic bool failed;
};

/* The chunks, each but the last of the full size, unless the payload is something else or says something else. */
static bool find_chunks(const uint8_t *payload, uint64_t len, struct unpacking *u)
{
    uint64_t pos = 4, end = len - DECOMPRESS_SIZE_TRAILER, size = load_le32(payload + end), off = 0;

    while (pos < end && off < size && u->count < CHUNKS_MAX) {
        uint32_t n = end - pos < 4 ? 0 : load_le32(payload + pos);

        pos += 4;
        if (n == DECOMPRESS_LZ4_MAGIC)
            continue;
        if (!n || n > end - pos || n > LZ4_MAX_INPUT_SIZE)
            return false;
        u->chunk[u->count] = (struct chunk){
            .src = payload + pos, .src_len = n, .off = off,
            .len = (uint32_t)MIN(size - off, (uint64_t)DECOMPRESS_LZ4_CHUNK)};
        off += u->chunk[u->count++].len;
        pos += n;
    }
    return pos == end && off == size && u->count;
}

static bool read_headers(const struct unpacking *u, struct elf_image *ret)
{
    const struct chunk *last = &u->chunk[u->count - 1];
    uint8_t head[HEAD_LEN];
    int n = LZ4_decompress_safe_partial((const char *)u->chunk[0].src, (char *)head, (int)u->chunk[0].src_len,
                                        HEAD_LEN, HEAD_LEN);

    return n > 0 && !elf_parse_beginning(head, (uint64_t)n, last->off + last->len, ret) && ret->bits == 64;
}

/* ---- where to ---- */

static bool has_bytes_of(const struct chunk *c, const struct elf_segment *s)
{
    return s->file_len && ranges_overlap(c->off, c->len, s->off, s->file_len);
}

/* Would it write over what does not lie as it does, or over what another chunk is decompressed from? */
static bool is_free(const struct unpacking *u, const struct chunk *c, uint64_t gpa)
{
    for (unsigned i = 0; i < u->elf->segment_count; i++) {
        const struct elf_segment *s = &u->elf->segment[i];

        if (s->gpa - s->off != gpa - c->off && ranges_overlap(gpa, c->len, s->gpa, s->mem_len))
            return false;
    }
    for (const struct chunk *other = u->chunk; other < c; other++)
        if (other->host && ranges_overlap(gpa, c->len, other->gpa, other->len))
            return false;
    return boot_is_ram(u->ctx, gpa, c->len);
}

static void choose_place(struct unpacking *u, struct chunk *c)
{
    uint64_t gpa = 0;
    bool found = false;

    for (unsigned i = 0; i < u->elf->segment_count; i++) {
        const struct elf_segment *s = &u->elf->segment[i];

        if (!has_bytes_of(c, s))
            continue;
        if (found && s->gpa - s->off != gpa - c->off)
            return;
        gpa = s->gpa - s->off + c->off;
        found = true;
    }
    if (!found || !is_free(u, c, gpa))
        return;
    c->gpa = gpa;
    c->host = mem_ptr(u->ctx->mem, gpa, c->len, MEM_WRITE);
}

/* ---- the work ---- */

static bool put_pieces(const struct unpacking *u, const struct chunk *c, const uint8_t *buf)
{
    for (unsigned i = 0; i < u->elf->segment_count; i++) {
        const struct elf_segment *s = &u->elf->segment[i];
        uint64_t from = MAX(c->off, s->off), to = MIN(c->off + c->len, s->off + s->file_len);

        if (from < to && mem_write(u->ctx->mem, s->gpa + (from - s->off), buf + (from - c->off), to - from))
            return false;
    }
    return true;
}

static bool unpack_chunk(const struct unpacking *u, const struct chunk *c, uint8_t **buf)
{
    if (!c->host && !*buf)
        *buf = pages_map(DECOMPRESS_LZ4_CHUNK);
    if (!c->host && !*buf)
        return false;
    return LZ4_decompress_safe((const char *)c->src, (char *)(c->host ? c->host : *buf), (int)c->src_len,
                               (int)c->len) == (int)c->len &&
           (c->host || put_pieces(u, c, *buf));
}

static void *work(void *arg)
{
    struct unpacking *u = arg;
    uint8_t *buf = NULL;
    unsigned n;

    while (!atomic_load(&u->failed) && (n = atomic_fetch_add(&u->next, 1)) < u->count)
        if (!unpack_chunk(u, &u->chunk[n], &buf))
            atomic_store(&u->failed, true);
    pages_unmap(buf, DECOMPRESS_LZ4_CHUNK);
    return NULL;
}

static void work_on_two_cpus(struct unpacking *u)
{
    cpu_set_t set;
    pthread_t other;
    bool two = !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1 && u->count > 1 &&
               !thread_start(&other, THREAD_DISK, "vz-unpack", work, u);

    work(u);
    if (two)
        pthread_join(other, NULL);
}

/* ---- what is left ---- */

static void zero(const struct unpacking *u, uint64_t from, uint64_t to)
{
    if (from < to && mem_zero(u->ctx->mem, from, to - from))
        log_debug("no memory behind the RAM at 0x%llx", (unsigned long long)from);
}

/* What is in [at, end) of RAM but bytes of segments. Those do not overlap. */
static void zero_between(const struct unpacking *u, uint64_t at, uint64_t end)
{
    while (at < end) {
        uint64_t next = end, behind = end;

        for (unsigned i = 0; i < u->elf->segment_count; i++) {
            const struct elf_segment *s = &u->elf->segment[i];

            if (s->file_len && s->gpa < next && s->gpa + s->file_len > at) {
                next = s->gpa;
                behind = s->gpa + s->file_len;
            }
        }
        zero(u, at, next);
        at = behind;
    }
}

static void finish(const struct unpacking *u)
{
    for (unsigned i = 0; i < u->elf->segment_count; i++) {
        const struct elf_segment *s = &u->elf->segment[i];

        zero(u, s->gpa + s->file_len, s->gpa + s->mem_len);
    }
    for (const struct chunk *c = u->chunk; c < u->chunk + u->count; c++) {
        if (!c->host)
            continue;
        zero_between(u, c->gpa, c->gpa + c->len);
        mem_written(u->ctx->mem, c->gpa, c->len);
    }
}

static void undo(const struct unpacking *u)
{
    for (const struct chunk *c = u->chunk; c < u->chunk + u->count; c++)
        if (c->host)
            zero(u, c->gpa, c->gpa + c->len);
    for (unsigned i = 0; i < u->elf->segment_count; i++) /* nothing was put behind their bytes of the file */
        zero(u, u->elf->segment[i].gpa, u->elf->segment[i].gpa + u->elf->segment[i].file_len);
}

static bool claim(struct boot_ctx *ctx, const struct elf_image *elf, uint64_t *ret_end)
{
    struct vz_error *err = ctx->err;
    int r;

    ctx->err = NULL;
    r = elf_claim(ctx, elf, ret_end);
    ctx->err = err;
    return !r;
}

bool unpack_in_place(struct boot_ctx *ctx, const uint8_t *payload, uint64_t len, struct elf_image *ret_elf,
                     uint64_t *ret_end)
{
    struct unpacking *u = &(struct unpacking){.ctx = ctx, .elf = ret_elf};
    unsigned used = ctx->used_count;
    uint64_t start = UINT64_MAX;

    if (decompress_detect(payload, len) != DECOMPRESS_LZ4 || len < 8 || len > UINT32_MAX ||
        !find_chunks(payload, len, u) || !read_headers(u, ret_elf))
        return false;
    if (!claim(ctx, ret_elf, ret_end)) {
        ctx->used_count = used;
        return false;
    }
    for (unsigned i = 0; i < ret_elf->segment_count; i++)
        start = MIN(start, ret_elf->segment[i].gpa);
    mem_use_huge(ctx->mem, start, *ret_end - start);
    for (struct chunk *c = u->chunk; c < u->chunk + u->count; c++)
        choose_place(u, c);
    work_on_two_cpus(u);
    if (u->failed) {
        undo(u);
        ctx->used_count = used;
        return false;
    }
    finish(u);
    return true;
}
