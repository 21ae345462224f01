/* SPDX-License-Identifier: MIT */
/* A USB device of the host that a guest has: the contract between its model (usb/usb_host_device.c) and whoever
 * reaches it (usb_host_libusb.c; in tests a fake). All that takes time is asynchronous: transfers, and orders, which are
 * what the host's own USB stack has to know of.
 *
 * Threads: all functions, and what they call back, on the loop thread, or while the loop does not run. */
#ifndef VZ_USBHOST_USB_HOST_H
#define VZ_USBHOST_USB_HOST_H

#include <sys/uio.h>

#include "base/compiler.h"

struct loop;
struct usb_host;
struct vz_error;

enum usb_host_result {
    USB_HOST_OK,        /* actual bytes were moved; fewer than len: a short packet */
    USB_HOST_STALLED,   /* the endpoint is halted (not the control endpoint, which the next request finds well) */
    USB_HOST_OVERFLOW,  /* the device sent more than was asked for */
    USB_HOST_FAILED,    /* a request was not answered in time, or wrongly */
    USB_HOST_CANCELLED, /* actual bytes were moved before */
    USB_HOST_GONE,      /* the device is not there any more */
};

#define USB_HOST_SETUP 8u

/* A transfer: the caller's memory until done(), which comes once, maybe from inside submit() or cancel(). */
struct usb_host_xfer {
    enum { USB_HOST_CONTROL, USB_HOST_BULK, USB_HOST_INTERRUPT } type;
    uint8_t ep;                    /* its address; CONTROL: only its direction, 0x80 for IN */
    uint8_t setup[USB_HOST_SETUP]; /* CONTROL, with a length of len */
    const struct iovec *iov;       /* adds up to len */
    unsigned iov_count;
    size_t len, actual;
    void (*done)(struct usb_host_xfer *x, enum usb_host_result result);
    void *backend; /* the host end's */
};

enum usb_host_order_kind {
    USB_HOST_RESET,             /* of its port; settings and configuration stay what they were */
    USB_HOST_SET_CONFIGURATION, /* value; 0: none. All interfaces are taken from the host's drivers */
    USB_HOST_SET_INTERFACE,     /* index, value */
    USB_HOST_CLEAR_HALT,        /* index: the endpoint's address */
    USB_HOST_GIVE_BACK,         /* it is reset, and its drivers on the host have it again */
};

/* Something that the host's USB stack does, and which may take a second: one at a time. */
struct usb_host_order {
    enum usb_host_order_kind kind;
    uint8_t index, value;
    void (*done)(struct usb_host_order *o, enum usb_host_result result); /* from the loop, never from inside */
    enum usb_host_result result; /* the host end's */
};

struct usb_host_end_ops {
    const char *name;
    void (*submit)(struct usb_host *h, struct usb_host_xfer *x); /* one at a time for an endpoint */
    /* done() comes soon, with CANCELLED unless it was at its end. */
    void (*cancel)(struct usb_host *h, struct usb_host_xfer *x);
    void (*order)(struct usb_host *h, struct usb_host_order *o);
    /* Nothing is under way but an order, whose done() does not come any more. What was not given back is. */
    void (*close)(struct usb_host *h);
};

struct usb_host {
    const struct usb_host_end_ops *ops;
    unsigned speed;              /* enum usb_speed; SuperSpeedPlus is SUPER, too */
    uint8_t configuration;       /* in which it was found; 0: none */
    const uint8_t *descriptors;  /* as the device says, which is not trusted: its own, then all configurations' */
    size_t descriptors_len;
    /* Once: it was pulled out, or has become another device. From the loop, and never from inside. */
    void (*lost)(void *arg);
    void *arg;
};

struct usb_host_options {
    const char *device; /* base/usb_name.h */
    struct loop *loop;  /* outlives it */
};

/* Open the device, and take it from the host's drivers when it is configured. Any thread, while the loop's waits. 0, or
 * -errno with err:
 *   VZ_ERROR_DEVICE_NOT_FOUND               there is none, or more than one
 *   VZ_ERROR_IO                             it cannot be opened
 *   VZ_ERROR_DEVICE_INITIALIZATION_FAILURE  another program has it
 *   VZ_ERROR_UNSUPPORTED                    there is no libusb */
int usb_host_open(const struct usb_host_options *o, struct usb_host **ret, struct vz_error *err) must_check;

/* Load what that needs, if it is there: later nobody can, in a sandbox. */
void usb_host_prepare(void);

/* The same of a device whose node is open: fd is the host end's, also after a failure. With libusb loaded. */
int usb_host_of_fd(int fd, struct loop *loop, struct usb_host **ret, struct vz_error *err) must_check;

#endif
