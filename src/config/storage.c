/* SPDX-License-Identifier: MIT */
/* Disks and their attachments. */
#include <vz/storage.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config_impl.h"

OBJECT_DEFINE_COUNTED(storage_attachment);
OBJECT_DEFINE_COUNTED(storage_device);

static void destroy_attachment(void *object)
{
    free(((struct vz_storage_attachment *)object)->path);
}

struct vz_storage_attachment *
vz_disk_image_attachment_new(const char *path, const struct vz_disk_image_options *options,
                             struct vz_error *err)
{
    struct vz_disk_image_options o = VZ_DISK_IMAGE_OPTIONS_INIT;
    struct vz_storage_attachment *a;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a = object_new(sizeof(*a), destroy_attachment, err);
    if (!a)
        return NULL;
    a->kind = STORAGE_DISK_IMAGE;
    a->fd = -1;
    a->read_only = o.read_only;
    a->caching = o.caching;
    a->sync = o.sync;
    a->path = options_text(path, "path of a disk image", err);
    if (!a->path) {
        vz_storage_attachment_unref(a);
        return NULL;
    }
    return a;
}

struct vz_storage_attachment *
vz_block_device_attachment_new(int fd, const struct vz_block_device_options *options,
                               struct vz_error *err)
{
    struct vz_block_device_options o = VZ_BLOCK_DEVICE_OPTIONS_INIT;
    struct vz_storage_attachment *a;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a = object_new(sizeof(*a), destroy_attachment, err);
    if (!a)
        return NULL;
    a->kind = STORAGE_BLOCK_DEVICE;
    a->fd = fd;
    a->read_only = o.read_only;
    a->sync = o.sync;
    return a;
}

static void destroy_device(void *object)
{
    struct vz_storage_device *d = object;

    vz_storage_attachment_unref(d->attachment);
    free(d->identifier);
}

struct vz_storage_device *
vz_virtio_block_device_new(struct vz_storage_attachment *attachment,
                           const struct vz_virtio_block_options *options, struct vz_error *err)
{
    struct vz_virtio_block_options o = VZ_VIRTIO_BLOCK_OPTIONS_INIT;
    struct vz_storage_device *d;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    if (!attachment) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "a disk without an attachment");
        return NULL;
    }
    d = object_new(sizeof(*d), destroy_device, err);
    if (!d)
        return NULL;
    d->attachment = vz_storage_attachment_ref(attachment);
    d->identifier = o.identifier ? strdup(o.identifier) : NULL;
    if (o.identifier && !d->identifier) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        vz_storage_device_unref(d);
        return NULL;
    }
    return d;
}

int vz_block_identifier_validate(const char *identifier, struct vz_error *err)
{
    size_t len;

    if (!options_given(identifier, "identifier", err))
        return -1;
    len = strlen(identifier);
    if (len > VZ_BLOCK_IDENTIFIER_MAX) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "identifier '%.80s' is longer than %d bytes",
                  identifier, VZ_BLOCK_IDENTIFIER_MAX);
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)identifier[i] < 0x20 || (unsigned char)identifier[i] > 0x7e) {
            error_set(err, EINVAL, VZ_ERROR_INVALID,
                      "identifier has a character that is not printable ASCII");
            return -1;
        }
    }
    return 0;
}
