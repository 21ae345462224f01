/* SPDX-License-Identifier: MIT */
/* USB disks, drives and devices of the host of a machine that runs, as the control protocol has them (docs/control.md). */
#ifndef VZ_TOOLS_USB_JSON_H
#define VZ_TOOLS_USB_JSON_H

#include <stdbool.h>

#include <jansson.h>

#include <vz/runtime.h>

/* {"devices": [...]}; NULL and err. */
json_t *usb_json_devices(struct vz_machine *m, struct vz_error *err);
/* What "device" of params describes, as the only one of a configuration; NULL and err. */
struct vz_config *usb_json_device(json_t *params, struct vz_error *err);
/* Attach that. As the library's. */
int usb_json_attach(struct vz_machine *m, const struct vz_config *c, vz_machine_done_fn *fn, void *arg);
int usb_json_attach_wait(struct vz_machine *m, const struct vz_config *c, struct vz_error *err);
/* A drive with that disc, attachment, as in a configuration, else none, as the only device of one; NULL and err. */
struct vz_config *usb_json_drive(json_t *attachment, struct vz_error *err);
/* A drive has another disc, attachment, as in a configuration; else none. 0 or -1 and err. */
int usb_json_set_disc(struct vz_machine *m, unsigned disk, json_t *attachment, bool force, struct vz_error *err);

#endif
