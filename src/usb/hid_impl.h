/* SPDX-License-Identifier: MIT */
/* What the devices of hid.h have in common: hid.c has the class's requests and the interrupt endpoints, one for
 * each interface; a model has descriptors, and makes reports. */
#ifndef VZ_USB_HID_IMPL_H
#define VZ_USB_HID_IMPL_H

#include "usb/hid.h"

#define HID_INTERFACES 2u
#define HID_REPORT_MAX 64u

enum { HID_INPUT = 1, HID_OUTPUT = 2, HID_FEATURE = 3 }; /* kinds of reports (7.2.1) */

struct hid;
struct hid_model {
    struct usb_identity identity;
    enum hid_kind kind;
    unsigned interfaces;
    struct {
        const uint8_t *bytes;
        uint16_t len;
    } report[HID_INTERFACES]; /* descriptors */
    /* The next report that the host has not seen; 0: there is none. */
    size_t (*next)(struct hid *h, unsigned interface, uint8_t *report);
    /* As it is now. Bytes, or -EPIPE. */
    int (*get)(struct hid *h, unsigned interface, unsigned type, unsigned id, uint8_t *report);
    int (*set)(struct hid *h, unsigned interface, unsigned type, unsigned id, const uint8_t *report,
               size_t len);
    void (*clear)(struct hid *h); /* nothing is pressed, and nothing waits */
};

struct hid {
    struct usb_dev usb;
    const struct hid_model *model; /* constant */
    struct usb_xfer *waiting[HID_INTERFACES];
    bool boot[HID_INTERFACES]; /* the boot protocol was chosen */
    uint8_t idle[HID_INTERFACES];
};

#define HID_STATE(T)                                                                               \
    USB_DEV_STATE(T, hid.usb), STATE_ARRAY_MAX(T, hid.boot, 1), STATE_ARRAY(T, hid.idle)

static inline struct hid *to_hid(struct usb_dev *d)
{
    return container_of(d, struct hid, usb);
}

/* There may be something for the host. */
void hid_news(struct hid *h);
int hid_init(struct hid *h, const struct hid_model *model, const struct device_ops *dev_ops,
             struct bus *bus, uint32_t instance) must_check;

/* Descriptors: of a device with those strings, of an interface with one interrupt endpoint. */
#define HID_DEVICE(vendor, product, version)                                                       \
    {18, USB_DT_DEVICE, 0x00, 0x02, 0, 0, 0, 64, (vendor) & 0xff, (vendor) >> 8, (product) & 0xff, \
     (product) >> 8, (version) & 0xff, (version) >> 8, 1, 2, 3, 1}
#define HID_CONFIG(interfaces)                                                                     \
    9, USB_DT_CONFIG, (9 + 25 * (interfaces)), 0, (interfaces), 1, 0, 0xa0 /* wakes up */, 50
#define HID_INTERFACE(index, subclass, protocol, report_len)                                       \
    9, USB_DT_INTERFACE, (index), 0, 1, 3, (subclass), (protocol), 0,                              \
    9, 0x21, 0x11, 0x01, 0, 1, 0x22, (report_len) & 0xff, (report_len) >> 8,                       \
    7, USB_DT_ENDPOINT, USB_DIR_IN | ((index) + 1), 3, HID_REPORT_MAX, 0, 4 /* 1 ms */

int hid_keyboard_create(struct bus *bus, bool mac, uint32_t instance, struct usb_dev **ret) must_check;
int hid_pointer_create(struct bus *bus, bool relative, uint32_t instance, struct usb_dev **ret) must_check;
int hid_trackpad_create(struct bus *bus, uint32_t instance, struct usb_dev **ret) must_check;
void hid_trackpad_pointer(struct usb_dev *d, const struct hid_pointer_event *e);

/* A wheel that some guests know only by its notches. */
struct hid_wheel {
    bool fine;   /* the guest has asked for parts of notches */
    int32_t rest; /* of notches that are not full, 1/HID_WHEEL_NOTCH */
};
int16_t hid_wheel_turn(struct hid_wheel *w, int32_t by);

static inline int32_t hid_clamp(int64_t v, int32_t limit)
{
    return v > limit ? limit : v < -limit ? -limit : (int32_t)v;
}

#endif
