/* SPDX-License-Identifier: MIT */
/* The USB controller: what keyboards, pointing devices and USB disks are plugged into. A configuration that has some of
 * them gets one by itself; one that has none needs it to plug devices in while the machine runs (<vz/runtime.h>).
 * Apple's: VZXHCIControllerConfiguration.
 *
 * Lifetime: counted. Threads: any; objects do not change once made. */
#ifndef VZ_USB_H
#define VZ_USB_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(usb_controller);

struct vz_xhci_options { /* start from VZ_XHCI_OPTIONS_INIT */
    size_t size;
};
#define VZ_XHCI_OPTIONS_INIT VZ_INIT_(struct vz_xhci_options, )

/**
 * Describe the controller (xHCI 1.1), with 16 ports for USB 2 and 16 for USB 3. One at most.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_usb_controller *vz_xhci_controller_new(const struct vz_xhci_options *options,
                                                           struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
