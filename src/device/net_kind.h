/* SPDX-License-Identifier: MIT */
/* Network cards of a machine, for who runs it. */
#ifndef VZ_DEVICE_NET_KIND_H
#define VZ_DEVICE_NET_KIND_H

#include "device/device_kinds.h"

struct vz_guest_address;
struct vz_network_attachment;

/* What the card is attached to now, the slot's reference; NULL: no link. */
struct vz_network_attachment *net_slot_attachment(const struct device_slot *s);

/* False: the card is not behind NAT. */
bool net_slot_guest_address(const struct device_slot *s, struct vz_guest_address *ret);

#endif
