/* SPDX-License-Identifier: MIT */
/* usb-devices, attach-usb, detach-usb, set-disc: what is plugged into the machine's USB controller, changed while it runs. */
#include "control/control.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/config.h>
#include <vz/runtime.h>

#include "bundle/bundle.h"
#include "bundle/config_json.h"
#include "control/usb_json.h"

void method_usb_devices(struct control_call *call, json_t *params)
{
    struct vz_error err;
    json_t *list = usb_json_devices(call_machine(call), &err);

    if (list)
        call_reply(call, list);
    else
        call_fail(call, &err);
}

void method_attach_usb(struct control_call *call, json_t *params)
{
    struct vz_error err;
    struct vz_config *c = usb_json_device(params, &err);

    if (!c)
        call_fail(call, &err);
    else if (usb_json_attach(call_machine(call), c, call_done, call) < 0)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
    vz_config_unref(c);
}

/* ---- Detaching ------------------------------------------------------------------------------ */

struct detaching {
    struct control_call *call;
    json_t *device; /* of the machine's configuration, as it began, paths absolute; NULL: it came later */
    const char *list; /* of the configuration, where it is if it is there */
    char uuid[VZ_USB_UUID_TEXT_MAX];
};

struct search {
    const char *uuid, *list;
    int number; /* of a device that the machine began with; -1 */
    char device[sizeof((struct vz_usb_device_info){0}.device)]; /* of the host, or empty */
};

static void look_at(void *arg, const struct vz_usb_device_info *i)
{
    struct search *s = arg;

    if (!strcmp(i->uuid, s->uuid) && i->kind == VZ_USB_HOST_DEVICE) {
        s->list = "usbDevices";
        snprintf(s->device, sizeof(s->device), "%s", i->device);
    }
    if (!strcmp(i->uuid, s->uuid) && !i->attached)
        s->number = (int)i->storage_device;
}

/* What config.json has of it: one with its UUID, or one without, that is as the machine began with it; of a device of the
 * host also one that it was attached by again, when it had been pulled out. */
static json_t *began_with(struct control_call *call, const char *uuid, const char **ret_list)
{
    const char *folder = control_bundle(call_control(call))->path;
    struct vz_machine *m = call_machine(call);
    struct search s = {.uuid = uuid, .list = "storageDevices", .number = -1};
    int found;
    struct vz_config *absolute;
    struct vz_error ignored;
    json_t *config, *device;

    found = vz_machine_usb_devices(m, look_at, &s, &ignored);
    *ret_list = s.list;
    if (found == 0 && s.device[0])
        return json_pack("{s:s, s:s}", "type", "usbHost", "device", s.device);
    if (found < 0 || s.number < 0)
        return NULL;
    absolute = config_absolute(vz_machine_config(m), folder, NULL, &ignored);
    config = absolute ? config_json(absolute, &ignored) : NULL;
    device = json_incref(json_array_get(json_object_get(config, s.list), (size_t)s.number));
    json_decref(config);
    vz_config_unref(absolute);
    return device;
}

/* Where is it in the file as it is now? -1: nowhere. */
static int find_stored(const json_t *absolute, const struct detaching *d)
{
    json_t *its;
    size_t i;

    json_array_foreach(json_object_get(absolute, d->list), i, its) {
        const char *uuid = json_string_value(json_object_get(its, "uuid"));

        if (uuid ? !strcmp(uuid, d->uuid) : json_equal(its, d->device))
            return (int)i;
    }
    return -1;
}

/* The file has it no more, and a controller still. */
static bool store(const struct bundle *b, const struct detaching *d, struct vz_error *err)
{
    struct vz_config *rest = NULL;
    json_t *json = bundle_config_as_is(b, err), *absolute = json ? bundle_config_json(b, err) : NULL;
    int at = find_stored(absolute, d);
    bool ok = absolute;

    if (at >= 0) {
        json_array_remove(json_object_get(json, d->list), (size_t)at);
        config_keep_usb(json);
        rest = config_of_json(json, err);
        ok = rest && bundle_set_config(b, rest, err) == 0;
    }
    vz_config_unref(rest);
    json_decref(json);
    json_decref(absolute);
    return ok;
}

static void on_detached(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct detaching *d = arg;
    struct control *c = call_control(d->call);
    struct vz_error why = {.text = "out of memory"};
    bool ok = err || control_begin_change(c, &why);

    if (ok && !err) {
        ok = store(control_bundle(c), d, &why);
        control_end_change(c);
    }
    if (ok)
        call_done(d->call, machine, err);
    else
        call_fail_text(d->call, why.code, "the device is out, but config.json has it still: %s", why.text);
    json_decref(d->device);
    free(d);
}

static bool detach_and_store(struct control_call *call, const char *uuid)
{
    struct detaching *d = malloc(sizeof(*d));

    if (!d)
        return false;
    *d = (struct detaching){.call = call};
    d->device = began_with(call, uuid, &d->list);
    snprintf(d->uuid, sizeof(d->uuid), "%s", uuid);
    if (vz_machine_detach_usb_device(call_machine(call), uuid, on_detached, d) == 0)
        return true;
    json_decref(d->device);
    free(d);
    return false;
}

void method_detach_usb(struct control_call *call, json_t *params)
{
    const char *uuid = NULL;
    bool stores = true, ok;

    if (!call_param_string(call, params, "uuid", &uuid) || !call_param_bool(call, params, "store", &stores))
        return;
    if (!uuid) {
        call_fail_text(call, VZ_ERROR_INVALID, "which device? (\"uuid\")");
        return;
    }
    ok = stores ? detach_and_store(call, uuid)
                : vz_machine_detach_usb_device(call_machine(call), uuid, call_done, call) == 0;
    if (!ok)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* ---- Discs ---------------------------------------------------------------------------------- */

/* attachment: as in a configuration; null: no disc. */
void method_set_disc(struct control_call *call, json_t *params)
{
    uint64_t disk = UINT64_MAX;
    bool force = false;
    struct vz_config *c;
    struct vz_error err;

    if (!call_param_number(call, params, "disk", 0, UINT_MAX, &disk) || !call_param_bool(call, params, "force", &force))
        return;
    c = usb_json_drive(json_object_get(params, "attachment"), &err);
    if (!c)
        call_fail(call, &err);
    else if (vz_machine_insert_disc(call_machine(call), (unsigned)disk,
                                    vz_storage_device_attachment(vz_config_storage_device(c, 0)), force, call_done, call) < 0)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
    vz_config_unref(c);
}
