/* SPDX-License-Identifier: MIT */
/* Keyboards and pointing devices on USB (Device Class Definition for HID 1.11, HID Usage Tables 1.4).
 * What is typed and pointed waits in the device until the guest's driver reads it; a device that is not
 * configured takes nothing. Threads as in usb.h. */
#ifndef VZ_USB_HID_H
#define VZ_USB_HID_H

#include "usb/usb.h"

enum hid_kind { HID_KEYBOARD, HID_MAC_KEYBOARD, HID_POINTER, HID_MOUSE, HID_TRACKPAD, HID_KINDS };

/* It belongs to the bus until it is taken away: usb_dev_destroy(). 0 or -errno. */
int hid_create(struct bus *bus, enum hid_kind kind, uint32_t instance, struct usb_dev **ret) must_check;

/* ---- Keyboards ------------------------------------------------------------------------------ */

#define HID_LED_MASK 0x1fu

void hid_key(struct usb_dev *d, uint32_t key, bool down); /* page << 16 | usage */
void hid_keys_up(struct usb_dev *d);
unsigned hid_leds(const struct usb_dev *d); /* usages of page 8 from 1 on: num lock, caps lock, ... */

/* ---- Pointing devices ----------------------------------------------------------------------- */

#define HID_POINTER_MAX 32767
#define HID_WHEEL_NOTCH 120
#define HID_TOUCHES     5u

struct hid_pointer_event {
    uint16_t x, y;   /* HID_POINTER */
    int32_t dx, dy;  /* the others */
    uint32_t buttons;
    int32_t wheel, pan; /* in 1/HID_WHEEL_NOTCH */
};
void hid_pointer_send(struct usb_dev *d, const struct hid_pointer_event *e);

struct hid_touch {
    uint32_t id;
    uint16_t x, y;
};
/* Of a trackpad. count is HID_TOUCHES at most. */
void hid_touches_send(struct usb_dev *d, const struct hid_touch *touch, unsigned count, bool pressed);

#endif
