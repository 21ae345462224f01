/* SPDX-License-Identifier: MIT */
/* MAC addresses. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <vz/network.h>

#include "base/compiler.h"

int vz_mac_address_parse(const char *text, struct vz_mac_address *ret)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    struct vz_mac_address mac = {{0}};

    if (!text || !ret)
        return -1;
    for (unsigned i = 0; i < 18; i++) {
        const char *d;

        if (i % 3 == 2) {
            if (text[i] != (i == 17 ? '\0' : ':'))
                return -1;
            continue;
        }
        d = text[i] ? strchr(digits, text[i]) : NULL;
        if (!d)
            return -1;
        mac.bytes[i / 3] = (uint8_t)(mac.bytes[i / 3] << 4 | ((d - digits) & 15));
    }
    *ret = mac;
    return 0;
}

void vz_mac_address_format(const struct vz_mac_address *mac, char ret[VZ_MAC_ADDRESS_TEXT_MAX])
{
    const uint8_t *b = mac->bytes;

    snprintf(ret, VZ_MAC_ADDRESS_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
             b[4], b[5]);
}

void vz_mac_address_random(struct vz_mac_address *ret)
{
    while (getrandom(ret->bytes, sizeof(ret->bytes), 0) != (ssize_t)sizeof(ret->bytes))
        ;
    ret->bytes[0] = (uint8_t)((ret->bytes[0] & 0xfc) | 0x02);
}

bool vz_mac_address_is_broadcast(const struct vz_mac_address *mac)
{
    static const uint8_t ones[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    return !memcmp(mac->bytes, ones, sizeof(ones));
}

bool vz_mac_address_is_multicast(const struct vz_mac_address *mac)
{
    return mac->bytes[0] & 1;
}

bool vz_mac_address_is_unicast(const struct vz_mac_address *mac)
{
    return !vz_mac_address_is_multicast(mac);
}

bool vz_mac_address_is_local(const struct vz_mac_address *mac)
{
    return mac->bytes[0] & 2;
}
