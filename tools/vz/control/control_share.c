/* SPDX-License-Identifier: MIT */
/* share: what a shared directory leads to, changed while the machine runs. */
#include "control/control.h"

#include <string.h>

#include <vz/runtime.h>
#include <vz/share.h>

#include "bundle/config_json.h"

/* The number of the device that has the tag; -1: none. */
static int find_device(struct vz_machine *m, const char *tag)
{
    json_t *config = config_json(vz_machine_config(m), NULL), *device;
    size_t i;
    int ret = -1;

    json_array_foreach(json_object_get(config, "directorySharingDevices"), i, device) {
        const char *its = json_string_value(json_object_get(device, "tag"));

        if (its && !strcmp(its, tag))
            ret = (int)i;
    }
    json_decref(config);
    return ret;
}

/* A shared directory as the configuration has it, cut up by jansson. False: it is none. */
static bool take_directory(json_t *json, struct vz_shared_directory *ret)
{
    int read_only = 0;

    *ret = (struct vz_shared_directory)VZ_SHARED_DIRECTORY_INIT;
    if (json_unpack(json, "{s?s, s:s, s?b}", "name", &ret->name, "path", &ret->path, "readOnly", &read_only) < 0)
        return false;
    ret->read_only = read_only;
    return true;
}

static struct vz_directory_share *several(json_t *list, struct vz_error *err)
{
    struct vz_shared_directory d[VZ_SHARED_DIRECTORIES_MAX];
    size_t count = json_array_size(list);
    bool ok = count <= VZ_SHARED_DIRECTORIES_MAX;

    for (size_t i = 0; ok && i < count; i++)
        ok = take_directory(json_array_get(list, i), &d[i]) && d[i].name;
    if (ok)
        return vz_multiple_directory_share_new(d, (unsigned)count, err);
    *err = (struct vz_error){.code = VZ_ERROR_INVALID, .text = "\"directories\": each has a name and a path"};
    return NULL;
}

static struct vz_directory_share *take_share(json_t *json, struct vz_error *err)
{
    json_t *list = json_object_get(json, "directories");
    const char *type = json_string_value(json_object_get(json, "type"));
    struct vz_shared_directory d;

    if (type && !strcmp(type, "foreignBinaries"))
        return vz_foreign_binaries_share_new(NULL, err); /* which no running machine takes, and says so */
    if (json_is_array(list))
        return several(list, err);
    if (take_directory(json, &d))
        return vz_single_directory_share_new(d.path, d.read_only, err);
    *err = (struct vz_error){.code = VZ_ERROR_INVALID, .text = "\"share\": has a path, or directories"};
    return NULL;
}

void method_share(struct control_call *call, json_t *params)
{
    json_t *json = json_object_get(params, "share");
    struct vz_directory_share *share = NULL;
    const char *tag = NULL;
    struct vz_error err;
    int device;

    if (!call_param_string(call, params, "tag", &tag))
        return;
    device = tag ? find_device(call_machine(call), tag) : -1;
    if (device < 0) {
        call_fail_text(call, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no shared directory of the tag '%.40s'",
                       tag ? tag : "");
        return;
    }
    if (json && !json_is_null(json) && !(share = take_share(json, &err))) {
        call_fail(call, &err);
        return;
    }
    if (vz_machine_set_directory_share(call_machine(call), (unsigned)device, share, &err) < 0) {
        call_fail(call, &err);
    } else {
        control_shared(call_control(call), tag, share ? json : NULL);
        call_reply(call, NULL);
    }
    vz_directory_share_unref(share);
}
