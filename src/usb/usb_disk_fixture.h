/* SPDX-License-Identifier: MIT */
/* For the tests of USB disks: one behind a controller with its driver, on a disk that does nothing until turn_disk(). Whoever
 * includes it may have said RIG_MORE, members of its own. */
#ifndef VZ_USB_USB_DISK_FIXTURE_H
#define VZ_USB_USB_DISK_FIXTURE_H

#include <errno.h>

#include "base/be.h"
#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_xhci_driver.h"
#include "unit.h"
#include "usb/usb_disk.h"

#define IN     3u /* DCIs */
#define OUT    4u
#define BLOCKS 4096u

#ifndef RIG_MORE
#define RIG_MORE
#endif

struct rig {
    struct fx f;
    struct loop *loop; /* the disk's */
    struct blk *mem, *blk;
    struct usb_dev *dev;
    unsigned slot;
    RIG_MORE
};

static inline void make_disk(struct rig *r, bool cdrom, bool uas, const struct blk_fault *fault, bool read_only)
{
    static const uint32_t no_delay[BLK_OP_COUNT];
    const struct blk_mem_options m = {.size = BLOCKS * 512, .read_only = read_only};
    struct usb_disk_options o = {.is_cdrom = cdrom, .uas = uas, .serial = "serial 1"};
    struct vz_error err = {0};

    memset(r, 0, sizeof(*r));
    fx_create(&r->f);
    ck_assert_int_eq(loop_create(&r->loop), 0);
    ck_assert_int_eq(blk_mem_create(&m, r->loop, &r->mem), 0);
    ck_assert_int_eq(blk_fault_create(r->mem, fault, fault ? 1 : 0, &r->blk), 0);
    ck_assert_int_eq(blk_delay_create(r->blk, no_delay, &r->blk), 0);
    o.blk = r->blk;
    ck_assert_msg(usb_disk_create(r->f.m.bus, 17, &o, &r->dev, &err) == 0, "%s", err.text);
    ck_assert_int_eq(xhci_plug(r->f.x, r->dev), 0);
    fx_start(&r->f);
    r->slot = fx_enumerate(&r->f, r->dev->port);
}

static inline void unmake(struct rig *r)
{
    fx_destroy(&r->f);
    blk_close(r->blk);
    loop_destroy(r->loop);
}

static inline void turn_disk(struct rig *r)
{
    for (unsigned i = 0; i < 4; i++) {
        fx_turn(&r->f);
        while (fake_loop_fire(r->loop))
            ;
        for (unsigned k = 0; k < 6; k++)
            fake_loop_turn(r->loop);
    }
    fx_turn(&r->f);
}

static inline uint8_t pattern(unsigned i, unsigned seed)
{
    return (uint8_t)(i * 13 + i / 512 + seed);
}

static inline void fill_at(struct rig *r, uint64_t gpa, unsigned len, unsigned seed)
{
    uint8_t *p = fx_at(&r->f, gpa);

    for (unsigned i = 0; i < len; i++)
        p[i] = pattern(i, seed);
}

static inline bool is_filled_at(struct rig *r, uint64_t gpa, unsigned len, unsigned seed)
{
    const uint8_t *p = fx_at(&r->f, gpa);

    for (unsigned i = 0; i < len; i++) {
        if (p[i] != pattern(i, seed))
            return false;
    }
    return true;
}

static inline void count(void *arg)
{
    ++*(unsigned *)arg;
}

/* a, which comes to rest for that, goes on as b. Whatever the driver had there is reset. */
static inline void save(struct rig *a, struct rig *b)
{
    unsigned quiet = 0;

    fx_start(&b->f);
    for (unsigned i = 0; i < 2; i++) {
        usb_disk_quiesce((i ? b : a)->dev, count, &quiet);
        xhci_quiesce((i ? b : a)->f.x, count, &quiet);
    }
    turn_disk(a);
    ck_assert_uint_eq(quiet, 4);
    fake_machine_round_trip(&a->f.m, &b->f.m);
    memcpy(b->f.ram, a->f.ram, FX_RAM);
    memcpy(b->f.ring, a->f.ring, sizeof(b->f.ring));
    b->f.command = a->f.command;
    b->f.event_at = a->f.event_at;
    b->f.event_cycle = a->f.event_cycle;
    xhci_resume(b->f.x);
    usb_disk_resume(b->dev);
}

#endif
