/* SPDX-License-Identifier: MIT */
/* A USB disk or CD-ROM under a host that sends any command, with data of any size either way, and resets in the middle. Every
 * transfer ends, nothing beyond the disk is touched, and after a reset a plain read is served. */
#include <stdlib.h>

#include "no_check.h"

#include "base/be.h"
#include "base/le.h"
#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_machine.h"
#include "fuzz_input.h"
#include "usb/usb_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_SIZE (256 * KIB)

struct pipe {
    struct usb_xfer x;
    struct iovec iov;
    uint8_t data[65536];
    bool waits;
    enum usb_result result;
};

struct world {
    struct fake_machine m;
    struct loop *loop;
    struct blk *mem, *blk;
    struct blk *spare; /* another disc, for a drive */
    struct usb_dev *d;
    struct pipe in, out;
};

static void done(struct usb_xfer *x, enum usb_result result)
{
    struct pipe *p = container_of(x, struct pipe, x);

    require(p->waits, "a transfer ends twice");
    require(x->actual <= x->len, "more than there was room for");
    p->waits = false;
    p->result = result;
}

static void turn(struct world *w)
{
    while (fake_loop_fire(w->loop))
        ;
    for (unsigned i = 0; i < 6; i++)
        fake_loop_turn(w->loop);
}

static void move(struct world *w, struct pipe *p, uint8_t ep, size_t len)
{
    if (p->waits)
        return;
    p->iov = (struct iovec){.iov_base = p->data, .iov_len = len};
    p->x = (struct usb_xfer){.ep = ep, .iov = &p->iov, .iov_count = 1, .len = len, .done = done};
    p->waits = true;
    usb_submit(w->d, &p->x);
}

static void request(struct world *w, uint8_t type, uint8_t request, uint16_t index)
{
    const struct usb_setup s = {.type = type, .request = request, .index = index};
    uint8_t data[8];

    (void)usb_control(w->d, &s, data);
}

static void recover(struct world *w)
{
    if (w->in.waits)
        usb_cancel(w->d, &w->in.x);
    if (w->out.waits)
        usb_cancel(w->d, &w->out.x);
    turn(w);
    request(w, 0x21, 0xff, 0);
    turn(w);
    request(w, 2, USB_CLEAR_FEATURE, 0x81);
    request(w, 2, USB_CLEAR_FEATURE, 0x02);
    require(!w->in.waits && !w->out.waits, "a transfer does not end");
}

static void put_cbw(struct pipe *p, const uint8_t cdb[16], uint32_t len, bool in)
{
    memset(p->data, 0, 31);
    store_le32(p->data, 0x43425355);
    store_le32(p->data + 8, len);
    p->data[12] = in ? 0x80 : 0;
    p->data[14] = 16;
    memcpy(p->data + 15, cdb, 16);
}

static void on_command(struct world *w, struct input *in)
{
    static const uint8_t codes[] = {0, 3, 8, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28, 0x2a, 0x2f, 0x35,
                                    0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x55, 0x5a, 0x88, 0x8a, 0x93, 0x9e, 0xa0, 0xa8, 0xaa};
    static const uint64_t lens[] = {0, 1, 8, 18, 24, 36, 40, 255, 512, 1024, 4096, 4097, 20000, 65536, 300000};
    uint8_t cdb[16] = {codes[take(in, 1) % ARRAY_SIZE(codes)]};

    if (w->out.waits)
        return;
    for (unsigned i = 1; i < 16; i++)
        cdb[i] = take(in, 1) & 1 ? (uint8_t)take(in, 1) : 0;
    put_cbw(&w->out, cdb, (uint32_t)take_edge(in, lens, ARRAY_SIZE(lens)), take(in, 1) & 1);
    if (take(in, 1) > 250)
        w->out.data[take(in, 1) % 31] = (uint8_t)take(in, 1);
    move(w, &w->out, 2, take(in, 1) > 250 ? 30 : 31);
}

static size_t take_len(struct input *in)
{
    static const uint64_t lens[] = {0, 1, 13, 31, 36, 511, 512, 513, 4096, 32768, 33000, 65536};

    return (size_t)(take_edge(in, lens, ARRAY_SIZE(lens)) % 65537);
}

static void on_out(struct world *w, struct input *in)
{
    if (!w->out.waits)
        memset(w->out.data, (int)take(in, 1), 64);
    move(w, &w->out, 2, take_len(in));
}

static void on_in(struct world *w, struct input *in)
{
    move(w, &w->in, 0x81, take_len(in));
}

static void on_request(struct world *w, struct input *in)
{
    static const uint16_t eps[] = {0x81, 0x02, 0, 1};

    switch (take(in, 1) % 6) {
    case 0: request(w, 0x21, 0xff, 0); break;
    case 1: request(w, 0, USB_SET_CONFIGURATION, 0); break;
    case 2: recover(w); break;
    default: request(w, 2, take(in, 1) & 1 ? USB_CLEAR_FEATURE : USB_SET_FEATURE, eps[take(in, 1) & 3]);
    }
}

static void on_turn(struct world *w, struct input *in)
{
    turn(w);
}

/* The one that was in the drive is the spare one then. */
static void on_disc(struct world *w, struct input *in)
{
    struct blk *old;

    if (!w->spare || usb_disk_change(w->d, w->spare, take(in, 1) & 1, &old) < 0)
        return;
    w->blk = w->spare; /* both are closed in the end */
    w->spare = old;
}

static void must_read(struct world *w)
{
    const struct usb_setup configure = {.request = USB_SET_CONFIGURATION, .value = 1};
    uint8_t cdb[16] = {0x1b, 0, 0, 0, 3}, read[16] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};
    bool good = false;

    recover(w);
    require(!usb_control(w->d, &configure, NULL), "it cannot be configured");
    for (unsigned i = 0; i < 4 && !good; i++) { /* the medium in, then what has to be told first */
        recover(w);
        put_cbw(&w->out, i ? read : cdb, i ? 2048 : 0, true);
        move(w, &w->out, 2, 31);
        move(w, &w->in, 0x81, i ? 2048 : 13);
        turn(w);
        good = i && w->in.result == USB_OK && (w->in.x.actual == 2048 || w->in.x.actual == 512);
    }
    require(good, "no read after a reset");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const act[])(struct world *w, struct input *in) = {
        on_command, on_command, on_out, on_in, on_in, on_request, on_turn, on_turn, on_disc};
    static const uint32_t no_delay[BLK_OP_COUNT];
    const struct usb_setup configure = {.request = USB_SET_CONFIGURATION, .value = 1};
    const struct blk_mem_options m = {.size = DISK_SIZE};
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));
    struct usb_disk_options o = {.is_cdrom = take(&in, 1) & 1};
    struct vz_error err;

    require(w, "no memory");
    fake_machine_init(&w->m);
    require(!loop_create(&w->loop) && !blk_mem_create(&m, w->loop, &w->mem) &&
            !blk_delay_create(w->mem, no_delay, &w->blk), "no disk");
    if (o.is_cdrom)
        require(!blk_mem_create(&m, w->loop, &w->spare) && !blk_delay_create(w->spare, no_delay, &w->spare), "no disc");
    o.blk = w->blk;
    require(!usb_disk_create(w->m.bus, 1, &o, &w->d, &err) && !usb_control(w->d, &configure, NULL), "no device");
    while (in.len)
        act[take(&in, 1) % ARRAY_SIZE(act)](w, &in);
    must_read(w);
    recover(w);
    fake_machine_fini(&w->m);
    blk_close(w->blk);
    if (w->spare)
        blk_close(w->spare);
    loop_destroy(w->loop);
    free(w);
    return 0;
}
