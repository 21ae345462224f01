/* SPDX-License-Identifier: MIT */
/* The device core, the PCI transport and split rings, with a device that keeps its requests until
 * it is told to answer. */
#include "virtio/virtio.h"

#include "base/le.h"
#include "fake_shortcuts.h"
#include "fake_virtio_driver.h"
#include "unit.h"

struct slow {
    struct virtio_dev dev;
    struct virtq_chain *held[64];
    unsigned held_count, drains, resets, starts, configs;
};

static struct slow *slow_of(struct fv *v)
{
    return (struct slow *)v->dev;
}

static void slow_kick(struct virtio_dev *dev, unsigned index)
{
    struct slow *s = (struct slow *)dev;
    struct virtq_chain *c;

    while ((c = virtq_pop(&dev->queue[index])))
        s->held[s->held_count++] = c;
}

static void slow_answer(struct fv *v, unsigned which, size_t len)
{
    struct slow *s = slow_of(v);
    struct virtq_chain *c = s->held[which];
    struct virtq *q = c->queue;

    s->held[which] = s->held[--s->held_count];
    virtq_push(q, c, len);
    virtq_notify(q);
}

static void slow_drain(struct virtio_dev *dev)
{
    ((struct slow *)dev)->drains++;
}

static void slow_reset(struct virtio_dev *dev)
{
    ((struct slow *)dev)->resets++;
}

static void slow_start(struct virtio_dev *dev)
{
    ((struct slow *)dev)->starts++;
}

static void slow_config(struct virtio_dev *dev)
{
    ((struct slow *)dev)->configs++;
}

static int slow_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    memcpy(dev->config, "config space", 12);
    dev->config_wmask[4] = 0x0f;
    return 0;
}

static const struct virtio_ops slow_ops = {
    .name = "slow", .id = 42, .queues = 2, .queue_max = 16, .config_len = 12, .features = BIT(5),
    .size = sizeof(struct slow), .init = slow_init, .kick = slow_kick, .drain = slow_drain,
    .reset = slow_reset, .start = slow_start, .config_written = slow_config};

static const struct fv_buf out16 = {FV_DATA, 16, false}, in16 = {FV_DATA + 64, 16, true};

static uint32_t cfg(struct fv *v, unsigned reg, unsigned size)
{
    return (uint32_t)fake_read(&v->m, 0xb0000000u + (FV_DEVFN << 12) + reg, size);
}

static void set_cfg(struct fv *v, unsigned reg, unsigned size, uint32_t value)
{
    fake_write(&v->m, 0xb0000000u + (FV_DEVFN << 12) + reg, size, value);
}

static unsigned find_cap(struct fv *v, uint8_t id, uint8_t type)
{
    for (unsigned at = cfg(v, 0x34, 1); at; at = cfg(v, at + 1, 1)) {
        if (cfg(v, at, 1) == id && (id != 9 || cfg(v, at + 3, 1) == type))
            return at;
    }
    return 0;
}

START_TEST(identity_and_capabilities)
{
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    ck_assert_uint_eq(cfg(&v, 0, 4), 0x1af4 | (0x1040 + 42) << 16);
    ck_assert_uint_eq(cfg(&v, 8, 1), 1);
    ck_assert_uint_eq(cfg(&v, 0x2c, 2), 0x1af4);
    for (uint8_t type = 1; type <= 5; type++)
        ck_assert_uint_ne(find_cap(&v, 9, type), 0);
    ck_assert_uint_eq(cfg(&v, find_cap(&v, 0x11, 0) + 2, 2) & 0x7ff, 2); /* three vectors */
    ck_assert_uint_eq(cfg(&v, find_cap(&v, 9, 2) + 16, 4), 4);
    fv_destroy(&v);
}
END_TEST

START_TEST(features_are_negotiated)
{
    struct fv v;
    uint64_t want = BIT(5) | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
                    BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_RESET);

    fv_create(&v, &slow_ops, NULL);
    ck_assert_uint_eq(fv_offered(&v), want);
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 11); /* without VERSION_1 */
    ck_assert_uint_eq(fv_status(&v), 3);
    fv_wr(&v, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
    fv_wr(&v, VIRTIO_PCI_COMMON_GF, 4, 1);
    fv_wr(&v, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
    fv_wr(&v, VIRTIO_PCI_COMMON_GF, 4, 1); /* not offered */
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 11);
    ck_assert_uint_eq(fv_status(&v), 3);
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 15); /* DRIVER_OK needs FEATURES_OK */
    ck_assert_uint_eq(fv_status(&v), 3);
    fv_start(&v, BIT(5), 8);
    ck_assert_uint_eq(fv_status(&v), 15);
    ck_assert_uint_eq(slow_of(&v)->starts, 1);
    ck_assert(virtio_has(v.dev, 5));
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 1); /* bits are not cleared one by one */
    ck_assert_uint_eq(fv_status(&v), 15);
    fv_destroy(&v);
}
END_TEST

START_TEST(answers_come_in_any_order)
{
    struct fv v;
    struct fv_buf chain[2] = {out16, in16};
    struct vring_used_elem e;
    uint8_t text[16];

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    memcpy(fv_at(&v, FV_DATA), "0123456789abcdef", 16);
    fv_add(&v, 1, chain, 2);
    fv_add(&v, 1, chain, 2);
    fv_kick(&v, 1);
    ck_assert_uint_eq(slow_of(&v)->held_count, 2);
    ck_assert_uint_eq(virtq_read(slow_of(&v)->held[1], 4, text, 16), 12);
    ck_assert_mem_eq(text, "456789abcdef", 12);
    ck_assert_uint_eq(virtq_write(slow_of(&v)->held[1], 15, "xy", 2), 1);
    ck_assert_int_eq(*(char *)fv_at(&v, FV_DATA + 64 + 15), 'x');
    slow_answer(&v, 1, 100); /* more than there is room for */
    ck_assert(fv_used(&v, 1, &e));
    ck_assert_uint_eq(e.id, 2);
    ck_assert_uint_eq(e.len, 16);
    slow_answer(&v, 0, 3);
    ck_assert(fv_used(&v, 1, &e));
    ck_assert_uint_eq(e.id, 0);
    ck_assert_uint_eq(e.len, 3);
    fv_destroy(&v);
}
END_TEST

START_TEST(interrupts_by_pin_and_by_message)
{
    struct fv v;
    unsigned gsi = pci_intx_gsi(FV_DEVFN, 1), msix;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    slow_answer(&v, 0, 0);
    ck_assert(v.m.level[gsi]);
    ck_assert_uint_eq(fake_read(&v.m, FV_ISR, 1), 1);
    ck_assert(!v.m.level[gsi]);
    ck_assert_uint_eq(fake_read(&v.m, FV_ISR, 1), 0);
    virtio_config_set(v.dev, 0, "C", 1);
    ck_assert_uint_eq(fake_read(&v.m, FV_ISR, 1), 2);
    msix = find_cap(&v, 0x11, 0);
    set_cfg(&v, msix + 2, 2, 0x8000);
    fake_write(&v.m, FV_MSIX + 16, 4, 0xfee00000);
    fake_write(&v.m, FV_MSIX + 24, 4, 0x55);
    fake_write(&v.m, FV_MSIX + 28, 4, 0);
    fv_wr(&v, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    fv_wr(&v, VIRTIO_PCI_COMMON_Q_MSIX, 2, 99);
    ck_assert_uint_eq(fv_rd(&v, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
    fv_wr(&v, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    slow_answer(&v, 0, 0);
    ck_assert_uint_eq(v.m.msi_count, 1);
    ck_assert_uint_eq(v.m.msi.data, 0x55);
    ck_assert(!v.m.level[gsi]);
    fv_destroy(&v);
}
END_TEST

/* Notifications by eventfd, wherever the BAR is, and only while the driver drives; the same
 * requests get through, and the backend is left as it was. */
START_TEST(notifications_may_ring_a_bell)
{
    struct fake_shortcuts s = {.bell_count = 0};
    const uint64_t moved = FV_BAR + 0x100000;
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    fake_machine_init(&s.m);
    bus_set_hv(v.m.bus, &fake_shortcuts_hv, (struct hv_vm *)&s);
    fv_start(&v, 0, 8);
    fv_turn(&v);
    ck_assert_uint_eq(s.bell_count, 2);
    fv_add(&v, 0, &out16, 1);
    ck_assert(fake_ring(&s, FV_NOTIFY));
    fv_turn(&v);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    set_cfg(&v, 0x10, 4, (uint32_t)moved);
    ck_assert(!fake_ring(&s, FV_NOTIFY));
    fv_add(&v, 0, &out16, 1);
    ck_assert(fake_ring(&s, moved + 0x3000));
    fv_turn(&v);
    ck_assert_uint_eq(slow_of(&v)->held_count, 2);
    slow_answer(&v, 0, 0);
    slow_answer(&v, 0, 0);
    fake_write(&v.m, moved + VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&v);
    ck_assert_uint_eq(s.bell_count, 0);
    set_cfg(&v, 0x10, 4, (uint32_t)FV_BAR);
    fv_start(&v, 0, 8);
    fv_turn(&v);
    ck_assert_uint_eq(s.bell_count, 2);
    fv_destroy(&v);
    ck_assert_uint_eq(s.bell_count, 0);
    fake_machine_fini(&s.m);
}
END_TEST

START_TEST(event_indexes_save_interrupts_and_kicks)
{
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, BIT(VIRTIO_RING_F_EVENT_IDX), 16);
    for (unsigned i = 0; i < 3; i++)
        fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    ck_assert_uint_eq(load_le16(&v.q[0].us->ring[16]), 3); /* kick me for the fourth */
    v.q[0].av->ring[16] = 2;                                 /* interrupt me for the third */
    slow_answer(&v, 0, 0);
    (void)fake_read(&v.m, FV_ISR, 1); /* the first is always told */
    slow_answer(&v, 0, 0);
    ck_assert_uint_eq(fake_read(&v.m, FV_ISR, 1), 0);
    slow_answer(&v, 0, 0);
    ck_assert_uint_eq(fake_read(&v.m, FV_ISR, 1), 1);
    fv_destroy(&v);
}
END_TEST

START_TEST(interrupts_can_be_switched_off)
{
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    v.q[0].av->flags = VRING_AVAIL_F_NO_INTERRUPT;
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    slow_answer(&v, 0, 0);
    ck_assert_uint_eq(fake_read(&v.m, FV_ISR, 1), 0);
    fv_destroy(&v);
}
END_TEST

START_TEST(indirect_chains_are_followed)
{
    struct fv v;
    uint64_t at;
    struct vring_desc *table;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, BIT(VIRTIO_RING_F_INDIRECT_DESC), 16);
    at = fv_alloc(&v, 4096);
    table = fv_at(&v, at);
    for (uint16_t i = 0; i < 10; i++)
        table[i] = (struct vring_desc){.addr = FV_DATA + 0x10000 + i * 32u, .len = 10,
                                       .next = (uint16_t)(i + 1),
                                       .flags = (uint16_t)((i < 9) | (i >= 4 ? 2 : 0))};
    v.q[0].desc[0] = (struct vring_desc){.addr = at, .len = 160, .flags = VRING_DESC_F_INDIRECT};
    fv_offer(&v, 0, 0);
    fv_kick(&v, 0);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    ck_assert_uint_eq(slow_of(&v)->held[0]->out_count, 4);
    ck_assert_uint_eq(slow_of(&v)->held[0]->in_count, 6);
    ck_assert_uint_eq(slow_of(&v)->held[0]->in_len, 60);
    slow_answer(&v, 0, 60);
    fv_destroy(&v);
}
END_TEST

static void count_call(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(a_quiesce_can_be_given_up)
{
    unsigned calls = 0;
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    virtio_quiesce(&slow_of(&v)->dev, count_call, &calls);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1); /* takes nothing new */
    virtio_resume(&slow_of(&v)->dev);
    fv_turn(&v);
    ck_assert_uint_eq(slow_of(&v)->held_count, 2);
    slow_answer(&v, 0, 0);
    slow_answer(&v, 0, 0);
    fv_turn(&v);
    ck_assert_uint_eq(calls, 0);
    virtio_quiesce(&slow_of(&v)->dev, count_call, &calls);
    ck_assert_uint_eq(calls, 1);
    virtio_resume(&slow_of(&v)->dev);
    fv_turn(&v);
    /* A reset that waits goes on waiting. */
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&v);
    virtio_quiesce(&slow_of(&v)->dev, count_call, &calls);
    virtio_resume(&slow_of(&v)->dev);
    fv_turn(&v);
    ck_assert_uint_eq(slow_of(&v)->resets, 0);
    slow_answer(&v, 0, 0);
    fv_turn(&v);
    ck_assert_uint_eq(slow_of(&v)->resets, 1);
    ck_assert_uint_eq(calls, 1);
    fv_destroy(&v);
}
END_TEST

START_TEST(reset_waits_for_what_is_in_flight)
{
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&v);
    ck_assert_uint_ne(fv_status(&v), 0);
    ck_assert_uint_eq(slow_of(&v)->drains, 1);
    ck_assert_uint_eq(slow_of(&v)->resets, 0);
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 1); /* ignored until then */
    slow_answer(&v, 0, 0);
    fv_turn(&v);
    ck_assert_uint_eq(fv_status(&v), 0);
    ck_assert_uint_eq(slow_of(&v)->resets, 1);
    fv_start(&v, 0, 16);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    slow_answer(&v, 0, 0);
    fv_destroy(&v);
}
END_TEST

START_TEST(a_queue_is_reset_alone)
{
    struct fv v;
    const unsigned queue_reset = VIRTIO_PCI_COMMON_Q_USEDHI + 6;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, BIT(VIRTIO_F_RING_RESET), 16);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    fv_wr(&v, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    fv_wr(&v, queue_reset, 2, 1);
    fv_turn(&v);
    ck_assert_uint_eq(fv_rd(&v, queue_reset, 2), 1);
    slow_answer(&v, 0, 0);
    fv_turn(&v);
    ck_assert_uint_eq(fv_rd(&v, queue_reset, 2), 0);
    ck_assert_uint_eq(fv_rd(&v, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
    fv_add(&v, 1, &in16, 1); /* the other one still works */
    fv_kick(&v, 1);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    slow_answer(&v, 0, 0);
    fv_queue_setup(&v, 0, 8);
    fv_turn(&v);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    slow_answer(&v, 0, 0);
    fv_destroy(&v);
}
END_TEST

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

START_TEST(a_quiet_device_takes_nothing)
{
    struct fv v;
    bool done = false;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    virtio_quiesce(v.dev, set_true, &done);
    ck_assert(!done);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    slow_answer(&v, 0, 0);
    fv_turn(&v);
    ck_assert(done);
    ck_assert_uint_eq(slow_of(&v)->held_count, 0);
    ck_assert_uint_eq(v.q[0].us->idx, 1); /* it was answered, not dropped */
    virtio_resume(v.dev);
    fv_turn(&v);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    slow_answer(&v, 0, 0);
    fv_destroy(&v);
}
END_TEST

static bool is_own(const struct fv *v, uint64_t gpa)
{
    return mem_may_store(v->mem, v->mem->base + gpa);
}

/* mem.h: the used ring as long as the queue runs, buffers for each request, and nothing else. */
START_TEST(guest_memory_is_asked_for)
{
    struct fv_buf buf[] = {{FV_DATA, 64, false}, {FV_DATA + MEM_PAGE_SIZE, 64, true}};
    struct vring_used_elem e;
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, BIT(VIRTIO_RING_F_EVENT_IDX), 8);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(!is_own(&v, buf[1].gpa) && is_own(&v, FV_RINGS + 0xc000));
        fv_add(&v, 0, buf, 2);
        fv_kick(&v, 0);
        ck_assert(!is_own(&v, buf[0].gpa) && is_own(&v, buf[1].gpa));
        slow_answer(&v, 0, 64);
        ck_assert(fv_used(&v, 0, &e));
        ck_assert(!is_own(&v, FV_RINGS) && !is_own(&v, FV_RINGS + 0x8000));
        mem_protect(v.mem);
    }
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&v);
    mem_protect(v.mem);
    ck_assert(!is_own(&v, FV_RINGS + 0xc000));
    fv_destroy(&v);
}
END_TEST

START_TEST(unpopped_requests_come_again)
{
    struct fv v;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    fv_add(&v, 0, &in16, 1);
    fv_kick(&v, 0);
    slow_of(&v)->held_count = 0;
    virtq_unpop(&v.dev->queue[0], slow_of(&v)->held[0]);
    fv_kick(&v, 0);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    slow_answer(&v, 0, 0);
    fv_destroy(&v);
}
END_TEST

START_TEST(configuration_space)
{
    struct fv v;
    unsigned window;

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    ck_assert_uint_eq(fake_read(&v.m, FV_CONFIG + 8, 8), 0x65636170);
    fake_write(&v.m, FV_CONFIG + 4, 1, 0xff);
    fv_turn(&v);
    ck_assert_uint_eq(fake_read(&v.m, FV_CONFIG + 4, 1), 'i' | 0x0f);
    ck_assert_uint_eq(slow_of(&v)->configs, 1);
    window = find_cap(&v, 9, VIRTIO_PCI_CAP_PCI_CFG);
    set_cfg(&v, window + 4, 1, 0);
    set_cfg(&v, window + 8, 4, 0x2000);
    set_cfg(&v, window + 12, 4, 4);
    ck_assert_uint_eq(cfg(&v, window + 16, 4), 0x666e6f63);
    set_cfg(&v, window + 8, 4, 0x2004);
    set_cfg(&v, window + 12, 4, 1);
    set_cfg(&v, window + 16, 1, 0);
    ck_assert_uint_eq(fake_read(&v.m, FV_CONFIG + 4, 1), 'i' & 0xf0);
    set_cfg(&v, window + 8, 4, 0xfffffffc);
    set_cfg(&v, window + 12, 4, 4);
    (void)cfg(&v, window + 16, 4);
    fv_destroy(&v);
}
END_TEST

START_TEST(broken_drivers_are_told_so)
{
    struct fv v;
    struct fv_buf bad[2] = {in16, out16};

    fv_create(&v, &slow_ops, NULL);
    fv_start(&v, 0, 16);
    fv_add(&v, 0, bad, 2);
    fv_kick(&v, 0);
    ck_assert(fv_is_broken(&v));
    ck_assert_uint_eq(fake_read(&v.m, FV_ISR, 1), 2);
    fv_add(&v, 1, &in16, 1); /* no queue works any more */
    fv_kick(&v, 1);
    ck_assert_uint_eq(slow_of(&v)->held_count, 0);
    fv_start(&v, 0, 16);
    fv_add(&v, 1, &in16, 1);
    fv_kick(&v, 1);
    ck_assert_uint_eq(slow_of(&v)->held_count, 1);
    fv_offer(&v, 1, 0); /* one that is the device's already */
    fv_kick(&v, 1);
    ck_assert(fv_is_broken(&v));
    slow_answer(&v, 0, 0);
    fv_start(&v, 0, 12); /* no power of two */
    ck_assert(fv_is_broken(&v));
    fv_destroy(&v);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct fv v;

    fv_create(&v, &virtio_rng_ops, NULL);
    fv_hostile(&v, 0);
    fv_destroy(&v);
}
END_TEST


START_TEST(iovecs_are_sliced)
{
    char text[] = "abcdefghij";
    struct iovec iov[3] = {{text, 3}, {text + 3, 4}, {text + 7, 3}}, ret[3];

    ck_assert_uint_eq(iov_slice(iov, 3, 2, 6, ret, 3), 3);
    ck_assert_uint_eq(iov_length(ret, 3), 6);
    ck_assert_ptr_eq(ret[0].iov_base, text + 2);
    ck_assert_uint_eq(ret[2].iov_len, 1);
    ck_assert_uint_eq(iov_slice(iov, 3, 3, SIZE_MAX, ret, 1), 1);
    ck_assert_uint_eq(ret[0].iov_len, 4);
    ck_assert_uint_eq(iov_slice(iov, 3, 10, 1, ret, 3), 0);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, identity_and_capabilities);
    UNIT_TEST(s, features_are_negotiated);
    UNIT_TEST(s, answers_come_in_any_order);
    UNIT_TEST(s, interrupts_by_pin_and_by_message);
    UNIT_TEST(s, notifications_may_ring_a_bell);
    UNIT_TEST(s, event_indexes_save_interrupts_and_kicks);
    UNIT_TEST(s, interrupts_can_be_switched_off);
    UNIT_TEST(s, indirect_chains_are_followed);
    UNIT_TEST(s, a_quiesce_can_be_given_up);
    UNIT_TEST(s, reset_waits_for_what_is_in_flight);
    UNIT_TEST(s, a_queue_is_reset_alone);
    UNIT_TEST(s, a_quiet_device_takes_nothing);
    UNIT_TEST(s, guest_memory_is_asked_for);
    UNIT_TEST(s, unpopped_requests_come_again);
    UNIT_TEST(s, configuration_space);
    UNIT_TEST(s, broken_drivers_are_told_so);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, iovecs_are_sliced);
}

UNIT_TEST_MAIN("virtio", add_tests)
