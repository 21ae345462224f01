/* SPDX-License-Identifier: MIT */
/* A USB disk, or a CD-ROM drive with another disc to put in, whose host is a fuzz target: fuzz_usb_disk.c (bulk-only) and
 * fuzz_usb_uas.c. Whoever includes it says PIPE_SIZE, the most bytes of a transfer. */
#ifndef VZ_FUZZ_USB_DISK_WORLD_H
#define VZ_FUZZ_USB_DISK_WORLD_H

#include <stdlib.h>

#include "no_check.h"

#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_machine.h"
#include "fuzz_input.h"
#include "usb/usb_disk.h"

#define DISK_SIZE (256 * KIB)

struct pipe {
    struct usb_xfer x;
    struct iovec iov;
    uint8_t data[PIPE_SIZE];
    bool waits;
    enum usb_result result;
};

struct disk {
    struct fake_machine m;
    struct loop *loop;
    struct blk *blk, *spare; /* another disc, for a drive */
    struct usb_dev *d;
    bool harmed; /* what was loaded was not what had been saved */
};

static const uint8_t disk_codes[] = {0, 3, 8, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28, 0x2a, 0x2f, 0x35,
                                     0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x55, 0x5a, 0x88, 0x8a, 0x93, 0x9e, 0xa0, 0xa8, 0xaa};

static void pipe_done(struct usb_xfer *x, enum usb_result result)
{
    struct pipe *p = container_of(x, struct pipe, x);

    require(p->waits, "a transfer ends twice");
    require(x->actual <= x->len, "more than there was room for");
    p->waits = false;
    p->result = result;
}

static void pipe_move(struct disk *k, struct pipe *p, uint8_t ep, unsigned stream, size_t len)
{
    if (p->waits)
        return;
    p->iov = (struct iovec){.iov_base = p->data, .iov_len = len};
    p->x = (struct usb_xfer){.ep = ep, .stream = (uint16_t)stream, .iov = &p->iov, .iov_count = 1, .len = len,
                             .done = pipe_done};
    p->waits = true;
    usb_submit(k->d, &p->x);
}

static void pipe_cancel(struct disk *k, struct pipe *p)
{
    if (p->waits)
        usb_cancel(k->d, &p->x);
}

static void disk_turn(struct disk *k)
{
    while (fake_loop_fire(k->loop))
        ;
    for (unsigned i = 0; i < 6; i++)
        fake_loop_turn(k->loop);
}

static void disk_request(struct disk *k, uint8_t type, uint8_t request, uint16_t value, uint16_t index)
{
    const struct usb_setup s = {.type = type, .request = request, .value = value, .index = index};
    uint8_t data[8];

    (void)usb_control(k->d, &s, data);
}

/* The one that was in the drive is the spare one then. */
static void disk_change(struct disk *k, bool force)
{
    struct blk *old;

    if (!k->spare || usb_disk_change(k->d, k->spare, force, &old) < 0)
        return;
    k->blk = k->spare; /* both are closed in the end */
    k->spare = old;
}

static void disk_is_quiet(void *arg)
{
    *(bool *)arg = true;
}

/* Its transfers have been taken back. */
static void disk_save_and_load(struct disk *k, struct input *in)
{
    struct state_writer s = {0};
    bool at_rest = false;

    usb_disk_quiesce(k->d, disk_is_quiet, &at_rest);
    disk_turn(k);
    require(at_rest, "no rest");
    require(!bus_save(k->m.bus, &s), "no save");
    if (take(in, 1) & 1) {
        s.data[take(in, 4) % s.len] ^= (uint8_t)take(in, 1);
        k->harmed = true;
    }
    require(!bus_load(k->m.bus, s.data, s.len, NULL) || k->harmed, "what was saved cannot be loaded");
    state_writer_fini(&s);
    usb_disk_resume(k->d);
}

static void disk_make(struct disk *k, bool cdrom, bool uas)
{
    static const uint32_t no_delay[BLK_OP_COUNT];
    const struct blk_mem_options m = {.size = DISK_SIZE};
    struct usb_disk_options o = {.is_cdrom = cdrom, .uas = uas};
    struct vz_error err;

    fake_machine_init(&k->m);
    require(!loop_create(&k->loop) && !blk_mem_create(&m, k->loop, &k->blk) && !blk_delay_create(k->blk, no_delay, &k->blk),
            "no disk");
    if (cdrom)
        require(!blk_mem_create(&m, k->loop, &k->spare) && !blk_delay_create(k->spare, no_delay, &k->spare), "no disc");
    o.blk = k->blk;
    require(!usb_disk_create(k->m.bus, 1, &o, &k->d, &err), "no device");
    disk_request(k, 0, USB_SET_CONFIGURATION, 1, 0);
}

static void disk_unmake(struct disk *k)
{
    fake_machine_fini(&k->m);
    blk_close(k->blk);
    if (k->spare)
        blk_close(k->spare);
    loop_destroy(k->loop);
}

#endif
