/* SPDX-License-Identifier: MIT */
/* A guest behind the NAT made of hand-written frames, for tests. Traffic goes to the loopback
 * interface only. */
#ifndef VZ_NET_NET_NAT_FIXTURE_H
#define VZ_NET_NET_NAT_FIXTURE_H

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_fixture.h"
#include "net/offload.h"

static const uint8_t guest_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t ones[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct nat_fixture {
    struct loop *loop;
    struct net *n;
    struct card *card;
    unsigned told;
};

static void told(void *arg)
{
    ((struct nat_fixture *)arg)->told++;
}

static inline void set_up(struct nat_fixture *f, const struct net_nat_options *o)
{
    *f = (struct nat_fixture){0};
    ck_assert_int_eq(loop_create(&f->loop), 0);
    ck_assert_int_eq(net_nat_create(f->loop, o, &f->n, NULL), 0);
    f->card = calloc(1, sizeof(*f->card));
    f->card->room = 16;
    net_attach(f->n, &card_client, f->card);
    net_nat_on_address(f->n, told, f);
    turns(f->loop, 3);
    f->card->count = 0;
}

static inline void tear_down(struct nat_fixture *f)
{
    net_attach(f->n, NULL, NULL);
    net_destroy(f->n);
    loop_destroy(f->loop);
    free(f->card);
}

static inline size_t put_udp(uint8_t *f, const char *from, const char *to, unsigned from_port,
                      unsigned to_port, size_t payload)
{
    struct virtio_net_hdr hdr = {.gso_type = NET_GSO_UDP_L4, .gso_size = 1};
    struct in_addr a;

    memcpy(f + 6, guest_mac, 6);
    memcpy(f, "\x52\x55\x0a\x00\x02\x02", 6);
    memcpy(f + 12, "\x08\x00\x45\x00\x00\x00\x00\x00\x00\x00\x40\x11\x00\x00", 14);
    inet_pton(AF_INET, from, &a);
    memcpy(f + 26, &a, 4);
    inet_pton(AF_INET, to, &a);
    memcpy(f + 30, &a, 4);
    f[34] = (uint8_t)(from_port >> 8);
    f[35] = (uint8_t)from_port;
    f[36] = (uint8_t)(to_port >> 8);
    f[37] = (uint8_t)to_port;
    ck_assert(offload_complete(f, 42 + payload, &hdr)); /* lengths and checksums */
    return 42 + payload;
}

/* type: 1 DISCOVER, 3 REQUEST of 10.0.2.15. */
static inline void send_dhcp(struct nat_fixture *f, uint8_t type)
{
    uint8_t frame[400] = {0}, *b = frame + 42, *o = b + 236;
    size_t len;

    b[0] = 1;
    b[1] = 1;
    b[2] = 6;
    memcpy(b + 4, "wxyz", 4);
    memcpy(b + 28, guest_mac, 6);
    memcpy(o, "\x63\x82\x53\x63\x35\x01", 6);
    o[6] = type;
    o += 7;
    if (type == 3) {
        memcpy(o, "\x32\x04\x0a\x00\x02\x0f", 6);
        o += 6;
    }
    *o = 255;
    len = put_udp(frame, "0.0.0.0", "255.255.255.255", 68, 67, 300);
    memcpy(frame, ones, 6);
    ck_assert(card_send(f->n, frame, len));
    turns(f->loop, 3);
}

/* The last UDP frame for the guest, or NULL. */
static inline const uint8_t *last_udp(const struct nat_fixture *f)
{
    for (unsigned i = f->card->count; i-- > 0;) {
        const uint8_t *frame = f->card->frame[i];

        if (frame[12] == 8 && frame[13] == 0 && frame[23] == 17)
            return frame;
    }
    return NULL;
}

static inline void get_lease(struct nat_fixture *f)
{
    send_dhcp(f, 1);
    send_dhcp(f, 3);
}

#endif
