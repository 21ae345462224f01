/* SPDX-License-Identifier: MIT */
#include "bundle/config_json.h"

#include <stdlib.h>
#include <string.h>

#include <vz/config.h>

#include "failure.h"

#define PATHS_MAX 64u

json_t *config_json(const struct vz_config *config, struct vz_error *err)
{
    char *text = vz_config_to_json(config, err);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;

    if (text && !json)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    free(text);
    return json;
}

struct vz_config *config_of_json(json_t *json, struct vz_error *err)
{
    char *text = json_dumps(json, 0);
    struct vz_config *config = text ? vz_config_from_json(text, strlen(text), err) : NULL;

    if (!text)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    free(text);
    return config;
}

/* ---- Paths ---------------------------------------------------------------------------------- */

/* Which members are paths: the "type" of their object (NULL: objects of that kind have none) and name. */
struct path_members {
    struct {
        char type[32], name[32];
    } found[PATHS_MAX];
    unsigned count;
    char type[32]; /* of the object that is being described */
};

static void note(void *arg, const struct vz_description *d)
{
    struct path_members *p = arg;

    if (d->kind == VZ_DESCRIBES_OBJECT) {
        snprintf(p->type, sizeof(p->type), "%s", d->name ? d->name : "");
    } else if (d->kind == VZ_DESCRIBES_MEMBER && !strcmp(d->type, "path") && p->count < PATHS_MAX) {
        snprintf(p->found[p->count].type, sizeof(p->type), "%s", p->type);
        snprintf(p->found[p->count].name, sizeof(p->type), "%s", d->name);
        p->count++;
    }
}

static bool is_path(const struct path_members *p, json_t *object, const char *member)
{
    const char *type = json_string_value(json_object_get(object, "type"));

    for (unsigned i = 0; i < p->count; i++) {
        if (!strcmp(p->found[i].name, member) && !strcmp(p->found[i].type, type ? type : ""))
            return true;
    }
    return false;
}

static bool walk(const struct path_members *p, json_t *value, config_path_fn *fn, void *arg)
{
    bool more = true;
    const char *name;
    json_t *member;
    void *next;
    size_t i;

    json_array_foreach(value, i, member)
        more = more && walk(p, member, fn, arg);
    json_object_foreach_safe(value, next, name, member) {
        if (json_is_string(member) && is_path(p, value, name))
            more = more && fn(arg, value, name, json_string_value(member));
        else
            more = more && walk(p, member, fn, arg);
    }
    return more;
}

bool config_paths(json_t *config, config_path_fn *fn, void *arg)
{
    struct path_members *p = calloc(1, sizeof(*p));
    bool result = p != NULL;

    if (p) {
        vz_config_describe(note, p);
        result = walk(p, config, fn, arg);
    }
    free(p);
    return result;
}

struct base {
    const char *folder;
    const char *const *keep; /* NULL: none */
};

static bool is_kept(const struct base *b, const char *path)
{
    for (const char *const *k = b->keep; k && *k; k++) {
        if (!strcmp(path, *k))
            return true;
    }
    return false;
}

static bool make_absolute(void *arg, json_t *object, const char *member, const char *path)
{
    const struct base *b = arg;

    if (path[0] == '/' || !path[0] || is_kept(b, path))
        return true;
    return json_object_set_new(object, member, json_sprintf("%s/%s", b->folder, path)) == 0;
}

static bool make_relative(void *arg, json_t *object, const char *member, const char *path)
{
    const struct base *b = arg;
    size_t len = strlen(b->folder);

    if (strncmp(path, b->folder, len) || path[len] != '/' || !path[len + 1])
        return true;
    return json_object_set_new(object, member, json_string(path + len + 1)) == 0;
}

static struct vz_config *with_paths(const struct vz_config *config, config_path_fn *fn, struct base base,
                                    struct vz_error *err)
{
    json_t *json = config_json(config, err);
    struct vz_config *result = NULL;

    if (json && config_paths(json, fn, &base))
        result = config_of_json(json, err);
    else if (json)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    json_decref(json);
    return result;
}

struct vz_config *config_absolute(const struct vz_config *config, const char *folder,
                                  const char *const *keep, struct vz_error *err)
{
    return with_paths(config, make_absolute, (struct base){folder, keep}, err);
}

struct vz_config *config_relative(const struct vz_config *config, const char *folder,
                                  struct vz_error *err)
{
    return with_paths(config, make_relative, (struct base){folder, NULL}, err);
}

/* ---- Identities ----------------------------------------------------------------------------- */

void config_new_identity(json_t *config)
{
    char text[VZ_MACHINE_IDENTIFIER_TEXT_MAX > VZ_MAC_ADDRESS_TEXT_MAX
                  ? VZ_MACHINE_IDENTIFIER_TEXT_MAX : VZ_MAC_ADDRESS_TEXT_MAX];
    json_t *platform = json_object_get(config, "platform"), *card;
    struct vz_machine_identifier id;
    struct vz_mac_address mac;
    size_t i;

    vz_machine_identifier_random(&id);
    vz_machine_identifier_format(&id, text);
    if (platform)
        json_object_set_new(platform, "machineIdentifier", json_string(text));
    json_array_foreach(json_object_get(config, "networkDevices"), i, card) {
        vz_mac_address_random(&mac);
        vz_mac_address_format(&mac, text);
        json_object_set_new(card, "mac", json_string(text));
    }
}

bool config_is_usb(const json_t *device)
{
    const char *type = json_string_value(json_object_get(device, "type"));

    return type && !strncmp(type, "usb", 3);
}

const char *config_usb_list(const json_t *device)
{
    const char *type = json_string_value(json_object_get(device, "type"));

    return type && !strcmp(type, "usbHost") ? "usbDevices" : "storageDevices";
}

void config_keep_usb(json_t *config)
{
    bool has = json_array_size(json_object_get(config, "usbControllers")) ||
               json_array_size(json_object_get(config, "usbDevices")) ||
               json_array_size(json_object_get(config, "keyboards")) ||
               json_array_size(json_object_get(config, "pointingDevices"));
    json_t *d;
    size_t i;

    json_array_foreach(json_object_get(config, "storageDevices"), i, d)
        has = has || config_is_usb(d);
    if (!has)
        json_object_set_new(config, "usbControllers", json_pack("[{s:s}]", "type", "xhci"));
}
