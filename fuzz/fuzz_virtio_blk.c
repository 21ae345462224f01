/* SPDX-License-Identifier: MIT */
/* A virtio block device under a driver that does anything: the input is a program of register
 * writes, ring contents and requests. The device may break; the process may not, every request must
 * be answered at most once, and after a reset the device must serve a plain read. */
#include <linux/virtio_blk.h>
#include <stdlib.h>

#include "no_check.h"

#include "base/le.h"
#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_virtio_driver.h"
#include "fuzz_input.h"
#include "virtio/virtio_blk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_SIZE (256 * KIB)
#define QUEUES    2u

struct world {
    struct fv v;
    struct loop *loop;
    struct blk *blk;
};

/* Values near the edges are more telling than any. */
static uint64_t take_number(struct input *in)
{
    static const uint64_t edge[] = {0, 1, 15, 16, 17, 511, 512, 513, 4096, FV_DATA, FV_RINGS,
                                    FV_RAM - 16, FV_RAM, UINT32_MAX, UINT64_MAX - 15, UINT64_MAX};

    return take_edge(in, edge, ARRAY_SIZE(edge));
}

static void turn(struct world *w)
{
    fv_turn(&w->v);
    while (fake_loop_fire(w->loop))
        ;
    for (unsigned i = 0; i < 3; i++)
        fake_loop_turn(w->loop);
    fv_turn(&w->v);
}

static void start(struct world *w, uint64_t features)
{
    fv_wr(&w->v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    turn(w);
    require(fv_status(&w->v) == 0, "a reset does not end");
    fv_start(&w->v, features, 16);
}

static void write_rings(struct world *w, struct input *in)
{
    struct fv_queue *q = &w->v.q[take(in, 1) % QUEUES];
    uint8_t at = (uint8_t)take(in, 1);

    if (!q->desc)
        return;
    q->desc[at % 16] = (struct vring_desc){.addr = take_number(in), .len = (uint32_t)take_number(in),
                                           .flags = (uint16_t)take(in, 1),
                                           .next = (uint16_t)take(in, 1)};
    q->av->ring[at % 16] = (uint16_t)take(in, 1);
    q->av->idx += (uint16_t)(take(in, 1) % 4);
}

static void add_request(struct world *w, struct input *in)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
                                     VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_DISCARD,
                                     VIRTIO_BLK_T_WRITE_ZEROES, 99};
    unsigned index = take(in, 1) % QUEUES, count = take(in, 1) % 5;
    uint8_t *header = fv_at(&w->v, FV_DATA + 1024 * index);
    struct fv_buf buf[6] = {{FV_DATA + 1024 * index, 16, false}};

    if (!w->v.q[index].desc)
        return;
    store_le32(header, types[take(in, 1) % ARRAY_SIZE(types)]);
    store_le64(header + 8, take_number(in) / 512);
    store_le64(header + 512, take_number(in)); /* a range, perhaps */
    store_le64(header + 520, take(in, 6));
    for (unsigned i = 1; i <= count; i++)
        buf[i] = (struct fv_buf){FV_DATA + 1024 * index + 512, (uint32_t)take_number(in) % 70000,
                                 take(in, 1) & 1};
    buf[count + 1 > 5 ? 5 : count + 1] = (struct fv_buf){FV_DATA + 900, 1, true};
    fv_add(&w->v, index, buf, count + 2 > 6 ? 6 : count + 2);
}

static void step(struct world *w, struct input *in)
{
    switch (take(in, 1) % 9) {
    case 0: write_rings(w, in); break;
    case 1:
    case 2: add_request(w, in); break;
    case 3: fake_write(&w->v.m, FV_NOTIFY + 4 * (take(in, 1) % 4), 2, take(in, 1) % 4); break;
    case 4: fv_wr(&w->v, (unsigned)take(in, 1) % 0x40, 1u << take(in, 1) % 4, take_number(in)); break;
    case 5:
        fake_write(&w->v.m, FV_CONFIG + take(in, 1) % 64, 1u << take(in, 1) % 4, take_number(in));
        break;
    case 6: turn(w); break;
    case 7: start(w, virtio_blk_ops.features & take(in, 3)); break;
    default:
        fake_write(&w->v.m, FV_NOTIFY, 2, 0);
        turn(w);
    }
}

static void create(struct world *w)
{
    static const struct blk_fault some = {.percent = 20, .err = -EIO};
    static const uint32_t delay[BLK_OP_COUNT] = {1, 0, 2, 0, 1};
    const struct blk_mem_options o = {.size = DISK_SIZE};
    struct virtio_blk_options options = {.identifier = "fuzz"};
    struct virtio_ops ops = virtio_blk_ops;
    static struct virtio_ops two_queues;

    ops.queues = QUEUES;
    two_queues = ops;
    require(!loop_create(&w->loop) && !blk_mem_create(&o, w->loop, &w->blk) &&
                !blk_fault_create(w->blk, &some, 1, &w->blk) &&
                !blk_delay_create(w->blk, delay, &w->blk),
            "no disk");
    options.blk = w->blk;
    fv_create(&w->v, &two_queues, &options);
    fv_start(&w->v, virtio_blk_ops.features, 16);
}

/* After whatever happened. */
static void check_it_works(struct world *w)
{
    struct fv_buf buf[3] = {{FV_DATA, 16, false}, {FV_DATA + 512, 512, true},
                            {FV_DATA + 16, 1, true}};
    uint8_t *header = fv_at(&w->v, FV_DATA);
    struct vring_used_elem e;

    start(w, 0);
    memset(header, 0, 16);
    fv_add(&w->v, 0, buf, 3);
    fv_kick(&w->v, 0);
    turn(w);
    require(fv_used(&w->v, 0, &e) && e.len == 513, "no answer after a reset");
    require(!fv_used(&w->v, 0, &e), "a second answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    static struct world w;

    setenv("VZ_LOG", "error", 1);
    memset(&w, 0, sizeof(w));
    create(&w);
    for (unsigned i = 0; in.len && i < 200; i++)
        step(&w, &in);
    check_it_works(&w);
    fv_destroy(&w.v);
    require(!w.blk->inflight, "requests left");
    blk_close(w.blk);
    loop_destroy(w.loop);
    return 0;
}
