/* SPDX-License-Identifier: MIT */
/* The socket device. */
#include <vz/socket.h>

#include <stdlib.h>
#include <string.h>

#include "config/objects.h"
#include "config/report.h"
#include "config/schema_text.h"

/* ---- Forwards ------------------------------------------------------------------------------- */

static void check_port(struct report *r, const void *object)
{
    const struct vz_socket_forward *f = object;

    if (f->port == UINT32_MAX)
        report_problem(r, VZ_ERROR_INVALID, "port %u is none", f->port);
}

static void check_path(struct report *r, const void *object)
{
    const struct vz_socket_forward *f = object;

    if (f->to_guest)
        report_new_socket(r, f->path);
    else
        report_socket_path(r, f->path);
}

/* PORT:unix:PATH */
static bool parse_forward(char *text, void *element)
{
    struct vz_socket_forward *f = element;
    char *kind = strchr(text, ':');
    uint64_t port;

    if (!kind || strncmp(kind, ":unix:", 6) || !kind[6])
        return false;
    *kind = '\0';
    if (!schema_parse_number(text, &port) || port >= UINT32_MAX)
        return false;
    f->port = (uint32_t)port;
    f->path = strdup(kind + 6);
    return f->path;
}

static const char *const directions[] = {"host", "guest", NULL};
static const struct schema_field forward_fields[] = {
    FIELD_ENUM(struct vz_socket_forward, to_guest, "to", directions, .required = true,
               .text = "whose port it is",
               .more = "host: the guest's connections to this port of the host reach the Unix "
                       "socket. guest: the machine makes the socket, and who connects there "
                       "reaches this port of the guest."),
    FIELD_UINT(struct vz_socket_forward, port, "port", .required = true, .check = check_port,
               .text = "the port"),
    FIELD_PATH(struct vz_socket_forward, path, "path", .required = true, .check = check_path,
               .text = "the Unix socket, up to 107 bytes"),
    FIELD_END};
static const struct schema_type forward_type = {
    .name = "socket_forward", .size = sizeof(struct vz_socket_forward), .sized = true,
    .fields = forward_fields,
    .parse = parse_forward, .value = "PORT:unix:PATH",
    .text = "a port joined to a Unix socket of the host"};

/* ---- The device ----------------------------------------------------------------------------- */

static void check_forwards(struct report *r, const void *object)
{
    const struct vz_socket_device *d = object;

    for (unsigned i = 0; i < d->forward_count; i++) {
        const struct vz_socket_forward *f = &d->forward[i];
        size_t back = report_enter(r, "forwards", (int)i);

        for (unsigned k = 0; k < i; k++) {
            const struct vz_socket_forward *g = &d->forward[k];

            if (!f->to_guest && !g->to_guest && f->port == g->port)
                report_problem(r, VZ_ERROR_INVALID, "port %u is that of forwards[%u] too", f->port,
                               k);
        }
        report_leave(r, back);
    }
}

static const char *const forward_options[] = {"listen", "connect", NULL};
static const struct schema_field device_fields[] = {
    FIELD_UINT(struct vz_socket_device, guest_cid, "guestCid", .min = VZ_SOCKET_CID_MIN,
               .max = VZ_SOCKET_CID_MAX, .initial = VZ_SOCKET_CID_MIN, .option = "cid",
               .noun = "CID", .value = "N", .text = "the guest's address; the host's is 2"),
    FIELD_ARRAY(struct vz_socket_device, forward, forward_count, "forwards", &forward_type, .host = true,
                .max = VZ_SOCKET_FORWARDS_MAX, .words = forward_options, .noun = "forwards",
                .text = "ports that are joined to Unix sockets of the host",
                .more = "Options call them listen (to host) and connect (to guest)."),
    FIELD_END};
const struct schema_type config_virtio_socket_type = {
    .name = "socket", .json = "virtioSocket", .size = sizeof(struct vz_socket_device),
    .fields = device_fields, .single = true, .check = check_forwards, .option = "vsock", .heading = "Devices",
    .text = "sockets between guest and host without a network; listen: the guest's connections to "
            "PORT of the host reach the socket PATH; connect: who connects to PATH, which vz makes, "
            "reaches PORT of the guest",
    .more = "The guest's address is cid, the host's is 2. Nothing may be at a PATH that vz makes but a "
            "socket that nobody listens on any more; it is removed in the end. Several options make "
            "one device."};

static const struct schema_type *const socket_devices_types[] = {&config_virtio_socket_type, NULL};
const struct schema_class config_socket_devices = {.types = socket_devices_types};

struct vz_socket_device *vz_socket_device_ref(struct vz_socket_device *object)
{
    return object_ref(object);
}

void vz_socket_device_unref(struct vz_socket_device *object)
{
    object_unref(object);
}

struct vz_socket_device *
vz_virtio_socket_device_new(const struct vz_virtio_socket_options *options, struct vz_error *err)
{
    struct vz_virtio_socket_options o = VZ_VIRTIO_SOCKET_OPTIONS_INIT;
    struct vz_socket_device d = {.object = {0}};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.guest_cid = o.guest_cid;
    d.forward = o.forwards;
    d.forward_count = o.forward_count;
    return schema_make(&config_virtio_socket_type, &d, err);
}

int vz_config_add_socket_device(struct vz_config *config, struct vz_socket_device *device,
                                struct vz_error *err)
{
    return config_add(config ? &config->socket_devices : NULL, device, err);
}
