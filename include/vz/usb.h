/* SPDX-License-Identifier: MIT */
/* The USB controller, and USB devices of the host that a machine has.
 *
 * The controller: what keyboards, pointing devices and USB disks are plugged into. A configuration that has some of
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

/* ---- Devices of the host (Apple's: VZUSBPassthroughDevice) ------------------------------------- */

/* What the guest asks of such a device goes on to the device, by libusb, which is needed for that. The host's drivers let go
 * of it when the machine starts, or when it is attached (<vz/runtime.h>), and have it again when it is detached or the
 * machine ends: it is reset then. (They do not where the process is killed: it has to be plugged in again then.) Low to
 * SuperSpeed; control, bulk and interrupt transfers. Isochronous ones (sound, video) are not passed on: the guest has such a
 * device without the settings that need them, and a line in the log says so; the same goes for USB attached SCSI at
 * SuperSpeed, where disks have the older transport, too. Machines with such a device cannot be saved. */

VZ_DECLARE_COUNTED(usb_device);

struct vz_usb_host_options { /* start from VZ_USB_HOST_OPTIONS_INIT */
    size_t size;
    const char *uuid; /* by which a running machine knows it, in lower case; NULL: one is made */
};
#define VZ_USB_HOST_OPTIONS_INIT VZ_INIT_(struct vz_usb_host_options, )

/**
 * Describe a USB device of the host. It is opened, and needs to be there, when the machine starts or it is attached.
 * @device  "1-2.3": its port, as Linux calls it; "046d:c52b": vendor and product, of which there must be only one; or
 *          "001/004": bus and address, which is another one whenever it is plugged in
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (no device, or options of an unknown size) or VZ_ERROR_NO_MEMORY.
 * Since 0.4. */
VZ_PUBLIC struct vz_usb_device *vz_usb_host_device_new(const char *device, const struct vz_usb_host_options *options,
                                                       struct vz_error *err);

struct vz_host_usb_device { /* what the host has */
    size_t size;
    const char *device; /* for vz_usb_host_device_new(): its port. Strings live until the function returns */
    uint16_t vendor, product;
    uint32_t bus, address;
    uint32_t megabits; /* a second: 1 (for 1.5), 12, 480, 5000, ... */
    const char *maker, *name; /* as the device calls itself; "": it does not */
    bool accessible; /* this process may open it */
};
typedef void vz_host_usb_device_fn(void *arg, const struct vz_host_usb_device *device);

/**
 * Call fn, from inside, for each USB device of this host but hubs.
 * Returns 0; or -1 with VZ_ERROR_INVALID (NULL) or VZ_ERROR_DEVICE_NOT_FOUND (the host shows none: a container, or a kernel
 * without USB). Since 0.4. */
VZ_PUBLIC int vz_host_usb_devices(vz_host_usb_device_fn *fn, void *arg, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
