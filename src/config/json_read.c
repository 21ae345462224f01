/* SPDX-License-Identifier: MIT */
/* A configuration from JSON: docs/config-json.md. A member that is not known is an error: silently
 * without it, the machine would be another one than was asked for. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config_impl.h"
#include "config/json.h"

const char *const json_serial_kinds[SERIAL_KIND_COUNT] = {
    [SERIAL_NULL] = "null", [SERIAL_STDIO] = "stdio", [SERIAL_FD] = "fd", [SERIAL_FILE] = "file",
    [SERIAL_PTY] = "pty", [SERIAL_UNIX] = "unix"};

static const char *const caching_names[] = {"automatic", "uncached", "cached"};
static const char *const sync_names[] = {"", "full", "fsync", "none"};

const char *json_caching_name(enum vz_disk_caching caching)
{
    return (unsigned)caching < ARRAY_SIZE(caching_names) ? caching_names[caching] : "unknown";
}

const char *json_sync_name(enum vz_disk_sync sync)
{
    return sync > 0 && (unsigned)sync < ARRAY_SIZE(sync_names) ? sync_names[sync] : "unknown";
}

bool json_caching_parse(const char *name, enum vz_disk_caching *ret)
{
    for (unsigned i = 0; i < ARRAY_SIZE(caching_names); i++) {
        if (!strcmp(name, caching_names[i])) {
            *ret = (enum vz_disk_caching)i;
            return true;
        }
    }
    return false;
}

bool json_sync_parse(const char *name, enum vz_disk_sync *ret)
{
    for (unsigned i = 1; i < ARRAY_SIZE(sync_names); i++) {
        if (!strcmp(name, sync_names[i])) {
            *ret = (enum vz_disk_sync)i;
            return true;
        }
    }
    return false;
}

/* ---- Reading members, with a path for the errors -------------------------------------------- */

/* An object of the text. get_*() count the members they find; finish() looks whether there are
 * others. The first error sticks, and what is read after it does not matter. */
struct reader {
    json_t *object;
    char path[128]; /* "networkDevices[0]" */
    const char *known[32]; /* more than any object has */
    unsigned known_count;
    struct vz_error *err;
    bool failed;
};

static void printf_like(3, 4) fail(struct reader *r, const char *member, const char *fmt, ...)
{
    char text[160];
    va_list args;

    if (r->failed)
        return;
    r->failed = true;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    error_set(r->err, EINVAL, VZ_ERROR_INVALID, "%s%s%s: %s", r->path,
              r->path[0] && member[0] ? "." : "", member, text);
}

/* The member, or NULL; required: an error without it. */
static json_t *member(struct reader *r, const char *name, bool required)
{
    json_t *v = json_object_get(r->object, name);

    if (r->known_count < ARRAY_SIZE(r->known))
        r->known[r->known_count++] = name;
    if (!v && required)
        fail(r, name, "is missing");
    return v;
}

static const char *get_string(struct reader *r, const char *name, bool required)
{
    json_t *v = member(r, name, required);

    if (v && !json_is_string(v))
        fail(r, name, "is not a string");
    if (v && json_is_string(v) && strlen(json_string_value(v)) != json_string_length(v))
        fail(r, name, "has a NUL in it");
    return v ? json_string_value(v) : NULL;
}

static json_int_t get_int(struct reader *r, const char *name, json_int_t otherwise, json_int_t max)
{
    json_t *v = member(r, name, false);

    if (!v)
        return otherwise;
    if (!json_is_integer(v) || json_integer_value(v) < -1 || json_integer_value(v) > max) {
        fail(r, name, "is not a number up to %lld", (long long)max);
        return otherwise;
    }
    return json_integer_value(v);
}

static unsigned get_unsigned(struct reader *r, const char *name, unsigned otherwise, unsigned max)
{
    json_int_t v = get_int(r, name, otherwise, max);

    if (v < 0)
        fail(r, name, "is below 0");
    return v < 0 ? otherwise : (unsigned)v;
}

static bool get_bool(struct reader *r, const char *name)
{
    json_t *v = member(r, name, false);

    if (v && !json_is_boolean(v))
        fail(r, name, "is not true or false");
    return json_is_true(v);
}

/* On unless it says otherwise. */
static bool get_switch(struct reader *r, const char *name)
{
    json_t *v = member(r, name, false);

    if (v && !json_is_boolean(v))
        fail(r, name, "is not true or false");
    return !json_is_false(v);
}

/* Bytes; 0 when it is missing. */
static uint64_t get_size(struct reader *r, const char *name)
{
    json_int_t v = get_int(r, name, 0, INT64_MAX);

    if (v < 0)
        fail(r, name, "is below 0");
    return v < 0 ? 0 : (uint64_t)v;
}

static bool finish(struct reader *r)
{
    const char *key;
    json_t *value;

    json_object_foreach(r->object, key, value) {
        bool known = false;

        for (unsigned i = 0; i < r->known_count; i++)
            known = known || !strcmp(key, r->known[i]);
        if (!known)
            fail(r, key, "is not known here");
    }
    return !r->failed;
}

/* What a constructor returned: its error does not know yet which member it is about. */
static void *made(struct reader *r, void *object)
{
    if (!object && !r->failed && r->path[0])
        error_prefix(r->err, "%s", r->path);
    r->failed = r->failed || !object;
    return object;
}

static struct reader reader_at(struct reader *parent, json_t *value, const char *fmt,
                               const char *name, unsigned index)
{
    struct reader r = {.object = value, .err = parent->err, .failed = parent->failed};
    char own[64];

    snprintf(own, sizeof(own), fmt, name, index);
    snprintf(r.path, sizeof(r.path), "%.60s%s%s", parent->path, parent->path[0] ? "." : "", own);
    if (!json_is_object(value))
        fail(&r, "", "is not an object");
    return r;
}

/* A member that is an object. Missing: an empty one, and has is false. */
static struct reader get_object(struct reader *parent, const char *name, bool *has)
{
    json_t *v = member(parent, name, false);

    *has = v != NULL;
    if (v)
        return reader_at(parent, v, "%s", name, 0);
    return (struct reader){.err = parent->err, .failed = parent->failed};
}

static const char *get_type(struct reader *r, const char *expected)
{
    const char *type = get_string(r, "type", true);

    if (type && expected && strcmp(type, expected))
        fail(r, "type", "'%.40s' is not '%s'", type, expected);
    return type ? type : "";
}

/* ---- Objects -------------------------------------------------------------------------------- */

/* Each returns an object of its own, or NULL after an error in r->err. */

static struct vz_serial_attachment *read_serial_attachment(struct reader *parent)
{
    bool has;
    struct reader r = get_object(parent, "attachment", &has);
    const char *type = has ? get_type(&r, NULL) : "null", *path;
    int in, out;
    bool append;

    if (!has)
        return parent->failed ? NULL : vz_null_serial_attachment_new(r.err);
    if (!strcmp(type, "fd")) {
        in = (int)get_int(&r, "readDescriptor", -1, INT_MAX);
        out = (int)get_int(&r, "writeDescriptor", -1, INT_MAX);
        return finish(&r) ? made(&r, vz_fd_serial_attachment_new(in, out, r.err)) : NULL;
    }
    if (!strcmp(type, "file")) {
        path = get_string(&r, "path", true);
        append = get_bool(&r, "append");
        return finish(&r) ? made(&r, vz_file_serial_attachment_new(path, append, r.err)) : NULL;
    }
    if (!strcmp(type, "unix")) {
        path = get_string(&r, "path", true);
        return finish(&r) ? made(&r, vz_unix_serial_attachment_new(path, r.err)) : NULL;
    }
    if (!finish(&r))
        return NULL;
    if (!strcmp(type, "null"))
        return made(&r, vz_null_serial_attachment_new(r.err));
    if (!strcmp(type, "stdio"))
        return made(&r, vz_stdio_serial_attachment_new(r.err));
    if (!strcmp(type, "pty"))
        return made(&r, vz_pty_serial_attachment_new(r.err));
    fail(&r, "type", "'%.40s' is not null, stdio, fd, file, pty or unix", type);
    return NULL;
}

static void *read_serial_port(struct reader *r)
{
    const char *type = get_type(r, NULL);
    struct vz_serial_attachment *a = read_serial_attachment(r);
    struct vz_serial_port *p = NULL;

    if (a && strcmp(type, "uart") && strcmp(type, "virtio"))
        fail(r, "type", "'%.40s' is not uart or virtio", type);
    if (a && finish(r))
        p = !strcmp(type, "uart") ? vz_uart_serial_port_new(a, r->err)
                                  : vz_virtio_serial_port_new(a, r->err);
    vz_serial_attachment_unref(a);
    return p;
}

static enum vz_disk_sync get_sync(struct reader *r)
{
    const char *name = get_string(r, "synchronization", false);
    enum vz_disk_sync sync = VZ_DISK_SYNC_FULL;

    if (name && !json_sync_parse(name, &sync))
        fail(r, "synchronization", "'%.40s' is not full, fsync or none", name);
    return sync;
}

static struct vz_storage_attachment *read_disk_image(struct reader *r)
{
    struct vz_disk_image_options o = VZ_DISK_IMAGE_OPTIONS_INIT;
    const char *path = get_string(r, "path", true);
    const char *caching = get_string(r, "caching", false);

    o.read_only = get_bool(r, "readOnly");
    o.sync = get_sync(r);
    if (caching && !json_caching_parse(caching, &o.caching))
        fail(r, "caching", "'%.40s' is not automatic, cached or uncached", caching);
    return finish(r) ? made(r, vz_disk_image_attachment_new(path, &o, r->err)) : NULL;
}

static struct vz_storage_attachment *read_storage_attachment(struct reader *parent)
{
    struct vz_block_device_options o = VZ_BLOCK_DEVICE_OPTIONS_INIT;
    bool has;
    struct reader r = get_object(parent, "attachment", &has);
    const char *type = has ? get_type(&r, NULL) : "";
    int fd;

    if (!has) {
        fail(parent, "attachment", "is missing");
        return NULL;
    }
    if (!strcmp(type, "diskImage"))
        return read_disk_image(&r);
    if (strcmp(type, "blockDevice")) {
        fail(&r, "type", "'%.40s' is not diskImage or blockDevice", type);
        return NULL;
    }
    fd = (int)get_int(&r, "descriptor", -1, INT_MAX);
    o.read_only = get_bool(&r, "readOnly");
    o.sync = get_sync(&r);
    return finish(&r) ? made(&r, vz_block_device_attachment_new(fd, &o, r.err)) : NULL;
}

static void *read_storage_device(struct reader *r)
{
    struct vz_virtio_block_options o = VZ_VIRTIO_BLOCK_OPTIONS_INIT;
    struct vz_storage_attachment *a;
    struct vz_storage_device *d = NULL;

    get_type(r, "virtioBlock");
    o.identifier = get_string(r, "identifier", false);
    a = read_storage_attachment(r);
    if (a && finish(r))
        d = made(r, vz_virtio_block_device_new(a, &o, r->err));
    vz_storage_attachment_unref(a);
    return d;
}

static bool read_forward(struct reader *parent, json_t *value, unsigned index,
                         struct vz_port_forward *ret)
{
    struct reader r = reader_at(parent, value, "%s[%u]", "forwards", index);
    const char *protocol = get_string(&r, "protocol", false);

    if (protocol && strcmp(protocol, "tcp") && strcmp(protocol, "udp"))
        fail(&r, "protocol", "'%.40s' is not tcp or udp", protocol);
    ret->udp = protocol && !strcmp(protocol, "udp");
    ret->host = get_string(&r, "host", false);
    ret->host_port = (uint16_t)get_unsigned(&r, "hostPort", 0, 65535);
    ret->guest_port = (uint16_t)get_unsigned(&r, "guestPort", 0, 65535);
    return finish(&r);
}

static struct vz_network_attachment *read_nat(struct reader *r)
{
    struct vz_nat_options o = VZ_NAT_OPTIONS_INIT;
    json_t *list = member(r, "forwards", false);
    bool host = get_bool(r, "hostLoopback");
    struct vz_network_attachment *a = NULL;
    struct vz_port_forward *forward = NULL;
    bool ok = true;

    if (list && !json_is_array(list))
        fail(r, "forwards", "is not an array");
    o.host_loopback = host;
    o.forward_count = (unsigned)json_array_size(list);
    forward = calloc(o.forward_count + 1, sizeof(*forward));
    for (unsigned i = 0; forward && ok && i < o.forward_count; i++)
        ok = read_forward(r, json_array_get(list, i), i, &forward[i]);
    o.forwards = forward;
    if (!forward)
        error_set(r->err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    else if (ok && finish(r))
        a = made(r, vz_nat_attachment_new(&o, r->err));
    free(forward);
    return a;
}

static struct vz_network_attachment *read_network_attachment(struct reader *r)
{
    struct vz_fd_network_options o = VZ_FD_NETWORK_OPTIONS_INIT;
    const char *type = get_type(r, NULL), *interface;
    int fd;

    if (!strcmp(type, "nat"))
        return read_nat(r);
    if (!strcmp(type, "fd")) {
        fd = (int)get_int(r, "descriptor", -1, INT_MAX);
        o.mtu = get_unsigned(r, "mtu", o.mtu, UINT_MAX);
        return finish(r) ? made(r, vz_fd_network_attachment_new(fd, &o, r->err)) : NULL;
    }
    if (!strcmp(type, "tap") || !strcmp(type, "bridged")) {
        interface = get_string(r, "interface", true);
        if (!finish(r))
            return NULL;
        return made(r, type[0] == 't' ? vz_tap_attachment_new(interface, r->err)
                                      : vz_bridged_attachment_new(interface, r->err));
    }
    fail(r, "type", "'%.40s' is not nat, fd, tap or bridged", type);
    return NULL;
}

static void *read_network_device(struct reader *r)
{
    struct vz_virtio_network_options o = VZ_VIRTIO_NETWORK_OPTIONS_INIT;
    struct vz_network_attachment *a = NULL;
    struct vz_network_device *d = NULL;
    struct vz_mac_address mac;
    const char *text;
    struct reader attachment;
    bool has;

    get_type(r, "virtioNet");
    text = get_string(r, "mac", false);
    if (text && vz_mac_address_parse(text, &mac) < 0)
        fail(r, "mac", "'%.40s' is not a MAC address like 02:00:00:00:00:01", text);
    o.mac = text ? &mac : NULL;
    attachment = get_object(r, "attachment", &has);
    if (!finish(r))
        return NULL;
    if (has) {
        a = read_network_attachment(&attachment);
        if (!a)
            return NULL;
    }
    d = vz_virtio_network_device_new(a, &o, r->err);
    vz_network_attachment_unref(a);
    return d;
}

static bool read_port(struct reader *parent, json_t *value, unsigned index,
                      struct vz_console_port_options *ret)
{
    struct reader r = reader_at(parent, value, "%s[%u]", "ports", index);

    *ret = (struct vz_console_port_options)VZ_CONSOLE_PORT_OPTIONS_INIT;
    ret->name = get_string(&r, "name", false);
    ret->is_console = get_bool(&r, "console");
    if (!r.failed)
        ret->attachment = read_serial_attachment(&r);
    return ret->attachment && finish(&r);
}

static void *read_console_device(struct reader *r)
{
    struct vz_virtio_console_options o = VZ_VIRTIO_CONSOLE_OPTIONS_INIT;
    struct vz_console_port_options port[VZ_CONSOLE_PORTS_MAX] = {{0}};
    struct vz_console_device *d = NULL;
    json_t *list;
    bool ok = true;

    get_type(r, "virtioConsole");
    list = member(r, "ports", true);
    if (list && (!json_is_array(list) || json_array_size(list) > VZ_CONSOLE_PORTS_MAX))
        fail(r, "ports", "is not an array of up to %d", VZ_CONSOLE_PORTS_MAX);
    if (!finish(r))
        return NULL;
    o.ports = port;
    for (; ok && o.port_count < json_array_size(list); o.port_count++)
        ok = read_port(r, json_array_get(list, o.port_count), o.port_count, &port[o.port_count]);
    if (ok)
        d = vz_virtio_console_device_new(&o, r->err);
    for (unsigned i = 0; i < o.port_count; i++)
        vz_serial_attachment_unref(port[i].attachment);
    return d;
}

static void *read_entropy_device(struct reader *r)
{
    get_type(r, "virtioEntropy");
    return finish(r) ? made(r, vz_virtio_entropy_device_new(NULL, r->err)) : NULL;
}

static void *read_balloon_device(struct reader *r)
{
    struct vz_virtio_balloon_options o = VZ_VIRTIO_BALLOON_OPTIONS_INIT;

    get_type(r, "virtioBalloon");
    o.target_size = get_size(r, "targetSize");
    o.minimum_size = get_size(r, "minimumSize");
    o.no_free_page_reporting = !get_switch(r, "freePageReporting");
    o.no_deflate_on_oom = !get_switch(r, "deflateOnOutOfMemory");
    return finish(r) ? made(r, vz_virtio_balloon_device_new(&o, r->err)) : NULL;
}

static bool read_socket_forward(struct reader *parent, json_t *value, unsigned index,
                                struct vz_socket_forward *ret)
{
    struct reader r = reader_at(parent, value, "%s[%u]", "forwards", index);
    const char *to = get_string(&r, "to", true);

    if (to && strcmp(to, "guest") && strcmp(to, "host"))
        fail(&r, "to", "'%.40s' is not guest or host", to);
    ret->to_guest = to && !strcmp(to, "guest");
    ret->port = get_unsigned(&r, "port", UINT_MAX, UINT_MAX);
    ret->path = get_string(&r, "path", true);
    return finish(&r);
}

static void *read_socket_device(struct reader *r)
{
    struct vz_virtio_socket_options o = VZ_VIRTIO_SOCKET_OPTIONS_INIT;
    struct vz_socket_forward forward[VZ_SOCKET_FORWARDS_MAX];
    json_t *list = member(r, "forwards", false);
    bool ok;

    get_type(r, "virtioSocket");
    o.guest_cid = get_unsigned(r, "guestCid", o.guest_cid, UINT_MAX);
    if (list && (!json_is_array(list) || json_array_size(list) > VZ_SOCKET_FORWARDS_MAX))
        fail(r, "forwards", "is not an array of up to %u", VZ_SOCKET_FORWARDS_MAX);
    ok = finish(r);
    o.forwards = forward;
    for (; ok && o.forward_count < json_array_size(list); o.forward_count++)
        ok = read_socket_forward(r, json_array_get(list, o.forward_count), o.forward_count,
                                 &forward[o.forward_count]);
    return ok ? made(r, vz_virtio_socket_device_new(&o, r->err)) : NULL;
}

/* ---- The whole ------------------------------------------------------------------------------ */

/* The lists: what a list's members are made with, and added with. */
typedef int add_fn(struct vz_config *config, void *object);
#define LIST(json, name)                                                                           \
    {                                                                                              \
        json, read_##name, (add_fn *)(void (*)(void))vz_config_add_##name                          \
    }
static const struct {
    const char *name;
    void *(*read)(struct reader *r);
    add_fn *add;
} lists[] = {
    LIST("serialPorts", serial_port),          LIST("storageDevices", storage_device),
    LIST("networkDevices", network_device),    LIST("consoleDevices", console_device),
    LIST("entropyDevices", entropy_device),    LIST("memoryBalloonDevices", balloon_device),
    LIST("socketDevices", socket_device),
};

static bool read_list(struct reader *root, struct vz_config *c, size_t which)
{
    json_t *list = json_object_get(root->object, lists[which].name);

    if (list && !json_is_array(list))
        fail(root, lists[which].name, "is not an array");
    for (unsigned i = 0; !root->failed && i < json_array_size(list); i++) {
        struct reader r = reader_at(root, json_array_get(list, i), "%s[%u]", lists[which].name, i);
        void *object = r.failed ? NULL : lists[which].read(&r);

        if (!object)
            return false; /* err is filled in */
        if (lists[which].add(c, object) < 0) {
            error_set(root->err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
            root->failed = true;
        }
        object_unref(object);
    }
    return !root->failed;
}

static bool read_boot_loader(struct reader *root, struct vz_config *c)
{
    struct vz_linux_boot_loader_options o = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader *b;
    bool has;
    struct reader r = get_object(root, "bootLoader", &has);

    if (!has)
        return true;
    get_type(&r, "linux");
    o.disk = get_string(&r, "disk", false);
    o.kernel = get_string(&r, "kernel", !o.disk);
    o.initrd = get_string(&r, "initrd", false);
    o.cmdline = get_string(&r, "cmdline", false);
    b = finish(&r) ? made(&r, vz_linux_boot_loader_new(&o, r.err)) : NULL;
    vz_config_set_boot_loader(c, b);
    vz_boot_loader_unref(b);
    return b != NULL;
}

static bool read_platform(struct reader *root, struct vz_config *c)
{
    struct vz_generic_platform_options o = VZ_GENERIC_PLATFORM_OPTIONS_INIT;
    struct vz_machine_identifier id;
    struct vz_platform *p;
    const char *text;
    bool has;
    struct reader r = get_object(root, "platform", &has);

    if (!has)
        return true;
    get_type(&r, "generic");
    text = get_string(&r, "machineIdentifier", false);
    if (text && vz_machine_identifier_parse(text, &id) < 0)
        fail(&r, "machineIdentifier", "'%.40s' is not a UUID", text);
    o.machine_identifier = text ? &id : NULL;
    p = finish(&r) ? made(&r, vz_generic_platform_new(&o, r.err)) : NULL;
    vz_config_set_platform(c, p);
    vz_platform_unref(p);
    return p != NULL;
}

static struct vz_config *read_scalars(struct reader *root)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    const char *accel;

    o.jit = get_string(root, "jit", false);
    o.label = get_string(root, "label", false);
    accel = get_string(root, "accel", false);
    o.accel = accel ? accel : o.accel;
    o.cpu_count = get_unsigned(root, "cpus", o.cpu_count, UINT_MAX);
    o.memory_size = (uint64_t)get_int(root, "memory", (json_int_t)o.memory_size, INT64_MAX);
    o.stop_at_reset = get_bool(root, "stopAtReset");
    o.debug_exit = get_bool(root, "debugExit");
    o.interpret_only = get_bool(root, "interpretOnly");
    o.memory_preallocate = get_bool(root, "memoryPreallocate");
    o.memory_huge_pages = get_bool(root, "memoryHugePages");
    o.host_cpu = get_bool(root, "hostCpu");
    return root->failed ? NULL : vz_config_new(&o, root->err);
}

static bool is_known(const char *key)
{
    static const char *const names[] = {"label", "accel", "cpus", "memory", "stopAtReset",
                                        "debugExit", "interpretOnly", "memoryPreallocate",
                                        "memoryHugePages", "hostCpu", "jit", "platform",
                                        "bootLoader"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(key, names[i]))
            return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        if (!strcmp(key, lists[i].name))
            return true;
    }
    return false;
}

static struct vz_config *read_root(struct reader *root)
{
    struct vz_config *c;
    const char *key;
    json_t *value;
    bool ok = true;

    json_object_foreach(root->object, key, value) {
        if (!is_known(key))
            fail(root, key, "is not known here");
    }
    c = root->failed ? NULL : read_scalars(root);
    if (!c)
        return NULL;
    ok = read_platform(root, c) && read_boot_loader(root, c);
    for (size_t i = 0; ok && i < ARRAY_SIZE(lists); i++)
        ok = read_list(root, c, i);
    if (ok && !root->failed)
        return c;
    vz_config_unref(c);
    return NULL;
}

struct vz_config *vz_config_from_json(const char *text, size_t len, struct vz_error *err)
{
    struct reader root = {.err = err};
    struct vz_config *c = NULL;
    json_error_t where;

    if (!options_given(text, "text", err))
        return NULL;
    root.object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root.object) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "line %d, column %d: %s", where.line,
                  where.column, where.text);
        return NULL;
    }
    if (json_is_object(root.object))
        c = read_root(&root);
    else
        fail(&root, "configuration", "is not an object");
    json_decref(root.object);
    return c;
}
