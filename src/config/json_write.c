/* SPDX-License-Identifier: MIT */
/* A configuration as JSON: docs/config-json.md. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/error.h"
#include "config/config_impl.h"
#include "config/json.h"

/* jansson's json_pack() and _new functions take NULL for what could not be made and fail in turn,
 * so only the end needs to be checked for a lack of memory. */

static json_t *serial_attachment(const struct vz_serial_attachment *a)
{
    const char *type = json_serial_kinds[a->kind];

    switch (a->kind) {
    case SERIAL_FD:
        return json_pack("{s:s, s:i, s:i}", "type", type, "readDescriptor", a->read_fd,
                         "writeDescriptor", a->write_fd);
    case SERIAL_FILE:
        return json_pack("{s:s, s:s, s:b}", "type", type, "path", a->path, "append", a->append);
    case SERIAL_UNIX:
        return json_pack("{s:s, s:s}", "type", type, "path", a->path);
    default:
        return json_pack("{s:s}", "type", type);
    }
}

static json_t *serial_port(const void *object)
{
    const struct vz_serial_port *p = object;

    return json_pack("{s:s, s:o}", "type", p->is_virtio ? "virtio" : "uart", "attachment",
                     serial_attachment(p->attachment));
}

static json_t *storage_attachment(const struct vz_storage_attachment *a)
{
    if (a->kind == STORAGE_BLOCK_DEVICE)
        return json_pack("{s:s, s:i, s:b, s:s}", "type", "blockDevice", "descriptor", a->fd,
                         "readOnly", a->read_only, "synchronization",
                         json_sync_name(a->sync));
    return json_pack("{s:s, s:s, s:b, s:s, s:s}", "type", "diskImage", "path", a->path, "readOnly",
                     a->read_only, "caching", json_caching_name(a->caching), "synchronization",
                     json_sync_name(a->sync));
}

static json_t *storage_device(const void *object)
{
    const struct vz_storage_device *d = object;

    return json_pack("{s:s, s:s*, s:o}", "type", "virtioBlock", "identifier", d->identifier,
                     "attachment", storage_attachment(d->attachment));
}

static json_t *forwards(const struct vz_network_attachment *a)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < a->forward_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "protocol",
                                              a->forward[i].udp ? "udp" : "tcp", "host",
                                              a->forward[i].host, "hostPort",
                                              a->forward[i].host_port, "guestPort",
                                              a->forward[i].guest_port));
    return list;
}

static json_t *network_attachment(const struct vz_network_attachment *a)
{
    switch (a->kind) {
    case NETWORK_NAT:
        return json_pack("{s:s, s:b, s:o}", "type", "nat", "hostLoopback", a->host_loopback,
                         "forwards", forwards(a));
    case NETWORK_FD:
        return json_pack("{s:s, s:i, s:i}", "type", "fd", "descriptor", a->fd, "mtu", (int)a->mtu);
    case NETWORK_TAP:
        return json_pack("{s:s, s:s}", "type", "tap", "interface", a->interface);
    default:
        return json_pack("{s:s, s:s}", "type", "bridged", "interface", a->interface);
    }
}

static json_t *network_device(const void *object)
{
    const struct vz_network_device *d = object;
    char mac[VZ_MAC_ADDRESS_TEXT_MAX];

    vz_mac_address_format(&d->mac, mac);
    return json_pack("{s:s, s:s, s:o*}", "type", "virtioNet", "mac", mac, "attachment",
                     d->attachment ? network_attachment(d->attachment) : NULL);
}

static json_t *console_device(const void *object)
{
    const struct vz_console_device *d = object;
    json_t *ports = json_array();

    for (unsigned i = 0; i < d->port_count; i++)
        json_array_append_new(ports, json_pack("{s:s*, s:b, s:o}", "name", d->port[i].name,
                                               "console", d->port[i].is_console, "attachment",
                                               serial_attachment(d->port[i].attachment)));
    return json_pack("{s:s, s:o}", "type", "virtioConsole", "ports", ports);
}

static json_t *entropy_device(const void *object)
{
    return json_pack("{s:s}", "type", "virtioEntropy");
}

/* 0 stands for a default, and is left out. */
static void add_size(json_t *object, const char *name, uint64_t size)
{
    if (size)
        json_object_set_new(object, name, json_integer((json_int_t)size));
}

static json_t *balloon_device(const void *object)
{
    const struct vz_virtio_balloon_options *o = &((const struct vz_balloon_device *)object)->options;
    json_t *j = json_pack("{s:s, s:b, s:b}", "type", "virtioBalloon", "freePageReporting",
                          !o->no_free_page_reporting, "deflateOnOutOfMemory",
                          !o->no_deflate_on_oom);

    add_size(j, "targetSize", o->target_size);
    add_size(j, "minimumSize", o->minimum_size);
    return j;
}

static json_t *socket_device(const void *object)
{
    const struct vz_socket_device *d = object;
    json_t *list = json_array();

    for (unsigned i = 0; i < d->forward_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "to",
                                              d->forward[i].to_guest ? "guest" : "host", "port",
                                              (json_int_t)d->forward[i].port, "path",
                                              d->forward[i].path));
    return json_pack("{s:s, s:I, s:o}", "type", "virtioSocket", "guestCid",
                     (json_int_t)d->guest_cid, "forwards", list);
}

/* Returns false without memory. */
static bool add_list(json_t *root, const char *name, const struct object_list *list,
                     json_t *(*write)(const void *object))
{
    json_t *array = json_array();

    for (unsigned i = 0; i < list->count; i++) {
        if (json_array_append_new(array, write(list->item[i])) < 0) {
            json_decref(array);
            return false;
        }
    }
    return json_object_set_new(root, name, array) == 0;
}

static json_t *scalars(const struct vz_config *c)
{
    char id[VZ_MACHINE_IDENTIFIER_TEXT_MAX];

    vz_machine_identifier_format(&c->platform->identifier, id);
    return json_pack("{s:s*, s:s*, s:i, s:I, s:b, s:b, s:b, s:b, s:b, s:b, s:s*, s:{s:s, s:s}}", "label", c->label, "accel",
                     c->accel, "cpus", (int)c->cpu_count, "memory", (json_int_t)c->memory_size,
                     "stopAtReset", c->stop_at_reset, "debugExit", c->debug_exit,
                     "interpretOnly", c->interpret_only, "memoryPreallocate",
                     c->memory_preallocate, "memoryHugePages", c->memory_huge_pages, "hostCpu",
                     c->host_cpu, "jit", c->jit, "platform",
                     "type", "generic", "machineIdentifier", id);
}

static bool add_boot_loader(json_t *root, const struct vz_boot_loader *b)
{
    return !b || json_object_set_new(root, "bootLoader",
                                     json_pack("{s:s, s:s*, s:s*, s:s*, s:s}", "type", "linux", "kernel",
                                               b->kernel, "initrd", b->initrd, "disk", b->disk,
                                               "cmdline", b->cmdline)) == 0;
}

char *vz_config_to_json(const struct vz_config *c, struct vz_error *err)
{
    json_t *root = c ? scalars(c) : NULL; /* without c: no text, as without memory */
    bool ok = root && add_boot_loader(root, c->boot_loader) &&
              add_list(root, "serialPorts", &c->serial_ports, serial_port) &&
              add_list(root, "storageDevices", &c->storage_devices, storage_device) &&
              add_list(root, "networkDevices", &c->network_devices, network_device) &&
              add_list(root, "consoleDevices", &c->console_devices, console_device) &&
              add_list(root, "entropyDevices", &c->entropy_devices, entropy_device) &&
              add_list(root, "memoryBalloonDevices", &c->balloon_devices, balloon_device) &&
              add_list(root, "socketDevices", &c->socket_devices, socket_device);
    char *text = ok ? json_dumps(root, JSON_INDENT(2)) : NULL;

    json_decref(root);
    if (!text)
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY,
                  "no memory, or a string that is not UTF-8, for the JSON form");
    return text;
}
