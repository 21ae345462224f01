/* SPDX-License-Identifier: MIT */
/* What the host's USB stack does for a device when it is asked, and takes its time for: a thread of the device does
 * it, so that the loop does not wait. */
#ifndef VZ_USBHOST_USB_ORDERS_H
#define VZ_USBHOST_USB_ORDERS_H

#include <pthread.h>

#include "loop/loop.h"
#include "usbhost/usb_host.h"
#include "usbhost/usb_library.h"

#define USB_ORDERS_INTERFACES 32u

/* Who has the device: of the thread while an order is under way, else of whoever has the host end. */
struct usb_claim {
    libusb_device_handle *handle;
    const uint8_t *descriptors;
    size_t descriptors_len;
    uint8_t first, active;   /* configurations: in which it was found, and is */
    bool used;               /* by a guest: something was asked of it */
    bool reset;              /* since the last configuration: it has that still, with all that belongs to it as new */
    uint8_t alt[USB_ORDERS_INTERFACES];
    uint32_t claimed;  /* bit per interface that is ours, */
    uint32_t detached; /* and that a driver of the host's had */
};

/* Take all interfaces from the host's drivers. 0, or -errno with err. */
int usb_claim_take(struct usb_claim *c, struct vz_error *err) must_check;
/* Back to as it was found. */
enum usb_host_result usb_claim_give_back(struct usb_claim *c);
enum usb_host_result usb_claim_order(struct usb_claim *c, const struct usb_host_order *o);

struct usb_orders {
    struct usb_claim claim;
    struct loop *loop;
    struct loop_work work; /* tells of order */
    pthread_t thread;
    bool running; /* there is a thread */
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t some;
    struct usb_host_order *order; /* under way, or over and not told of yet */
    bool begun, over, stop;
};

/* 0 or -errno. */
int usb_orders_start(struct usb_orders *o, struct loop *loop) must_check;
/* What is under way comes to its end, but nobody is told. */
void usb_orders_stop(struct usb_orders *o);
void usb_orders_give(struct usb_orders *o, struct usb_host_order *order);

#endif
