/* SPDX-License-Identifier: MIT */
/* A USB disk or CD-ROM under a host that sends any command, with data of any size either way, takes it back, saves and resets in
 * the middle. Every transfer ends, nothing beyond the disk is touched, and after a reset a plain read is served. */
#define PIPE_SIZE 65536u

#include "usb_disk_world.h"

#include "base/be.h"
#include "base/le.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct disk k;
    struct pipe in, out;
};

static void move(struct world *w, struct pipe *p, uint8_t ep, size_t len)
{
    pipe_move(&w->k, p, ep, 0, len);
}

static void cancel_all(struct world *w)
{
    pipe_cancel(&w->k, &w->in);
    pipe_cancel(&w->k, &w->out);
    disk_turn(&w->k);
    require(!w->in.waits && !w->out.waits, "a transfer does not end");
}

static void recover(struct world *w)
{
    cancel_all(w);
    disk_request(&w->k, 0x21, 0xff, 0, 0);
    disk_turn(&w->k);
    disk_request(&w->k, 2, USB_CLEAR_FEATURE, 0, 0x81);
    disk_request(&w->k, 2, USB_CLEAR_FEATURE, 0, 0x02);
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
    static const uint64_t lens[] = {0, 1, 8, 18, 24, 36, 40, 255, 512, 1024, 4096, 4097, 20000, 65536, 300000};
    uint8_t cdb[16] = {disk_codes[take(in, 1) % ARRAY_SIZE(disk_codes)]};

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
    case 0: disk_request(&w->k, 0x21, 0xff, 0, 0); break;
    case 1: disk_request(&w->k, 0, USB_SET_CONFIGURATION, 0, 0); break;
    case 2: recover(w); break;
    default: disk_request(&w->k, 2, take(in, 1) & 1 ? USB_CLEAR_FEATURE : USB_SET_FEATURE, 0, eps[take(in, 1) & 3]);
    }
}

static void on_turn(struct world *w, struct input *in)
{
    disk_turn(&w->k);
}

static void on_cancel(struct world *w, struct input *in)
{
    pipe_cancel(&w->k, take(in, 1) & 1 ? &w->in : &w->out);
}

static void on_disc(struct world *w, struct input *in)
{
    disk_change(&w->k, take(in, 1) & 1);
}

static void on_save(struct world *w, struct input *in)
{
    cancel_all(w);
    disk_save_and_load(&w->k, in);
}

static void must_read(struct world *w)
{
    const struct usb_setup configure = {.request = USB_SET_CONFIGURATION, .value = 1};
    uint8_t cdb[16] = {0x1b, 0, 0, 0, 3}, read[16] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};
    bool good = false;

    recover(w);
    require(!usb_control(w->k.d, &configure, NULL), "it cannot be configured");
    for (unsigned i = 0; i < 4 && !good; i++) { /* the medium in, then what has to be told first */
        recover(w);
        put_cbw(&w->out, i ? read : cdb, i ? 2048 : 0, true);
        move(w, &w->out, 2, 31);
        move(w, &w->in, 0x81, i ? 2048 : 13);
        disk_turn(&w->k);
        good = i && w->in.result == USB_OK && (w->in.x.actual == 2048 || w->in.x.actual == 512);
    }
    require(good, "no read after a reset");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const act[])(struct world *w, struct input *in) = {
        on_command, on_command, on_out, on_in, on_in, on_request, on_turn, on_turn, on_disc, on_cancel, on_save};
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));

    require(w, "no memory");
    disk_make(&w->k, take(&in, 1) & 1, false);
    while (in.len)
        act[take(&in, 1) % ARRAY_SIZE(act)](w, &in);
    must_read(w);
    recover(w);
    disk_unmake(&w->k);
    free(w);
    return 0;
}
