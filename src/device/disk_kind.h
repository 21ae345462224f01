/* SPDX-License-Identifier: MIT */
/* What others know of the kinds whose host's end is a disk. */
#ifndef VZ_DEVICE_DISK_KIND_H
#define VZ_DEVICE_DISK_KIND_H

#include "device/device_kind.h"

struct child;
struct nbd_dial;
struct vz_storage_attachment;

/* Begin to connect to what is on an NBD server, before there is a slot for it (block/blk_nbd.h): open() of one whose dial it is
 * does not wait once the descriptor is readable. */
int disk_dial(struct child *by, const struct vz_storage_attachment *a, struct nbd_dial **ret, struct vz_error *err) must_check;
int disk_dial_fd(const struct nbd_dial *d);
void disk_hang_up(struct nbd_dial *d);

/* Of a further namespace, the slot of its NVMe controller; NULL: there is none. */
struct device_slot *nvme_namespace_controller(const struct device_slot *s);

#endif
