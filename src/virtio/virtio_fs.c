/* SPDX-License-Identifier: MIT */
/* See virtio_fs.h. A chain goes to the share as it is; when it comes back on one of the share's threads it is
 * queued for the loop, which pushes it. */
#include "virtio/virtio_fs.h"

#include <errno.h>
#include <linux/virtio_fs.h>
#include <string.h>

#include "base/error.h"
#include "base/le.h"

#define QUEUE_SIZE 512u /* a request of a megabyte has 256 pieces and some headers */

struct virtio_fs {
    struct virtio_dev dev;
    struct share *share;
    struct share_session session; /* as of the last answer; saved */
    bool restored;                /* and the share does not know it yet */
    pthread_mutex_t lock;         /* a leaf; guards what follows */
    struct request *done;         /* the last one first */
    struct loop_work work;
};

/* A slot of a queue. */
struct request {
    struct share_request req;
    struct virtio_fs *fs;
    struct virtq_chain *chain;
    struct request *next;
    size_t written;
};

static struct virtio_fs *to_fs(struct virtio_dev *dev)
{
    return container_of(dev, struct virtio_fs, dev);
}

/* A thread of the share's. */
static void served(struct share_request *req, size_t written)
{
    struct request *r = container_of(req, struct request, req);
    struct virtio_fs *fs = r->fs;

    r->written = written;
    pthread_mutex_lock(&fs->lock);
    r->next = fs->done;
    fs->done = r;
    pthread_mutex_unlock(&fs->lock);
    loop_work_queue(fs->dev.loop, &fs->work);
}

/* The loop thread. */
static void give_back(void *arg)
{
    struct virtio_fs *fs = arg;
    struct request *r, *next;
    uint32_t queues = 0;

    pthread_mutex_lock(&fs->lock);
    r = fs->done;
    fs->done = NULL;
    pthread_mutex_unlock(&fs->lock);
    share_save(fs->share, &fs->session);
    for (; r; r = next) {
        next = r->next;
        queues |= (uint32_t)BIT(r->chain->queue->index);
        virtq_push(r->chain->queue, r->chain, r->written);
    }
    for (unsigned i = 0; i < fs->dev.queue_count; i++) {
        if (queues & BIT(i))
            virtq_notify(&fs->dev.queue[i]);
    }
}

static void fs_kick(struct virtio_dev *dev, unsigned index)
{
    struct virtio_fs *fs = to_fs(dev);
    struct virtq_chain *c;

    while ((c = virtq_pop(&dev->queue[index]))) {
        struct request *r = c->priv;

        r->fs = fs;
        r->chain = c;
        r->req = (struct share_request){.out = c->out, .in = c->in, .out_count = c->out_count,
                                        .in_count = c->in_count, .done = served};
        share_submit(fs->share, &r->req);
    }
    virtq_notify(&dev->queue[index]);
}

/* What waits for a lock would not come back by itself. */
static void fs_drain(struct virtio_dev *dev)
{
    share_refuse_waits(to_fs(dev)->share, true);
}

static void fs_reset(struct virtio_dev *dev)
{
    share_reset(to_fs(dev)->share);
}

/* The session that a restored guest had goes on, with nothing open. */
static void fs_start(struct virtio_dev *dev)
{
    struct virtio_fs *fs = to_fs(dev);

    share_refuse_waits(fs->share, false);
    if (fs->restored)
        share_load(fs->share, &fs->session);
    fs->restored = false;
}

/* Numbers of files must not wrap round, however many a restored machine looks up. */
static int fs_loaded(struct virtio_dev *dev, struct vz_error *err)
{
    struct virtio_fs *fs = to_fs(dev);

    if (fs->session.next_node > SHARE_NODES_EVER)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "shared directory: a number of files that cannot be");
    fs->restored = true;
    return 0;
}

static int fs_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    const struct virtio_fs_options *o = options;
    struct virtio_fs *fs = to_fs(dev);

    fs->share = o->share;
    fs->work = (struct loop_work){.fn = give_back, .arg = fs};
    pthread_mutex_init(&fs->lock, NULL);
    memcpy(dev->config + offsetof(struct virtio_fs_config, tag), o->tag, VIRTIO_FS_TAG_LEN);
    store_le32(dev->config + offsetof(struct virtio_fs_config, num_request_queues), dev->queue_count - 1);
    return 0;
}

static void fs_fini(struct virtio_dev *dev)
{
    struct virtio_fs *fs = to_fs(dev);

    share_wait_idle(fs->share); /* requests may still write to the guest's memory */
    loop_work_cancel(dev->loop, &fs->work);
    pthread_mutex_destroy(&fs->lock);
}

static const struct state_field session_state[] = {
    STATE_UINT(struct share_session, next_node),
    STATE_UINT(struct share_session, flags),
    STATE_UINT(struct share_session, minor),
    STATE_END,
};

static const struct state_field fs_state[] = {
    STATE_STRUCT(struct virtio_fs, session, session_state),
    STATE_END,
};

const struct virtio_ops virtio_fs_ops = { /* its kind is device/fs_kind.c */
    .name = "virtio-fs", .id = VIRTIO_ID_FS, .queues = 2, .queue_max = QUEUE_SIZE,
    .request_size = sizeof(struct request), .config_len = VIRTIO_FS_TAG_LEN + 4,
    .size = sizeof(struct virtio_fs), .init = fs_init, .fini = fs_fini, .start = fs_start,
    .kick = fs_kick, .drain = fs_drain, .reset = fs_reset, .state = fs_state, .state_version = 1,
    .loaded = fs_loaded,
};
