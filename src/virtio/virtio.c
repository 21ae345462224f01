/* SPDX-License-Identifier: MIT */
/* The device core: registers on one side, the loop's work on the other. See virtio.h.
 *
 * A register write that concerns queues only notes in dev->pending what is wanted; work() takes the
 * notes on the loop thread and does it. */
#include "virtio/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/trace.h"

#define KICK_BUDGET 2u /* times the queue's size */

static void lock(struct virtio_dev *dev)
{
    pthread_mutex_lock(dev->lock);
}

static void unlock(struct virtio_dev *dev)
{
    pthread_mutex_unlock(dev->lock);
}

static void want_work(struct virtio_dev *dev)
{
    loop_work_queue(dev->loop, &dev->work);
}

/* --- for devices --- */

void virtio_lock_queues(struct virtio_dev *dev)
{
    if (dev->any_thread)
        pthread_mutex_lock(&dev->queue_lock);
}

void virtio_unlock_queues(struct virtio_dev *dev)
{
    if (dev->any_thread)
        pthread_mutex_unlock(&dev->queue_lock);
}

bool virtio_is_live(const struct virtio_dev *dev)
{
    return dev->active && !dev->stopping && !dev->quiet;
}

void virtio_kick(struct virtio_dev *dev, unsigned index)
{
    lock(dev);
    dev->pending.kick |= (uint32_t)BIT(index);
    unlock(dev);
    want_work(dev);
}

void virtio_config_set(struct virtio_dev *dev, unsigned off, const void *data, unsigned len)
{
    lock(dev);
    if (off + len <= dev->ops->config_len && memcmp(dev->config + off, data, len)) {
        memcpy(dev->config + off, data, len);
        dev->config_generation++;
        if (dev->status & VIRTIO_S_DRIVER_OK)
            dev->transport->config_interrupt_locked(dev);
    }
    unlock(dev);
}

void virtio_config_put(struct virtio_dev *dev, unsigned off, const void *data, unsigned len)
{
    lock(dev);
    if (off + len <= dev->ops->config_len)
        memcpy(dev->config + off, data, len);
    unlock(dev);
}

void virtio_config_get(struct virtio_dev *dev, unsigned off, void *data, unsigned len)
{
    lock(dev);
    memcpy(data, dev->config + off, len);
    unlock(dev);
}

void virtio_broken(struct virtio_dev *dev, const char *fmt, ...)
{
    char text[200];
    va_list args;

    TRACE(dev->trace, virtio, dev->ops->name, dev, "needs reset");
    STATS_ADD(dev->sum, broken, 1);
    for (unsigned i = 0; i < dev->queue_count; i++)
        virtq_break(&dev->queue[i]);
    lock(dev);
    dev->status |= VIRTIO_S_NEEDS_RESET;
    dev->config_generation++;
    if (dev->status & VIRTIO_S_DRIVER_OK)
        dev->transport->config_interrupt_locked(dev);
    unlock(dev);
    if (dev->warned)
        return;
    dev->warned = true;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_warn("%s: the driver must reset the device: %s", dev->ops->name, text);
}

/* --- the loop's side --- */

static unsigned inflight(const struct virtio_dev *dev)
{
    unsigned count = 0;

    for (unsigned i = 0; i < dev->queue_count; i++)
        count += dev->queue[i].inflight;
    return count;
}

static void start_queue(struct virtio_dev *dev, unsigned index, bool restored)
{
    struct virtq *q = &dev->queue[index];
    struct virtq_regs regs;

    lock(dev);
    regs = q->regs;
    unlock(dev);
    if (regs.enabled && !q->running && !virtq_start(q, &regs, dev->driver_features, restored))
        return;
    if (q->running && dev->transport->queue_started)
        dev->transport->queue_started(dev, index);
}

static void stop_queues(struct virtio_dev *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++)
        virtq_stop(&dev->queue[i]);
    if (dev->transport->queues_stopped)
        dev->transport->queues_stopped(dev);
}

static void start(struct virtio_dev *dev)
{
    bool restored = dev->active;

    dev->active = true;
    for (unsigned i = 0; i < dev->queue_count; i++)
        start_queue(dev, i, restored);
    if (dev->ops->start)
        dev->ops->start(dev);
}

static void kick(struct virtio_dev *dev, unsigned index)
{
    struct virtq *q = &dev->queue[index];

    if (!q->running || !dev->ops->kick || !virtio_is_live(dev))
        return;
    TRACE(dev->trace, virtio, dev->ops->name, dev, "serve queue %u", index);
    STATS_ADD(dev->sum, queue_turns, 1);
    q->budget = KICK_BUDGET * q->size;
    dev->ops->kick(dev, index);
    q->budget = UINT32_MAX;
}

/* --- reset and quiesce --- */

static void reset_queue_regs_locked(struct virtq *q)
{
    q->regs = (struct virtq_regs){.size = q->size_max, .vector = VIRTIO_MSI_NO_VECTOR};
}

static void reset_regs_locked(struct virtio_dev *dev)
{
    dev->status = 0;
    dev->driver_features = 0;
    dev->feature_select = dev->driver_feature_select = 0;
    dev->queue_select = 0;
    dev->config_vector = VIRTIO_MSI_NO_VECTOR;
    dev->isr = 0;
    for (unsigned i = 0; i < dev->queue_count; i++)
        reset_queue_regs_locked(&dev->queue[i]);
    dev->pending = (struct virtio_pending){0};
    if (dev->transport->reset_locked)
        dev->transport->reset_locked(dev);
}

static void begin_stop(struct virtio_dev *dev)
{
    if (dev->stopping)
        return;
    dev->stopping = true;
    if (inflight(dev) && dev->ops->drain)
        dev->ops->drain(dev);
}

static void finish_quiesce(struct virtio_dev *dev)
{
    void (*done)(void *arg) = dev->quiesced;

    dev->quiesced = NULL;
    dev->quiet = true;
    if (dev->ops->rest)
        dev->ops->rest(dev);
    if (done)
        done(dev->quiesced_arg);
}

static void finish_reset(struct virtio_dev *dev)
{
    stop_queues(dev);
    dev->active = false;
    if (dev->ops->reset)
        dev->ops->reset(dev);
    lock(dev);
    reset_regs_locked(dev);
    unlock(dev);
}

/* A reset or a quiesce is wanted. */
static void stop(struct virtio_dev *dev, bool reset)
{
    begin_stop(dev);
    if (inflight(dev))
        return; /* work() comes again with each chain given back */
    dev->stopping = false;
    if (reset)
        finish_reset(dev);
    if (dev->quiesced)
        finish_quiesce(dev);
}

/* A queue reset waits for that queue's chains only. */
static void reset_queue(struct virtio_dev *dev, unsigned index)
{
    struct virtq *q = &dev->queue[index];

    q->running = false;
    if (q->inflight && dev->ops->drain)
        dev->ops->drain(dev);
    if (!q->inflight)
        virtq_stop(q);
    lock(dev);
    if (q->inflight)
        dev->pending.queue_reset |= (uint32_t)BIT(index);
    else
        reset_queue_regs_locked(q);
    unlock(dev);
}

static void serve(struct virtio_dev *dev, const struct virtio_pending *p)
{
    bool restored = p->start && dev->active;

    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (p->queue_reset & BIT(i))
            reset_queue(dev, i);
    }
    if (p->start)
        start(dev);
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (dev->active && (p->queue_start & BIT(i)))
            start_queue(dev, i, false);
    }
    if ((p->config || restored) && dev->ops->config_written)
        dev->ops->config_written(dev);
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (((p->kick | p->queue_start) & BIT(i)) || p->start)
            kick(dev, i);
    }
}

static void work(void *arg)
{
    struct virtio_dev *dev = arg;
    struct virtio_pending p;
    bool busy;

    virtio_lock_queues(dev);
    lock(dev);
    p = dev->pending;
    busy = p.reset || dev->stopping || dev->quiet || !dev->ready;
    if (!busy) /* else it waits: for virtio_resume(), or the reset drops it */
        dev->pending = (struct virtio_pending){0};
    unlock(dev);
    if (!busy)
        serve(dev, &p);
    else if (p.reset || dev->stopping)
        stop(dev, p.reset);
    virtio_unlock_queues(dev);
}

void virtio_quiesce(struct virtio_dev *dev, void (*done)(void *arg), void *arg)
{
    virtio_lock_queues(dev);
    dev->quiesced = done;
    dev->quiesced_arg = arg;
    stop(dev, false);
    virtio_unlock_queues(dev);
}

void virtio_resume(struct virtio_dev *dev)
{
    virtio_lock_queues(dev);
    dev->quiet = false;
    dev->quiesced = NULL;
    lock(dev);
    dev->stopping = dev->stopping && dev->pending.reset;
    if (dev->active)
        dev->pending.start = true;
    unlock(dev);
    virtio_unlock_queues(dev);
    want_work(dev);
}

/* --- making --- */

static void init_queue_lock(struct virtio_dev *dev)
{
    pthread_mutexattr_t recursive;

    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&dev->queue_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

int virtio_init(struct virtio_dev *dev, const struct virtio_params *params, struct vz_error *err)
{
    uint16_t size_max = params->queue_max ? params->queue_max : dev->ops->queue_max;
    int r = 0;

    dev->loop = params->loop;
    dev->trace = trace_mask();
    dev->sum = params->sum;
    dev->mem = params->mem;
    dev->features = dev->ops->features;
    dev->work = (struct loop_work){.fn = work, .arg = dev};
    for (unsigned i = 0; i < dev->queue_count && !r; i++)
        r = virtq_init(&dev->queue[i], dev, i, size_max, dev->ops->request_size);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "out of memory");
    init_queue_lock(dev);
    lock(dev);
    reset_regs_locked(dev);
    unlock(dev);
    if (dev->ops->init)
        r = dev->ops->init(dev, params->options, err);
    dev->ready = !r;
    return r;
}

void virtio_fini(struct virtio_dev *dev)
{
    if (dev->loop)
        loop_work_cancel(dev->loop, &dev->work);
    if (dev->ready && dev->ops->fini)
        dev->ops->fini(dev);
    if (dev->loop)
        loop_work_cancel(dev->loop, &dev->work); /* other threads' chains have come back meanwhile */
    if (dev->transport->queues_stopped)
        dev->transport->queues_stopped(dev);
    for (unsigned i = 0; i < dev->queue_count; i++)
        virtq_fini(&dev->queue[i]);
}

/* --- registers --- */

uint64_t virtio_offered(const struct virtio_dev *dev)
{
    return dev->features | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
           BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_RESET);
}

uint8_t virtio_status_read_locked(const struct virtio_dev *dev)
{
    return dev->status;
}

static void request_reset_locked(struct virtio_dev *dev)
{
    STATS_ADD(dev->sum, resets, 1);
    if (!(dev->status & VIRTIO_S_DRIVER_OK)) {
        reset_regs_locked(dev);
        return;
    }
    dev->pending.reset = true;
    want_work(dev);
}

/* 2.2.2: no bit that was not offered; and we speak only the modern dialect. */
static bool features_ok(const struct virtio_dev *dev)
{
    return !(dev->driver_features & ~virtio_offered(dev)) &&
           (dev->driver_features & BIT(VIRTIO_F_VERSION_1));
}

void virtio_status_write_locked(struct virtio_dev *dev, uint8_t value)
{
    uint8_t set = value & (uint8_t)~dev->status & (uint8_t)~VIRTIO_S_NEEDS_RESET;

    TRACE(dev->trace, virtio, dev->ops->name, dev, "status %#x, was %#x", value, dev->status);
    if (dev->pending.reset)
        return;
    if (!value) {
        request_reset_locked(dev);
        return;
    }
    if ((set & VIRTIO_S_FEATURES_OK) && !features_ok(dev))
        set &= (uint8_t)~VIRTIO_S_FEATURES_OK; /* the driver reads it back (3.1.1) */
    if (!((dev->status | set) & VIRTIO_S_FEATURES_OK))
        set &= (uint8_t)~VIRTIO_S_DRIVER_OK;
    dev->status |= set;
    if (set & VIRTIO_S_DRIVER_OK) {
        dev->pending.start = true;
        want_work(dev);
    }
}

void virtio_driver_features_locked(struct virtio_dev *dev, unsigned word, uint32_t value)
{
    if (word > 1 || (dev->status & VIRTIO_S_FEATURES_OK))
        return;
    dev->driver_features &= ~(UINT64_C(0xffffffff) << (32 * word));
    dev->driver_features |= (uint64_t)value << (32 * word);
}

void virtio_config_read_locked(struct virtio_dev *dev, unsigned off, unsigned len, void *data)
{
    memset(data, 0, len);
    if (off < dev->ops->config_len)
        memcpy(data, dev->config + off, MIN(len, dev->ops->config_len - off));
}

void virtio_config_write_locked(struct virtio_dev *dev, unsigned off, unsigned len,
                                const void *data)
{
    const uint8_t *from = data;

    for (unsigned i = 0; i < len && off + i < dev->ops->config_len; i++) {
        uint8_t mask = dev->config_wmask[off + i];

        dev->config[off + i] = (uint8_t)((dev->config[off + i] & ~mask) | (from[i] & mask));
        dev->pending.config |= mask != 0;
    }
    if (dev->pending.config)
        want_work(dev);
}

/* Nothing else of the driver's waits to be served first, in work(). */
static bool is_ready_locked(const struct virtio_dev *dev)
{
    const struct virtio_pending *p = &dev->pending;

    return !p->reset && !p->start && !p->config && !p->queue_start && !p->queue_reset;
}

void virtio_notify_locked(struct virtio_dev *dev, unsigned index)
{
    if (index >= dev->queue_count || !(dev->status & VIRTIO_S_DRIVER_OK))
        return;
    if (dev->pending.kick & BIT(index))
        return; /* work is queued already */
    if (dev->any_thread && is_ready_locked(dev)) {
        dev->ops->kicked(dev, index);
        return;
    }
    dev->pending.kick |= (uint32_t)BIT(index);
    want_work(dev);
}

void virtio_notified(struct virtio_dev *dev, unsigned index)
{
    bool at_once;

    virtio_lock_queues(dev);
    lock(dev);
    at_once = virtio_is_live(dev) && is_ready_locked(dev);
    if (!at_once)
        virtio_notify_locked(dev, index);
    unlock(dev);
    if (at_once)
        kick(dev, index);
    virtio_unlock_queues(dev);
}

struct virtq *virtio_selected_queue_locked(struct virtio_dev *dev)
{
    return dev->queue_select < dev->queue_count ? &dev->queue[dev->queue_select] : NULL;
}

void virtio_queue_enable_locked(struct virtio_dev *dev)
{
    struct virtq *q = virtio_selected_queue_locked(dev);

    if (!q || q->regs.enabled || q->regs.resetting)
        return;
    q->regs.enabled = true;
    if (dev->status & VIRTIO_S_DRIVER_OK) { /* again, after a queue reset (2.6.1) */
        dev->pending.queue_start |= (uint32_t)BIT(q->index);
        want_work(dev);
    }
}

void virtio_queue_reset_locked(struct virtio_dev *dev)
{
    struct virtq *q = virtio_selected_queue_locked(dev);

    if (!q || !q->regs.enabled || !(dev->driver_features & BIT(VIRTIO_F_RING_RESET)))
        return;
    q->regs.resetting = true;
    dev->pending.queue_reset |= (uint32_t)BIT(q->index);
    want_work(dev);
}

void virtio_machine_reset_locked(struct virtio_dev *dev)
{
    if (!dev->pending.reset)
        request_reset_locked(dev);
}

/* --- state --- */

static bool regs_are_sane(const struct virtio_dev *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (dev->queue[i].regs.size > dev->queue[i].size_max)
            return false;
    }
    return !(dev->status & VIRTIO_S_FEATURES_OK) || features_ok(dev);
}

int virtio_loaded_locked(struct virtio_dev *dev, struct vz_error *err)
{
    int r;

    if (!regs_are_sane(dev))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: features or queue sizes this device has not", dev->ops->name);
    for (unsigned i = 0; i < dev->queue_count; i++)
        dev->queue[i].regs.resetting = dev->pending.queue_reset & BIT(i);
    r = dev->ops->loaded ? dev->ops->loaded(dev, err) : 0;
    if (r < 0)
        return r;
    dev->active = dev->status & VIRTIO_S_DRIVER_OK;
    dev->pending.start = dev->active && !(dev->status & VIRTIO_S_NEEDS_RESET);
    want_work(dev);
    return 0;
}

const struct state_field virtio_dev_state[] = {
    STATE_UINT(struct virtio_dev, status),
    STATE_UINT(struct virtio_dev, driver_features),
    STATE_UINT(struct virtio_dev, feature_select),
    STATE_UINT(struct virtio_dev, driver_feature_select),
    STATE_UINT(struct virtio_dev, queue_select),
    STATE_UINT(struct virtio_dev, config_vector),
    STATE_UINT(struct virtio_dev, config_generation),
    STATE_UINT(struct virtio_dev, isr),
    STATE_BYTES(struct virtio_dev, config),
    STATE_BOOL(struct virtio_dev, pending.reset),
    STATE_UINT(struct virtio_dev, pending.queue_reset),
    STATE_END,
};

void virtio_stats_tell(const struct virtio_stats *s, stats_fn *fn, void *arg)
{
#define TELL_(name) STATS_TELL_IN("virtio", name)
    VIRTIO_COUNTERS(TELL_)
#undef TELL_
}
