/* SPDX-License-Identifier: MIT */
/* Checking a configuration as a whole: each check reports its problems and goes on, so that a
 * person sees all of them at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <net/if.h>

#include "base/error.h"
#include "base/unix_socket.h"
#include "config/config_impl.h"
#include "config/limits.h"
#include "config/validate.h"
#include "hv/accel.h"
#include "hv/hv.h"

/* So many sockets are compared with each other: every forward's, and more ports than fit into a
 * machine. */
#define SOCKETS_MAX (VZ_SOCKET_FORWARDS_MAX + 256)

struct report {
    vz_problem_fn *fn;
    void *arg;
    struct vz_error first;
    unsigned count;
    char object[64]; /* the one being checked */
    const char *socket[SOCKETS_MAX]; /* paths that will be listened on */
    unsigned socket_count;
};

static void printf_like(2, 3) begin(struct report *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(r->object, sizeof(r->object), fmt, args);
    va_end(args);
}

static void printf_like(3, 4) problem(struct report *r, enum vz_error_code code, const char *fmt,
                                      ...)
{
    char text[VZ_ERROR_TEXT_MAX];
    struct vz_problem p = {.code = code, .object = r->object, .text = text};
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!r->count++)
        error_set(&r->first, 0, code, "%s: %s", r->object, text);
    if (r->fn)
        r->fn(r->arg, &p);
}

/* ---- Files and descriptors ------------------------------------------------------------------ */

/* Does it open? O_NONBLOCK, so that a FIFO does not keep us waiting. */
static void check_opens(struct report *r, const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
    else
        close(fd);
}

/* Is it open for want (O_RDONLY, O_WRONLY, O_RDWR)? */
static bool check_fd(struct report *r, int fd, int want)
{
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    int mode = flags & O_ACCMODE;

    if (flags < 0)
        problem(r, VZ_ERROR_IO, "file descriptor %d is not open", fd);
    else if (mode != O_RDWR && mode != want)
        problem(r, VZ_ERROR_IO, "file descriptor %d is not open for %s", fd,
                want == O_RDONLY ? "reading" : want == O_WRONLY ? "writing" : "both ways");
    else
        return true;
    return false;
}

/* A file that is written, and may have to be made: then its folder must allow it. */
static void check_output_file(struct report *r, const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[4096];
    struct stat st;

    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(EISDIR));
        else if (access(path, W_OK) < 0)
            problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
        return;
    }
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    if (access(folder, W_OK | X_OK) < 0)
        problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
}

static void check_new_socket(struct report *r, const char *path)
{
    for (unsigned i = 0; i < r->socket_count; i++) {
        if (!strcmp(r->socket[i], path)) {
            problem(r, VZ_ERROR_INVALID, "%s is another socket's path too", path);
            return;
        }
    }
    if (r->socket_count < SOCKETS_MAX)
        r->socket[r->socket_count++] = path;
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        problem(r, VZ_ERROR_INVALID, "%s: too long for a socket", path);
    else if (access(path, F_OK) < 0)
        check_output_file(r, path);
    else if (!unix_socket_is_stale(path))
        problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(EEXIST));
}

/* ---- One thing each ------------------------------------------------------------------------- */

/* Of UTF-8. */
static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static void check_label(struct report *r, const struct vz_config *c)
{
    begin(r, "label");
    if (c->label && (!c->label[0] || characters(c->label) > 64 ||
                     strspn(c->label, " \t") == strlen(c->label)))
        problem(r, VZ_ERROR_INVALID, "not 1 to 64 characters, one of them not a space");
}

/* Then there is always one, and which it is does not matter before a start: a probe takes time. */
static bool is_automatic(const struct vz_config *c)
{
    return c->accel && !strcmp(c->accel, "auto");
}

static void check_accel(struct report *r, const struct vz_config *c)
{
    const struct hv_ops *hv;
    struct vz_error err = {0};

    begin(r, "accel");
    if (!c->accel || !c->accel[0])
        problem(r, VZ_ERROR_INVALID, "no accelerator named");
    else if (!is_automatic(c) && accel_find(c->accel, &hv, &err) < 0)
        problem(r, err.code, "%s", err.text);
}

static void check_jit(struct report *r, const struct vz_config *c)
{
    const struct hv_ops *hv;
    struct vz_error err = {0};

    begin(r, "jit");
    if (c->jit && c->accel && accel_named(is_automatic(c) ? "soft" : c->accel, &hv, NULL) == 0 &&
        hv->jit_check && hv->jit_check(c->jit, &err) < 0)
        problem(r, err.code, "%s", err.text);
}

static void check_cpus(struct report *r, const struct vz_config *c)
{
    begin(r, "cpus");
    if (c->cpu_count < 1 || c->cpu_count > vz_config_cpu_max())
        problem(r, VZ_ERROR_INVALID, "CPU count %u is not between 1 and %u", c->cpu_count,
                vz_config_cpu_max());
}

static void check_memory(struct report *r, const struct vz_config *c)
{
    uint64_t min = vz_config_memory_min(), max = vz_config_memory_max();

    begin(r, "memory");
    if (c->memory_size < min || c->memory_size > max)
        problem(r, VZ_ERROR_INVALID, "memory size %llu KiB is not between %llu KiB and %llu KiB",
                (unsigned long long)(c->memory_size / KIB), (unsigned long long)(min / KIB),
                (unsigned long long)(max / KIB));
    if (c->memory_size % MIB)
        problem(r, VZ_ERROR_INVALID, "memory size %llu is not a multiple of 1 MiB",
                (unsigned long long)c->memory_size);
}

static void check_boot_loader(struct report *r, const struct vz_config *c)
{
    begin(r, "bootLoader");
    if (!c->boot_loader) {
        problem(r, VZ_ERROR_INVALID, "no boot loader, so no kernel given");
        return;
    }
    begin(r, "bootLoader.disk");
    if (c->boot_loader->disk)
        check_opens(r, c->boot_loader->disk, O_RDONLY);
    begin(r, "bootLoader.kernel");
    if (c->boot_loader->kernel)
        check_opens(r, c->boot_loader->kernel, O_RDONLY);
    begin(r, "bootLoader.initrd");
    if (c->boot_loader->initrd)
        check_opens(r, c->boot_loader->initrd, O_RDONLY);
}

static void check_serial_attachment(struct report *r, const struct vz_config *c,
                                    const struct vz_serial_attachment *a, unsigned *stdio_users)
{
    switch (a->kind) {
    case SERIAL_STDIO:
        if (++*stdio_users == 2)
            problem(r, VZ_ERROR_INVALID, "standard input and output are in use by another port");
        break;
    case SERIAL_FD:
        if (a->read_fd >= 0)
            check_fd(r, a->read_fd, O_RDONLY);
        if (a->write_fd >= 0)
            check_fd(r, a->write_fd, O_WRONLY);
        break;
    case SERIAL_FILE:
        check_output_file(r, a->path);
        break;
    case SERIAL_UNIX:
        check_new_socket(r, a->path);
        break;
    case SERIAL_NULL:
    case SERIAL_PTY:
    case SERIAL_KIND_COUNT:
        break;
    }
}

static void check_serial_ports(struct report *r, const struct vz_config *c, unsigned *stdio_users)
{
    unsigned uarts = 0;

    for (unsigned i = 0; i < c->serial_ports.count; i++) {
        const struct vz_serial_port *p = config_serial_port(c, i);

        begin(r, "serialPorts[%u]", i);
        if (!p->is_virtio && ++uarts == 2)
            problem(r, VZ_ERROR_INVALID, "there can be only one port of type uart");
        check_serial_attachment(r, c, p->attachment, stdio_users);
    }
}

static void check_disk_image(struct report *r, const struct vz_storage_attachment *a)
{
    struct stat st;
    int fd = open(a->path, (a->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        problem(r, VZ_ERROR_IO, "%s: %s", a->path, strerror(errno));
        return;
    }
    if (fstat(fd, &st) < 0)
        problem(r, VZ_ERROR_IO, "%s: %s", a->path, strerror(errno));
    else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        problem(r, VZ_ERROR_INVALID_DISK_IMAGE, "%s: neither a file nor a block device", a->path);
    else if (S_ISREG(st.st_mode) && (!st.st_size || st.st_size % 512))
        problem(r, VZ_ERROR_INVALID_DISK_IMAGE,
                "%s: its size, %lld bytes, is not a multiple of 512 above 0", a->path,
                (long long)st.st_size);
    close(fd);
}

static void check_storage_attachment(struct report *r, const struct vz_storage_attachment *a)
{
    if ((unsigned)a->caching > VZ_DISK_CACHING_CACHED)
        problem(r, VZ_ERROR_INVALID, "caching mode %d is unknown", a->caching);
    if (a->sync < VZ_DISK_SYNC_FULL || a->sync > VZ_DISK_SYNC_NONE)
        problem(r, VZ_ERROR_INVALID, "synchronization mode %d is unknown", a->sync);
    if (a->kind == STORAGE_DISK_IMAGE)
        check_disk_image(r, a);
    else
        check_fd(r, a->fd, a->read_only ? O_RDONLY : O_RDWR);
}

/* Is another disk the same file, and one of the two written? The first of them reports it. */
static void check_shared(struct report *r, const struct vz_config *c, unsigned i)
{
    const struct vz_storage_attachment *a = config_storage_device(c, i)->attachment;
    struct stat mine, theirs;

    if (a->kind != STORAGE_DISK_IMAGE || stat(a->path, &mine) < 0)
        return;
    for (unsigned k = 0; k < i; k++) {
        const struct vz_storage_attachment *b = config_storage_device(c, k)->attachment;

        if (b->kind != STORAGE_DISK_IMAGE || (a->read_only && b->read_only))
            continue;
        if (stat(b->path, &theirs) == 0 && theirs.st_dev == mine.st_dev &&
            theirs.st_ino == mine.st_ino)
            problem(r, VZ_ERROR_INVALID, "%s is in use by storageDevices[%u] too, and written",
                    a->path, k);
    }
}

static void check_storage(struct report *r, const struct vz_config *c)
{
    struct vz_error err;

    for (unsigned i = 0; i < c->storage_devices.count; i++) {
        const struct vz_storage_device *d = config_storage_device(c, i);

        begin(r, "storageDevices[%u]", i);
        if (d->identifier && vz_block_identifier_validate(d->identifier, &err) < 0)
            problem(r, err.code, "%s", err.text);
        check_storage_attachment(r, d->attachment);
        check_shared(r, c, i);
    }
}

static void check_forward(struct report *r, const struct vz_port_forward *f)
{
    uint8_t address[16];

    if (!f->host_port || !f->guest_port)
        problem(r, VZ_ERROR_INVALID, "a forwarded port is 0");
    if (inet_pton(AF_INET, f->host, address) != 1 && inet_pton(AF_INET6, f->host, address) != 1)
        problem(r, VZ_ERROR_INVALID, "'%.80s' is not an IP address to forward from", f->host);
}

/* Does one of the first count forwards of a listen where f does? */
static bool forwards_too(const struct vz_network_attachment *a, unsigned count,
                         const struct vz_port_forward *f)
{
    for (unsigned i = 0; i < count; i++) {
        const struct vz_port_forward *g = &a->forward[i];

        if (g->udp == f->udp && g->host_port == f->host_port && !strcmp(g->host, f->host))
            return true;
    }
    return false;
}

/* No two forwards, of this attachment or of one of the first count cards, may listen on the same
 * port of the host. */
static void check_forwards(struct report *r, const struct vz_config *c, unsigned count,
                           const struct vz_network_attachment *a)
{
    for (unsigned i = 0; i < a->forward_count; i++) {
        const struct vz_port_forward *f = &a->forward[i];
        bool twice = forwards_too(a, i, f);

        check_forward(r, f);
        for (unsigned k = 0; k < count && !twice; k++) {
            const struct vz_network_attachment *b = config_network_device(c, k)->attachment;

            twice = b && b->kind == NETWORK_NAT && forwards_too(b, b->forward_count, f);
        }
        if (twice)
            problem(r, VZ_ERROR_INVALID, "%s port %u of %s is forwarded twice",
                    f->udp ? "UDP" : "TCP", f->host_port, f->host);
    }
}

static void check_network_fd(struct report *r, const struct vz_network_attachment *a)
{
    int type;
    socklen_t len = sizeof(type);

    if (a->mtu < VZ_MTU_MIN || a->mtu > VZ_MTU_MAX)
        problem(r, VZ_ERROR_INVALID, "MTU %u is not between %u and %u", a->mtu, VZ_MTU_MIN,
                VZ_MTU_MAX);
    if (!check_fd(r, a->fd, O_RDWR))
        return;
    if (getsockopt(a->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        (type != SOCK_DGRAM && type != SOCK_SEQPACKET))
        problem(r, VZ_ERROR_INVALID, "file descriptor %d is not a datagram socket", a->fd);
}

/* As that of the card behind the first count ones of c. */
static void check_network_attachment(struct report *r, const struct vz_config *c, unsigned count,
                                     const struct vz_network_attachment *a)
{
    if (a->kind == NETWORK_NAT)
        check_forwards(r, c, count, a);
    else if (a->kind == NETWORK_FD)
        check_network_fd(r, a);
    else if (strlen(a->interface) >= IF_NAMESIZE || strchr(a->interface, '/'))
        problem(r, VZ_ERROR_INVALID, "'%.40s' cannot be an interface's name", a->interface);
    else if (a->kind == NETWORK_BRIDGED && !if_nametoindex(a->interface))
        problem(r, VZ_ERROR_NETWORK, "there is no interface %s", a->interface);
}

static void check_mac(struct report *r, const struct vz_config *c, unsigned i)
{
    static const struct vz_mac_address zero;
    const struct vz_mac_address *mac = &config_network_device(c, i)->mac;
    char text[VZ_MAC_ADDRESS_TEXT_MAX];

    vz_mac_address_format(mac, text);
    if (!vz_mac_address_is_unicast(mac))
        problem(r, VZ_ERROR_INVALID, "MAC address %s is not a unicast address", text);
    if (!memcmp(mac, &zero, sizeof(zero)))
        problem(r, VZ_ERROR_INVALID, "MAC address is all zeros");
    for (unsigned k = 0; k < i; k++) {
        if (!memcmp(mac, &config_network_device(c, k)->mac, sizeof(*mac)))
            problem(r, VZ_ERROR_INVALID, "MAC address %s is that of networkDevices[%u] too", text,
                    k);
    }
}

static void check_network(struct report *r, const struct vz_config *c)
{
    for (unsigned i = 0; i < c->network_devices.count; i++) {
        const struct vz_network_device *d = config_network_device(c, i);

        begin(r, "networkDevices[%u]", i);
        check_mac(r, c, i);
        if (d->attachment)
            check_network_attachment(r, c, i, d->attachment);
    }
}

static void check_console_ports(struct report *r, const struct vz_config *c, unsigned device,
                                unsigned *stdio_users)
{
    const struct vz_console_device *d = config_console_device(c, device);

    for (unsigned i = 0; i < d->port_count; i++) {
        const char *name = d->port[i].name;

        begin(r, "consoleDevices[%u].ports[%u]", device, i);
        if (name && (!name[0] || strlen(name) > VZ_CONSOLE_PORT_NAME_MAX || strchr(name, '/')))
            problem(r, VZ_ERROR_INVALID, "name '%.80s' is not 1 to %d bytes without '/'", name,
                    VZ_CONSOLE_PORT_NAME_MAX);
        if (!name && !d->port[i].is_console)
            problem(r, VZ_ERROR_INVALID, "a port that is not a console needs a name");
        for (unsigned k = 0; name && k < i; k++) {
            if (d->port[k].name && !strcmp(d->port[k].name, name))
                problem(r, VZ_ERROR_INVALID, "name '%.80s' is that of ports[%u] too", name, k);
        }
        check_serial_attachment(r, c, d->port[i].attachment, stdio_users);
    }
}

static void check_consoles(struct report *r, const struct vz_config *c, unsigned *stdio_users)
{
    for (unsigned i = 0; i < c->console_devices.count; i++) {
        begin(r, "consoleDevices[%u]", i);
        if (!config_console_device(c, i)->port_count)
            problem(r, VZ_ERROR_INVALID, "a console device without ports");
        check_console_ports(r, c, i, stdio_users);
    }
}

static void check_plain(struct report *r, const char *name, const struct object_list *list,
                        unsigned max)
{
    for (unsigned i = 0; i < list->count; i++) {
        begin(r, "%s[%u]", name, i);
        if (i == max)
            problem(r, VZ_ERROR_INVALID, "a machine has at most %u of these", max);
    }
}

static void check_balloon(struct report *r, const struct vz_config *c)
{
    const struct vz_virtio_balloon_options *o;

    if (!config_balloon(c))
        return;
    o = &config_balloon(c)->options;
    begin(r, "memoryBalloonDevices[0]");
    if (o->minimum_size > c->memory_size)
        problem(r, VZ_ERROR_INVALID, "minimum size %llu KiB is above the machine's memory",
                (unsigned long long)(o->minimum_size / KIB));
    if (o->target_size > c->memory_size)
        problem(r, VZ_ERROR_INVALID, "target size %llu KiB is above the machine's memory",
                (unsigned long long)(o->target_size / KIB));
    if (o->target_size && o->target_size < o->minimum_size)
        problem(r, VZ_ERROR_INVALID, "target size %llu KiB is below the minimum size",
                (unsigned long long)(o->target_size / KIB));
}

static void check_socket_forward(struct report *r, const struct vz_socket_device *d, unsigned i)
{
    const struct vz_socket_forward *f = &d->forward[i];

    begin(r, "socketDevices[0].forwards[%u]", i);
    if (f->port == UINT32_MAX)
        problem(r, VZ_ERROR_INVALID, "port %u is none", f->port);
    if (f->to_guest)
        check_new_socket(r, f->path);
    else if (strlen(f->path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        problem(r, VZ_ERROR_INVALID, "%s: too long for a socket", f->path);
    for (unsigned k = 0; k < i; k++) {
        const struct vz_socket_forward *g = &d->forward[k];

        if (!f->to_guest && !g->to_guest && f->port == g->port)
            problem(r, VZ_ERROR_INVALID, "port %u is that of forwards[%u] too", f->port, k);
    }
}

static void check_socket(struct report *r, const struct vz_config *c)
{
    const struct vz_socket_device *d = config_socket(c);

    if (!d)
        return;
    begin(r, "socketDevices[0]");
    if (d->guest_cid < VZ_SOCKET_CID_MIN || d->guest_cid > VZ_SOCKET_CID_MAX)
        problem(r, VZ_ERROR_INVALID, "CID %u is not between %u and %u", d->guest_cid,
                VZ_SOCKET_CID_MIN, VZ_SOCKET_CID_MAX);
    for (unsigned i = 0; i < d->forward_count; i++)
        check_socket_forward(r, d, i);
}

static void check_slots(struct report *r, const struct vz_config *c)
{
    unsigned count = c->storage_devices.count + c->network_devices.count +
                     c->console_devices.count + c->entropy_devices.count +
                     c->balloon_devices.count + c->socket_devices.count;

    for (unsigned i = 0; i < c->serial_ports.count; i++)
        count += config_serial_port(c, i)->is_virtio;
    begin(r, "machine");
    if (count > PCI_DEVICES_MAX)
        problem(r, VZ_ERROR_INVALID, "%u devices, and the PCI bus has room for %u", count,
                PCI_DEVICES_MAX);
}

static int conclude(const struct report *r, struct vz_error *err)
{
    if (r->count && err)
        *err = r->first;
    return r->count ? -1 : 0;
}

int vz_config_validate(const struct vz_config *c, vz_problem_fn *fn, void *arg,
                       struct vz_error *err)
{
    struct report r = {.fn = fn, .arg = arg};
    unsigned stdio_users = 0;

    if (!c) { /* as one that could not be made, whose maker went on */
        begin(&r, "configuration");
        problem(&r, VZ_ERROR_INVALID, "there is none");
        return conclude(&r, err);
    }
    check_label(&r, c);
    check_accel(&r, c);
    check_jit(&r, c);
    check_cpus(&r, c);
    check_memory(&r, c);
    check_boot_loader(&r, c);
    check_serial_ports(&r, c, &stdio_users);
    check_storage(&r, c);
    check_network(&r, c);
    check_consoles(&r, c, &stdio_users);
    check_plain(&r, "entropyDevices", &c->entropy_devices, UINT32_MAX);
    check_plain(&r, "memoryBalloonDevices", &c->balloon_devices, 1);
    check_plain(&r, "socketDevices", &c->socket_devices, 1);
    check_balloon(&r, c);
    check_socket(&r, c);
    check_slots(&r, c);
    return conclude(&r, err);
}

/* ---- Parts of it ---------------------------------------------------------------------------- */

int validate_serial_attachment(const struct vz_config *c, const struct vz_serial_attachment *a,
                               struct vz_error *err)
{
    struct report r = {.object = "attachment"};
    unsigned stdio_users = 0; /* who shares it is the program's business now */

    check_serial_attachment(&r, c, a, &stdio_users);
    return conclude(&r, err);
}

int validate_network_attachment(const struct vz_network_attachment *a, struct vz_error *err)
{
    struct report r = {.object = "attachment"};

    check_network_attachment(&r, NULL, 0, a);
    return conclude(&r, err);
}
