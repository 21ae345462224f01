/* SPDX-License-Identifier: MIT */
/* A disk in memory: see blk_mem.h. The memory is anonymous, so that what was never written or was
 * discarded takes no room. */
#include "block/blk_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/error.h"

#define PAGE 4096u

struct blk_mem {
    struct blk b;
    uint8_t *data;
    uint64_t len; /* of data */
};

static struct blk_mem *to_mem(struct blk *b)
{
    return container_of(b, struct blk_mem, b);
}

static void copy(uint8_t *data, const struct blk_req *req)
{
    for (unsigned i = 0; i < req->iov_count; i++) {
        const struct iovec *v = &req->iov[i];

        if (req->op == BLK_READ)
            memcpy(v->iov_base, data, v->iov_len);
        else
            memcpy(data, v->iov_base, v->iov_len);
        data += v->iov_len;
    }
}

static void clear(uint8_t *data, uint64_t offset, uint64_t len)
{
    uint64_t from = align_up(offset, PAGE), to = align_down(offset + len, PAGE);

    if (to > from && !madvise(data + from, to - from, MADV_DONTNEED)) {
        memset(data + offset, 0, from - offset);
        memset(data + to, 0, offset + len - to);
    } else {
        memset(data + offset, 0, len);
    }
}

static void mem_submit(struct blk *b, struct blk_req *req)
{
    struct blk_mem *m = to_mem(b);

    if (req->op == BLK_READ || req->op == BLK_WRITE)
        copy(m->data + req->offset, req);
    else if (req->op == BLK_DISCARD || req->op == BLK_ZERO)
        clear(m->data, req->offset, req->len);
    blk_complete(req, 0);
}

static void mem_close(struct blk *b)
{
    munmap(to_mem(b)->data, to_mem(b)->len);
}

static bool is_size(uint64_t size, uint32_t block_size)
{
    return size && size <= SIZE_MAX / 2 && !(size & (block_size - 1));
}

static int remap(struct blk_mem *m, uint64_t size)
{
    void *data = is_size(size, m->b.block_size) ? mremap(m->data, m->len, size, MREMAP_MAYMOVE) : MAP_FAILED;

    if (data == MAP_FAILED)
        return is_size(size, m->b.block_size) ? -errno : -EINVAL;
    m->data = data;
    m->len = size;
    return 0;
}

static int mem_grow(struct blk *b, uint64_t size, struct vz_error *err)
{
    int r = remap(to_mem(b), size);

    return r < 0 ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "no memory for a disk of %llu bytes",
                             (unsigned long long)size)
                 : 0;
}

static const struct blk_ops mem_ops = {
    .name = "mem", .submit = mem_submit, .grow = mem_grow, .close = mem_close};

static void *map(uint64_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int blk_mem_create(const struct blk_mem_options *o, struct loop *loop, struct blk **ret)
{
    uint32_t block_size = o->block_size ? o->block_size : BLK_SECTOR;
    struct blk_mem *m;

    if (!is_power_of_two(block_size) || block_size < BLK_SECTOR || block_size > BLK_BLOCK_MAX ||
        !is_size(o->size, block_size))
        return -EINVAL;
    m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->data = map(o->size);
    if (m->data == MAP_FAILED) {
        free(m);
        return -ENOMEM;
    }
    m->b.size = m->len = o->size;
    m->b.block_size = block_size;
    m->b.physical_block_size = PAGE;
    m->b.discard_granularity = PAGE;
    m->b.read_only = o->read_only;
    blk_init(&m->b, &mem_ops, loop, NULL);
    *ret = &m->b;
    return 0;
}

void *blk_mem_data(struct blk *b)
{
    return to_mem(b)->data;
}

int blk_mem_resize(struct blk *b, uint64_t size)
{
    int r = remap(to_mem(b), size);

    if (!r)
        blk_set_size(b, size);
    return r;
}
