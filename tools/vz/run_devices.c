/* SPDX-License-Identifier: MIT */
/* The device options of `vz run`, one family: --NAME VALUE[,MEMBER[=VALUE]]..., each may be given
 * many times, and a device is there when it was asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "cli.h"

#define CARDS_MAX    16u
#define FORWARDS_MAX 64u

/* A network card is made when all options have been seen: --mac and --forward may follow it. */
struct card {
    enum { CARD_NAT, CARD_FD, CARD_TAP, CARD_BRIDGE } kind;
    int fd;
    unsigned mtu;
    char name[16];
    bool has_mac, host;
    struct vz_mac_address mac;
};

struct run_devices {
    struct card card[CARDS_MAX];
    unsigned card_count;
    bool has_mac; /* --mac: of the first card that has none */
    struct vz_mac_address mac;
    struct vz_port_forward forward[FORWARDS_MAX];
    char *forward_text[FORWARDS_MAX]; /* what forward[].host points into */
    unsigned forward_count;
};

static bool too_many(const char *name, const char *value, unsigned max)
{
    cli_error("--%s '%s': there are %u already", name, value, max);
    return false;
}

struct run_devices *run_devices_new(void)
{
    return calloc(1, sizeof(struct run_devices));
}

void run_devices_free(struct run_devices *d)
{
    for (unsigned i = 0; d && i < d->forward_count; i++)
        free(d->forward_text[i]);
    free(d);
}

/* ---- Disks ---------------------------------------------------------------------------------- */

struct disk {
    struct vz_disk_image_options image;
    struct vz_virtio_block_options device;
};

static bool disk_member(struct disk *d, const char *member)
{
    static const char *const caching[] = {"automatic", "uncached", "cached"};
    static const char *const sync[] = {"", "full", "fsync", "none"};
    const char *v;

    if (!strcmp(member, "ro")) {
        d->image.read_only = true;
        return true;
    }
    if ((v = opts_value_of(member, "id"))) {
        d->device.identifier = v;
        return true;
    }
    v = opts_value_of(member, "cache");
    for (unsigned i = 0; v && i < 3; i++) {
        if (!strcmp(v, caching[i])) {
            d->image.caching = (enum vz_disk_caching)i;
            return true;
        }
    }
    v = opts_value_of(member, "sync");
    for (unsigned i = 1; v && i < 4; i++) {
        if (!strcmp(v, sync[i])) {
            d->image.sync = (enum vz_disk_sync)i;
            return true;
        }
    }
    return false;
}

static bool add_disk(struct vz_config *c, const char *path, const struct disk *d)
{
    struct vz_error err;
    struct vz_storage_attachment *a = vz_disk_image_attachment_new(path, &d->image, &err);
    struct vz_storage_device *device =
        a ? vz_virtio_block_device_new(a, &d->device, &err) : NULL;
    int r = vz_config_add_storage_device(c, device);

    if (r < 0)
        cli_error("%s", device ? "out of memory" : err.text);
    vz_storage_device_unref(device);
    vz_storage_attachment_unref(a);
    return r == 0;
}

bool run_devices_disk(struct vz_config *c, const char *name, const char *value, bool read_only)
{
    static const char expected[] = "PATH[,ro][,id=NAME][,cache=automatic|cached|uncached]"
                                   "[,sync=full|fsync|none]";
    struct disk d = {VZ_DISK_IMAGE_OPTIONS_INIT, VZ_VIRTIO_BLOCK_OPTIONS_INIT};
    char *text = strdup(value), *rest = text, *path, *member;
    bool ok = true;

    if (!text)
        return cli_no_memory();
    d.image.read_only = read_only;
    path = opts_member(&rest);
    ok = path[0];
    while (ok && (member = opts_member(&rest)))
        ok = disk_member(&d, member);
    if (ok)
        ok = add_disk(c, path, &d);
    else
        cli_bad_value(name, value, expected);
    free(text);
    return ok;
}

/* ---- Network -------------------------------------------------------------------------------- */

static bool card_kind(struct card *card, const char *member)
{
    const char *v;
    unsigned fd;

    if (!strcmp(member, "nat")) {
        card->kind = CARD_NAT;
        return true;
    }
    if ((v = opts_value_of(member, "fd"))) {
        card->kind = CARD_FD;
        if (!opts_unsigned(v, &fd) || fd > 1 << 20)
            return false;
        card->fd = (int)fd;
        return true;
    }
    if ((v = opts_value_of(member, "tap")))
        card->kind = CARD_TAP;
    else if ((v = opts_value_of(member, "bridge")))
        card->kind = CARD_BRIDGE;
    if (!v || !v[0] || strlen(v) >= sizeof(card->name))
        return false;
    strcpy(card->name, v);
    return true;
}

static bool card_member(struct card *card, const char *member)
{
    const char *v = opts_value_of(member, "mac");

    if (v) {
        card->has_mac = true;
        return vz_mac_address_parse(v, &card->mac) == 0;
    }
    v = opts_value_of(member, "host");
    if (v)
        return card->kind == CARD_NAT && opts_switch(v, &card->host);
    v = opts_value_of(member, "mtu");
    return v && card->kind == CARD_FD && opts_unsigned(v, &card->mtu);
}

bool run_devices_net(struct run_devices *d, const char *name, const char *value)
{
    static const char expected[] =
        "nat[,host=on|off], fd=N[,mtu=N], tap=NAME or bridge=NAME, and [,mac=AA:BB:CC:DD:EE:FF]";
    char *text = strdup(value), *rest = text, *member;
    struct card card = {.mtu = VZ_MTU_MIN};
    bool ok;

    if (!text)
        return cli_no_memory();
    if (d->card_count == CARDS_MAX) {
        free(text);
        return too_many(name, value, CARDS_MAX);
    }
    ok = card_kind(&card, opts_member(&rest));
    while (ok && (member = opts_member(&rest)))
        ok = card_member(&card, member);
    if (ok)
        d->card[d->card_count++] = card;
    else
        cli_bad_value(name, value, expected);
    free(text);
    return ok;
}

bool run_devices_mac(struct run_devices *d, const char *name, const char *value)
{
    d->has_mac = true;
    return vz_mac_address_parse(value, &d->mac) == 0 ||
           cli_bad_value(name, value, "a MAC address like 02:00:00:00:00:01");
}

static bool port_number(const char *text, uint16_t *ret)
{
    unsigned port;

    if (!opts_unsigned(text, &port) || !port || port > 65535)
        return false;
    *ret = (uint16_t)port;
    return true;
}

/* PROTOCOL:[HOST:]PORT:GUESTPORT; an IPv6 address stands in brackets. text is cut into pieces. */
static bool parse_forward(char *text, struct vz_port_forward *f)
{
    char *guest = strrchr(text, ':'), *port;

    f->udp = !strncmp(text, "udp:", 4);
    if ((!f->udp && strncmp(text, "tcp:", 4)) || !guest || guest < text + 4)
        return false;
    *guest++ = '\0';
    text += 4;
    port = strrchr(text, ':');
    if (port) {
        *port++ = '\0';
        f->host = text;
        if (text[0] == '[' && port[-2] == ']') {
            port[-2] = '\0';
            f->host = text + 1;
        }
    }
    return port_number(port ? port : text, &f->host_port) && port_number(guest, &f->guest_port);
}

bool run_devices_forward(struct run_devices *d, const char *name, const char *value)
{
    struct vz_port_forward f = {0};
    char *text;

    if (d->forward_count == FORWARDS_MAX)
        return too_many(name, value, FORWARDS_MAX);
    text = strdup(value);
    if (!text)
        return cli_no_memory();
    if (!parse_forward(text, &f)) {
        free(text);
        return cli_bad_value(name, value, "tcp:[HOST:]PORT:GUESTPORT or udp:...");
    }
    d->forward_text[d->forward_count] = text;
    d->forward[d->forward_count++] = f;
    return true;
}

static struct vz_network_attachment *attachment(const struct run_devices *d,
                                                const struct card *card, bool forwards,
                                                struct vz_error *err)
{
    struct vz_nat_options nat = VZ_NAT_OPTIONS_INIT;
    struct vz_fd_network_options fd = VZ_FD_NETWORK_OPTIONS_INIT;

    switch (card->kind) {
    case CARD_NAT:
        nat.host_loopback = card->host;
        nat.forwards = d->forward;
        nat.forward_count = forwards ? d->forward_count : 0;
        return vz_nat_attachment_new(&nat, err);
    case CARD_FD:
        fd.mtu = card->mtu;
        return vz_fd_network_attachment_new(card->fd, &fd, err);
    case CARD_TAP:
        return vz_tap_attachment_new(card->name, err);
    default:
        return vz_bridged_attachment_new(card->name, err);
    }
}

static bool add_card(struct vz_config *c, struct run_devices *d, const struct card *card,
                     bool forwards)
{
    struct vz_virtio_network_options o = VZ_VIRTIO_NETWORK_OPTIONS_INIT;
    struct vz_error err;
    struct vz_network_attachment *a = attachment(d, card, forwards, &err);
    struct vz_network_device *device;
    int r;

    o.mac = card->has_mac ? &card->mac : d->has_mac ? &d->mac : NULL;
    if (!card->has_mac)
        d->has_mac = false; /* used up */
    device = a ? vz_virtio_network_device_new(a, &o, &err) : NULL;
    r = vz_config_add_network_device(c, device);
    if (r < 0)
        cli_error("%s", device ? "out of memory" : err.text);
    vz_network_device_unref(device);
    vz_network_attachment_unref(a);
    return r == 0;
}

/* Port forwards belong to the first NAT; they and --mac bring one along when no card was asked for. */
bool run_devices_finish(struct run_devices *d, struct vz_config *c)
{
    bool forwards = d->forward_count > 0;

    if (!d->card_count && (forwards || d->has_mac))
        d->card[d->card_count++] = (struct card){.kind = CARD_NAT};
    for (unsigned i = 0; i < d->card_count; i++) {
        bool mine = forwards && d->card[i].kind == CARD_NAT;

        if (!add_card(c, d, &d->card[i], mine))
            return false;
        forwards = forwards && !mine;
    }
    if (forwards)
        cli_error("--forward goes with --net nat (see 'vz run --help')");
    else if (d->has_mac)
        cli_error("--mac: every network card has a MAC address already");
    return !forwards && !d->has_mac;
}

/* ---- The rest ------------------------------------------------------------------------------- */

bool run_devices_rng(struct vz_config *c)
{
    struct vz_entropy_device *e = vz_virtio_entropy_device_new(NULL, NULL);
    int r = vz_config_add_entropy_device(c, e);

    vz_entropy_device_unref(e);
    return r == 0 || cli_no_memory();
}
