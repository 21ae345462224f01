/* SPDX-License-Identifier: MIT */
/* What a machine's devices and their host's ends have done, summed up by layer: they count here while
 * they live, and what they counted stays. */
#ifndef VZ_DEVICE_DEVICE_COUNTERS_H
#define VZ_DEVICE_DEVICE_COUNTERS_H

#include "block/blk.h"
#include "char/char.h"
#include "net/net.h"
#include "nvme/nvme.h"
#include "usb/xhci.h"
#include "virtio/virtio.h"

struct device_counters {
    struct blk_stats block;
    struct char_stats lines;
    struct net_stats net;
    struct nvme_stats nvme;
    struct xhci_stats xhci;
    struct virtio_stats virtio;
};

#endif
