/* SPDX-License-Identifier: MIT */
/* <vz/usb.h>: which USB devices the host has. */
#include <vz/usb.h>

#include <unistd.h>

#include "config/object.h"
#include "usbhost/usb_find.h"

struct call {
    vz_host_usb_device_fn *fn;
    void *arg;
};

static void tell(void *arg, const struct usb_found *f)
{
    const struct call *c = arg;
    struct vz_host_usb_device d = {.size = sizeof(d), .device = f->port, .vendor = f->vendor, .product = f->product,
                                   .bus = f->bus, .address = f->address, .megabits = f->mbit, .maker = f->maker,
                                   .name = f->name};
    char node[USB_NODE_MAX];

    usb_found_node(f, node);
    d.accessible = access(node, R_OK | W_OK) == 0;
    c->fn(c->arg, &d);
}

int vz_host_usb_devices(vz_host_usb_device_fn *fn, void *arg, struct vz_error *err)
{
    struct call c = {fn, arg};

    return options_given((const void *)fn, "function", err) && usb_find_each(NULL, tell, &c, err) == 0 ? 0 : -1;
}
