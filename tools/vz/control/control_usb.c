/* SPDX-License-Identifier: MIT */
/* usb-devices, attach-usb, detach-usb, set-disc: what is plugged into the machine's USB controller, changed while it runs. */
#include "control/control.h"

#include <limits.h>

#include <vz/config.h>
#include <vz/runtime.h>

#include "bundle/config_json.h"

static void add_device(void *arg, const struct vz_usb_device_info *i)
{
    json_array_append_new(arg, json_pack("{s:s, s:s, s:i, s:i, s:b}", "uuid", i->uuid, "kind",
                                         i->kind == VZ_USB_CDROM ? "cdrom" : "disk", "disk", (int)i->storage_device,
                                         "port", (int)i->port, "attached", (int)i->attached));
    if (i->kind == VZ_USB_CDROM)
        json_object_set_new(json_array_get(arg, json_array_size(arg) - 1), "disc", json_boolean(i->has_disc));
}

void method_usb_devices(struct control_call *call, json_t *params)
{
    json_t *list = json_array();
    struct vz_error err;

    if (vz_machine_usb_devices(call_machine(call), add_device, list, &err) < 0) {
        call_fail(call, &err);
        json_decref(list);
        return;
    }
    call_reply(call, json_pack("{s:o}", "devices", list));
}

/* As the one of a configuration that has nothing else. */
static struct vz_config *around(json_t *device, struct vz_error *err)
{
    json_t *json = json_pack("{s:[O]}", "storageDevices", device);
    struct vz_config *c = json ? config_of_json(json, err) : NULL;

    json_decref(json);
    return c;
}

void method_attach_usb(struct control_call *call, json_t *params)
{
    struct vz_error err = {.code = VZ_ERROR_INVALID, .text = "which device? (\"device\": as in a configuration)"};
    json_t *device = json_object_get(params, "device");
    struct vz_config *c = json_is_object(device) ? around(device, &err) : NULL;
    struct vz_storage_device *d = vz_config_storage_device(c, 0);

    if (!d)
        call_fail(call, &err);
    else if (vz_machine_attach_usb_device(call_machine(call), d, call_done, call) < 0)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
    vz_config_unref(c);
}

void method_detach_usb(struct control_call *call, json_t *params)
{
    const char *uuid = NULL;

    if (!call_param_string(call, params, "uuid", &uuid))
        return;
    if (!uuid)
        call_fail_text(call, VZ_ERROR_INVALID, "which device? (\"uuid\")");
    else if (vz_machine_detach_usb_device(call_machine(call), uuid, call_done, call) < 0)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* attachment: as in a configuration; null: no disc. */
void method_set_disc(struct control_call *call, json_t *params)
{
    json_t *attachment = json_object_get(params, "attachment");
    json_t *device = json_pack("{s:s, s:o}", "type", "usbCdrom", "attachment",
                               json_is_object(attachment) ? json_incref(attachment) : json_pack("{s:s}", "type", "empty"));
    struct vz_error err = {.code = VZ_ERROR_NO_MEMORY, .text = "out of memory"};
    struct vz_config *c = NULL;
    uint64_t disk = UINT64_MAX;
    bool force = false;

    if (call_param_number(call, params, "disk", 0, UINT_MAX, &disk) && call_param_bool(call, params, "force", &force)) {
        c = device ? around(device, &err) : NULL;
        if (!c || vz_machine_set_disc(call_machine(call), (unsigned)disk,
                                      vz_storage_device_attachment(vz_config_storage_device(c, 0)), force, &err) < 0)
            call_fail(call, &err);
        else
            call_reply(call, NULL);
    }
    vz_config_unref(c);
    json_decref(device);
}
