/* SPDX-License-Identifier: MIT */
/* The block device (VIRTIO 1.2 section 5.2): requests of a driver become requests of a disk
 * (block/blk.h). Each takes the memory of its queue slot, so nothing is allocated on the way, and
 * data moves between the guest's memory and the disk without a copy.
 *
 * What the host could not do is told as VIRTIO_BLK_S_IOERR. After it the data part of a read is
 * zeroed, so that the used length never covers bytes which nobody wrote. A request that breaks the
 * rules of the queue (no room for header or status) breaks the device (2.1.2). */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"
#include "block/blk.h"
#include "virtio/virtio.h"
#include "virtio/virtio_blk.h"

#define QUEUE_SIZE   256u
#define SEG_MAX      126u      /* pieces of data in a request */
#define SIZE_MAX_    (4 * MIB) /* bytes of a piece */
#define RANGES_MAX   16u       /* in a discard or write-zeroes request */
#define RANGE_SECTORS_MAX ((uint32_t)(GIB / BLK_SECTOR))
#define HEADER_SIZE  ((unsigned)sizeof(struct virtio_blk_outhdr))
#define RANGE_SIZE   ((unsigned)sizeof(struct virtio_blk_discard_write_zeroes))
#define CONFIG(member) ((unsigned)offsetof(struct virtio_blk_config, member))
#define CLASS_STORAGE_OTHER 0x018000

struct virtio_blk {
    struct virtio_dev dev;
    struct blk *blk;
    bool read_only;
    uint32_t block_size; /* bytes; requests are made of them */
    bool closing; /* the queues are going away: results reach nobody */
    char identifier[VIRTIO_BLK_IDENTIFIER_MAX + 1];
};

struct range {
    uint64_t sector;
    uint32_t sectors;
    bool unmap;
};

/* A slot of a queue. */
struct request {
    struct blk_req req;
    struct virtio_blk *disk;
    struct virtq_chain *chain;
    unsigned range_next, range_count;
    union {
        struct iovec iov[SEG_MAX];
        struct range range[RANGES_MAX];
    };
};

static struct virtio_blk *to_disk(struct virtio_dev *dev)
{
    return container_of(dev, struct virtio_blk, dev);
}

/* ---- Answers -------------------------------------------------------------------------------- */

/* data_len: bytes of the in part, up to the status, that hold an answer; the rest becomes zero. */
static void answer(struct virtq_chain *c, uint8_t status, size_t data_len)
{
    static const uint8_t zeroes[4096];
    size_t status_at = c->in_len - 1;

    while (data_len < status_at)
        data_len += virtq_write(c, data_len, zeroes, MIN(sizeof(zeroes), status_at - data_len));
    virtq_write(c, status_at, &status, 1);
    virtq_push(c->queue, c, c->in_len);
}

static uint8_t status_of(int err)
{
    return err ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static void transfer_done(struct blk_req *req, int err)
{
    struct request *r = container_of(req, struct request, req);
    struct virtq *q = r->chain->queue;

    if (r->disk->closing)
        return;
    answer(r->chain, status_of(err), err || req->op != BLK_READ ? 0 : req->len);
    virtq_notify(q);
}

/* ---- Requests ------------------------------------------------------------------------------- */

/* A driver that knows no flush, or that chose write-through, must find its data on stable storage
 * when a write ends (5.2.6.2). */
static bool is_write_through(struct virtio_blk *d)
{
    uint8_t wce;

    if (!virtio_has(&d->dev, VIRTIO_BLK_F_CONFIG_WCE))
        return !virtio_has(&d->dev, VIRTIO_BLK_F_FLUSH);
    virtio_config_get(&d->dev, CONFIG(wce), &wce, 1);
    return !wce;
}

static bool is_aligned(const struct virtio_blk *d, uint64_t v)
{
    return !(v & (d->block_size - 1));
}

static void transfer(struct request *r, enum blk_op op, uint64_t sector)
{
    struct virtq_chain *c = r->chain;
    bool is_read = op == BLK_READ;
    uint64_t len = is_read ? c->in_len - 1 : c->out_len - HEADER_SIZE;

    r->req.iov_count = is_read ? iov_slice(c->in, c->in_count, 0, len, r->iov, SEG_MAX)
                               : iov_slice(c->out, c->out_count, HEADER_SIZE, len, r->iov, SEG_MAX);
    if (iov_length(r->iov, r->req.iov_count) != len ||
        !mul_u64(sector, BLK_SECTOR, &r->req.offset) || !is_aligned(r->disk, r->req.offset | len)) {
        answer(c, VIRTIO_BLK_S_IOERR, 0); /* more than seg_max pieces, or no such sector or block */
        return;
    }
    r->req.op = op;
    r->req.fua = !is_read && is_write_through(r->disk);
    r->req.len = len;
    r->req.iov = r->iov;
    r->req.done = transfer_done;
    blk_submit(r->disk->blk, &r->req);
}

static void flush(struct request *r)
{
    r->req.op = BLK_FLUSH;
    r->req.done = transfer_done;
    blk_submit(r->disk->blk, &r->req);
}

static void get_id(struct request *r)
{
    size_t room = MIN(r->chain->in_len - 1, (size_t)VIRTIO_BLK_ID_BYTES);

    /* no NUL when it fills all 20 bytes (5.2.6) */
    answer(r->chain, VIRTIO_BLK_S_OK, virtq_write(r->chain, 0, r->disk->identifier, room));
}

/* ---- Discard and write-zeroes: some ranges, one after the other --------------------------------- */

static void range_done(struct blk_req *req, int err);

static void submit_range(struct request *r)
{
    const struct range *range = &r->range[r->range_next++];

    r->req.offset = range->sector * BLK_SECTOR;
    r->req.len = (uint64_t)range->sectors * BLK_SECTOR;
    r->req.unmap = range->unmap;
    r->req.fua = r->req.op == BLK_ZERO && is_write_through(r->disk);
    r->req.done = range_done;
    blk_submit(r->disk->blk, &r->req);
}

static void range_done(struct blk_req *req, int err)
{
    struct request *r = container_of(req, struct request, req);

    if (!err && r->range_next < r->range_count && !r->disk->closing)
        submit_range(r);
    else
        transfer_done(req, err);
}

/* Copy one range out of the guest's memory. Empty ones do not count. */
static uint8_t load_range(struct request *r, unsigned index)
{
    struct virtio_blk_discard_write_zeroes raw;
    struct range *range = &r->range[r->range_count];
    uint32_t flags, allowed = r->req.op == BLK_ZERO ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

    virtq_read(r->chain, HEADER_SIZE + index * RANGE_SIZE, &raw, sizeof(raw));
    flags = load_le32(&raw.flags);
    range->sector = load_le64(&raw.sector);
    range->sectors = load_le32(&raw.num_sectors);
    range->unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    if (flags & ~allowed)
        return VIRTIO_BLK_S_UNSUPP; /* 5.2.6.2 */
    if (range->sectors > RANGE_SECTORS_MAX ||
        !range_fits(range->sector, range->sectors, r->disk->blk->size / BLK_SECTOR) ||
        !is_aligned(r->disk, (range->sector | range->sectors) * BLK_SECTOR)) /* sectors in any case: 5.2.6 */
        return VIRTIO_BLK_S_IOERR;
    r->range_count += range->sectors > 0;
    return VIRTIO_BLK_S_OK;
}

static void change_ranges(struct request *r, enum blk_op op)
{
    size_t len = r->chain->out_len - HEADER_SIZE, count = len / RANGE_SIZE;
    uint8_t status = VIRTIO_BLK_S_OK;

    r->req.op = op;
    r->range_next = r->range_count = 0;
    if (!count || len % RANGE_SIZE || count > RANGES_MAX || r->disk->read_only)
        status = VIRTIO_BLK_S_IOERR;
    for (unsigned i = 0; status == VIRTIO_BLK_S_OK && i < count; i++)
        status = load_range(r, i);
    if (status != VIRTIO_BLK_S_OK || !r->range_count)
        answer(r->chain, status, 0);
    else
        submit_range(r);
}

/* ---- The queue ------------------------------------------------------------------------------ */

static void start_request(struct virtio_blk *d, struct virtq_chain *c,
                          const struct virtio_blk_outhdr *header)
{
    struct request *r = c->priv;
    uint64_t sector = load_le64(&header->sector);

    r->req = (struct blk_req){0};
    r->disk = d;
    r->chain = c;
    switch (load_le32(&header->type)) {
    case VIRTIO_BLK_T_IN: transfer(r, BLK_READ, sector); break;
    case VIRTIO_BLK_T_OUT:
        if (d->read_only)
            answer(c, VIRTIO_BLK_S_IOERR, 0);
        else
            transfer(r, BLK_WRITE, sector);
        break;
    case VIRTIO_BLK_T_FLUSH: flush(r); break;
    case VIRTIO_BLK_T_GET_ID: get_id(r); break;
    case VIRTIO_BLK_T_DISCARD: change_ranges(r, BLK_DISCARD); break;
    case VIRTIO_BLK_T_WRITE_ZEROES: change_ranges(r, BLK_ZERO); break;
    default: answer(c, VIRTIO_BLK_S_UNSUPP, 0);
    }
}

static void blk_kick(struct virtio_dev *dev, unsigned index)
{
    struct virtio_blk *d = to_disk(dev);
    struct virtq *q = &dev->queue[index];
    struct virtq_chain *c;

    blk_plug(d->blk);
    while ((c = virtq_pop(q))) {
        struct virtio_blk_outhdr header;

        if (virtq_read(c, 0, &header, sizeof(header)) < sizeof(header) || !c->in_len) {
            virtq_push(q, c, 0);
            virtio_broken(dev, "block request without room for header or status");
            break;
        }
        start_request(d, c, &header);
    }
    blk_unplug(d->blk);
    virtq_notify(q);
}

/* ---- Configuration -------------------------------------------------------------------------- */

static void update_capacity(struct virtio_blk *d)
{
    uint8_t capacity[8];

    store_le64(capacity, align_down(d->blk->size, d->block_size) / BLK_SECTOR);
    virtio_config_set(&d->dev, CONFIG(capacity), capacity, sizeof(capacity));
}

static void resized(void *arg)
{
    update_capacity(arg);
}

static const struct blk_client client = {.resized = resized};

static void fill_config(struct virtio_blk *d)
{
    const struct blk *b = d->blk;
    uint8_t *config = d->dev.config;
    uint32_t block = d->block_size, physical = MAX(b->physical_block_size, block);
    uint32_t align = MAX(b->discard_granularity, block) / BLK_SECTOR;

    store_le64(config + CONFIG(capacity), align_down(b->size, block) / BLK_SECTOR);
    store_le32(config + CONFIG(size_max), SIZE_MAX_);
    store_le32(config + CONFIG(seg_max), SEG_MAX);
    store_le32(config + CONFIG(blk_size), block);
    config[CONFIG(physical_block_exp)] = (uint8_t)__builtin_ctz(physical / block);
    store_le16(config + CONFIG(min_io_size), (uint16_t)(physical / block));
    config[CONFIG(wce)] = 1;
    store_le16(config + CONFIG(num_queues), (uint16_t)d->dev.queue_count);
    store_le32(config + CONFIG(max_discard_sectors), RANGE_SECTORS_MAX);
    store_le32(config + CONFIG(max_discard_seg), RANGES_MAX);
    store_le32(config + CONFIG(discard_sector_alignment), align);
    store_le32(config + CONFIG(max_write_zeroes_sectors), RANGE_SECTORS_MAX);
    store_le32(config + CONFIG(max_write_zeroes_seg), RANGES_MAX);
    config[CONFIG(write_zeroes_may_unmap)] = 1;
}

static int blk_init_dev(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    const struct virtio_blk_options *o = options;
    struct virtio_blk *d = to_disk(dev);

    d->blk = o->blk;
    d->read_only = o->read_only || o->blk->read_only;
    d->block_size = MAX(o->block_size, d->blk->block_size);
    memcpy(d->identifier, o->identifier, sizeof(d->identifier));
    if (blk_attach(d->blk, &client, d) < 0)
        return error_set(err, EBUSY, VZ_ERROR_INVALID, "the disk is another device's already");
    if (d->read_only)
        dev->features = (dev->features | BIT(VIRTIO_BLK_F_RO)) &
                        ~(BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES));
    if (dev->queue_count > 1)
        dev->features |= BIT(VIRTIO_BLK_F_MQ);
    dev->config_wmask[CONFIG(wce)] = 1;
    fill_config(d);
    return 0;
}

static void blk_fini_dev(struct virtio_dev *dev)
{
    struct virtio_blk *d = to_disk(dev);

    d->closing = true;
    blk_drain_wait(d->blk); /* it may still write to the guest's memory */
    blk_detach(d->blk);
}

/* The disk may have another size than when the state was saved. */
static void blk_start(struct virtio_dev *dev)
{
    update_capacity(to_disk(dev));
}

static void blk_reset(struct virtio_dev *dev)
{
    const uint8_t writeback = 1;

    virtio_config_set(dev, CONFIG(wce), &writeback, 1);
    update_capacity(to_disk(dev));
}

const struct virtio_ops virtio_blk_ops = {
    .name = "virtio-blk", .id = VIRTIO_ID_BLOCK, .class_code = CLASS_STORAGE_OTHER,
    .features = BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
                BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
                BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_CONFIG_WCE) |
                BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES),
    .queues = 1, .queue_max = QUEUE_SIZE, .request_size = sizeof(struct request),
    .config_len = sizeof(struct virtio_blk_config), .size = sizeof(struct virtio_blk),
    .init = blk_init_dev, .fini = blk_fini_dev, .start = blk_start, .kick = blk_kick,
    .reset = blk_reset,
};
