/* SPDX-License-Identifier: MIT */
/* The controller's insides, for the files of usb/. Section numbers are those of xHCI 1.1.
 *
 *   xhci.c           registers: what the guest's accesses do at once, and what they leave to the loop
 *   xhci_ports.c     ports: PORTSC, plugging and unplugging
 *   xhci_events.c    interrupters and event rings
 *   xhci_work.c      the loop's side: reset, stop, coming to rest, what is due next
 *   xhci_command.c   the command ring, and what commands do to slots and endpoints
 *   xhci_ring.c      taking transfer descriptors (TDs) from transfer rings
 *   xhci_transfer.c  TDs on their way to devices and back, and their events
 *   xhci_state.c     what is saved
 *
 * A ring has one TD under way at most. Its dequeue pointer moves when a TD is at its end, so a TD that was cancelled is
 * taken again. An endpoint has one ring, or one for each of its streams (4.12), whose dequeue pointers are in its
 * stream contexts, in the guest's memory, at any time: it is where drivers look for them, and nothing of a stream has
 * to be saved. */
#ifndef VZ_USB_XHCI_IMPL_H
#define VZ_USB_XHCI_IMPL_H

#include "loop/loop.h"
#include "mem/mem.h"
#include "pci/pci.h"
#include "usb/usb.h"
#include "usb/xhci.h"
#include "usb/xhci_spec.h"

#define XHCI_PORTS_ALL    (XHCI_PORTS_USB2 + XHCI_PORTS_USB3)
#define XHCI_SLOTS        32u
#define XHCI_EPS          32u /* by DCI: 1 is the control endpoint, 2n OUT n, 2n + 1 IN n */
#define XHCI_INTRS        8u
#define XHCI_SEGMENTS     16u   /* of an event ring */
#define XHCI_HELD         64u   /* events that wait for room in their ring */
#define XHCI_TD_TRBS      1024u /* of a TD, with links */
#define XHCI_MAX_PSTREAMS 4u    /* of an endpoint context: 2^(4 + 1) stream contexts, the first of which is nobody's */
#define XHCI_STREAMS      (2u << XHCI_MAX_PSTREAMS)
#define XHCI_BUDGET       64u   /* TDs of an endpoint, and commands, in one turn of the loop */

struct xhci_segment {
    uint64_t gpa;
    uint32_t size; /* TRBs */
};

/* Guarded by pci.dev.lock. */
struct xhci_intr {
    uint32_t iman, imod, erstsz;
    uint64_t erstba, erdp;
    bool wants; /* an event that is to interrupt has come (4.17.2) */
    bool full;  /* and its ring has no room for what is held */
    uint64_t quiet_until_ns; /* no interrupt before: derived from IMODI */
    /* Where the next event goes. */
    uint32_t segment, index;
    bool cycle;
    struct xhci_segment table[XHCI_SEGMENTS]; /* derived: erstsz of them; 0: not usable */
    bool mapped;
    struct xhci_trb held[XHCI_HELD];
    uint32_t held_count;
};

struct xhci_port {
    uint32_t sc, pmsc;     /* under pci.dev.lock */
    struct usb_dev *dev;   /* changed by the loop under that lock, as the next */
    bool leaving;          /* it is being unplugged: */
    void (*unplugged)(void *arg);
    void *unplugged_arg;
};

/* What registers leave to the loop. */
struct xhci_pending {
    bool reset, halt, started;
    bool stop_commands, abort_commands;
    uint64_t slots;                  /* whose doorbells were rung; bit 0: the command ring's */
    uint32_t doorbell[XHCI_SLOTS + 1]; /* bit per DCI */
    uint32_t port_reset;             /* bit per port, from 0 on */
};

/* Guarded by pci.dev.lock. */
struct xhci_regs {
    uint32_t usbcmd, usbsts, dnctrl, config;
    uint64_t dcbaap, crcr; /* the command ring's dequeue pointer, with its cycle state */
    bool command_running;
    bool saved; /* Save State was done, and no reset since */
    uint64_t started_ns; /* MFINDEX counts from here; of the host's clock */
    struct xhci_pending pending;
};

struct xhci_ep;
struct xhci_slot;
struct xhci_td;

/* A transfer ring's TD. */
struct xhci_stream {
    size_t moved; /* saved: bytes of the TD at its head, before it was taken back from the device */
    uint16_t id;  /* 0: the endpoint's own ring */
    bool busy;    /* td is with the device */
    struct xhci_td *td;
};

struct xhci_td_trb {
    uint64_t gpa; /* of the TRB */
    struct xhci_trb trb;
};

/* A TD. The memory of a ring's is kept for the next, unless it is much. */
struct xhci_td {
    struct usb_xfer xfer;
    struct xhci *x;
    struct xhci_slot *slot;
    struct xhci_ep *ep;
    struct xhci_stream *stream;
    unsigned count, trb_room, iov_room;
    struct xhci_td_trb *trb; /* data is in Normal, Data and Isoch ones */
    struct iovec *iov;
    uint64_t next;           /* where the ring goes on */
    bool next_cycle;
    struct usb_dev *device;
    struct usb_setup setup; /* of a request that takes time */
    size_t before;          /* bytes that were moved before xfer began */
    bool submitting, ended;
    bool cancelled; /* it will be taken again, unless the endpoint is stopped */
    enum usb_result result;
};

struct xhci_ep {
    uint8_t dci, type, state;
    uint8_t max_pstreams; /* 0: it has no streams */
    uint64_t dequeue;     /* its ring's; or where its stream contexts are */
    bool cycle;
    /* The control endpoint, between its TDs. */
    uint8_t setup[8];
    bool has_setup, has_data; /* a setup came; and its data did */
    struct xhci_stream own;
    struct xhci_stream *streams; /* if it has some: */
    uint32_t stream_count;       /* XHCI_STREAMS, else 0 */
    /* Not saved. */
    uint32_t due;                /* bit per stream whose ring has something, maybe */
    unsigned busy;               /* TDs with the device */
};

/* How many contexts its streams have, with the first; 0: it has no streams. */
static inline unsigned xhci_ep_streams(const struct xhci_ep *ep)
{
    return ep->max_pstreams ? 2u << ep->max_pstreams : 0;
}

static inline bool xhci_is_bulk(unsigned type)
{
    return type == XHCI_EP_BULK_OUT || type == XHCI_EP_BULK_IN;
}

struct xhci_slot {
    bool enabled;
    uint8_t id, state, port; /* port: from 1 on; 0: none */
    uint64_t context;        /* of the device: DCBAA's */
    struct xhci_ep ep[XHCI_EPS];
    uint32_t kicked;         /* bit per DCI that has something to do, maybe */
};

struct xhci_command {
    bool active;   /* it waits for TDs under way */
    struct xhci_trb trb;
    uint64_t gpa;
    struct xhci_slot *slot;
    uint32_t stops; /* bit per DCI */
};

struct xhci {
    struct pci_dev pci;
    struct xhci_regs regs;
    struct xhci_intr intr[XHCI_INTRS];
    struct xhci_port port[XHCI_PORTS_ALL];
    uint32_t rung[XHCI_SLOTS + 1][XHCI_EPS]; /* bit per stream whose doorbell was. Under pci.dev.lock. */

    /* Constant. */
    struct loop *loop;
    struct mem *mem;
    struct xhci_stats *sum;
    uint32_t trace;
    bool ready;
    struct loop_timer *moderation, *wrap;

    /* The loop thread's. */
    struct xhci_slot slot[XHCI_SLOTS + 1];
    uint64_t kicked; /* slots with kicked endpoints */
    struct xhci_command command;
    bool command_due, stop_commands, abort_commands; /* and the one that waits with them */
    uint32_t resetting_ports;
    bool resetting, halting, quieting, quiet, failed, warned;
    unsigned busy;   /* TDs with devices */
    void (*quiesced)(void *arg);
    void *quiesced_arg;
    struct loop_work work;
    uint8_t control[USB_CONTROL_MAX]; /* data of the control transfer at hand */
};

#define XHCI_COUNT(x, name, n)                                                                     \
    do {                                                                                           \
        if ((x)->sum)                                                                              \
            STATS_ADD((x)->sum, name, n);                                                          \
    } while (0)

static inline struct xhci *to_xhci(struct pci_dev *pci)
{
    return container_of(pci, struct xhci, pci);
}

static inline bool xhci_is_running(const struct xhci *x)
{
    return (x->regs.usbcmd & XHCI_CMD_RS) && !(x->regs.usbsts & (XHCI_STS_HCE | XHCI_STS_CNR));
}

extern const struct state_field xhci_state[]; /* xhci_state.c */
int xhci_loaded(void *object, struct vz_error *err);

/* xhci.c */
void xhci_work_soon(struct xhci *x);
void xhci_reset_registers_locked(struct xhci *x);

/* xhci_work.c */
void xhci_work(void *arg);
/* Give up until the driver resets (HCE). Logged once. */
void xhci_fatal(struct xhci *x, const char *why);
void xhci_kick(struct xhci *x, struct xhci_slot *s, unsigned dci);

/* xhci_events.c. Under pci.dev.lock. */
void xhci_intr_reset_locked(struct xhci_intr *i);
uint32_t xhci_intr_read_locked(struct xhci *x, unsigned n, unsigned off);
void xhci_intr_write_locked(struct xhci *x, unsigned n, unsigned off, uint32_t value);
void xhci_event_locked(struct xhci *x, unsigned n, const struct xhci_trb *event, bool interrupt);
void xhci_interrupt_locked(struct xhci *x); /* whoever is due: something it depends on has changed */
void xhci_moderation_timer(void *arg);
uint32_t xhci_mfindex_locked(const struct xhci *x);
void xhci_wrap_arm_locked(struct xhci *x); /* the driver is to be told when MFINDEX begins anew, if it wants that */
void xhci_wrap_timer(void *arg);
bool xhci_is_blocked(struct xhci *x); /* some ring has no room; takes the lock */
void xhci_event(struct xhci *x, unsigned n, const struct xhci_trb *event, bool interrupt); /* takes the lock */
bool xhci_intr_map_locked(struct xhci *x, struct xhci_intr *i); /* read its segment table */

/* xhci_ports.c */
void xhci_ports_reset_locked(struct xhci *x); /* as after power-up, with what is plugged */
uint32_t xhci_port_read_locked(struct xhci *x, unsigned n, unsigned off);
void xhci_port_write_locked(struct xhci *x, unsigned n, unsigned off, uint32_t value);
void xhci_ports_report_locked(struct xhci *x); /* the controller runs now */
void xhci_port_was_reset(struct xhci *x, unsigned n);
void xhci_port_left(struct xhci *x, unsigned n);

/* xhci_command.c */
void xhci_commands(struct xhci *x);
void xhci_command_finish(struct xhci *x); /* the one that waits, if its TDs are back */
void xhci_commands_stop(struct xhci *x);  /* as the driver asked for (4.6.1) */
void xhci_slot_disable(struct xhci *x, struct xhci_slot *s);
/* Room for its streams, of which all may have something to do. False: there is no memory. */
bool xhci_ep_make_streams(struct xhci_ep *ep) must_check;
struct usb_dev *xhci_slot_device(const struct xhci *x, const struct xhci_slot *s);

/* xhci_ring.c: where a stream's ring stands; false: it has none. */
bool xhci_stream_at(struct xhci *x, const struct xhci_ep *ep, unsigned id, uint64_t *ret_dequeue, bool *ret_cycle);
/* It goes on there from here on. */
void xhci_stream_set(struct xhci *x, struct xhci_ep *ep, unsigned id, uint64_t dequeue, bool cycle);
/* Take the TD at the ring's head. 1: td is there; 0: there is none; -EPROTO: the endpoint is in error; -EFAULT: a buffer
 * is not in memory, and trb is there. */
int xhci_td_take(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, struct xhci_stream *stream) must_check;
/* What its TDs have taken. */
void xhci_ep_free(struct xhci_ep *ep);
/* Of a TD that is over and was a large one, too. */
void xhci_stream_trim(struct xhci_stream *stream);
bool xhci_trb_has_data(const struct xhci_trb *trb);

/* xhci_transfer.c */
void xhci_ep_run(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep);
/* Have the device let go of the endpoint's TDs, if it has some. */
void xhci_ep_cancel(struct xhci *x, struct xhci_ep *ep);
void xhci_ep_set_state(struct xhci *x, const struct xhci_slot *s, struct xhci_ep *ep, enum xhci_ep_state state);
/* Tell of a stop (4.6.9). */
void xhci_ep_stopped(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep);

#endif
