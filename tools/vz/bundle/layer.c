/* SPDX-License-Identifier: MIT */
#include "bundle/layer.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <vz/disk.h>

bool layer_is_qcow2(int folder, const char *path)
{
    char magic[4] = "";
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool is = fd >= 0 && read(fd, magic, 4) == 4 && !memcmp(magic, "QFI\xfb", 4);

    if (fd >= 0)
        close(fd);
    return is;
}

bool layer_make(const struct bundle *b, const char *base, const char *layer, struct vz_error *err)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;

    o.format = VZ_DISK_FORMAT_QCOW2;
    o.backing = base;
    o.backing_format = layer_is_qcow2(b->fd, base) ? VZ_DISK_FORMAT_QCOW2 : VZ_DISK_FORMAT_RAW;
    o.replace = true;
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
