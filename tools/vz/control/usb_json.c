/* SPDX-License-Identifier: MIT */
#include "control/usb_json.h"

#include <vz/config.h>

#include "bundle/config_json.h"
#include "failure.h"

static void add_host_device(void *arg, const struct vz_usb_device_info *i)
{
    json_array_append_new(arg, json_pack("{s:s, s:s, s:i, s:s, s:i, s:b}", "uuid", i->uuid, "kind", "host", "number",
                                         (int)i->storage_device, "device", i->device, "port", (int)i->port, "attached",
                                         (int)i->attached));
}

static void add_device(void *arg, const struct vz_usb_device_info *i)
{
    if (i->kind == VZ_USB_HOST_DEVICE) {
        add_host_device(arg, i);
        return;
    }
    json_array_append_new(arg, json_pack("{s:s, s:s, s:i, s:i, s:b}", "uuid", i->uuid, "kind",
                                         i->kind == VZ_USB_CDROM ? "cdrom" : "disk", "disk", (int)i->storage_device,
                                         "port", (int)i->port, "attached", (int)i->attached));
    if (i->kind == VZ_USB_CDROM)
        json_object_set_new(json_array_get(arg, json_array_size(arg) - 1), "disc", json_boolean(i->has_disc));
}

json_t *usb_json_devices(struct vz_machine *m, struct vz_error *err)
{
    json_t *list = json_array();

    if (vz_machine_usb_devices(m, add_device, list, err) == 0)
        return json_pack("{s:o}", "devices", list);
    json_decref(list);
    return NULL;
}

/* As the one of a configuration that has nothing else. */
static struct vz_config *around(json_t *device, struct vz_error *err)
{
    json_t *json = json_pack("{s:[O]}", config_usb_list(device), device);
    struct vz_config *c = json ? config_of_json(json, err) : NULL;

    json_decref(json);
    return c;
}

struct vz_config *usb_json_device(json_t *params, struct vz_error *err)
{
    json_t *device = json_object_get(params, "device");
    struct vz_config *c;

    fail(err, VZ_ERROR_INVALID, "which device? (\"device\": as in a configuration)");
    c = json_is_object(device) ? around(device, err) : NULL;
    if (!c || vz_config_storage_device(c, 0) || vz_config_usb_device(c, 0))
        return c;
    vz_config_unref(c);
    return NULL;
}

int usb_json_attach(struct vz_machine *m, const struct vz_config *c, vz_machine_done_fn *fn, void *arg)
{
    struct vz_usb_device *host = vz_config_usb_device(c, 0);

    return host ? vz_machine_attach_usb_host_device(m, host, fn, arg)
                : vz_machine_attach_usb_device(m, vz_config_storage_device(c, 0), fn, arg);
}

int usb_json_attach_wait(struct vz_machine *m, const struct vz_config *c, struct vz_error *err)
{
    struct vz_usb_device *host = vz_config_usb_device(c, 0);

    return host ? vz_machine_attach_usb_host_device_wait(m, host, err)
                : vz_machine_attach_usb_device_wait(m, vz_config_storage_device(c, 0), err);
}

struct vz_config *usb_json_drive(json_t *attachment, struct vz_error *err)
{
    json_t *disc = json_is_object(attachment) ? json_incref(attachment) : json_pack("{s:s}", "type", "empty");
    json_t *device = json_pack("{s:s, s:o}", "type", "usbCdrom", "attachment", disc);
    struct vz_config *c;

    fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    c = device ? around(device, err) : NULL;
    json_decref(device);
    return c;
}

int usb_json_set_disc(struct vz_machine *m, unsigned disk, json_t *attachment, bool force, struct vz_error *err)
{
    struct vz_config *c = usb_json_drive(attachment, err);
    int r = c ? vz_machine_set_disc(m, disk, vz_storage_device_attachment(vz_config_storage_device(c, 0)), force, err) : -1;

    vz_config_unref(c);
    return r;
}
