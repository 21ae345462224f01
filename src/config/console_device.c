/* SPDX-License-Identifier: MIT */
/* Console devices with named ports. */
#include <vz/console.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config_impl.h"

OBJECT_DEFINE_COUNTED(console_device);

static void destroy(void *object)
{
    struct vz_console_device *d = object;

    for (unsigned i = 0; i < d->port_count; i++) {
        free(d->port[i].name);
        vz_serial_attachment_unref(d->port[i].attachment);
    }
}

static int copy_port(struct console_port *p, const struct vz_console_port_options *options,
                     struct vz_error *err)
{
    struct vz_console_port_options o = VZ_CONSOLE_PORT_OPTIONS_INIT;
    int r = options_copy(&o, sizeof(o), options, err);

    if (r < 0)
        return r;
    p->is_console = o.is_console;
    p->attachment = o.attachment ? vz_serial_attachment_ref(o.attachment)
                                 : vz_null_serial_attachment_new(err);
    if (!p->attachment || (o.name && !(p->name = strdup(o.name))))
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    return 0;
}

/* Ports lie as far apart as the caller's struct is long. */
static const struct vz_console_port_options *
port_at(const struct vz_virtio_console_options *o, unsigned i)
{
    return (const void *)((const char *)o->ports + i * o->ports->size);
}

struct vz_console_device *
vz_virtio_console_device_new(const struct vz_virtio_console_options *options,
                             struct vz_error *err)
{
    struct vz_virtio_console_options o = VZ_VIRTIO_CONSOLE_OPTIONS_INIT;
    struct vz_console_device *d;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    if (o.port_count > VZ_CONSOLE_PORTS_MAX) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "%u ports are more than %u", o.port_count,
                  VZ_CONSOLE_PORTS_MAX);
        return NULL;
    }
    if (o.port_count && !options_given(o.ports, "ports", err))
        return NULL;
    d = object_new(sizeof(*d), destroy, err);
    if (!d)
        return NULL;
    for (unsigned i = 0; i < o.port_count; i++) {
        d->port_count++; /* also a half-made one is destroyed */
        if (copy_port(&d->port[i], port_at(&o, i), err) < 0) {
            vz_console_device_unref(d);
            return NULL;
        }
    }
    return d;
}
