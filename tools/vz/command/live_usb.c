/* SPDX-License-Identifier: MIT */
#include "command/live_usb.h"

#include <string.h>

#include <vz/platform.h>

#include "bundle/bundle.h"
#include "bundle/config_json.h"
#include "control/client.h"
#include "failure.h"

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text ? text : "";
}

bool live_usb_name(json_t *device, struct vz_error *err)
{
    char uuid[VZ_MACHINE_IDENTIFIER_TEXT_MAX];
    struct vz_machine_identifier id;

    if (json_object_get(device, "uuid"))
        return true;
    vz_machine_identifier_random(&id);
    vz_machine_identifier_format(&id, uuid);
    return json_object_set_new(device, "uuid", json_string(uuid)) == 0 ||
           fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
}

static bool ask(const struct bundle *b, const char *method, json_t *params, struct vz_error *err)
{
    json_t *result = client_ask(b, method, params, NULL, err);

    json_decref(result);
    return result;
}

bool live_usb_attach(const struct bundle *b, json_t *device, struct vz_error *err)
{
    return ask(b, "attach-usb", json_pack("{s:O}", "device", device), err);
}

static bool is_like(json_t *a, json_t *b)
{
    json_t *x = json_copy(a), *y = json_copy(b);
    bool like;

    json_object_del(x, "attachment");
    json_object_del(y, "attachment");
    like = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return like;
}

/* Which of the running machine's devices is it? By its UUID; or, where it has none, a device of the host by its name, as
 * it may have come again since it was pulled out, and others by their number in the configuration that the machine was
 * started with, whose device there must be the same: a disk in all, a drive but for its disc. */
static json_t *find(json_t *devices, json_t *running, json_t *device, size_t index)
{
    const char *uuid = text_of(device, "uuid");
    bool hosts = !strcmp(config_usb_list(device), "usbDevices");
    json_t *was = json_array_get(json_object_get(running, config_usb_list(device)), index), *d;
    bool same = !strcmp(text_of(device, "type"), "usbCdrom") ? is_like(was, device) : json_equal(was, device);
    size_t i;

    json_array_foreach(devices, i, d) {
        bool started = !json_is_true(json_object_get(d, "attached")), its = !strcmp(text_of(d, "kind"), "host");

        if (uuid[0]  ? !strcmp(text_of(d, "uuid"), uuid)
            : hosts ? its && !strcmp(text_of(d, "device"), text_of(device, "device"))
                    : same && started && !its && json_integer_value(json_object_get(d, "disk")) == (json_int_t)index)
            return json_incref(d);
    }
    return NULL;
}

/* A reference; NULL: it is not there, or err says what is wrong. */
static json_t *look_for(const struct bundle *b, json_t *device, size_t index, struct vz_error *err)
{
    json_t *running = client_ask(b, "config", NULL, NULL, err);
    json_t *list = running ? client_ask(b, "usb-devices", NULL, NULL, err) : NULL;
    json_t *found = list ? find(json_object_get(list, "devices"), running, device, index) : NULL;

    json_decref(list);
    json_decref(running);
    return found;
}

bool live_usb_detach(const struct bundle *b, json_t *device, size_t index, bool *ret_gone, struct vz_error *err)
{
    json_t *found = look_for(b, device, index, err);
    bool ok = found ? ask(b, "detach-usb", json_pack("{s:s, s:b}", "uuid", text_of(found, "uuid"), "store", 0), err) : !err->code;

    *ret_gone = found;
    json_decref(found);
    return ok;
}

int live_usb_number(const struct bundle *b, json_t *device, size_t index, struct vz_error *err)
{
    json_t *found = look_for(b, device, index, err);
    int number = found ? (int)json_integer_value(json_object_get(found, "disk")) : -1;

    if (!found && !err->code)
        fail(err, VZ_ERROR_DEVICE_NOT_FOUND, "the machine that runs does not have this drive; it has when it is started the next time");
    json_decref(found);
    return number;
}
