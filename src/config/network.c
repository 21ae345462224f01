/* SPDX-License-Identifier: MIT */
/* Network cards and their attachments. */
#include <vz/network.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <net/if.h>

#include "base/error.h"
#include "config/objects.h"
#include "config/report.h"
#include "config/schema_text.h"

/* ---- Port forwards -------------------------------------------------------------------------- */

static void check_host(struct report *r, const void *object)
{
    const struct vz_port_forward *f = object;
    uint8_t address[16];

    if (inet_pton(AF_INET, f->host, address) != 1 && inet_pton(AF_INET6, f->host, address) != 1)
        report_problem(r, VZ_ERROR_INVALID, "'%.80s' is not an IP address to forward from",
                       f->host);
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

/* No two forwards, of this card or of one before it, may listen on the same port of the host. */
static void check_forwards(struct report *r, const void *object)
{
    const struct vz_network_attachment *a = object;

    for (unsigned i = 0; i < a->forward_count; i++) {
        const struct vz_port_forward *f = &a->forward[i];
        bool twice = forwards_too(a, i, f);
        size_t back = report_enter(r, "forwards", (int)i);

        for (unsigned k = 0; r->whole && k < r->index && !twice; k++) {
            const struct vz_network_attachment *b = config_network_device(r->whole, k)->attachment;

            twice = b && b->kind == NETWORK_NAT && forwards_too(b, b->forward_count, f);
        }
        if (twice)
            report_problem(r, VZ_ERROR_INVALID, "%s port %u of %s is forwarded twice",
                           f->udp ? "UDP" : "TCP", f->host_port, f->host);
        report_leave(r, back);
    }
}

static bool parse_port(const char *text, uint16_t *ret)
{
    uint64_t port;

    if (!schema_parse_number(text, &port) || !port || port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    return true;
}

/* PROTOCOL:[HOST:]PORT:GUESTPORT; an IPv6 address stands in brackets. */
static bool parse_forward(char *text, void *element)
{
    struct vz_port_forward *f = element;
    char *guest = strrchr(text, ':'), *port, *host;

    f->udp = !strncmp(text, "udp:", 4);
    if ((!f->udp && strncmp(text, "tcp:", 4)) || !guest || guest < text + 4)
        return false;
    *guest++ = '\0';
    text += 4;
    port = strrchr(text, ':');
    if (!port)
        return parse_port(text, &f->host_port) && parse_port(guest, &f->guest_port);
    host = text;
    *port++ = '\0';
    if (host[0] == '[' && port[-2] == ']') {
        port[-2] = '\0';
        host++;
    }
    free((char *)f->host); /* the default */
    f->host = strdup(host);
    return f->host && parse_port(port, &f->host_port) && parse_port(guest, &f->guest_port);
}

static const char *const protocols[] = {"tcp", "udp", NULL};
static const struct schema_field forward_fields[] = {
    FIELD_ENUM(struct vz_port_forward, udp, "protocol", protocols, .text = "of the connections"),
    FIELD_UINT(struct vz_port_forward, host_port, "hostPort", .required = true, .min = 1,
               .max = 65535, .noun = "forwarded port", .text = "the host's port"),
    FIELD_UINT(struct vz_port_forward, guest_port, "guestPort", .required = true, .min = 1,
               .max = 65535, .noun = "forwarded port", .text = "the guest's port"),
    FIELD_STRING(struct vz_port_forward, host, "host", .initial_text = "127.0.0.1",
                 .check = check_host, .text = "the address of the host to listen on"),
    FIELD_END};
static const struct schema_type forward_type = {
    .name = "forward", .size = sizeof(struct vz_port_forward), .sized = true,
    .fields = forward_fields,
    .parse = parse_forward, .value = "tcp|udp:[HOST:]PORT:GUESTPORT",
    .text = "connections to a port of the host reach the guest"};

/* ---- Attachments ---------------------------------------------------------------------------- */

static const char *const forward_options[] = {"forward", NULL};
static const struct schema_field nat_fields[] = {
    FIELD_CONST(struct vz_network_attachment, kind, NETWORK_NAT),
    FIELD_ARRAY(struct vz_network_attachment, forward, forward_count, "forwards", &forward_type,
                .max = 1024, .words = forward_options, .noun = "port forwards", .value = "...",
                .text = "ports of the host that lead to the guest",
                .more = "In an option each is written as for --forward."),
    FIELD_BOOL(struct vz_network_attachment, host_loopback, "hostLoopback", .option = "host",
               .text = "the guest reaches the host's own 127.0.0.1 as 10.0.2.2 (fec0::2)"),
    FIELD_END};
static const struct schema_type nat_type = {
    .name = "nat", .json = "nat", .size = sizeof(struct vz_network_attachment),
    .fields = nat_fields, .check = check_forwards, .option = "nat",
    .text = "what the host reaches, behind a router in this process, with DHCP and DNS"};

static void check_socket(struct report *r, const void *object)
{
    const struct vz_network_attachment *a = object;
    int type;
    socklen_t len = sizeof(type);

    if (!report_fd(r, a->fd, O_RDWR))
        return;
    if (getsockopt(a->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        (type != SOCK_DGRAM && type != SOCK_SEQPACKET))
        report_problem(r, VZ_ERROR_INVALID, "file descriptor %d is not a datagram socket", a->fd);
}

static const struct schema_field fd_fields[] = {
    FIELD_CONST(struct vz_network_attachment, kind, NETWORK_FD),
    FIELD_FD(struct vz_network_attachment, fd, "descriptor", .required = true, .option = "",
             .value = "N", .check = check_socket,
             .text = "a connected datagram socket, a frame each"),
    FIELD_UINT(struct vz_network_attachment, mtu, "mtu", .min = VZ_MTU_MIN, .max = VZ_MTU_MAX,
               .initial = VZ_MTU_MIN, .value = "N", .noun = "MTU", .text = "bytes"),
    FIELD_END};
static const struct schema_type fd_type = {
    .name = "fd_network", .json = "fd", .size = sizeof(struct vz_network_attachment),
    .fields = fd_fields, .option = "fd", .text = "a datagram socket of Ethernet frames"};

static void check_interface(struct report *r, const void *object)
{
    const struct vz_network_attachment *a = object;

    if (strlen(a->interface) >= IF_NAMESIZE || strchr(a->interface, '/'))
        report_problem(r, VZ_ERROR_INVALID, "'%.40s' cannot be an interface's name", a->interface);
    else if (a->kind == NETWORK_BRIDGED && !if_nametoindex(a->interface))
        report_problem(r, VZ_ERROR_NETWORK, "there is no interface %s", a->interface);
}

static const struct schema_field tap_fields[] = {
    FIELD_CONST(struct vz_network_attachment, kind, NETWORK_TAP),
    FIELD_STRING(struct vz_network_attachment, interface, "interface", .required = true,
                 .option = "", .value = "NAME", .noun = "tap interface",
                 .text = "its name, up to 15 bytes"),
    FIELD_END};
static const struct schema_type tap_type = {
    .name = "tap", .json = "tap", .size = sizeof(struct vz_network_attachment),
    .fields = tap_fields, .check = check_interface, .option = "tap",
    .text = "a tap interface of the host"};

static const struct schema_field bridged_fields[] = {
    FIELD_CONST(struct vz_network_attachment, kind, NETWORK_BRIDGED),
    FIELD_STRING(struct vz_network_attachment, interface, "interface", .required = true,
                 .option = "", .value = "NAME", .noun = "bridge",
                 .text = "the bridge's name, up to 15 bytes"),
    FIELD_END};
static const struct schema_type bridged_type = {
    .name = "bridged", .json = "bridged", .size = sizeof(struct vz_network_attachment),
    .fields = bridged_fields, .check = check_interface, .option = "bridge",
    .text = "a tap interface that is put into a bridge of the host"};

static const struct schema_type *const network_attachments_types[] = {&nat_type, &fd_type, &tap_type, &bridged_type, NULL};
static const struct schema_class network_attachments = {.types = network_attachments_types};

struct vz_network_attachment *vz_network_attachment_ref(struct vz_network_attachment *object)
{
    return object_ref(object);
}

void vz_network_attachment_unref(struct vz_network_attachment *object)
{
    object_unref(object);
}

struct vz_network_attachment *
vz_nat_network_attachment_new(const struct vz_nat_network_options *options, struct vz_error *err)
{
    struct vz_nat_network_options o = VZ_NAT_NETWORK_OPTIONS_INIT;
    struct vz_network_attachment a = {.fd = -1};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a.forward = o.forwards;
    a.forward_count = o.forward_count;
    a.host_loopback = o.host_loopback;
    return schema_make(&nat_type, &a, err);
}

const struct vz_port_forward *
vz_nat_attachment_forward(const struct vz_network_attachment *a, unsigned index)
{
    return a && a->kind == NETWORK_NAT && index < a->forward_count ? &a->forward[index] : NULL;
}

struct vz_network_attachment *
vz_nat_attachment_with_forwards(const struct vz_network_attachment *attachment,
                                const struct vz_port_forward *forwards, unsigned forward_count,
                                struct vz_error *err)
{
    struct vz_nat_network_options o = VZ_NAT_NETWORK_OPTIONS_INIT;

    if (!options_given(attachment, "attachment", err))
        return NULL;
    if (attachment->kind != NETWORK_NAT) {
        error_set(err, 0, VZ_ERROR_INVALID, "only a NAT has forwards");
        return NULL;
    }
    o.forwards = forwards;
    o.forward_count = forward_count;
    o.host_loopback = attachment->host_loopback;
    return vz_nat_network_attachment_new(&o, err);
}

struct vz_network_attachment *
vz_fd_network_attachment_new(int fd, const struct vz_fd_network_options *options,
                             struct vz_error *err)
{
    struct vz_fd_network_options o = VZ_FD_NETWORK_OPTIONS_INIT;
    struct vz_network_attachment a = {.fd = fd};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a.mtu = o.mtu;
    return schema_make(&fd_type, &a, err);
}

struct vz_network_attachment *
vz_tap_network_attachment_new(const char *interface, struct vz_error *err)
{
    struct vz_network_attachment a = {.fd = -1, .interface = (char *)interface};

    return schema_make(&tap_type, &a, err);
}

struct vz_network_attachment *
vz_bridged_network_attachment_new(const char *bridge, struct vz_error *err)
{
    struct vz_network_attachment a = {.fd = -1, .interface = (char *)bridge};

    return schema_make(&bridged_type, &a, err);
}

/* ---- Devices -------------------------------------------------------------------------------- */

static void check_mac(struct report *r, const void *object)
{
    static const struct vz_mac_address zero;
    const struct vz_mac_address *mac = &((const struct vz_network_device *)object)->mac;
    char text[VZ_MAC_ADDRESS_TEXT_MAX];

    vz_mac_address_format(mac, text);
    if (!vz_mac_address_is_unicast(mac))
        report_problem(r, VZ_ERROR_INVALID, "MAC address %s is not a unicast address", text);
    if (!memcmp(mac, &zero, sizeof(zero)))
        report_problem(r, VZ_ERROR_INVALID, "MAC address is all zeros");
    for (unsigned k = 0; k < r->index; k++) {
        if (!memcmp(mac, &config_network_device(r->whole, k)->mac, sizeof(*mac)))
            report_problem(r, VZ_ERROR_INVALID, "MAC address %s is that of networkDevices[%u] too",
                           text, k);
    }
}

static const struct schema_field virtio_net_fields[] = {
    FIELD_ONE(struct vz_network_device, attachment, "attachment", &network_attachments, .host = true,
              .text = "the network it is in; without one it has no link"),
    FIELD_MAC(struct vz_network_device, mac, "mac", .check = check_mac, .value = "MAC",
              .text = "its address"),
    FIELD_END};
const struct schema_type config_virtio_net_type = {
    .name = "network", .json = "virtioNet", .size = sizeof(struct vz_network_device),
    .fields = virtio_net_fields, .option = "net", .heading = "Devices",
    .text = "a virtio network card: behind NAT in this process, on a datagram socket of Ethernet "
            "frames, on a tap interface, or on one in a bridge",
    .more = "Behind NAT the host's own 127.0.0.1 is out of the guest's reach, since services there "
            "trust who can reach them; \"host\" opens it as 10.0.2.2 (fec0::2)."};

static const struct schema_type *const network_devices_types[] = {&config_virtio_net_type, NULL};
const struct schema_class config_network_devices = {.types = network_devices_types};

struct vz_network_device *vz_network_device_ref(struct vz_network_device *object)
{
    return object_ref(object);
}

void vz_network_device_unref(struct vz_network_device *object)
{
    object_unref(object);
}

struct vz_network_device *
vz_virtio_network_device_new(struct vz_network_attachment *attachment,
                             const struct vz_virtio_network_options *options,
                             struct vz_error *err)
{
    struct vz_virtio_network_options o = VZ_VIRTIO_NETWORK_OPTIONS_INIT;
    struct vz_network_device d = {.attachment = attachment};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    if (o.mac)
        d.mac = *o.mac;
    else
        vz_mac_address_random(&d.mac);
    return schema_make(&config_virtio_net_type, &d, err);
}

void vz_network_device_mac(const struct vz_network_device *device, struct vz_mac_address *ret)
{
    *ret = device->mac;
}

int vz_config_add_network_device(struct vz_config *config, struct vz_network_device *device,
                                 struct vz_error *err)
{
    return config_add(config ? &config->network_devices : NULL, device, err);
}
