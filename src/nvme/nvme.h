/* SPDX-License-Identifier: MIT */
/* An NVMe controller (NVM Express 1.4) on PCI: a storage device for guests without virtio drivers. Its
 * namespaces are disks (block/blk.h).
 *
 * Threads: registers on vCPU threads under the PCI function's lock, as with any function; everything
 * else on the loop thread, or where the loop does not run. */
#ifndef VZ_NVME_NVME_H
#define VZ_NVME_NVME_H

#include "base/compiler.h"
#include "base/stats.h"

struct blk;
struct loop;
struct mem;
struct nvme;
struct pci_host;
struct vz_error;

#define NVME_NAMESPACES_MAX 32u
#define NVME_SERIAL_MAX     20u

#define NVME_COUNTERS(X)                                                                           \
    X(commands) X(admin_commands)                                                                  \
    X(failed) /* commands that ended with an error */                                              \
    X(interrupts) X(events) X(resets)                                                              \
    X(fatal) /* times that a controller gave up: CSTS.CFS */

struct nvme_stats {
    NVME_COUNTERS(STATS_FIELD)
};
void nvme_stats_tell(const struct nvme_stats *s, stats_fn *fn, void *arg);

struct nvme_namespace_options {
    struct blk *blk;     /* on the controller's loop; the caller's, outlives it; it attaches */
    bool read_only;      /* also where the disk could be written */
    uint32_t block_size; /* of its LBAs: 512, 4096, or 0 for the disk's own, which is the least */
};

struct nvme_options {
    struct loop *loop; /* outlives the controller */
    struct mem *mem;   /* likewise */
    struct nvme_stats *sum; /* to count into, with other controllers; NULL: nowhere */
    const struct nvme_namespace_options *namespaces; /* with IDs from 1 on; read only here */
    unsigned namespace_count;                        /* 1..NVME_NAMESPACES_MAX */
    char serial[NVME_SERIAL_MAX + 1];                /* ASCII */
    uint8_t uuid[16];  /* the machine's: with the serial number, identities are made of it */
};

/* Make it as the function at devfn. It belongs to the bus. 0 or -errno with err filled in. No vCPU
 * runs. */
int nvme_create(struct pci_host *host, unsigned devfn, const struct nvme_options *options,
                struct nvme **ret, struct vz_error *err) must_check;
/* One namespace more, with the next ID. The same, before the machine runs. */
int nvme_add_namespace(struct nvme *n, const struct nvme_namespace_options *options,
                       struct vz_error *err) must_check;
/* Take it off the bus and free it, while the machine goes on. It is quiet, and no vCPU runs. */
void nvme_destroy(struct nvme *n);

/* Stop taking commands, and call done(arg) once none is in flight: from the loop, or from inside when
 * that is so already. Then it may be saved. */
void nvme_quiesce(struct nvme *n, void (*done)(void *arg), void *arg);
/* Go on: also before done was called, which then does not come any more. */
void nvme_resume(struct nvme *n);

#endif
