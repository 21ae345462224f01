/* SPDX-License-Identifier: MIT */
/* See virtio_fs.h. A chain goes to the share as it is. Its threads pop and push by themselves, under the queues' lock:
 * each change of thread takes longer than most requests. A share without threads, in tests, is served on the loop's. */
#include "virtio/virtio_fs.h"

#include <errno.h>
#include <linux/virtio_fs.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/le.h"

#define QUEUE_SIZE 512u /* a request of a megabyte has 256 pieces and some headers */

struct virtio_fs {
    struct virtio_dev dev;
    struct share *share;
    struct share_session session; /* as of the last answer; saved */
    _Atomic bool restored;        /* and the share does not know it yet: nothing is taken before */
    struct share_source source;
    _Atomic uint32_t kicked;      /* queues, by bits, that may have requests */
    /* Heads, by bits, of chains that waited for a lock when the device came to rest: served from their beginning when it
     * goes on. Saved; under the queues' lock. */
    uint8_t kept[1 + VIRTIO_FS_REQUEST_QUEUES_MAX][QUEUE_SIZE / 8];
};

/* A slot of a queue. */
struct request {
    struct share_request req;
    struct virtio_fs *fs;
    struct virtq_chain *chain;
};

static struct virtio_fs *to_fs(struct virtio_dev *dev)
{
    return container_of(dev, struct virtio_fs, dev);
}

/* A thread of the share's, or where it has none the loop's. */
static void served(struct share_request *req, size_t written)
{
    struct request *r = container_of(req, struct request, req);
    struct virtio_fs *fs = r->fs;
    struct virtq *q = r->chain->queue;

    virtio_lock_queues(&fs->dev);
    share_save(fs->share, &fs->session);
    virtq_push(q, r->chain, written);
    virtq_notify(q);
    virtio_unlock_queues(&fs->dev);
}

/* Likewise. An answer that says EINTR would not do: Linux makes another error of it, which its programs see. */
static bool may_wait(struct share_request *req)
{
    struct request *r = container_of(req, struct request, req);
    struct virtio_dev *dev = &r->fs->dev;
    struct virtq *q = r->chain->queue;
    uint16_t head = r->chain->head;
    bool may;

    virtio_lock_queues(dev);
    may = q->running && !dev->stopping;
    if (q->running && !may)
        r->fs->kept[q->index][head / 8] |= (uint8_t)BIT(head % 8);
    if (!may)
        virtq_keep(q, r->chain);
    virtio_unlock_queues(dev);
    return may;
}

static struct share_request *request_of(struct virtio_fs *fs, struct virtq_chain *c)
{
    struct request *r = c->priv;

    r->fs = fs;
    r->chain = c;
    r->req = (struct share_request){.out = c->out, .in = c->in, .out_count = c->out_count,
                                    .in_count = c->in_count, .done = served, .may_wait = may_wait};
    return &r->req;
}

/* A bit goes before its queue is looked at, so that what is added meanwhile sets it again. The last look has the driver
 * kick for the next one. */
static struct share_request *take(struct share_source *source, bool *ret_more)
{
    struct virtio_fs *fs = container_of(source, struct virtio_fs, source);
    struct virtq_chain *c = NULL;
    bool waits;

    virtio_lock_queues(&fs->dev);
    waits = atomic_load(&fs->restored); /* fs_start() is followed by a kick of every queue */
    for (unsigned i = 0; !waits && !c && i < fs->dev.queue_count; i++) {
        uint32_t bit = (uint32_t)BIT(i);
        struct virtq *q = &fs->dev.queue[i];

        if (!(atomic_load(&fs->kicked) & bit))
            continue;
        atomic_fetch_and(&fs->kicked, ~bit);
        c = virtq_pop(q);
        if (c && virtq_pending(q))
            atomic_fetch_or(&fs->kicked, bit);
    }
    *ret_more = !waits && atomic_load(&fs->kicked);
    virtio_unlock_queues(&fs->dev);
    return c ? request_of(fs, c) : NULL;
}

static void fs_kicked(struct virtio_dev *dev, unsigned index)
{
    struct virtio_fs *fs = to_fs(dev);

    atomic_fetch_or(&fs->kicked, (uint32_t)BIT(index));
    share_wake(fs->share);
}

/* The loop's thread. */
static void fs_kick(struct virtio_dev *dev, unsigned index)
{
    struct virtio_fs *fs = to_fs(dev);
    struct virtq_chain *c;

    if (dev->any_thread) {
        fs_kicked(dev, index);
        return;
    }
    while ((c = virtq_pop(&dev->queue[index])))
        share_submit(fs->share, request_of(fs, c));
}

/* What waits for a lock would not come back by itself. */
static void fs_drain(struct virtio_dev *dev)
{
    share_ask_waiters(to_fs(dev)->share);
}

static void fs_reset(struct virtio_dev *dev)
{
    struct virtio_fs *fs = to_fs(dev);

    memset(fs->kept, 0, sizeof(fs->kept));
    share_reset(fs->share);
}

/* Who waits for a lock has no turn: their order does not matter. */
static void take_kept(struct virtio_fs *fs, struct virtq *q)
{
    uint8_t *kept = fs->kept[q->index];

    for (unsigned head = 0; head < QUEUE_SIZE; head++) {
        struct virtq_chain *c = kept[head / 8] & BIT(head % 8) ? virtq_take(q, (uint16_t)head) : NULL;

        if (c)
            share_submit(fs->share, request_of(fs, c));
    }
    memset(kept, 0, sizeof(fs->kept[0]));
}

/* The session that a restored guest had goes on, with what it had open. The share's threads do that, and it is over when all of
 * them are idle: none may wait for the queues meanwhile, as one does that a vCPU's kick has woken. */
static void fs_start(struct virtio_dev *dev)
{
    struct virtio_fs *fs = to_fs(dev);

    share_resumes(fs->share);
    if (atomic_load(&fs->restored)) {
        virtio_unlock_queues(dev);
        share_load(fs->share, &fs->session);
        virtio_lock_queues(dev);
    }
    atomic_store(&fs->restored, false);
    for (unsigned i = 0; i < dev->queue_count; i++)
        take_kept(fs, &dev->queue[i]);
}

/* Numbers of files must not wrap round, however many a restored machine looks up. */
static int fs_loaded(struct virtio_dev *dev, struct vz_error *err)
{
    struct virtio_fs *fs = to_fs(dev);

    if (fs->session.next_node > SHARE_NODES_EVER)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "shared directory: a number of files that cannot be");
    atomic_store(&fs->restored, true);
    return 0;
}

static int fs_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    const struct virtio_fs_options *o = options;
    struct virtio_fs *fs = to_fs(dev);

    if (dev->queue_count > ARRAY_SIZE(fs->kept))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "a shared directory has at most %u queues",
                         VIRTIO_FS_REQUEST_QUEUES_MAX);
    fs->share = o->share;
    fs->source.take = take;
    dev->any_thread = share_has_threads(fs->share);
    memcpy(dev->config + offsetof(struct virtio_fs_config, tag), o->tag, VIRTIO_FS_TAG_LEN);
    store_le32(dev->config + offsetof(struct virtio_fs_config, num_request_queues), dev->queue_count - 1);
    share_set_source(fs->share, &fs->source); /* its threads look at once whether there is something */
    return 0;
}

static void fs_fini(struct virtio_dev *dev)
{
    struct virtio_fs *fs = to_fs(dev);

    share_set_source(fs->share, NULL); /* requests may still write to the guest's memory */
    share_drop_window(fs->share); /* which is the machine's */
}

/* fs_start() comes when CPUs may run already, and they are to find in the window what they had there. */
void virtio_fs_all_loaded(struct virtio_dev *dev)
{
    struct virtio_fs *fs = to_fs(dev);

    if (atomic_load(&fs->restored))
        share_load(fs->share, &fs->session);
    atomic_store(&fs->restored, false);
}

static const struct state_field session_state[] = {
    STATE_UINT(struct share_session, next_node),
    STATE_UINT(struct share_session, flags),
    STATE_UINT(struct share_session, minor),
    STATE_END,
};

static const struct state_field fs_state[] = {
    STATE_STRUCT(struct virtio_fs, session, session_state),
    STATE_BYTES(struct virtio_fs, kept),
    STATE_END,
};

const struct virtio_ops virtio_fs_ops = { /* its kind is device/fs_kind.c */
    .name = "virtio-fs", .id = VIRTIO_ID_FS, .queues = 2, .queue_max = QUEUE_SIZE,
    .request_size = sizeof(struct request), .config_len = VIRTIO_FS_TAG_LEN + 4,
    .size = sizeof(struct virtio_fs), .init = fs_init, .fini = fs_fini, .start = fs_start,
    .kick = fs_kick, .kicked = fs_kicked, .drain = fs_drain, .reset = fs_reset, .state = fs_state, .state_version = 1,
    .loaded = fs_loaded,
};
