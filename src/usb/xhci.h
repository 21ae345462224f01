/* SPDX-License-Identifier: MIT */
/* An xHCI 1.1 controller on PCI: USB 2 and USB 3 ports, on which devices (usb/usb.h) are plugged.
 *
 * Threads: registers on vCPU threads under the PCI function's lock, as with any function; everything else on
 * the loop thread, or where the loop does not run. */
#ifndef VZ_USB_XHCI_H
#define VZ_USB_XHCI_H

#include "base/compiler.h"
#include "base/stats.h"

struct loop;
struct mem;
struct pci_host;
struct usb_dev;
struct vz_error;
struct xhci;

#define XHCI_PORTS_USB2 16u /* ports 1.. */
#define XHCI_PORTS_USB3 16u /* and the ones behind them */

#define XHCI_COUNTERS(X)                                                                           \
    X(commands) X(transfers) X(interrupts) X(resets)                                               \
    X(errors) /* of rings and contexts that made no sense */                                       \
    X(fatal)  /* times that a controller gave up: USBSTS.HCE */

struct xhci_stats {
    XHCI_COUNTERS(STATS_FIELD)
};
void xhci_stats_tell(const struct xhci_stats *s, stats_fn *fn, void *arg);

struct xhci_options {
    struct loop *loop; /* outlives the controller, as the next ones do */
    struct mem *mem;
    struct xhci_stats *sum; /* to count into; NULL: nowhere */
};

/* Make it as the function at devfn. It belongs to the bus. 0 or -errno with err filled in. No vCPU
 * runs. */
int xhci_create(struct pci_host *host, unsigned devfn, const struct xhci_options *options,
                struct xhci **ret, struct vz_error *err) must_check;

/* The port where the next device of a speed (enum usb_speed) would be; 0: none is free. */
unsigned xhci_free_port(const struct xhci *x, unsigned speed) must_check;
/* Plug a device in: on the lowest free port of its kind, where the guest sees it at once. -ENOSPC: there is
 * none. */
int xhci_plug(struct xhci *x, struct usb_dev *d) must_check;
/* At rest: have it at port, as it was when a state was saved; who is there moves to where it was. -EINVAL: there is no such
 * port of its kind. */
int xhci_place(struct xhci *x, struct usb_dev *d, unsigned port) must_check;
/* Pull it out. What is under way with it fails; done(arg), once the controller has let go of the device, maybe
 * from inside. */
void xhci_unplug(struct xhci *x, struct usb_dev *d, void (*done)(void *arg), void *arg);

/* Stop taking work, and call done(arg) once nothing is in flight: from the loop, or from inside when
 * that is so already. Then it may be saved. */
void xhci_quiesce(struct xhci *x, void (*done)(void *arg), void *arg);
/* Is it at rest? */
bool xhci_is_quiet(const struct xhci *x);
/* Go on: also before done was called, which then does not come any more. */
void xhci_resume(struct xhci *x);

#endif
