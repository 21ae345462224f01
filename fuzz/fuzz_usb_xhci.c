/* SPDX-License-Identifier: MIT */
/* An xHCI controller with a keyboard, a pointer and a disk by UAS, whose endpoints have streams, under a driver that does anything: the input is a program of
 * register writes, TRBs on rings, contexts and doorbells. The controller may give up; the process may not, a reset must end,
 * and after it a device must be found. */
#include <stdlib.h>

#include "no_check.h"

#include "block/blk_mem.h"
#include "fake_xhci_driver.h"
#include "fuzz_input.h"
#include "usb/hid.h"
#include "usb/usb_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEVICES   3u
#define DISK      2u
#define CONTEXTS  (FX_DATA + 0x200000u) /* of the disk's streams; rings behind */
#define STREAM    4u

struct world {
    struct fx f;
    struct usb_dev *dev[DEVICES];
    struct loop *loop; /* the disk's, which outlives the machine's */
    struct blk *blk;
    struct fx_ring stream[STREAM];
    bool in[DEVICES];
};

static uint64_t take_number(struct input *in)
{
    static const uint64_t edge[] = {0, 1, 2, 3, 7, 8, 16, 64, 4095, 4096, FX_DATA, FX_DATA + 4090, FX_COMMAND,
                                    FX_EVENTS, FX_DCBAA, FX_ERST, FX_CONTEXT + 0x1000, FX_CONTEXT + 0x1800,
                                    FX_RINGS + 0x21000, FX_RINGS + 0x23000, CONTEXTS + 16, CONTEXTS + 0x1003, FX_RAM - 16, FX_RAM, UINT32_MAX,
                                    UINT64_MAX - 15, UINT64_MAX};

    return take_edge(in, edge, ARRAY_SIZE(edge));
}

static uint32_t take_control(struct input *in)
{
    return (uint32_t)take(in, 1) % 41 << 10 | (uint32_t)(take(in, 1) % 4) << 24 |
           (uint32_t)(take(in, 1) % 8) << 16 | ((uint32_t)take(in, 2) & 0x3fe);
}

static void on_register(struct world *w, struct input *in)
{
    static const uint16_t regs[] = {
        FX_OP + XHCI_USBCMD, FX_OP + XHCI_USBSTS, FX_OP + XHCI_CRCR, FX_OP + XHCI_DCBAAP, FX_OP + XHCI_CONFIG,
        FX_OP + XHCI_PORTS, FX_OP + XHCI_PORTS + 16, FX_RT + 0x20, FX_RT + 0x24, FX_RT + 0x28, FX_RT + 0x30,
        FX_RT + 0x38, FX_RT + 0x40, FX_RT + 0x48, FX_RT + 0x50, FX_RT + 0x58};
    unsigned pick = (unsigned)take(in, 1);
    uint64_t reg = pick < 192 ? regs[pick % ARRAY_SIZE(regs)] : take(in, 2) % 0x4000 & ~7u;

    if (take(in, 1) & 1)
        fake_write(&w->f.m, FX_BAR + reg, 4, (uint32_t)take_number(in));
    else
        fake_write(&w->f.m, FX_BAR + (reg & ~UINT64_C(7)), 8, take_number(in));
    (void)fx_rd(&w->f, (unsigned)reg);
}

static void on_command(struct world *w, struct input *in)
{
    uint64_t parameter = take_number(in);

    fx_put(&w->f, &w->f.command, parameter, 0, (take_control(in) & ~(UINT32_C(63) << 10)) |
           (uint32_t)(9 + take(in, 1) % 16) << 10);
    fx_wr(&w->f, FX_DB, 0);
}

/* On one of the disk's streams, or a command IU for it. */
static void on_stream(struct world *w, struct input *in)
{
    static const unsigned dcis[] = {3, 4, 7, 8};
    unsigned stream = 1 + (unsigned)take(in, 1) % (STREAM - 1), dci = dcis[take(in, 1) & 3];
    uint8_t *iu = fx_at(&w->f, FX_DATA);

    if (dci == 8) {
        memset(iu, 0, 32);
        iu[0] = take(in, 1) & 1 ? 1 : (uint8_t)take(in, 1) % 8;
        iu[3] = (uint8_t)stream;
        iu[4] = (uint8_t)take(in, 1) & (iu[0] == 1 ? 1 : 0xff);
        iu[7] = (uint8_t)take(in, 1) % STREAM;
        iu[16] = take(in, 1) & 1 ? 0x28 : (uint8_t)take(in, 1);
        iu[24] = (uint8_t)take(in, 1);
        fx_put(&w->f, &w->f.ring[DISK + 1][8], FX_DATA, take(in, 1) > 250 ? 7 : 32, (uint32_t)XHCI_NORMAL << 10 | XHCI_TRB_IOC);
    } else {
        fx_put(&w->f, &w->stream[stream], take_number(in), (uint32_t)take_number(in),
               (take_control(in) & 0x103fe) | (uint32_t)(take(in, 1) & 1 ? 1 : 1 + take(in, 1) % 9) << 10);
    }
    fx_wr(&w->f, FX_DB + 4 * (DISK + 1), dci | (dci == 8 ? 0 : take(in, 1) > 240 ? (uint32_t)take(in, 2) << 16 : stream << 16));
}

static void on_transfer(struct world *w, struct input *in)
{
    unsigned slot = 1 + (unsigned)take(in, 1) % DEVICES, dci = take(in, 1) & 1 ? 3 : 1;
    uint64_t parameter = take_number(in);
    uint32_t status = (uint32_t)take_number(in);

    if (!w->f.ring[slot][dci].base)
        return;
    fx_put(&w->f, &w->f.ring[slot][dci], parameter, status,
           (take_control(in) & 0x103fe) | (uint32_t)(1 + take(in, 1) % 9) << 10);
    if (take(in, 1) & 1)
        fx_wr(&w->f, FX_DB + 4 * slot, dci);
}

static void on_memory(struct world *w, struct input *in)
{
    uint64_t at = take_number(in) + 4 * (take(in, 1) & 15);

    if (at < FX_RAM - 8)
        store_le32(fx_at(&w->f, at & ~UINT64_C(3)), (uint32_t)take_number(in));
}

static void on_input(struct world *w, struct input *in)
{
    hid_key(w->dev[0], 0x70000 | (uint32_t)take(in, 1), take(in, 1) & 1);
    hid_pointer_send(w->dev[1], &(struct hid_pointer_event){.x = (uint16_t)take(in, 2), .wheel = (int8_t)take(in, 1)});
}

static void on_plug(struct world *w, struct input *in)
{
    unsigned i = (unsigned)take(in, 1) % DEVICES;

    if (w->dev[i]->port && take(in, 1) & 1)
        xhci_unplug(w->f.x, w->dev[i], NULL, NULL);
    else if (!w->dev[i]->port)
        (void)!xhci_plug(w->f.x, w->dev[i]);
}

static void quiet(void *arg)
{
    ++*(unsigned *)arg;
}

static void on_rest(struct world *w, struct input *in)
{
    struct state_writer s = {0};
    unsigned count = 0;

    usb_disk_quiesce(w->dev[DISK], quiet, &count);
    xhci_quiesce(w->f.x, quiet, &count);
    fx_turn(&w->f);
    require(count == 2, "no rest");
    require(!bus_save(w->f.m.bus, &s), "no save");
    if (take(in, 1) & 1)
        (void)!bus_load(w->f.m.bus, s.data, s.len, NULL);
    state_writer_fini(&s);
    xhci_resume(w->f.x);
    usb_disk_resume(w->dev[DISK]);
}

/* Whatever was before. */
static void must_work(struct world *w)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        if (!w->dev[i]->port)
            require(!xhci_plug(w->f.x, w->dev[i]), "no port");
    }
    fx_start(&w->f);
    fx_enumerate(&w->f, w->dev[0]->port);
}

static void add_disk(struct world *w)
{
    const struct blk_mem_options m = {.size = 256 * KIB};
    struct usb_disk_options o = {.uas = true};

    require(!loop_create(&w->loop) && !blk_mem_create(&m, w->loop, &w->blk), "no disk");
    o.blk = w->blk;
    require(!usb_disk_create(w->f.m.bus, 3, &o, &w->dev[DISK], NULL) && !xhci_plug(w->f.x, w->dev[DISK]), "no disk");
}

/* All endpoints have the same contexts, and so the same rings. */
static void set_up_streams(struct world *w, unsigned slot)
{
    require(slot == DISK + 1, "another slot");
    (void)!fx_control(&w->f, slot, 1, USB_SET_INTERFACE, 1, 0, 0, NULL);
    (void)!fx_configure(&w->f, slot, 8, XHCI_EP_BULK_OUT, 1024);
    for (unsigned i = 1; i < STREAM; i++) {
        fx_ring_init(&w->f, &w->stream[i], CONTEXTS + 0x1000 * i);
        store_le64(fx_at(&w->f, CONTEXTS + 16 * i), w->stream[i].base | XHCI_SCT_PRIMARY << 1 | 1);
    }
    (void)!fx_configure_streams(&w->f, slot, 3, XHCI_EP_BULK_IN, 1, CONTEXTS);
    (void)!fx_configure_streams(&w->f, slot, 4, XHCI_EP_BULK_OUT, 1, CONTEXTS);
    (void)!fx_configure_streams(&w->f, slot, 7, XHCI_EP_BULK_IN, 1, CONTEXTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const act[])(struct world *w, struct input *in) = {
        on_register, on_command, on_transfer, on_transfer, on_stream, on_stream, on_stream, on_memory, on_input, on_plug, on_rest};
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));

    require(w, "no memory");
    fx_create(&w->f);
    require(!hid_create(w->f.m.bus, HID_KEYBOARD, 1, &w->dev[0]) && !hid_create(w->f.m.bus, HID_POINTER, 2, &w->dev[1]) &&
            !xhci_plug(w->f.x, w->dev[0]) && !xhci_plug(w->f.x, w->dev[1]), "no devices");
    add_disk(w);
    fx_start(&w->f);
    for (unsigned i = 0; i < 2; i++)
        (void)!fx_configure(&w->f, fx_enumerate(&w->f, i + 1), 3, XHCI_EP_INTERRUPT_IN, 64);
    set_up_streams(w, fx_enumerate(&w->f, w->dev[DISK]->port));
    while (in.len) {
        act[take(&in, 1) % ARRAY_SIZE(act)](w, &in);
        fx_turn(&w->f);
        fake_loop_fire(w->f.m.loop);
        fake_loop_turn(w->loop);
    }
    must_work(w);
    fx_destroy(&w->f);
    blk_close(w->blk);
    loop_destroy(w->loop);
    free(w);
    return 0;
}
