/* SPDX-License-Identifier: MIT */
/* USB devices of the host that a machine has. */
#include <string.h>

#include "base/usb_name.h"
#include "config/objects.h"
#include "config/report.h"

static void check_name(struct report *r, const void *object)
{
    const struct vz_usb_device *d = object;
    struct usb_name name;
    struct vz_error err;

    if (usb_name_parse(d->device, &name, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

/* The last of those that share something reports it; two names of one device are found when it is opened. */
static void check_device(struct report *r, const void *object)
{
    const struct vz_usb_device *d = object;

    config_check_uuid(r, d->uuid);
    for (unsigned k = 0; r->whole && k < r->index; k++) {
        const struct vz_usb_device *other = r->whole->usb_devices.item[k];

        if (d->uuid && other->uuid && !strcmp(d->uuid, other->uuid))
            report_problem(r, VZ_ERROR_INVALID, "usbDevices[%u] has the same UUID", k);
        if (!strcmp(d->device, other->device))
            report_problem(r, VZ_ERROR_INVALID, "usbDevices[%u] is the same device", k);
    }
}

static const struct schema_field fields[] = {
    FIELD_STRING(struct vz_usb_device, device, "device", .host = true, .required = true, .option = "",
                 .value = "DEVICE", .noun = "USB device", .check = check_name,
                 .text = "which: its port, such as 1-2 or 1-2.3, or its vendor and product, such as 046d:c52b",
                 .more = "'vz usb list' shows those of this host. A port leads to whatever is plugged in there when the "
                         "machine starts. 001/004, as in lsusb's lines, will do too, but is another one each time that it "
                         "is plugged in."),
    FIELD_STRING(struct vz_usb_device, uuid, "uuid", .value = "UUID",
                 .text = "by which a running machine knows it; without one: one that follows from the machine's"),
    FIELD_END};
const struct schema_type config_usb_host_type = {
    .name = "usb_host_device", .json = "usbHost", .size = sizeof(struct vz_usb_device), .fields = fields,
    .check = check_device, .text = "a USB device of the host"};

static const struct schema_type *const usb_devices_types[] = {&config_usb_host_type, NULL};
const struct schema_class config_usb_devices = {.types = usb_devices_types};

struct vz_usb_device *vz_usb_device_ref(struct vz_usb_device *object)
{
    return object_ref(object);
}

void vz_usb_device_unref(struct vz_usb_device *object)
{
    object_unref(object);
}

struct vz_usb_device *vz_usb_host_device_new(const char *device, const struct vz_usb_host_options *options,
                                             struct vz_error *err)
{
    struct vz_usb_host_options o = VZ_USB_HOST_OPTIONS_INIT;
    struct vz_usb_device d = {.device = device};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.uuid = o.uuid;
    return schema_make(&config_usb_host_type, &d, err);
}

struct vz_usb_device *vz_config_usb_device(const struct vz_config *config, unsigned index)
{
    return config && index < config->usb_devices.count ? config->usb_devices.item[index] : NULL;
}

int vz_config_add_usb_device(struct vz_config *config, struct vz_usb_device *device, struct vz_error *err)
{
    return config_add(config ? &config->usb_devices : NULL, device, err);
}
