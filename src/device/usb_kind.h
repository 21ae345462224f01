/* SPDX-License-Identifier: MIT */
/* Slots of USB devices: their models are struct usb_dev. */
#ifndef VZ_DEVICE_USB_KIND_H
#define VZ_DEVICE_USB_KIND_H

#include "device/device_kind.h"
#include "usb/usb.h"

/* Plug a device in that was just made for s, which has it as its model from here on. 0, or -errno, and it is
 * gone. */
int usb_slot_plug(struct device_slot *s, struct usb_dev *d, struct vz_error *err) must_check;
/* The port that the next device of that speed gets, which is also its number in saved states. 0 or -errno. */
int usb_slot_port(struct device_slot *s, enum usb_speed speed, uint32_t *ret, struct vz_error *err) must_check;
void usb_slot_remove(struct device_slot *s);
/* As the guest sees it, it is out at once; done(s) comes when the controller has let go of it, maybe from inside. */
void usb_slot_unplug(struct device_slot *s, void (*done)(void *arg));
/* Does its controller rest? Then the loop may not turn. */
bool usb_slot_rests(struct device_slot *s);
int usb_slot_place(struct device_slot *s, unsigned port, struct vz_error *err) must_check;

#define USB_SLOT .bus = DEVICE_ON_ANOTHER, .needs = &xhci_kind, .remove = usb_slot_remove

#endif
