/* SPDX-License-Identifier: MIT */
#include "guest/guest_mounts.h"

#include <stdio.h>
#include <string.h>

#include <vz/agent.h>
#include <vz/share.h>

#include "bundle/config_json.h"
#include "cli.h"

/* "/media/shares/TAG"; a slash would make a folder of it. */
static void default_place(const char *folder, const char *tag, char *ret, size_t room)
{
    snprintf(ret, room, "%s/%s", folder, tag);
    for (char *p = ret + strlen(folder) + 1; *p; p++)
        *p = *p == '/' ? '_' : *p;
}

static bool is_foreign(const json_t *device)
{
    const char *type = json_string_value(json_object_get(json_object_get(device, "share"), "type"));

    return type && !strcmp(type, "foreignBinaries");
}

static bool is_below(const json_t *device)
{
    const char *at = json_string_value(json_object_get(device, "mountPoint"));

    return json_is_true(json_object_get(device, "automount")) && !(at && *at) && !is_foreign(device);
}

static bool any_below(const json_t *devices)
{
    json_t *device;
    size_t i;

    json_array_foreach(devices, i, device) {
        if (is_below(device) && strcmp(json_string_value(json_object_get(device, "tag")), VZ_SHARE_AUTOMOUNT_TAG) != 0)
            return true;
    }
    return false;
}

/* Where it is to be mounted; NULL: nowhere. */
static const char *place_of(const json_t *device, bool others, char *room, size_t len)
{
    const char *tag = json_string_value(json_object_get(device, "tag"));
    const char *at = json_string_value(json_object_get(device, "mountPoint"));
    bool by_tag = !strcmp(tag, VZ_SHARE_AUTOMOUNT_TAG);

    if (at && *at)
        return at;
    if (by_tag && !others)
        return VZ_SHARE_AUTOMOUNT_DIRECTORY;
    if (is_foreign(device)) {
        default_place(VZ_FOREIGN_BINARIES_DIRECTORY, tag, room, len);
        return room;
    }
    default_place(VZ_SHARE_AUTOMOUNT_DIRECTORY, tag, room, len);
    return by_tag || is_below(device) ? room : NULL;
}

json_t *guest_shares(const struct vz_config *config)
{
    json_t *json = config ? config_json(config, NULL) : NULL;
    json_t *ret = json_incref(json_object_get(json, "directorySharingDevices"));

    json_decref(json);
    return ret;
}

json_t *guest_mounts(const json_t *devices)
{
    json_t *ret = json_array(), *device;
    char room[sizeof(VZ_SHARE_AUTOMOUNT_DIRECTORY) + VZ_SHARE_TAG_MAX + 2];
    bool others = any_below(devices);
    size_t i;

    json_array_foreach(devices, i, device) {
        const char *place = place_of(device, others, room, sizeof(room));

        if (place)
            json_array_append_new(ret, json_pack("{s:O, s:s, s:b}", "tag", json_object_get(device, "tag"), "path", place,
                                                 "foreign", is_foreign(device)));
    }
    return ret;
}

/* False: the connection went. */
static bool mount_one(const json_t *m, struct vz_agent *a, const char *name)
{
    const char *tag = json_string_value(json_object_get(m, "tag")), *path = json_string_value(json_object_get(m, "path"));
    bool foreign = json_is_true(json_object_get(m, "foreign"));
    struct vz_error err;

    if (!vz_agent_has(a, "mount") || (foreign && !vz_agent_has(a, "foreign"))) {
        cli_error("%s: the guest's agent is too old to %s '%s'", name, foreign ? "register" : "mount", tag);
        return true;
    }
    if (vz_agent_mount(a, tag, path, &err) < 0) {
        if (err.code != VZ_ERROR_NETWORK)
            cli_error("%s: '%s' is not mounted at %s: %s", name, tag, path, err.text);
        return err.code != VZ_ERROR_NETWORK;
    }
    if (!foreign || vz_agent_register_foreign_binaries(a, path, &err) == 0)
        return true;
    if (err.code != VZ_ERROR_NETWORK)
        cli_error("%s: its guest runs no foreign programs: %s", name, err.text);
    return err.code != VZ_ERROR_NETWORK;
}

bool guest_mount_all(const json_t *mounts, struct vz_agent *a, const char *name)
{
    const json_t *m;
    size_t i;

    json_array_foreach(mounts, i, m) {
        if (!mount_one(m, a, name))
            return false;
    }
    return true;
}
