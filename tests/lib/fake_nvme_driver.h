/* SPDX-License-Identifier: MIT */
/* An NVMe driver without a guest, for tests of the controller: it enables it, makes queues in guest
 * memory, and works with them through the registers, as any driver would, or as no driver should. */
#ifndef VZ_TESTS_FAKE_NVME_DRIVER_H
#define VZ_TESTS_FAKE_NVME_DRIVER_H

#include <sys/mman.h>

#include "fake_machine.h"
#include "mem/mem.h"
#include "nvme/nvme.h"
#include "nvme/nvme_spec.h"
#include "pci/pci.h"

#define FN_RAM    (8 * MIB)
#define FN_DEVFN  PCI_DEVFN(4, 0)
#define FN_BAR    (UINT64_C(1) << 45)
#define FN_MSIX   0xc0000000u
#define FN_QUEUES 4u        /* those that it can have; 0 are the admin's */
#define FN_RING   0x10000u  /* queue i's submission ring; the completion ring 32 KiB behind it */
#define FN_SHADOW 0x80000u  /* the doorbell buffer: two pages */
#define FN_DATA   0x100000u /* fn_data() */

struct fn_queue {
    uint16_t size, tail, head;
    bool phase;
};

struct fn {
    struct fake_machine m;
    struct mem *mem;
    uint8_t *ram; /* the driver's own mapping: what only it has asked for, no device may write */
    struct pci_host *host;
    struct nvme *n;
    struct fn_queue q[FN_QUEUES];
    bool shadowed;
};

static inline void fn_create(struct fn *f, struct nvme_options *options)
{
    struct pci_host_options o = {.ecam_base = 0xb0000000, .mem32_base = FN_MSIX,
                                 .mem32_end = 0xfec00000, .io_base = 0x1000,
                                 .mem64_base = FN_BAR, .mem64_end = UINT64_C(1) << 46};
    const struct mem_options ram = {.capacity = FN_RAM, .shared = true, .strict = true};
    struct vz_error err = {0};

    memset(f, 0, sizeof(*f));
    fake_machine_init(&f->m);
    ck_assert_int_eq(mem_create_with(&ram, &f->mem, NULL), 0);
    ck_assert_int_eq(mem_add(f->mem, 0, FN_RAM, false), 0);
    f->ram = mmap(NULL, FN_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->mem->fd, 0);
    ck_assert_ptr_ne(f->ram, MAP_FAILED);
    ck_assert_int_eq(pci_host_create(f->m.bus, &o, &f->host), 0);
    options->loop = f->m.loop;
    options->mem = f->mem;
    ck_assert_msg(nvme_create(f->host, FN_DEVFN, options, &f->n, &err) == 0, "%s", err.text);
    pci_assign_bars(f->host);
}

static inline void fn_destroy(struct fn *f)
{
    fake_machine_fini(&f->m);
    munmap(f->ram, FN_RAM);
    mem_destroy(f->mem);
}

static inline void fn_turn(struct fn *f)
{
    for (unsigned i = 0; i < 6; i++)
        fake_loop_turn(f->m.loop);
}

static inline uint32_t fn_rd(struct fn *f, unsigned reg)
{
    return (uint32_t)fake_read(&f->m, FN_BAR + reg, 4);
}

static inline void fn_wr(struct fn *f, unsigned reg, uint32_t value)
{
    fake_write(&f->m, FN_BAR + reg, 4, value);
}

static inline uint64_t fn_sq_at(unsigned qid)
{
    return FN_RING + qid * 0x10000u;
}

static inline uint64_t fn_cq_at(unsigned qid)
{
    return fn_sq_at(qid) + 0x8000;
}

static inline void *fn_at(struct fn *f, uint64_t gpa)
{
    ck_assert_uint_lt(gpa, FN_RAM);
    return f->ram + gpa;
}

#define FN_CC (NVME_CC_EN | NVME_SQE_SIZE_LOG2 << 16 | NVME_CQE_SIZE_LOG2 << 20)

static inline void fn_fresh_queue(struct fn *f, unsigned qid, uint16_t size)
{
    f->q[qid] = (struct fn_queue){.size = size, .phase = true};
    memset(fn_at(f, fn_sq_at(qid)), 0, 0x10000);
}

/* Disable it, wait, and enable it with admin queues of size entries. */
static inline void fn_enable(struct fn *f, uint16_t size)
{
    fn_wr(f, NVME_REG_CC, 0);
    fn_turn(f);
    ck_assert_uint_eq(fn_rd(f, NVME_REG_CSTS), 0);
    f->shadowed = false;
    fn_fresh_queue(f, 0, size);
    fn_wr(f, NVME_REG_AQA, (size - 1u) * 0x10001u);
    fake_write(&f->m, FN_BAR + NVME_REG_ASQ, 8, fn_sq_at(0));
    fake_write(&f->m, FN_BAR + NVME_REG_ACQ, 8, fn_cq_at(0));
    fn_wr(f, NVME_REG_CC, FN_CC);
    fn_turn(f);
}

/* Put a command into a queue; the doorbell is fn_ring()'s. */
static inline void fn_add(struct fn *f, unsigned qid, const struct nvme_sqe *cmd)
{
    struct fn_queue *q = &f->q[qid];
    struct nvme_sqe *ring = fn_at(f, fn_sq_at(qid));

    ring[q->tail] = *cmd;
    q->tail = (uint16_t)((q->tail + 1) % q->size);
}

static inline uint32_t *fn_shadow(struct fn *f, unsigned qid, bool cq)
{
    return (uint32_t *)fn_at(f, FN_SHADOW) + 2 * qid + cq;
}

static inline void fn_ring(struct fn *f, unsigned qid)
{
    if (f->shadowed && qid)
        *fn_shadow(f, qid, false) = f->q[qid].tail;
    fn_wr(f, NVME_REG_DOORBELLS + 8 * qid, f->q[qid].tail);
}

/* Take the next completion; false: none. Its place is given back at once. */
static inline bool fn_done(struct fn *f, unsigned qid, struct nvme_cqe *ret)
{
    struct fn_queue *q = &f->q[qid];
    const struct nvme_cqe *ring = fn_at(f, fn_cq_at(qid));

    if ((ring[q->head].status & 1) != q->phase)
        return false;
    *ret = ring[q->head];
    q->head = (uint16_t)((q->head + 1) % q->size);
    q->phase ^= !q->head;
    if (f->shadowed && qid)
        *fn_shadow(f, qid, true) = q->head;
    fn_wr(f, NVME_REG_DOORBELLS + 8 * qid + 4, q->head);
    return true;
}

/* The status of a completion, without phase, "more" and "do not retry". */
static inline unsigned fn_status(const struct nvme_cqe *c)
{
    return c->status >> 1 & NVME_STATUS_CODE;
}

/* An admin command there and back. */
static inline unsigned fn_admin(struct fn *f, const struct nvme_sqe *cmd, uint32_t *dw0)
{
    struct nvme_cqe c;

    fn_add(f, 0, cmd);
    fn_ring(f, 0);
    fn_turn(f);
    ck_assert(fn_done(f, 0, &c));
    ck_assert_uint_eq(c.cid, cmd->cid);
    fn_turn(f);
    if (dw0)
        *dw0 = c.dw0;
    return fn_status(&c);
}

static inline unsigned fn_create_cq(struct fn *f, unsigned qid, uint16_t size)
{
    const struct nvme_sqe cmd = {.opcode = NVME_ADMIN_CREATE_CQ, .prp1 = fn_cq_at(qid),
                                 .cdw10 = qid | (size - 1u) << 16,
                                 .cdw11 = NVME_QUEUE_PC | NVME_QUEUE_IEN | qid << 16};

    fn_fresh_queue(f, qid, size);
    return fn_admin(f, &cmd, NULL);
}

static inline unsigned fn_create_sq(struct fn *f, unsigned qid, uint16_t size)
{
    const struct nvme_sqe cmd = {.opcode = NVME_ADMIN_CREATE_SQ, .prp1 = fn_sq_at(qid),
                                 .cdw10 = qid | (size - 1u) << 16,
                                 .cdw11 = NVME_QUEUE_PC | qid << 16};

    return fn_admin(f, &cmd, NULL);
}

/* All of it: enabled, with I/O queue pairs 1 to pairs of size entries. */
static inline void fn_start(struct fn *f, unsigned pairs, uint16_t size)
{
    fn_enable(f, 16);
    ck_assert_uint_eq(fn_rd(f, NVME_REG_CSTS), NVME_CSTS_RDY);
    for (unsigned i = 1; i <= pairs; i++) {
        ck_assert_uint_eq(fn_create_cq(f, i, size), NVME_OK);
        ck_assert_uint_eq(fn_create_sq(f, i, size), NVME_OK);
    }
}

/* Switch MSI-X on, every vector with a message of its own (data: its number). */
static inline void fn_msix(struct fn *f)
{
    for (unsigned i = 0; i < FN_QUEUES; i++) {
        fake_write(&f->m, FN_MSIX + 16 * i, 4, 0xfee00000);
        fake_write(&f->m, FN_MSIX + 16 * i + 8, 4, i);
        fake_write(&f->m, FN_MSIX + 16 * i + 12, 4, 0);
    }
    fake_write(&f->m, 0xb0000000 + (FN_DEVFN << 12) + PCI_CFG_FIRST_CAPABILITY + 2, 2, 0x8000);
}

/* Restore the controller, the driver and its memory in another one that was made in the same way. */
static inline void fn_move(struct fn *from, struct fn *to)
{
    memcpy(to->ram, from->ram, FN_RAM);
    fake_machine_round_trip(&from->m, &to->m);
    memcpy(to->q, from->q, sizeof(to->q));
    to->shadowed = from->shadowed;
}

#endif
