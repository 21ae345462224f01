/* SPDX-License-Identifier: MIT */
/* Console devices with named ports. */
#include <vz/console.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "config/objects.h"
#include "config/report.h"

static void check_name(struct report *r, const void *object)
{
    const struct console_port *p = object;

    if (p->name && (!p->name[0] || strlen(p->name) > VZ_CONSOLE_PORT_NAME_MAX ||
                    strchr(p->name, '/')))
        report_problem(r, VZ_ERROR_INVALID, "name '%.80s' is not 1 to %d bytes without '/'",
                       p->name, VZ_CONSOLE_PORT_NAME_MAX);
    if (!p->name && !p->is_console)
        report_problem(r, VZ_ERROR_INVALID, "a port that is not a console needs a name");
}

static bool has_agent(const struct console_port *p)
{
    return p->attachment && p->attachment->kind == SERIAL_SPICE_AGENT;
}

/* Of the ports that lead to an agent, one by its number; NULL: there are not so many. */
static const struct console_port *find_agent(const struct vz_config *c, unsigned number)
{
    for (unsigned i = 0; i < c->console_devices.count; i++) {
        const struct vz_console_device *d = config_console_device(c, i);

        for (unsigned k = 0; k < d->port_count; k++) {
            if (has_agent(&d->port[k]) && !number--)
                return &d->port[k];
        }
    }
    return NULL;
}

static void check_attachment(struct report *r, const void *object)
{
    const struct console_port *p = object;

    if (!has_agent(p))
        return;
    if (p->is_console)
        report_problem(r, VZ_ERROR_INVALID, "a SPICE agent's port is no console");
    if (!p->name || strcmp(p->name, VZ_SPICE_AGENT_PORT_NAME))
        report_problem(r, VZ_ERROR_INVALID, "a SPICE agent looks for the port '%s', not '%.80s'", VZ_SPICE_AGENT_PORT_NAME,
                       p->name ? p->name : "");
    if (r->whole && find_agent(r->whole, 1))
        report_problem(r, VZ_ERROR_INVALID, "a machine has at most 1 SPICE agent");
}

static void check_same_name(struct report *r, const struct vz_console_device *d, unsigned i)
{
    const char *name = d->port[i].name;

    for (unsigned k = 0; name && k < i; k++) {
        size_t back = report_enter(r, "ports", (int)i);

        if (d->port[k].name && !strcmp(d->port[k].name, name))
            report_problem(r, VZ_ERROR_INVALID, "name '%.80s' is that of ports[%u] too", name, k);
        report_leave(r, back);
    }
}

static void check_device(struct report *r, const void *object)
{
    const struct vz_console_device *d = object;

    if (!d->port_count)
        report_problem(r, VZ_ERROR_INVALID, "a console device without ports");
    for (unsigned i = 0; i < d->port_count; i++)
        check_same_name(r, d, i);
}

static const struct schema_field port_fields[] = {
    FIELD_STRING(struct console_port, name, "name", .check = check_name,
                 .text = "the guest finds it as /dev/virtio-ports/NAME"),
    FIELD_ONE(struct console_port, attachment, "attachment", &config_console_attachments, .host = true, .check = check_attachment,
              .text = "where it leads"),
    FIELD_BOOL(struct console_port, is_console, "console",
               .text = "the guest may log in here: it is a hvc"),
    FIELD_END};
static const struct schema_type port_type = {.name = "console_port",
                                             .size = sizeof(struct console_port),
                                             .fields = port_fields,
                                             .text = "a port of a console device"};

static const struct schema_field device_fields[] = {
    FIELD_ARRAY(struct vz_console_device, port, port_count, "ports", &port_type, .required = true,
                .max = VZ_CONSOLE_PORTS_MAX, .noun = "ports", .text = "its ports"),
    FIELD_END};
const struct schema_type config_virtio_console_type = {
    .name = "console", .json = "virtioConsole", .size = sizeof(struct vz_console_device),
    .fields = device_fields, .check = check_device,
    .text = "a virtio console device with named ports"};

static const struct schema_type *const console_devices_types[] = {&config_virtio_console_type, NULL};
const struct schema_class config_console_devices = {.types = console_devices_types};

struct vz_console_device *vz_console_device_ref(struct vz_console_device *object)
{
    return object_ref(object);
}

void vz_console_device_unref(struct vz_console_device *object)
{
    object_unref(object);
}

/* Ports lie as far apart as the caller's struct is long. */
static int copy_port(struct console_port *p, const struct vz_virtio_console_options *from,
                     unsigned i, struct vz_error *err)
{
    struct vz_console_port_options o = VZ_CONSOLE_PORT_OPTIONS_INIT;
    int r = options_copy(&o, sizeof(o), (const char *)from->ports + i * from->ports->size, err);

    *p = (struct console_port){.name = (char *)o.name, .is_console = o.is_console,
                               .attachment = o.attachment};
    return r;
}

struct vz_console_device *
vz_virtio_console_device_new(const struct vz_virtio_console_options *options,
                             struct vz_error *err)
{
    struct vz_virtio_console_options o = VZ_VIRTIO_CONSOLE_OPTIONS_INIT;
    struct console_port port[VZ_CONSOLE_PORTS_MAX];
    struct vz_console_device d = {.port = port};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.port_count = o.port_count;
    if (!o.ports)
        d.port = NULL;
    for (unsigned i = 0; d.port && i < MIN(o.port_count, ARRAY_SIZE(port)); i++) {
        if (copy_port(&port[i], &o, i, err) < 0)
            return NULL;
    }
    return schema_make(&config_virtio_console_type, &d, err);
}

const struct vz_serial_attachment *config_spice_agent(const struct vz_config *c)
{
    const struct console_port *p = find_agent(c, 0);

    return p ? p->attachment : NULL;
}

int vz_config_add_console_device(struct vz_config *config, struct vz_console_device *device,
                                 struct vz_error *err)
{
    return config_add(config ? &config->console_devices : NULL, device, err);
}
