/* SPDX-License-Identifier: MIT */
/* USB devices that come and go: what machine_usb.c (disks, drives, and all together) and machine_usb_host.c (those of
 * the host) have of each other. On the machine's thread. */
#ifndef VZ_MACHINE_MACHINE_USB_H
#define VZ_MACHINE_MACHINE_USB_H

#include "machine/machine_impl.h"

/* machine_usb.c */
void usb_uuid_of(const struct vz_machine *m, const struct device_slot *s, char ret[VZ_USB_UUID_TEXT_MAX]);
/* Another one, uuid (NULL: it will get one), may come. 0 or -errno with err. */
int usb_may_attach(struct vz_machine *m, const char *uuid, struct vz_error *err) must_check;
void usb_forget(struct vz_machine *m); /* let go of what describes those that are gone, also of the host's */

/* machine_usb_host.c: number i of the host's, those that came included; NULL: it is not there, or leaving. */
struct device_slot *usb_host_at(struct vz_machine *m, unsigned i);
unsigned usb_host_end(const struct vz_machine *m); /* numbers are less */
/* The machine's configuration as it has become. 0 or -errno. */
int usb_host_describe(struct vz_machine *m, struct vz_config *c) must_check;

#endif
