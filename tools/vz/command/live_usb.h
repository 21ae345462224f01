/* SPDX-License-Identifier: MIT */
/* USB disks, CD-ROM drives and devices of the host, of machines that run: what attach and detach do besides changing the configuration. */
#ifndef VZ_TOOLS_LIVE_USB_H
#define VZ_TOOLS_LIVE_USB_H

#include <stdbool.h>

#include <jansson.h>

#include <vz/error.h>

struct bundle;

/* Give it a UUID, if it has none. */
bool live_usb_name(json_t *device, struct vz_error *err);
/* Attach it, all paths absolute, to the machine that runs. */
bool live_usb_attach(const struct bundle *b, json_t *device, struct vz_error *err);
/* Detach it. Not one that the running machine has not: *ret_gone is false then. device: as config.json had it, paths too, and
 * its number there. */
bool live_usb_detach(const struct bundle *b, json_t *device, size_t index, bool *ret_gone, struct vz_error *err);

/* Its number in the machine that runs; -1 with an error: it is not there. device: as config.json has it, paths too, and the
 * number there. */
int live_usb_number(const struct bundle *b, json_t *device, size_t index, struct vz_error *err);

#endif
