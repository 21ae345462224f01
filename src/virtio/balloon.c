/* SPDX-License-Identifier: MIT */
/* The memory balloon: see balloon.h. Sections of VIRTIO 1.2 in brackets. */
#include "virtio/balloon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/log.h"

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS };

#define PFNS_AT_ONCE 1024u
#define STAT_SIZE    sizeof(struct virtio_balloon_stat)

struct balloon {
    struct virtio_dev dev;
    struct balloon_options options;
    uint64_t target, freed;
    struct virtq_chain *stats; /* held until the next balloon_stats() */
    void (*done)(void *arg, const uint64_t stat[VIRTIO_BALLOON_S_NR]);
    void *done_arg;
};

static struct balloon *to_balloon(struct virtio_dev *dev)
{
    return container_of(dev, struct balloon, dev);
}

/* Only whole pages inside; the rest of a range stays. */
static void discard(struct balloon *b, uint8_t *host, uint64_t len)
{
    uint64_t skip = -(uint64_t)(uintptr_t)host % MEM_PAGE_SIZE;

    if (len < skip + MEM_PAGE_SIZE)
        return;
    len = (len - skip) & ~(uint64_t)(MEM_PAGE_SIZE - 1);
    if (mem_discard(b->dev.mem, host + skip, len) < 0)
        log_once(LOG_WARN, "the host does not take memory back from the balloon");
    else
        b->freed += len;
}

/* --- inflate [5.5.6] --- */

static int compare(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

    return (a > b) - (a < b);
}

/* Sorted, since neighbours go with one system call. */
static void discard_pfns(struct balloon *b, uint32_t *pfn, unsigned count)
{
    qsort(pfn, count, sizeof(*pfn), compare);
    for (unsigned i = 0, n; i < count; i += n) {
        uint8_t *host = mem_ptr(b->dev.mem, (gpa_t)pfn[i] << VIRTIO_BALLOON_PFN_SHIFT,
                                MEM_PAGE_SIZE, MEM_READ);

        n = 1;
        if (!host)
            continue; /* not RAM: nothing to give up */
        while (i + n < count && (uint64_t)pfn[i + n] == (uint64_t)pfn[i] + n &&
               mem_ptr(b->dev.mem, (gpa_t)pfn[i] << VIRTIO_BALLOON_PFN_SHIFT,
                       (n + 1) * (uint64_t)MEM_PAGE_SIZE, MEM_READ))
            n++;
        discard(b, host, n * (uint64_t)MEM_PAGE_SIZE);
    }
}

static void inflate(struct balloon *b, struct virtq *q)
{
    uint32_t pfn[PFNS_AT_ONCE];
    struct virtq_chain *c;

    while ((c = virtq_pop(q))) {
        size_t n, off = 0;

        /* A million pages is more than any driver asks for at once: bounds our time. */
        while (off < 4 * MIB && (n = virtq_read(c, off, pfn, sizeof(pfn))) >= sizeof(pfn[0])) {
            discard_pfns(b, pfn, (unsigned)(n / sizeof(pfn[0])));
            off += n;
        }
        virtq_push(q, c, 0);
    }
    virtq_notify(q);
}

/* --- the other queues --- */

/* The guest takes pages back by touching them; there is nothing to do. */
static void deflate(struct virtq *q)
{
    struct virtq_chain *c;

    while ((c = virtq_pop(q)))
        virtq_push(q, c, 0);
    virtq_notify(q);
}

/* Free pages, as the buffers of the request [5.5.6.7]. */
static void report(struct balloon *b, struct virtq *q)
{
    struct virtq_chain *c;

    while ((c = virtq_pop(q))) {
        for (unsigned i = 0; i < c->in_count; i++)
            discard(b, c->in[i].iov_base, c->in[i].iov_len);
        virtq_push(q, c, 0);
    }
    virtq_notify(q);
}

/* The guest hands in a filled buffer, and gets it back when we want new numbers [5.5.6.3]. */
static void receive_stats(struct balloon *b, struct virtq *q)
{
    uint64_t stat[VIRTIO_BALLOON_S_NR];
    uint8_t raw[STAT_SIZE];
    void (*done)(void *arg, const uint64_t stat[VIRTIO_BALLOON_S_NR]) = b->done;

    if (b->stats)
        return;
    b->stats = virtq_pop(q);
    if (!b->stats || !done)
        return;
    memset(stat, 0xff, sizeof(stat));
    for (size_t off = 0; off < 64 * STAT_SIZE &&
                         virtq_read(b->stats, off, raw, STAT_SIZE) == STAT_SIZE;
         off += STAT_SIZE) {
        if (load_le16(raw) < VIRTIO_BALLOON_S_NR)
            stat[load_le16(raw)] = load_le64(raw + 2);
    }
    b->done = NULL;
    done(b->done_arg, stat);
}

/* The queues that were not negotiated are left out of the count. */
static void balloon_kick(struct virtio_dev *dev, unsigned index)
{
    struct balloon *b = to_balloon(dev);
    struct virtq *q = &dev->queue[index];
    bool stats = virtio_has(dev, VIRTIO_BALLOON_F_STATS_VQ);

    if (index == QUEUE_INFLATE)
        inflate(b, q);
    else if (index == QUEUE_DEFLATE)
        deflate(q);
    else if (stats && index == QUEUE_STATS)
        receive_stats(b, q);
    else if (virtio_has(dev, VIRTIO_BALLOON_F_REPORTING))
        report(b, q);
}

static void balloon_drain(struct virtio_dev *dev)
{
    struct balloon *b = to_balloon(dev);

    if (b->stats)
        virtq_unpop(&dev->queue[QUEUE_STATS], b->stats);
    b->stats = NULL;
}

/* --- for the host --- */

static void tell_target(struct balloon *b)
{
    uint8_t pages[4];

    store_le32(pages, (uint32_t)((b->options.ram_size - b->target) >> VIRTIO_BALLOON_PFN_SHIFT));
    virtio_config_set(&b->dev, offsetof(struct virtio_balloon_config, num_pages), pages, 4);
}

void balloon_set_target(struct virtio_dev *dev, uint64_t bytes)
{
    struct balloon *b = to_balloon(dev);

    b->target = MAX(MIN(bytes & ~(MIB - 1), b->options.ram_size), b->options.min_size);
    tell_target(b);
}

uint64_t balloon_target(const struct virtio_dev *dev)
{
    return container_of(dev, struct balloon, dev)->target;
}

uint64_t balloon_actual(struct virtio_dev *dev)
{
    struct balloon *b = to_balloon(dev);
    uint8_t pages[4];
    uint64_t held;

    virtio_config_get(dev, offsetof(struct virtio_balloon_config, actual), pages, 4);
    held = (uint64_t)load_le32(pages) << VIRTIO_BALLOON_PFN_SHIFT;
    return b->options.ram_size - MIN(held, b->options.ram_size);
}

uint64_t balloon_freed(const struct virtio_dev *dev)
{
    return container_of(dev, struct balloon, dev)->freed;
}

int balloon_stats(struct virtio_dev *dev,
                  void (*done)(void *arg, const uint64_t stat[VIRTIO_BALLOON_S_NR]), void *arg)
{
    struct balloon *b = to_balloon(dev);
    struct virtq *q = &dev->queue[QUEUE_STATS];
    struct virtq_chain *c = b->stats;

    if (!c || !virtio_is_live(dev))
        return -ENOTCONN;
    b->done = done;
    b->done_arg = arg;
    b->stats = NULL;
    virtq_push(q, c, 0);
    virtq_notify(q);
    return 0;
}

/* --- the device --- */

static void balloon_reset(struct virtio_dev *dev)
{
    struct balloon *b = to_balloon(dev);
    static const uint8_t none[4];

    b->done = NULL;
    virtio_config_set(dev, offsetof(struct virtio_balloon_config, actual), none, 4);
}

static int balloon_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    struct balloon *b = to_balloon(dev);

    b->options = *(const struct balloon_options *)options;
    b->options.min_size = MIN(b->options.min_size, b->options.ram_size);
    b->target = b->options.ram_size;
    if (b->options.no_deflate_on_oom)
        dev->features &= ~BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
    if (b->options.no_free_page_reporting)
        dev->features &= ~BIT(VIRTIO_BALLOON_F_REPORTING);
    memset(&dev->config_wmask[offsetof(struct virtio_balloon_config, actual)], 0xff, 4);
    return 0;
}

static int balloon_loaded(struct virtio_dev *dev, struct vz_error *err)
{
    struct balloon *b = to_balloon(dev);

    b->target = MIN(b->target, b->options.ram_size);
    return 0;
}

static const struct state_field balloon_state[] = {STATE_UINT(struct balloon, target), STATE_END};

const struct virtio_ops virtio_balloon_ops = {
    .name = "virtio-balloon", .id = VIRTIO_ID_BALLOON, .queues = 4, .queue_max = 128,
    .writes_nothing = true,
    .features = BIT(VIRTIO_BALLOON_F_STATS_VQ) | BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
                BIT(VIRTIO_BALLOON_F_REPORTING),
    .config_len = sizeof(struct virtio_balloon_config), .size = sizeof(struct balloon),
    .init = balloon_init, .kick = balloon_kick, .drain = balloon_drain, .reset = balloon_reset,
    .state = balloon_state, .state_version = 1, .loaded = balloon_loaded,
};
