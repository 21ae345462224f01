/* SPDX-License-Identifier: MIT */
/* USB devices as a host controller sees them: the seam between xhci*.c and the devices behind its ports
 * (Universal Serial Bus 2.0 and 3.1, chapter 9).
 *
 * A device is a usb_dev_ops table, descriptors, and a struct that starts with struct usb_dev. usb_core.c
 * answers standard requests; the author writes what the class does. hid_pointer.c is a small one.
 *
 * Threads: all of it on the loop thread, or where the loop does not run. */
#ifndef VZ_USB_USB_H
#define VZ_USB_USB_H

#include <sys/uio.h>

#include "base/compiler.h"
#include "bus/device.h"

struct usb_dev;
struct usb_xfer;
struct xhci;

/* The values are those of xHCI's default speed IDs (7.2.2.1.1). */
enum usb_speed { USB_FULL = 1, USB_LOW = 2, USB_HIGH = 3, USB_SUPER = 4 };

enum usb_result {
    USB_OK,        /* actual bytes were moved; fewer than len: a short packet */
    USB_STALLED,   /* the endpoint is halted until the host clears that */
    USB_CANCELLED,
    USB_OVERFLOWN, /* the device sent more than there was room for: halted, too */
    USB_FAILED,    /* it does not answer, or not rightly: halted, too */
};

struct usb_setup { /* USB 2.0 9.3 */
    uint8_t type, request;
    uint16_t value, index, length;
};

#define USB_CONTROL_MAX 4096u /* bytes of a control transfer's data */
#define USB_STRING_MAX  64u   /* characters */

enum { USB_DIR_IN = 0x80 };
enum { USB_TYPE_STANDARD = 0x00, USB_TYPE_CLASS = 0x20, USB_TYPE_VENDOR = 0x40, USB_TYPE_MASK = 0x60 };
enum { USB_TO_DEVICE = 0, USB_TO_INTERFACE = 1, USB_TO_ENDPOINT = 2, USB_TO_MASK = 0x1f };
enum {
    USB_GET_STATUS = 0, USB_CLEAR_FEATURE = 1, USB_SET_FEATURE = 3, USB_SET_ADDRESS = 5,
    USB_GET_DESCRIPTOR = 6, USB_SET_DESCRIPTOR = 7, USB_GET_CONFIGURATION = 8, USB_SET_CONFIGURATION = 9,
    USB_GET_INTERFACE = 10, USB_SET_INTERFACE = 11, USB_SET_SEL = 0x30, USB_SET_ISOCH_DELAY = 0x31,
};
enum {
    USB_DT_DEVICE = 1, USB_DT_CONFIG = 2, USB_DT_STRING = 3, USB_DT_INTERFACE = 4, USB_DT_ENDPOINT = 5,
    USB_DT_QUALIFIER = 6, USB_DT_OTHER_SPEED = 7, USB_DT_BOS = 15, USB_DT_SS_COMPANION = 48,
};
enum {
    USB_ENDPOINT_HALT = 0, USB_REMOTE_WAKEUP = 1, USB_FUNCTION_SUSPEND = 0, USB_U1_ENABLE = 48,
    USB_U2_ENABLE = 49, USB_LTM_ENABLE = 50,
};

/* A transfer on an endpoint that is not 0: as much as one transfer descriptor of the controller. The
 * controller's memory until done(). */
struct usb_xfer {
    uint8_t ep;              /* its address: number, with USB_DIR_IN */
    uint16_t stream;         /* of a bulk endpoint of USB 3 that has some: from 1 on; else 0 */
    const struct iovec *iov; /* adds up to len; guest memory */
    unsigned iov_count;
    size_t len;              /* bytes; may be 0 */
    size_t actual;           /* the device's: bytes moved */
    void (*done)(struct usb_xfer *x, enum usb_result result);
    void *device; /* for the device */
    /* A control transfer's, as long as the data (len): ep is only its direction. NULL: it is none. */
    const struct usb_setup *setup;
};

/* The host's end of a device: what it tells its controller. Constant once plugged. */
struct usb_host_ops {
    /* Something happened while the device's link is suspended, and the host has asked to hear of it. */
    void (*wakeup)(void *host, struct usb_dev *d);
};

struct usb_dev_ops {
    const char *name;
    /* The port was reset, or the host chose a configuration: all endpoints are new. No transfer is under
     * way. */
    void (*reset)(struct usb_dev *d);
    /* A request that is not standard, or GET_DESCRIPTOR to an interface. data has room for s->length
     * bytes: to read for OUT, to fill for IN. Bytes (0 for OUT), or -EPIPE: stall. */
    int (*control)(struct usb_dev *d, const struct usb_setup *s, uint8_t *data);
    /* Take x, of an endpoint that is not halted: x->done() comes once, maybe from inside. One at a time for
     * an endpoint, and where that has streams, for each of them. */
    void (*submit)(struct usb_dev *d, struct usb_xfer *x);
    /* x->done() comes as soon as the device has let go of x, maybe from inside; with USB_CANCELLED unless
     * it was about to end. What was moved until then is not in it when it comes again. */
    void (*cancel)(struct usb_dev *d, struct usb_xfer *x);
    /* Optional, of a device that takes its time for requests, as one of the host's does: all go here, standard ones, too, but
     * a change of address; there is no control() and no identity. submit() gets what is for endpoints that the device may
     * not have. */
    void (*request)(struct usb_dev *d, struct usb_xfer *x);
    /* Optional: after reset(), if it is the port's. The next request waits for its end. */
    void (*port_reset)(struct usb_dev *d);
    /* Optional. May the host end the halt of an endpoint? It has ended when this returns true. */
    bool (*clear_halt)(struct usb_dev *d, uint8_t ep);
    /* Optional. Another alternate setting was chosen; its endpoints are new. */
    void (*set_interface)(struct usb_dev *d, unsigned interface, unsigned setting);
    /* Optional, before the memory is freed. */
    void (*fini)(struct usb_dev *d);
};

/* What a kind of device says of itself; constant. Descriptors begin with their own length. */
struct usb_identity {
    const uint8_t *device;       /* 18 bytes */
    const uint8_t *config;       /* wTotalLength bytes, all descriptors of the one configuration */
    const uint8_t *bos;          /* of USB 3; NULL: none */
    const char *const *strings;  /* from index 1 on, ASCII, ended by NULL */
    uint8_t alt_count[4];        /* settings of each interface; 0: there is no such interface */
    bool self_powered;
};

#define USB_INTERFACES_MAX 4u

/* The base of every device's struct. All but what is constant is the loop thread's. */
struct usb_dev {
    struct device dev; /* of the machine's bus: state and reset */
    const struct usb_dev_ops *ops;
    const struct usb_identity *identity;
    enum usb_speed speed;
    char serial[USB_STRING_MAX + 1]; /* in place of the string named by iSerialNumber; "": none */
    /* The controller's. */
    const struct usb_host_ops *host_ops;
    void *host;
    unsigned port; /* 1..; 0: not plugged */
    /* The machine's: of a disk, its number when the machine began, from which a UUID follows if none was given. Saved, as
     * numbers change when others have gone. */
    uint32_t number;
    /* What is saved of every device. */
    uint8_t configuration;
    uint8_t alt[USB_INTERFACES_MAX];
    bool remote_wakeup;
    uint32_t halted; /* bit per endpoint: usb_ep_bit() */
};

/* Of 32: OUT, then IN. */
static inline unsigned usb_ep_index(unsigned ep)
{
    return (ep & 15) + (ep & USB_DIR_IN ? 16 : 0);
}

static inline uint32_t usb_ep_bit(uint8_t ep)
{
    return (uint32_t)BIT(usb_ep_index(ep));
}

/* The rows of the base, for state tables of devices: the first member of T is struct usb_dev member. */
#define USB_DEV_STATE(T, member)                                                                   \
    STATE_UINT_MAX(T, member.configuration, 1), STATE_ARRAY_MAX(T, member.alt, 3),                 \
        STATE_BOOL(T, member.remote_wakeup), STATE_UINT(T, member.halted),                         \
        STATE_UINT(T, member.number)

/* ---- For devices ---------------------------------------------------------------------------- */

/* Fill in the base and put it on the bus, which destroys it. dev_ops: its state; its destroy is
 * usb_dev_destroy(), its reset_locked usb_dev_reset_locked(). instance tells devices apart in a saved state: none else
 * on the bus has it. 0 or -errno. */
int usb_dev_init(struct usb_dev *d, const struct usb_dev_ops *ops, const struct usb_identity *identity,
                 enum usb_speed speed, const struct device_ops *dev_ops, struct bus *bus,
                 uint32_t instance) must_check;
void usb_dev_destroy(struct device *dev);
void usb_dev_reset_locked(struct device *dev);

/* Halt an endpoint: the host hears of it with the transfer that ends in USB_STALLED. */
void usb_halt(struct usb_dev *d, uint8_t ep);
/* Something happened that a sleeping host may want to know. */
void usb_wakeup(struct usb_dev *d);

/* ---- For controllers ------------------------------------------------------------------------ */

/* Back to the default state: after a reset of the port, or when it is unplugged. No transfer is under way. */
void usb_reset(struct usb_dev *d);
void usb_reset_port(struct usb_dev *d);

/* A whole control transfer: data has room for USB_CONTROL_MAX bytes, holds s->length of them for OUT; s->length
 * is not greater than that. Returns how many there are for IN, 0 for OUT, or -EPIPE. */
int usb_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data);

/* Begin a transfer; on a halted endpoint, or one or a stream of one that the device has not, it is USB_STALLED. So it is
 * without a stream where there are some. */
void usb_submit(struct usb_dev *d, struct usb_xfer *x);
void usb_cancel(struct usb_dev *d, struct usb_xfer *x);

#endif
