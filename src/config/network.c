/* SPDX-License-Identifier: MIT */
/* Network cards and their attachments. */
#include <vz/network.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config_impl.h"

OBJECT_DEFINE_COUNTED(network_attachment);
OBJECT_DEFINE_COUNTED(network_device);

#define FORWARDS_MAX 1024u

static void destroy_attachment(void *object)
{
    struct vz_network_attachment *a = object;

    for (unsigned i = 0; i < a->forward_count; i++)
        free((char *)a->forward[i].host);
    free(a->forward);
    free(a->interface);
}

static struct vz_network_attachment *attachment_new(enum network_attachment_kind kind,
                                                    struct vz_error *err)
{
    struct vz_network_attachment *a = object_new(sizeof(*a), destroy_attachment, err);

    if (a) {
        a->kind = kind;
        a->fd = -1;
        a->mtu = VZ_MTU_MIN;
    }
    return a;
}

static bool copy_forwards(struct vz_network_attachment *a, const struct vz_nat_options *o)
{
    a->forward = calloc(o->forward_count, sizeof(*a->forward));
    for (unsigned i = 0; a->forward && i < o->forward_count; i++) {
        const char *host = o->forwards[i].host;

        a->forward[i] = o->forwards[i];
        a->forward[i].host = strdup(host ? host : "127.0.0.1");
        if (!a->forward[i].host)
            return false;
        a->forward_count++;
    }
    return a->forward != NULL;
}

struct vz_network_attachment *vz_nat_attachment_new(const struct vz_nat_options *options,
                                                    struct vz_error *err)
{
    struct vz_nat_options o = VZ_NAT_OPTIONS_INIT;
    struct vz_network_attachment *a;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    if (o.forward_count > FORWARDS_MAX) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "%u port forwards are more than %u",
                  o.forward_count, FORWARDS_MAX);
        return NULL;
    }
    if (o.forward_count && !options_given(o.forwards, "port forwards", err))
        return NULL;
    a = attachment_new(NETWORK_NAT, err);
    if (a)
        a->host_loopback = o.host_loopback;
    if (a && o.forward_count && !copy_forwards(a, &o)) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        vz_network_attachment_unref(a);
        return NULL;
    }
    return a;
}

struct vz_network_attachment *
vz_fd_network_attachment_new(int fd, const struct vz_fd_network_options *options,
                             struct vz_error *err)
{
    struct vz_fd_network_options o = VZ_FD_NETWORK_OPTIONS_INIT;
    struct vz_network_attachment *a;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a = attachment_new(NETWORK_FD, err);
    if (a) {
        a->fd = fd;
        a->mtu = o.mtu;
    }
    return a;
}

static struct vz_network_attachment *interface_new(enum network_attachment_kind kind,
                                                   const char *name, const char *what,
                                                   struct vz_error *err)
{
    char *copy = options_text(name, what, err);
    struct vz_network_attachment *a = copy ? attachment_new(kind, err) : NULL;

    if (!a) {
        free(copy);
        return NULL;
    }
    a->interface = copy;
    return a;
}

struct vz_network_attachment *vz_tap_attachment_new(const char *interface, struct vz_error *err)
{
    return interface_new(NETWORK_TAP, interface, "tap interface", err);
}

struct vz_network_attachment *vz_bridged_attachment_new(const char *bridge, struct vz_error *err)
{
    return interface_new(NETWORK_BRIDGED, bridge, "bridge", err);
}

static void destroy_device(void *object)
{
    vz_network_attachment_unref(((struct vz_network_device *)object)->attachment);
}

struct vz_network_device *
vz_virtio_network_device_new(struct vz_network_attachment *attachment,
                             const struct vz_virtio_network_options *options,
                             struct vz_error *err)
{
    struct vz_virtio_network_options o = VZ_VIRTIO_NETWORK_OPTIONS_INIT;
    struct vz_network_device *d;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d = object_new(sizeof(*d), destroy_device, err);
    if (!d)
        return NULL;
    d->attachment = vz_network_attachment_ref(attachment);
    if (o.mac)
        d->mac = *o.mac;
    else
        vz_mac_address_random(&d->mac);
    return d;
}

void vz_network_device_mac(const struct vz_network_device *device, struct vz_mac_address *ret)
{
    *ret = device->mac;
}
