/* SPDX-License-Identifier: MIT */
#include "command/live_usb.h"

#include <string.h>

#include <vz/platform.h>

#include "bundle/bundle.h"
#include "control/client.h"
#include "failure.h"

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text ? text : "";
}

bool live_usb_is(const json_t *device)
{
    return !strncmp(text_of(device, "type"), "usb", 3);
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

bool live_usb_attach(const struct bundle *b, json_t *config, const char *uuid, struct vz_error *err)
{
    json_t *device;
    size_t i;

    json_array_foreach(json_object_get(config, "storageDevices"), i, device) {
        if (!strcmp(text_of(device, "uuid"), uuid))
            return ask(b, "attach-usb", json_pack("{s:O}", "device", device), err);
    }
    return fail_false(err, VZ_ERROR_DEVICE_NOT_FOUND, "the configuration has no USB device %s", uuid);
}

/* Its number in the configuration that the machine was started with; -1: it was not there. */
static int number_of(json_t *running, json_t *device)
{
    json_t *its;
    size_t i;

    json_array_foreach(json_object_get(running, "storageDevices"), i, its) {
        if (json_equal(its, device))
            return (int)i;
    }
    return -1;
}

/* By its UUID, or the number of one that was there from the start: the running machine's UUID of it, "" where it has none. */
static const char *find(json_t *devices, const char *uuid, int number)
{
    json_t *d;
    size_t i;

    json_array_foreach(devices, i, d) {
        bool started = !json_is_true(json_object_get(d, "attached"));

        if (uuid[0] ? !strcmp(text_of(d, "uuid"), uuid)
                    : started && json_integer_value(json_object_get(d, "disk")) == number)
            return text_of(d, "uuid");
    }
    return "";
}

bool live_usb_detach(const struct bundle *b, json_t *device, bool *ret_gone, struct vz_error *err)
{
    json_t *running = client_ask(b, "config", NULL, NULL, err);
    json_t *list = running ? client_ask(b, "usb-devices", NULL, NULL, err) : NULL;
    const char *uuid = find(json_object_get(list, "devices"), text_of(device, "uuid"), number_of(running, device));
    bool ok = list;

    *ret_gone = *uuid;
    if (list && *uuid)
        ok = ask(b, "detach-usb", json_pack("{s:s}", "uuid", uuid), err);
    json_decref(list);
    json_decref(running);
    return ok;
}
