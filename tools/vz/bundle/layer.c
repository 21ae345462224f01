/* SPDX-License-Identifier: MIT */
#include "bundle/layer.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <vz/disk.h>

#include "failure.h"

bool layer_is_qcow2(int folder, const char *path)
{
    char magic[4] = "";
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool is = fd >= 0 && read(fd, magic, 4) == 4 && !memcmp(magic, "QFI\xfb", 4);

    if (fd >= 0)
        close(fd);
    return is;
}

bool layer_below(const struct bundle *b, const char *path, char ret[LAYER_NAME_MAX], struct vz_error *err)
{
    struct vz_disk_info info = VZ_DISK_INFO_INIT;
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;

    ret[0] = '\0';
    if (!layer_is_qcow2(b->fd, path))
        return bundle_has(b, path) || fail_false(err, VZ_ERROR_IO, "%.100s: is not there", path);
    o.format = VZ_DISK_FORMAT_QCOW2;
    if (bundle_enter(b, err) < 0 || vz_disk_get_info(path, &o, &info, err) < 0)
        return false;
    if (strlen(info.backing) >= LAYER_NAME_MAX || strchr(info.backing, '/'))
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "%.80s: reads through to %.100s, which is not beside it", path,
                          info.backing);
    strcpy(ret, info.backing);
    return true;
}

unsigned layer_depth(const struct bundle *b, const char *path, unsigned max, bool *ret_whole)
{
    char below[LAYER_NAME_MAX], name[LAYER_NAME_MAX];
    struct vz_error ignored;
    unsigned depth = 0;

    *ret_whole = true;
    for (const char *at = path; *at && depth < max && *ret_whole; at = strcpy(name, below)) {
        depth++;
        *ret_whole = layer_below(b, at, below, &ignored);
    }
    return depth;
}

bool layer_make(const struct bundle *b, const char *base, const char *layer, struct vz_error *err)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;

    o.format = VZ_DISK_FORMAT_QCOW2;
    o.backing = base;
    o.backing_format = layer_is_qcow2(b->fd, base) ? VZ_DISK_FORMAT_QCOW2 : VZ_DISK_FORMAT_RAW;
    o.replace = true;
    o.unsynced = b->draft; /* that is synced as a whole */
    return bundle_enter(b, err) == 0 && vz_disk_create(layer, 0, &o, err) == 0;
}

bool layer_is_for(json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));

    return type && !strcmp(type, "diskImage") && !json_is_true(json_object_get(object, "readOnly")) &&
           !json_is_true(json_object_get(object, "ephemeral"));
}

bool layer_is_store(const char *member)
{
    return !strcmp(member, "variableStore");
}

bool layer_is_here(const char *path)
{
    return *path && !strchr(path, '/');
}
