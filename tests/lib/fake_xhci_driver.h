/* SPDX-License-Identifier: MIT */
/* An xHCI driver without a guest, for tests of the controller and of USB devices: it starts the controller,
 * resets ports, addresses and configures devices, and works with rings in guest memory, as any driver
 * would, or as no driver should. */
#ifndef VZ_TESTS_FAKE_XHCI_DRIVER_H
#define VZ_TESTS_FAKE_XHCI_DRIVER_H

#include <sys/mman.h>

#include "base/le.h"
#include "fake_machine.h"
#include "mem/mem.h"
#include "pci/pci.h"
#include "usb/usb.h"
#include "usb/xhci.h"
#include "usb/xhci_spec.h"

#define FX_RAM     (8 * MIB)
#define FX_DEVFN   PCI_DEVFN(4, 0)
#define FX_BAR     (UINT64_C(1) << 45)
#define FX_OP      0x40u
#define FX_RT      0x1000u
#define FX_DB      0x2000u
#define FX_DCBAA   0x1000u
#define FX_COMMAND 0x2000u  /* the command ring: 16 TRBs, of which the last one is a link */
#define FX_ERST    0x3000u
#define FX_EVENTS  0x4000u
#define FX_EVENT_COUNT 64u
#define FX_CONTEXT 0x10000u /* 4 KiB a slot: the device's context, and from 0x800 on the input context */
#define FX_RINGS   0x40000u /* 4 KiB each: fx_ring_at() */
#define FX_DATA    0x400000u
#define FX_RING_TRBS 16u    /* of a transfer ring, with its link */

struct fx_ring {
    uint64_t base;
    uint32_t at, first; /* first: the TRB whose cycle bit is held back, while a TD is put */
    bool cycle;
};

struct fx {
    struct fake_machine m;
    struct mem *mem;
    uint8_t *ram; /* the driver's own mapping */
    struct pci_host *host;
    struct xhci *x;
    struct fx_ring command;
    struct fx_ring ring[8][32];
    uint32_t event_at;
    bool event_cycle;
    unsigned slots;
};

static inline void *fx_at(struct fx *f, uint64_t gpa)
{
    ck_assert(gpa < FX_RAM);
    return f->ram + gpa;
}

static inline uint32_t fx_rd(struct fx *f, unsigned reg)
{
    return (uint32_t)fake_read(&f->m, FX_BAR + reg, 4);
}

static inline void fx_wr(struct fx *f, unsigned reg, uint32_t value)
{
    fake_write(&f->m, FX_BAR + reg, 4, value);
}

static inline void fx_turn(struct fx *f)
{
    for (unsigned i = 0; i < 8; i++)
        fake_loop_turn(f->m.loop);
}

static inline void fx_create(struct fx *f)
{
    struct pci_host_options o = {.ecam_base = 0xb0000000, .mem32_base = 0xc0000000,
                                 .mem32_end = 0xfec00000, .io_base = 0x1000,
                                 .mem64_base = FX_BAR, .mem64_end = UINT64_C(1) << 46};
    const struct mem_options ram = {.capacity = FX_RAM, .shared = true, .strict = true};
    struct xhci_options xo = {.sum = NULL};
    struct vz_error err = {0};

    memset(f, 0, sizeof(*f));
    fake_machine_init(&f->m);
    ck_assert_int_eq(mem_create_with(&ram, &f->mem, NULL), 0);
    ck_assert_int_eq(mem_add(f->mem, 0, FX_RAM, false), 0);
    f->ram = mmap(NULL, FX_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->mem->fd, 0);
    ck_assert(f->ram != MAP_FAILED);
    ck_assert_int_eq(pci_host_create(f->m.bus, &o, &f->host), 0);
    xo.loop = f->m.loop;
    xo.mem = f->mem;
    ck_assert_msg(xhci_create(f->host, FX_DEVFN, &xo, &f->x, &err) == 0, "%s", err.text);
    pci_assign_bars(f->host);
}

static inline void fx_destroy(struct fx *f)
{
    fake_machine_fini(&f->m);
    munmap(f->ram, FX_RAM);
    mem_destroy(f->mem);
}

/* ---- Rings ---------------------------------------------------------------------------------- */

static inline void fx_ring_init(struct fx *f, struct fx_ring *r, uint64_t base)
{
    *r = (struct fx_ring){.base = base, .cycle = true};
    memset(fx_at(f, base), 0, 16 * FX_RING_TRBS);
    store_le64(fx_at(f, base + 16 * (FX_RING_TRBS - 1)), base);
}

/* One TRB, the ring's link too where it is due. Its cycle bit is right. Returns where it is. */
static inline uint64_t fx_put(struct fx *f, struct fx_ring *r, uint64_t parameter, uint32_t status, uint32_t control)
{
    uint64_t gpa = r->base + 16 * r->at;

    store_le64(fx_at(f, gpa), parameter);
    store_le32(fx_at(f, gpa + 8), status);
    store_le32(fx_at(f, gpa + 12), control | r->cycle);
    if (++r->at == FX_RING_TRBS - 1) {
        store_le32(fx_at(f, r->base + 16 * r->at + 12), (uint32_t)XHCI_LINK << 10 | XHCI_TRB_TC |
                   (control & XHCI_TRB_CH) | r->cycle);
        r->at = 0;
        r->cycle = !r->cycle;
    }
    return gpa;
}

static inline bool fx_event(struct fx *f, struct xhci_trb *ret)
{
    uint64_t gpa = FX_EVENTS + 16 * f->event_at;

    *ret = (struct xhci_trb){load_le64(fx_at(f, gpa)), load_le32(fx_at(f, gpa + 8)),
                             load_le32(fx_at(f, gpa + 12))};
    if ((ret->control & 1) != f->event_cycle)
        return false;
    if (++f->event_at == FX_EVENT_COUNT) {
        f->event_at = 0;
        f->event_cycle = !f->event_cycle;
    }
    fake_write(&f->m, FX_BAR + FX_RT + XHCI_INTERRUPTERS + XHCI_ERDP, 8,
               (FX_EVENTS + 16 * f->event_at) | XHCI_ERDP_EHB);
    return true;
}

static inline unsigned fx_code(const struct xhci_trb *event)
{
    return event->status >> 24;
}

/* The next event of a type, others are dropped. */
static inline bool fx_event_of(struct fx *f, unsigned type, struct xhci_trb *ret)
{
    while (fx_event(f, ret)) {
        if (XHCI_TRB_TYPE(ret->control) == type)
            return true;
    }
    return false;
}

/* ---- The controller ------------------------------------------------------------------------- */

static inline void fx_reset(struct fx *f)
{
    fx_wr(f, FX_OP + XHCI_USBCMD, XHCI_CMD_HCRST);
    fx_turn(f);
    ck_assert(!(fx_rd(f, FX_OP + XHCI_USBCMD) & XHCI_CMD_HCRST));
    ck_assert(!(fx_rd(f, FX_OP + XHCI_USBSTS) & XHCI_STS_CNR));
}

static inline void fx_start(struct fx *f)
{
    unsigned ir = FX_RT + XHCI_INTERRUPTERS;

    fx_reset(f);
    fx_ring_init(f, &f->command, FX_COMMAND);
    memset(fx_at(f, FX_DCBAA), 0, 4096);
    memset(fx_at(f, FX_EVENTS), 0, 16 * FX_EVENT_COUNT);
    store_le64(fx_at(f, FX_ERST), FX_EVENTS);
    store_le64(fx_at(f, FX_ERST + 8), FX_EVENT_COUNT);
    f->event_at = 0;
    f->event_cycle = true;
    f->slots = 0;
    fx_wr(f, FX_OP + XHCI_CONFIG, 32);
    fake_write(&f->m, FX_BAR + FX_OP + XHCI_DCBAAP, 8, FX_DCBAA);
    fake_write(&f->m, FX_BAR + FX_OP + XHCI_CRCR, 8, FX_COMMAND | 1);
    fx_wr(f, ir + XHCI_ERSTSZ, 1);
    fake_write(&f->m, FX_BAR + ir + XHCI_ERDP, 8, FX_EVENTS);
    fake_write(&f->m, FX_BAR + ir + XHCI_ERSTBA, 8, FX_ERST);
    fx_wr(f, ir + XHCI_IMOD, 0);
    fx_wr(f, ir + XHCI_IMAN, XHCI_IMAN_IE);
    fx_wr(f, FX_OP + XHCI_USBCMD, XHCI_CMD_RS | XHCI_CMD_INTE);
    fx_turn(f);
    ck_assert(!(fx_rd(f, FX_OP + XHCI_USBSTS) & XHCI_STS_HCH));
}

/* A command there and back: its completion code, and the event. */
static inline unsigned fx_command(struct fx *f, unsigned type, uint64_t parameter, uint32_t flags,
                                  struct xhci_trb *ret)
{
    struct xhci_trb e;
    uint64_t at = fx_put(f, &f->command, parameter, 0, (uint32_t)type << 10 | flags);

    fx_wr(f, FX_DB, 0);
    fx_turn(f);
    ck_assert_msg(fx_event_of(f, XHCI_EV_COMMAND, &e), "a command is not completed");
    ck_assert(e.parameter == at);
    if (ret)
        *ret = e;
    return fx_code(&e);
}

static inline unsigned fx_port(unsigned port, unsigned reg)
{
    return FX_OP + XHCI_PORTS + 16 * (port - 1) + reg;
}

static inline void fx_reset_port(struct fx *f, unsigned port)
{
    fx_wr(f, fx_port(port, XHCI_PORT_SC), XHCI_PORT_PP | XHCI_PORT_PR | XHCI_PORT_CSC);
    fx_turn(f);
    fx_wr(f, fx_port(port, XHCI_PORT_SC), XHCI_PORT_PP | XHCI_PORT_PRC | XHCI_PORT_CSC);
}

static inline uint64_t fx_context(unsigned slot)
{
    return FX_CONTEXT + 0x1000 * slot;
}

static inline void fx_put_ep(struct fx *f, unsigned slot, unsigned dci, unsigned type, unsigned packet)
{
    uint8_t *c = fx_at(f, fx_context(slot) + 0x800 + 32 * (dci + 1));
    struct fx_ring *r = &f->ring[slot][dci];

    fx_ring_init(f, r, FX_RINGS + 0x1000 * (32 * slot + dci));
    memset(c, 0, 32);
    store_le32(c + 4, (uint32_t)packet << 16 | type << 3 | 3 << 1);
    store_le64(c + 8, r->base | 1);
}

/* Enable a slot for a port's device, and give it an address. Returns the slot. */
static inline unsigned fx_address(struct fx *f, unsigned port)
{
    unsigned speed = fx_rd(f, fx_port(port, XHCI_PORT_SC)) >> XHCI_PORT_SPEED_SHIFT & 15, slot;
    uint8_t *input;
    struct xhci_trb e;

    ck_assert_uint_eq(fx_command(f, XHCI_ENABLE_SLOT, 0, 0, &e), XHCI_SUCCESS);
    slot = XHCI_TRB_SLOT(e.control);
    ck_assert(slot && slot < 8);
    memset(fx_at(f, fx_context(slot)), 0, 0x1000);
    store_le64(fx_at(f, FX_DCBAA + 8 * slot), fx_context(slot));
    input = fx_at(f, fx_context(slot) + 0x800);
    store_le32(input + 4, 3);
    store_le32(input + 32, 1u << 27 | speed << 20);
    store_le32(input + 36, port << 16);
    fx_put_ep(f, slot, 1, XHCI_EP_CONTROL, speed == USB_SUPER ? 512 : 64);
    ck_assert_uint_eq(fx_command(f, XHCI_ADDRESS_DEVICE, fx_context(slot) + 0x800, slot << 24, NULL),
                      XHCI_SUCCESS);
    return slot;
}

/* Add an endpoint. */
static inline unsigned fx_configure(struct fx *f, unsigned slot, unsigned dci, unsigned type, unsigned packet)
{
    uint8_t *input = fx_at(f, fx_context(slot) + 0x800);

    memset(input, 0, 32);
    store_le32(input + 4, 1u | 1u << dci);
    store_le32(input + 32, 31u << 27);
    fx_put_ep(f, slot, dci, type, packet);
    return fx_command(f, XHCI_CONFIGURE_ENDPOINT, fx_context(slot) + 0x800, slot << 24, NULL);
}

/* Add one with streams, whose contexts are at contexts; max: as in its context. */
static inline unsigned fx_configure_streams(struct fx *f, unsigned slot, unsigned dci, unsigned type, unsigned max,
                                            uint64_t contexts)
{
    uint8_t *input = fx_at(f, fx_context(slot) + 0x800), *c = input + 32 * (dci + 1);

    memset(input, 0, 32);
    store_le32(input + 4, 1u | 1u << dci);
    store_le32(input + 32, 31u << 27);
    fx_put_ep(f, slot, dci, type, 1024);
    store_le32(c, max << 10 | XHCI_EP_LSA);
    store_le64(c + 8, contexts);
    return fx_command(f, XHCI_CONFIGURE_ENDPOINT, fx_context(slot) + 0x800, slot << 24, NULL);
}

static inline unsigned fx_ep_state(struct fx *f, unsigned slot, unsigned dci)
{
    return load_le32(fx_at(f, fx_context(slot) + 32 * dci)) & 7;
}

static inline void fx_ring_bell(struct fx *f, unsigned slot, unsigned dci)
{
    fx_wr(f, FX_DB + 4 * slot, dci);
    fx_turn(f);
}

/* ---- Transfers ------------------------------------------------------------------------------ */

/* A control transfer with data at FX_DATA. The code of its last event; *ret_len: bytes that came. */
static inline unsigned fx_control(struct fx *f, unsigned slot, uint8_t type, uint8_t request, uint16_t value,
                                  uint16_t index, uint16_t length, uint32_t *ret_len)
{
    struct fx_ring *r = &f->ring[slot][1];
    bool in = type & USB_DIR_IN;
    struct xhci_trb e;
    unsigned code = XHCI_SUCCESS;

    fx_put(f, r, type | (uint64_t)request << 8 | (uint64_t)value << 16 | (uint64_t)index << 32 |
           (uint64_t)length << 48, 8, (uint32_t)XHCI_SETUP << 10 | XHCI_TRB_IDT);
    if (length)
        fx_put(f, r, FX_DATA, length, (uint32_t)XHCI_DATA << 10 | XHCI_TRB_ISP | (in ? (uint32_t)XHCI_TRB_DIR_IN : 0));
    fx_put(f, r, 0, 0, (uint32_t)XHCI_STATUS << 10 | XHCI_TRB_IOC | (in ? 0 : (uint32_t)XHCI_TRB_DIR_IN));
    fx_ring_bell(f, slot, 1);
    if (ret_len)
        *ret_len = length;
    while (fx_event(f, &e)) {
        code = fx_code(&e);
        if (code == XHCI_SHORT_PACKET && ret_len)
            *ret_len = length - (e.status & 0xffffff);
    }
    if (code == XHCI_STALL_ERROR) {
        ck_assert_uint_eq(fx_command(f, XHCI_RESET_ENDPOINT, 0, slot << 24 | 1 << 16, NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(fx_command(f, XHCI_SET_TR_DEQUEUE, (r->base + 16 * r->at) | r->cycle,
                                     slot << 24 | 1 << 16, NULL), XHCI_SUCCESS);
    }
    return code;
}

/* Normal TRB for len bytes at gpa; it is not begun. */
static inline uint64_t fx_normal(struct fx *f, unsigned slot, unsigned dci, uint64_t gpa, uint32_t len, uint32_t flags)
{
    return fx_put(f, &f->ring[slot][dci], gpa, len, (uint32_t)XHCI_NORMAL << 10 | flags);
}

/* A transfer of one TRB: the code; *ret_left: bytes that did not come. 0: it waits. */
static inline unsigned fx_transfer(struct fx *f, unsigned slot, unsigned dci, uint64_t gpa, uint32_t len,
                                   uint32_t *ret_left)
{
    struct xhci_trb e;

    fx_normal(f, slot, dci, gpa, len, XHCI_TRB_IOC | XHCI_TRB_ISP);
    fx_ring_bell(f, slot, dci);
    if (!fx_event_of(f, XHCI_EV_TRANSFER, &e))
        return 0;
    if (ret_left)
        *ret_left = e.status & 0xffffff;
    return fx_code(&e);
}

/* Reset, address and configure the device on a port: its slot. */
static inline unsigned fx_enumerate(struct fx *f, unsigned port)
{
    unsigned slot;

    fx_reset_port(f, port);
    slot = fx_address(f, port);
    ck_assert_uint_eq(fx_control(f, slot, 0, USB_SET_CONFIGURATION, 1, 0, 0, NULL), XHCI_SUCCESS);
    return slot;
}

#endif
