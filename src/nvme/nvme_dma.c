/* SPDX-License-Identifier: MIT */
/* What memory a command names, by PRP entries (4.3) or SGL descriptors (4.4). Lists are the guest's
 * memory: each entry is read once, then checked, then used; what is read is bounded by the length of the
 * transfer, and for SGLs by the number of descriptors. */
#include "base/checked.h"
#include "base/iov.h"
#include "base/le.h"
#include "nvme/nvme_impl.h"

#define SGL_DESCRIPTORS_MAX 1024u /* of a command, whatever they say */

struct map {
    struct nvme *n;
    enum mem_access access;
    struct iovec *iov;
    unsigned count;
    uint64_t left; /* bytes to come */
};

/* One more piece; what follows another one is put to it. A status. */
static unsigned add(struct map *m, uint64_t gpa, uint64_t len)
{
    uint8_t *host = mem_ptr(m->n->mem, gpa, len, m->access);
    struct iovec *last = m->count ? &m->iov[m->count - 1] : NULL;

    if (!host)
        return NVME_DATA_TRANSFER;
    m->left -= len;
    if (last && (uint8_t *)last->iov_base + last->iov_len == host) {
        last->iov_len += len;
        return NVME_OK;
    }
    if (m->count == NVME_IOV_MAX)
        return NVME_SGL_COUNT_INVALID;
    m->iov[m->count++] = (struct iovec){.iov_base = host, .iov_len = len};
    return NVME_OK;
}

/* ---- PRP ------------------------------------------------------------------------------------ */

static unsigned read_entry(struct map *m, uint64_t at, uint64_t *ret)
{
    uint8_t raw[8];

    if (mem_read(m->n->mem, at, raw, sizeof(raw)) < 0)
        return NVME_DATA_TRANSFER;
    *ret = load_le64(raw);
    return NVME_OK;
}

/* A page that is not the first: no offset. */
static unsigned add_page(struct map *m, uint64_t entry)
{
    if (entry & (m->n->page_size - 1))
        return NVME_PRP_OFFSET;
    return add(m, entry, MIN(m->left, m->n->page_size));
}

/* The last entry of a page of the list is the next page's address, if more is due than one entry. */
static unsigned add_list(struct map *m, uint64_t at)
{
    uint64_t page = m->n->page_size, entry;
    unsigned status = at & 7 ? NVME_PRP_OFFSET : NVME_OK;

    while (!status && m->left) {
        bool last = (at & (page - 1)) == page - 8;

        status = read_entry(m, at, &entry);
        if (status)
            break;
        if (last && m->left > page) {
            status = entry & (page - 1) ? NVME_PRP_OFFSET : NVME_OK;
            at = entry;
            continue;
        }
        status = add_page(m, entry);
        at += 8;
    }
    return status;
}

static unsigned map_prp(struct map *m, uint64_t prp1, uint64_t prp2)
{
    uint64_t page = m->n->page_size;
    unsigned status;

    if (prp1 & 3)
        return NVME_PRP_OFFSET;
    status = add(m, prp1, MIN(m->left, page - (prp1 & (page - 1))));
    if (status || !m->left)
        return status;
    return m->left <= page ? add_page(m, prp2) : add_list(m, prp2);
}

/* ---- SGL ------------------------------------------------------------------------------------ */

static unsigned sgl_type(const struct nvme_sgl *d)
{
    return d->id >> 4;
}

static bool is_segment(const struct nvme_sgl *d)
{
    return sgl_type(d) == NVME_SGL_SEGMENT || sgl_type(d) == NVME_SGL_LAST_SEGMENT;
}

static unsigned add_data(struct map *m, const struct nvme_sgl *d)
{
    uint64_t len = MIN((uint64_t)d->len, m->left); /* more than the command needs is fine (SGLS) */

    if (d->id != NVME_SGL_DATA << 4)
        return NVME_SGL_TYPE_INVALID;
    return len ? add(m, d->address, len) : NVME_OK;
}

/* All descriptors of a segment. The last of one that is not the last leads to the next (4.4), which is
 * then *segment; *ret_more: there is one. */
static unsigned add_segment(struct map *m, struct nvme_sgl *segment, unsigned *budget,
                            bool *ret_more)
{
    bool last = sgl_type(segment) == NVME_SGL_LAST_SEGMENT;
    unsigned count = segment->len / sizeof(*segment), status = NVME_OK;
    uint64_t at = segment->address;
    struct nvme_sgl d = {0};

    if (!count || segment->len % sizeof(d) || segment->id & 0xf)
        return NVME_SGL_SEGMENT_INVALID;
    for (unsigned i = 0; i < count && !status; i++, at += sizeof(d)) {
        if (!(*budget)--)
            return NVME_SGL_COUNT_INVALID;
        if (mem_read(m->n->mem, at, &d, sizeof(d)) < 0)
            return NVME_DATA_TRANSFER;
        if (!is_segment(&d))
            status = add_data(m, &d);
        else if (last || i + 1 < count)
            return NVME_SGL_SEGMENT_INVALID;
    }
    *segment = d;
    *ret_more = is_segment(&d);
    return status;
}

static unsigned map_sgl(struct map *m, const struct nvme_sqe *cmd)
{
    unsigned budget = SGL_DESCRIPTORS_MAX, status = NVME_OK;
    struct nvme_sgl d;
    bool more;

    memcpy(&d, &cmd->prp1, sizeof(d));
    more = is_segment(&d);
    if (!more)
        status = add_data(m, &d);
    while (!status && more)
        status = add_segment(m, &d, &budget, &more);
    return !status && m->left ? NVME_SGL_LENGTH_INVALID : status;
}

/* ---- Both ----------------------------------------------------------------------------------- */

unsigned nvme_dma_map(struct nvme *n, const struct nvme_sqe *cmd, uint64_t len,
                      enum mem_access access, struct iovec *iov, unsigned *ret_count)
{
    struct map m = {.n = n, .access = access, .iov = iov, .left = len};
    unsigned psdt = NVME_SQE_PSDT(cmd->flags), status;

    if (psdt == 3)
        return NVME_INVALID_FIELD | NVME_DNR;
    status = psdt ? map_sgl(&m, cmd) : map_prp(&m, cmd->prp1, cmd->prp2);
    *ret_count = m.count;
    return status ? status | NVME_DNR : NVME_OK;
}

void nvme_dma_written(struct nvme *n, const struct iovec *iov, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        mem_written_at(n->mem, iov[i].iov_base, iov[i].iov_len);
}

unsigned nvme_dma_give(struct nvme *n, const struct nvme_sqe *cmd, const void *data, uint64_t have,
                       uint64_t len)
{
    struct iovec iov[NVME_IOV_MAX];
    unsigned count, status;

    if (len > NVME_TRANSFER_MAX)
        return NVME_INVALID_FIELD | NVME_DNR;
    status = nvme_dma_map(n, cmd, len, MEM_WRITE, iov, &count);
    if (status)
        return status;
    have = MIN(have, len);
    iov_write(iov, count, 0, data, have);
    iov_zero(iov, count, have, len - have);
    nvme_dma_written(n, iov, count);
    return NVME_OK;
}

unsigned nvme_dma_take(struct nvme *n, const struct nvme_sqe *cmd, void *data, uint64_t len)
{
    struct iovec iov[NVME_IOV_MAX];
    unsigned count, status = nvme_dma_map(n, cmd, len, MEM_READ, iov, &count);
    uint8_t *to = data;

    for (unsigned i = 0; i < count && !status; i++) {
        memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    return status;
}
