/* SPDX-License-Identifier: MIT */
/* A virtio driver without a guest, for tests of virtio devices: it finds the device on a PCI bus,
 * negotiates, builds split rings in guest memory and works with them through the registers, as any
 * driver would, or as no driver should. */
#ifndef VZ_TESTS_FAKE_VIRTIO_DRIVER_H
#define VZ_TESTS_FAKE_VIRTIO_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>

#include "fake_machine.h"
#include "mem/mem.h"
#include "pci/pci.h"
#include "virtio/virtio.h"

#define FV_RAM       (8 * MIB)
#define FV_RINGS     0x10000u /* queue i's rings: 64 KiB from here + i * 64 KiB */
#define FV_DATA      0x400000u /* fv_alloc() gives from here on */
#define FV_WINDOWS   UINT64_C(0x100000000)
#define FV_DEVFN     PCI_DEVFN(4, 0)
#define FV_BAR       (UINT64_C(1) << 45)
#define FV_MSIX      0xc0000000u
#define FV_COMMON(f) (FV_BAR + (f))
#define FV_ISR       (FV_BAR + 0x1000)
#define FV_CONFIG    (FV_BAR + 0x2000)
#define FV_NOTIFY    (FV_BAR + 0x3000)

struct fv_queue {
    uint16_t size, free, avail, used; /* free: next descriptor to use, never reused before wrap */
    struct vring_desc *desc;
    struct vring_avail *av;
    struct vring_used *us;
};

struct fv {
    struct fake_machine m;
    struct mem *mem;
    uint8_t *ram; /* what the driver sees of it: a mapping of its own, so that no device can write a
                     page for which only the driver has asked */
    struct pci_host *host;
    struct virtio_dev *dev;
    struct fv_queue q[VIRTIO_QUEUES_MAX];
    uint64_t alloc;
};

struct fv_buf {
    uint64_t gpa;
    uint32_t len;
    bool in; /* the device writes it */
};

/* Memory, with room for so much of windows, and buses. fv_create_device() follows. */
static inline void fv_create_machine(struct fv *v, uint64_t windows)
{
    struct pci_host_options o = {.ecam_base = 0xb0000000, .mem32_base = FV_MSIX,
                                 .mem32_end = 0xfec00000, .io_base = 0x1000,
                                 .mem64_base = FV_BAR, .mem64_end = UINT64_C(1) << 46};
    const struct mem_options ram = {.capacity = FV_RAM, .shared = true, .strict = true, .windows = windows};

    memset(v, 0, sizeof(*v));
    fake_machine_init(&v->m);
    ck_assert_int_eq(mem_create_with(&ram, &v->mem, NULL), 0);
    ck_assert_int_eq(mem_add(v->mem, 0, FV_RAM, false), 0);
    ck_assert(!windows || mem_add_windows(v->mem, FV_WINDOWS) == 0);
    v->ram = mmap(NULL, FV_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, v->mem->fd, 0);
    ck_assert_ptr_ne(v->ram, MAP_FAILED);
    ck_assert_int_eq(pci_host_create(v->m.bus, &o, &v->host), 0);
    v->alloc = FV_DATA;
}

static inline void fv_create_device(struct fv *v, const struct virtio_ops *ops, const void *options,
                                    const struct virtio_shared_memory *shared)
{
    struct virtio_params p = {.options = options, .loop = v->m.loop, .mem = v->mem};
    struct vz_error err = {0};

    if (shared)
        p.shared = *shared;
    ck_assert_msg(virtio_pci_create(v->host, FV_DEVFN, ops, &p, &v->dev, &err) == 0, "%s",
                  err.text);
    pci_assign_bars(v->host);
}

static inline void fv_create(struct fv *v, const struct virtio_ops *ops, const void *options)
{
    fv_create_machine(v, 0);
    fv_create_device(v, ops, options, NULL);
}

static inline void fv_destroy(struct fv *v)
{
    fake_machine_fini(&v->m);
    munmap(v->ram, FV_RAM);
    mem_destroy(v->mem);
}

static inline void fv_turn(struct fv *v)
{
    for (unsigned i = 0; i < 4; i++)
        fake_loop_turn(v->m.loop);
}

static inline uint64_t fv_rd(struct fv *v, unsigned reg, unsigned size)
{
    return fake_read(&v->m, FV_COMMON(reg), size);
}

static inline void fv_wr(struct fv *v, unsigned reg, unsigned size, uint64_t value)
{
    fake_write(&v->m, FV_COMMON(reg), size, value);
}

static inline uint8_t fv_status(struct fv *v)
{
    return (uint8_t)fv_rd(v, VIRTIO_PCI_COMMON_STATUS, 1);
}

static inline uint64_t fv_offered(struct fv *v)
{
    uint64_t f;

    fv_wr(v, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
    f = fv_rd(v, VIRTIO_PCI_COMMON_DF, 4) << 32;
    fv_wr(v, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
    return f | fv_rd(v, VIRTIO_PCI_COMMON_DF, 4);
}

/* Reset, and negotiate features (VERSION_1 is added). */
static inline void fv_negotiate(struct fv *v, uint64_t features)
{
    features |= BIT(VIRTIO_F_VERSION_1);
    fv_wr(v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(v);
    ck_assert_uint_eq(fv_status(v), 0);
    fv_wr(v, VIRTIO_PCI_COMMON_STATUS, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        fv_wr(v, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
        fv_wr(v, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> (32 * i)));
    }
    fv_wr(v, VIRTIO_PCI_COMMON_STATUS, 1, 11);
    ck_assert_uint_eq(fv_status(v), 11);
}

/* Find the rings of a queue in v's own memory. */
static inline void fv_rings(struct fv *v, unsigned index)
{
    uint8_t *at = v->ram + FV_RINGS + index * 0x10000u;

    v->q[index].desc = (void *)at;
    v->q[index].av = (void *)(at + 0x8000);
    v->q[index].us = (void *)(at + 0xc000);
}

static inline void fv_queue_setup(struct fv *v, unsigned index, uint16_t size)
{
    struct fv_queue *q = &v->q[index];
    uint64_t at = FV_RINGS + index * 0x10000u;

    memset(v->ram + at, 0, 0x10000);
    *q = (struct fv_queue){.size = size};
    fv_rings(v, index);
    fv_wr(v, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
    fv_wr(v, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
    fv_wr(v, VIRTIO_PCI_COMMON_Q_DESCLO, 4, at);
    fv_wr(v, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, at + 0x8000);
    fv_wr(v, VIRTIO_PCI_COMMON_Q_USEDLO, 4, at + 0xc000);
    fv_wr(v, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static inline void fv_go(struct fv *v)
{
    fv_wr(v, VIRTIO_PCI_COMMON_STATUS, 1, 15);
    fv_turn(v);
}

/* All of it: features, all queues with size slots, DRIVER_OK. */
static inline void fv_start(struct fv *v, uint64_t features, uint16_t size)
{
    fv_negotiate(v, features);
    for (unsigned i = 0; i < v->dev->queue_count; i++)
        fv_queue_setup(v, i, size);
    fv_go(v);
}

static inline uint64_t fv_alloc(struct fv *v, uint64_t len)
{
    uint64_t at = v->alloc;

    v->alloc += (len + 63) & ~UINT64_C(63);
    ck_assert_uint_le(v->alloc, FV_RAM);
    return at;
}

static inline void *fv_at(struct fv *v, uint64_t gpa)
{
    ck_assert_uint_lt(gpa, FV_RAM);
    return v->ram + gpa;
}

/* Make head available, whatever it is. */
static inline void fv_offer(struct fv *v, unsigned index, uint16_t head)
{
    struct fv_queue *q = &v->q[index];

    q->av->ring[q->avail++ % q->size] = head;
    q->av->idx = q->avail;
}

/* Build a chain of count buffers and make it available. Returns its head. */
static inline uint16_t fv_add(struct fv *v, unsigned index, const struct fv_buf *buf,
                              unsigned count)
{
    struct fv_queue *q = &v->q[index];
    uint16_t head = q->free;

    for (unsigned i = 0; i < count; i++) {
        uint16_t at = q->free;

        q->free = (uint16_t)((at + 1) % q->size);
        q->desc[at] = (struct vring_desc){
            .addr = buf[i].gpa, .len = buf[i].len, .next = q->free,
            .flags = (uint16_t)((buf[i].in ? VRING_DESC_F_WRITE : 0) |
                                (i + 1 < count ? VRING_DESC_F_NEXT : 0))};
    }
    fv_offer(v, index, head);
    return head;
}

static inline void fv_kick(struct fv *v, unsigned index)
{
    fake_write(&v->m, FV_NOTIFY + 4 * index, 2, index);
    fv_turn(v);
}

/* Take the next used element; false: none. */
static inline bool fv_used(struct fv *v, unsigned index, struct vring_used_elem *ret)
{
    struct fv_queue *q = &v->q[index];

    if (q->us->idx == q->used)
        return false;
    *ret = q->us->ring[q->used++ % q->size];
    return true;
}

/* One request there and back; returns the bytes written. */
static inline uint32_t fv_request(struct fv *v, unsigned index, const struct fv_buf *buf,
                                  unsigned count)
{
    struct vring_used_elem e;
    uint16_t head = fv_add(v, index, buf, count);

    fv_kick(v, index);
    ck_assert(fv_used(v, index, &e));
    ck_assert_uint_eq(e.id, head);
    return e.len;
}

/* Restore the machine, the driver and its memory in another one that was made in the same way. */
static inline void fv_move(struct fv *from, struct fv *to)
{
    memcpy(to->ram, from->ram, FV_RAM);
    fake_machine_round_trip(&from->m, &to->m);
    for (unsigned i = 0; i < to->dev->queue_count; i++) {
        to->q[i] = from->q[i];
        fv_rings(to, i);
    }
}

static inline bool fv_is_broken(struct fv *v)
{
    return fv_status(v) & VIRTIO_S_NEEDS_RESET;
}

/* What no driver should do, to every queue of the device, one mistake after the other, each after a
 * reset: the device must end in DEVICE_NEEDS_RESET or ignore it. */
static inline void fv_hostile(struct fv *v, uint64_t features)
{
    static const struct vring_desc bad[] = {
        {.addr = FV_RAM - 8, .len = 16},                                /* over the end */
        {.addr = UINT64_MAX - 7, .len = 16, .flags = VRING_DESC_F_WRITE}, /* wraps */
        {.addr = FV_DATA, .len = UINT32_MAX},
        {.addr = FV_DATA, .len = 16, .flags = VRING_DESC_F_NEXT, .next = 0}, /* a loop */
        {.addr = FV_DATA, .len = 16, .flags = VRING_DESC_F_NEXT, .next = 0xffff},
        {.addr = FV_DATA, .len = 15, .flags = VRING_DESC_F_INDIRECT},
        {.addr = FV_DATA, .len = 0, .flags = VRING_DESC_F_INDIRECT},
        {.addr = UINT64_MAX - 15, .len = 16, .flags = VRING_DESC_F_INDIRECT},
        {.addr = FV_RINGS, .len = 16, .flags = VRING_DESC_F_INDIRECT}, /* names itself */
    };

    for (unsigned i = 0; i < v->dev->queue_count; i++) {
        for (unsigned b = 0; b < ARRAY_SIZE(bad); b++) {
            fv_start(v, features, 8);
            v->q[i].desc[0] = bad[b];
            fv_offer(v, i, 0);
            fv_kick(v, i);
            (void)fv_status(v);
        }
        fv_start(v, features, 8);
        fv_offer(v, i, 8); /* no such descriptor */
        fv_kick(v, i);
        fv_start(v, features, 8);
        v->q[i].av->idx = 0x7fff; /* more than the queue holds */
        fv_kick(v, i);
        fv_start(v, features, 8);
        for (unsigned n = 0; n < 8; n++) /* one chain, eight times; empty ones */
            fv_offer(v, i, 0);
        fv_kick(v, i);
    }
    fake_write(&v->m, FV_NOTIFY + 4 * 31, 2, 31);
    for (unsigned reg = 0; reg < 0x40; reg++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            fv_wr(v, reg, size, UINT64_C(0xa5a5a5a5a5a5a5a5));
            (void)fv_rd(v, reg, size);
            fake_write(&v->m, FV_CONFIG + reg, size, UINT64_MAX);
            (void)fake_read(&v->m, FV_CONFIG + reg, size);
        }
        fv_turn(v);
    }
    fv_start(v, features, 8); /* and it works again */
    ck_assert_uint_eq(fv_status(v), 15);
}

#endif
