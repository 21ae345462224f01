/* SPDX-License-Identifier: MIT */
/* The network card's control queue (VIRTIO 1.2 section 5.1.6.5) and the receive filter it sets. */
#include <string.h>

#include "base/le.h"
#include "virtio/virtio_net_impl.h"

static const struct state_field mac_table_state[] = {
    STATE_UINT_MAX(struct net_mac_table, count, NET_MAC_TABLE_MAX),
    STATE_BOOL(struct net_mac_table, overflow),
    STATE_BYTES(struct net_mac_table, mac),
    STATE_END,
};

const struct state_field virtio_net_state[] = {
    STATE_BYTES(struct virtio_net, mac),
    STATE_BOOL(struct virtio_net, promisc),
    STATE_BOOL(struct virtio_net, allmulti),
    STATE_BOOL(struct virtio_net, alluni),
    STATE_BOOL(struct virtio_net, nomulti),
    STATE_BOOL(struct virtio_net, nouni),
    STATE_BOOL(struct virtio_net, nobcast),
    STATE_STRUCT(struct virtio_net, unicast, mac_table_state),
    STATE_STRUCT(struct virtio_net, multicast, mac_table_state),
    STATE_BYTES(struct virtio_net, vlan),
    STATE_UINT_MAX(struct virtio_net, guest_offloads, NET_GUEST_OFFLOADS),
    STATE_END,
};

void virtio_net_ctrl_reset(struct virtio_net *v)
{
    memcpy(v->mac, v->options.mac, sizeof(v->mac));
    /* Promiscuous, as a driver without CTRL_RX expects; the first RX mode command ends it. */
    v->promisc = true;
    v->allmulti = v->alluni = v->nomulti = v->nouni = v->nobcast = false;
    v->unicast = v->multicast = (struct net_mac_table){0};
    memset(v->vlan, 0, sizeof(v->vlan));
    v->guest_offloads = NET_GUEST_OFFLOADS; /* net_start() leaves what was negotiated */
}

static bool table_has(const struct net_mac_table *t, const uint8_t *mac)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (memcmp(t->mac + 6 * i, mac, 6) == 0)
            return true;
    return t->overflow;
}

/* With VLAN filtering only tagged frames of known VLANs come in (5.1.6.5.3). */
static bool vlan_wanted(const struct virtio_net *v, const uint8_t *frame, size_t len)
{
    unsigned id;

    if (!virtio_has(&v->dev, VIRTIO_NET_F_CTRL_VLAN) || len < 16 || frame[12] != 0x81 ||
        frame[13] != 0x00)
        return true;
    id = (frame[14] & 15u) << 8 | frame[15];
    return v->vlan[id / 8] & BIT(id % 8);
}

bool virtio_net_wanted(const struct virtio_net *v, const uint8_t *frame, size_t len)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (v->promisc)
        return true;
    if (!vlan_wanted(v, frame, len))
        return false;
    if (memcmp(frame, broadcast, 6) == 0)
        return !v->nobcast;
    if (frame[0] & 1)
        return !v->nomulti && (v->allmulti || table_has(&v->multicast, frame));
    return !v->nouni &&
           (v->alluni || memcmp(frame, v->mac, 6) == 0 || table_has(&v->unicast, frame));
}

/* ---- Commands: true for VIRTIO_NET_OK ------------------------------------------------------- */

static bool set_rx_mode(struct virtio_net *v, uint8_t command, const struct virtq_chain *c)
{
    bool *const flag[] = {&v->promisc, &v->allmulti, &v->alluni,
                          &v->nomulti, &v->nouni, &v->nobcast};
    unsigned feature = command <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX
                                                              : VIRTIO_NET_F_CTRL_RX_EXTRA;
    uint8_t on;

    if (command >= ARRAY_SIZE(flag) || !virtio_has(&v->dev, feature) ||
        virtq_read(c, 2, &on, 1) < 1)
        return false;
    *flag[command] = on;
    return true;
}

/* One table at *off, which moves behind it. */
static bool read_table(const struct virtq_chain *c, size_t *off, struct net_mac_table *ret)
{
    uint8_t raw[4];
    uint32_t count;

    if (virtq_read(c, *off, raw, 4) < 4)
        return false;
    count = load_le32(raw);
    *off += 4;
    if (count > (c->out_len - *off) / 6) /* virtq_read() has shown *off to be inside */
        return false;
    *ret = (struct net_mac_table){.count = MIN(count, NET_MAC_TABLE_MAX),
                                  .overflow = count > NET_MAC_TABLE_MAX};
    if (virtq_read(c, *off, ret->mac, ret->count * 6) < ret->count * 6)
        return false;
    *off += (size_t)count * 6;
    return true;
}

static void set_mac(struct virtio_net *v, const uint8_t *mac)
{
    memcpy(v->mac, mac, 6);
    virtio_config_set(&v->dev, offsetof(struct virtio_net_config, mac), mac, 6);
}

static bool do_mac(struct virtio_net *v, uint8_t command, const struct virtq_chain *c)
{
    struct net_mac_table unicast, multicast;
    size_t off = 2;
    uint8_t mac[6];

    switch (command) {
    case VIRTIO_NET_CTRL_MAC_TABLE_SET:
        if (!virtio_has(&v->dev, VIRTIO_NET_F_CTRL_RX) || !read_table(c, &off, &unicast) ||
            !read_table(c, &off, &multicast))
            return false;
        v->unicast = unicast;
        v->multicast = multicast;
        return true;
    case VIRTIO_NET_CTRL_MAC_ADDR_SET:
        if (!virtio_has(&v->dev, VIRTIO_NET_F_CTRL_MAC_ADDR) || virtq_read(c, 2, mac, 6) < 6 ||
            (mac[0] & 1))
            return false;
        set_mac(v, mac);
        return true;
    default: return false;
    }
}

static bool do_vlan(struct virtio_net *v, uint8_t command, const struct virtq_chain *c)
{
    uint8_t raw[2], bit;
    uint16_t id;

    if (!virtio_has(&v->dev, VIRTIO_NET_F_CTRL_VLAN) || virtq_read(c, 2, raw, 2) < 2)
        return false;
    id = load_le16(raw);
    if (id >= 4096 || command > VIRTIO_NET_CTRL_VLAN_DEL)
        return false;
    bit = (uint8_t)BIT(id % 8);
    if (command == VIRTIO_NET_CTRL_VLAN_ADD)
        v->vlan[id / 8] |= bit;
    else
        v->vlan[id / 8] &= (uint8_t)~bit;
    return true;
}

static bool do_announce(struct virtio_net *v, uint8_t command)
{
    uint16_t status;

    if (command != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
        !virtio_has(&v->dev, VIRTIO_NET_F_GUEST_ANNOUNCE))
        return false;
    virtio_config_get(&v->dev, offsetof(struct virtio_net_config, status), &status, 2);
    status &= (uint16_t)~VIRTIO_NET_S_ANNOUNCE;
    virtio_config_set(&v->dev, offsetof(struct virtio_net_config, status), &status, 2);
    return true;
}

static bool do_offloads(struct virtio_net *v, uint8_t command, const struct virtq_chain *c)
{
    uint8_t raw[8];
    uint64_t offloads;

    if (command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
        !virtio_has(&v->dev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || virtq_read(c, 2, raw, 8) < 8)
        return false;
    offloads = load_le64(raw);
    if (offloads & ~(v->dev.driver_features & NET_GUEST_OFFLOADS))
        return false;
    v->guest_offloads = offloads;
    virtio_net_apply_offloads(v);
    return true;
}

static bool do_command(struct virtio_net *v, const struct virtq_chain *c)
{
    struct virtio_net_ctrl_hdr h;

    if (virtq_read(c, 0, &h, sizeof(h)) < sizeof(h))
        return false;
    switch (h.class) {
    case VIRTIO_NET_CTRL_RX: return set_rx_mode(v, h.cmd, c);
    case VIRTIO_NET_CTRL_MAC: return do_mac(v, h.cmd, c);
    case VIRTIO_NET_CTRL_VLAN: return do_vlan(v, h.cmd, c);
    case VIRTIO_NET_CTRL_ANNOUNCE: return do_announce(v, h.cmd);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS: return do_offloads(v, h.cmd, c);
    default: return false;
    }
}

void virtio_net_ctrl_kick(struct virtio_net *v)
{
    struct virtq *q = &v->dev.queue[NET_QUEUE_CTRL];
    struct virtq_chain *c;

    while ((c = virtq_pop(q))) {
        uint8_t ack = do_command(v, c) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;

        virtq_push(q, c, virtq_write(c, 0, &ack, 1));
    }
    virtq_notify(q);
}
