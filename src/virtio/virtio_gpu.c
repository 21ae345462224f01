/* SPDX-License-Identifier: MIT */
/* The GPU device: its queues and its configuration. See virtio_gpu.h. Sections of VIRTIO 1.2 in brackets. */
#include "virtio/virtio_gpu.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/le.h"
#include "virtio/gpu_impl.h"

enum { QUEUE_CONTROL, QUEUE_CURSOR };

/* No BAR holds the registers of a VGA: firmware and Linux take it for a display of another kind. */
#define PCI_CLASS_DISPLAY_OTHER 0x038000
#define CONFIG_AT(member)       offsetof(struct virtio_gpu_config, member)
/* Copied in one turn of the loop, before others come to theirs. */
#define TURN_BYTES (64 * MIB)
/* A guest that flushes more often than its viewers look is waited for so long, since what it flushes is whole. */
#define LATE_NS 10000000u

static struct gpu *to_gpu(struct virtio_dev *dev)
{
    return container_of(dev, struct gpu, dev);
}

/* ---- Events [5.7.4] ------------------------------------------------------------------------- */

/* A driver that begins asks anyway. An event before would never be news to it: it is told of changes, and none clears what
 * it has not been told of. */
static void tell_wish(struct gpu *g)
{
    uint8_t le[4];

    if (!g->dev.active)
        return;
    store_le32(le, VIRTIO_GPU_EVENT_DISPLAY);
    virtio_config_set(&g->dev, CONFIG_AT(events_read), le, sizeof(le));
}

void virtio_gpu_set_wish(struct virtio_dev *dev, unsigned scanout, struct display_size size)
{
    struct gpu *g = to_gpu(dev);
    struct gpu_scanout *s = &g->scanout[scanout];

    if (s->wish.width == size.width && s->wish.height == size.height)
        return;
    s->wish = size;
    display_set_wish(g->display, scanout, size, virtio_is_live(dev));
    g->wish_untold = true;
    tell_wish(g);
}

void virtio_gpu_watched(struct virtio_dev *dev)
{
    gpu_scanouts_refresh(to_gpu(dev));
    gpu_scanouts_settle(to_gpu(dev), false);
}

/* Any thread, of which a viewer's may not set timers. */
static void on_taken(void *arg, unsigned scanout)
{
    struct gpu *g = arg;

    atomic_fetch_or(&g->took, (unsigned)BIT(scanout));
    loop_work_queue(g->dev.loop, &g->taken);
}

/* However often another scanout's viewer takes something, this one's does not wait for longer. */
void gpu_arm_late(struct gpu *g)
{
    uint64_t first = UINT64_MAX;

    for (unsigned i = 0; i < g->scanouts; i++) {
        if (g->scanout[i].due_ns)
            first = MIN(first, g->scanout[i].due_ns);
    }
    if (first != UINT64_MAX)
        loop_timer_arm(g->late, first);
}

static void wait_for_flush(void *arg)
{
    struct gpu *g = arg;
    unsigned took = atomic_exchange(&g->took, 0);
    uint64_t late = clock_mono_ns() + LATE_NS;

    for (unsigned i = 0; i < g->scanouts; i++) {
        if (took >> i & 1)
            g->scanout[i].due_ns = late;
    }
    gpu_arm_late(g);
}

static void on_late(void *arg)
{
    struct gpu *g = arg;

    for (unsigned i = 0; i < g->scanouts; i++) {
        g->scanout[i].due_ns = 0;
        g->scanout[i].resting = false;
    }
    gpu_scanouts_settle(g, false);
}

/* The guest clears the event after it has asked for what has changed. If that has changed once more
 * meanwhile, it must not be lost: the event comes again. What it asked before is served first, so this is
 * looked at when the control queue has been. */
static void settle_events(struct gpu *g)
{
    static const uint8_t none[4];

    if (!g->clear_events)
        return;
    g->clear_events = false;
    virtio_config_put(&g->dev, CONFIG_AT(events_read), none, sizeof(none));
    if (g->wish_untold)
        tell_wish(g);
}

static void gpu_config_written(struct virtio_dev *dev)
{
    static const uint8_t none[4];
    struct gpu *g = to_gpu(dev);
    uint8_t clear[4];

    virtio_config_get(dev, CONFIG_AT(events_clear), clear, sizeof(clear));
    if (!(load_le32(clear) & VIRTIO_GPU_EVENT_DISPLAY))
        return;
    virtio_config_put(dev, CONFIG_AT(events_clear), none, sizeof(none));
    g->clear_events = true;
    virtio_kick(dev, QUEUE_CONTROL);
}

/* ---- Queues --------------------------------------------------------------------------------- */

static void serve_control(struct gpu *g, struct virtq *q)
{
    struct virtq_chain *c;

    g->copied = 0;
    while (g->copied < TURN_BYTES && (c = virtq_pop(q))) {
        g->copied += GPU_COMMAND_COST;
        gpu_command(g, c);
    }
    gpu_scanouts_refresh(g);
    virtq_notify(q);
    if (g->copied >= TURN_BYTES)
        virtio_kick(&g->dev, QUEUE_CONTROL);
    settle_events(g);
}

/* No answer is expected [5.7.6.10]; who has room for one gets it. */
static void serve_cursor(struct gpu *g, struct virtq *q)
{
    struct virtq_chain *c;

    while ((c = virtq_pop(q))) {
        struct virtio_gpu_update_cursor u;
        struct virtio_gpu_ctrl_hdr answer = {0};
        bool whole = virtq_read(c, 0, &u, sizeof(u)) == sizeof(u);
        uint32_t type = whole ? load_le32(&u.hdr.type) : 0;
        bool good = type == VIRTIO_GPU_CMD_UPDATE_CURSOR || type == VIRTIO_GPU_CMD_MOVE_CURSOR;

        if (good)
            gpu_update_cursor(g, &u);
        store_le32(&answer.type, good ? VIRTIO_GPU_RESP_OK_NODATA : VIRTIO_GPU_RESP_ERR_UNSPEC);
        virtq_push(q, c, virtq_write(c, 0, &answer, sizeof(answer)));
    }
    virtq_notify(q);
}

static void gpu_kick(struct virtio_dev *dev, unsigned index)
{
    if (index == QUEUE_CONTROL)
        serve_control(to_gpu(dev), &dev->queue[index]);
    else
        serve_cursor(to_gpu(dev), &dev->queue[index]);
}

/* ---- Life ----------------------------------------------------------------------------------- */

/* A paused machine's viewers see what its guest has drawn last, and no timer is heard then. */
static void gpu_rest(struct virtio_dev *dev)
{
    gpu_scanouts_settle(to_gpu(dev), true);
}

static void gpu_reset(struct virtio_dev *dev)
{
    static const uint8_t none[4];
    struct gpu *g = to_gpu(dev);

    gpu_scanouts_clear(g);
    gpu_resources_clear(g);
    g->clear_events = g->wish_untold = false;
    virtio_config_put(dev, CONFIG_AT(events_read), none, sizeof(none));
}

static int gpu_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    const struct virtio_gpu_options *o = options;
    struct gpu *g = to_gpu(dev);
    int r;

    g->display = o->display;
    g->scanouts = display_scanouts(o->display);
    for (unsigned i = 0; i < g->scanouts; i++)
        g->scanout[i].wish = display_wish(o->display, i);
    store_le32(dev->config + CONFIG_AT(num_scanouts), g->scanouts);
    memset(dev->config_wmask + CONFIG_AT(events_clear), 0xff, 4);
    r = loop_timer_create(dev->loop, on_late, g, &g->late);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "virtio-gpu: a timer: %s", strerror(-r));
    g->taken = (struct loop_work){.fn = wait_for_flush, .arg = g};
    display_call_when_taken(g->display, on_taken, g);
    return 0;
}

static void gpu_fini(struct virtio_dev *dev)
{
    struct gpu *g = to_gpu(dev);

    gpu_scanouts_settle(g, true);
    display_call_when_taken(g->display, NULL, NULL);
    loop_work_cancel(dev->loop, &g->taken);
    loop_timer_destroy(g->late);
    for (unsigned i = 0; i < g->scanouts; i++)
        display_image_unref(g->scanout[i].frame);
    gpu_resources_clear(g);
}

static int gpu_loaded(struct virtio_dev *dev, struct vz_error *err)
{
    struct gpu *g = to_gpu(dev);
    int r = gpu_resources_loaded(g, err);

    store_le32(dev->config + CONFIG_AT(num_scanouts), g->scanouts);
    return r ? r : gpu_scanouts_loaded(g, err);
}

static const struct state_field gpu_state[] = {
    STATE_STRUCT_ARRAY(struct gpu, scanout, gpu_scanout_state),
    STATE_BOOL(struct gpu, wish_untold),
    STATE_BOOL(struct gpu, clear_events),
    STATE_LIST(struct gpu, resource, resources, GPU_RESOURCES_MAX, gpu_resource_state),
    STATE_END,
};

const struct virtio_ops virtio_gpu_ops = {
    .name = "virtio-gpu", .id = VIRTIO_ID_GPU, .class_code = PCI_CLASS_DISPLAY_OTHER,
    .queues = 2, .queue_max = 256,
    .features = BIT(VIRTIO_GPU_F_EDID) | BIT(VIRTIO_GPU_F_RESOURCE_BLOB),
    .config_len = sizeof(struct virtio_gpu_config), .size = sizeof(struct gpu),
    .init = gpu_init, .fini = gpu_fini, .kick = gpu_kick, .config_written = gpu_config_written,
    .rest = gpu_rest, .reset = gpu_reset, .state = gpu_state, .state_version = 1, .loaded = gpu_loaded,
};
