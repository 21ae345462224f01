/* SPDX-License-Identifier: MIT */
#include "virtio/balloon.h"

#include <errno.h>

#include "base/le.h"
#include "fake_virtio_driver.h"
#include "unit.h"

#define FEATURES (BIT(VIRTIO_BALLOON_F_STATS_VQ) | BIT(VIRTIO_BALLOON_F_REPORTING))

static const struct balloon_options options = {.ram_size = FV_RAM, .min_size = 2 * MIB};

START_TEST(targets_are_rounded_and_clamped)
{
    struct fv v;

    fv_create(&v, &virtio_balloon_ops, &options);
    fv_start(&v, FEATURES, 16);
    ck_assert_uint_eq(balloon_target(v.dev), FV_RAM);
    balloon_set_target(v.dev, 5 * MIB + 12345);
    ck_assert_uint_eq(balloon_target(v.dev), 5 * MIB);
    ck_assert_uint_eq(fake_read(&v.m, FV_CONFIG, 4), 3 * MIB / 4096);
    balloon_set_target(v.dev, 0);
    ck_assert_uint_eq(balloon_target(v.dev), 2 * MIB);
    balloon_set_target(v.dev, UINT64_MAX);
    ck_assert_uint_eq(balloon_target(v.dev), FV_RAM);
    fake_write(&v.m, FV_CONFIG + 4, 4, 256);
    ck_assert_uint_eq(balloon_actual(v.dev), FV_RAM - MIB);
    fv_destroy(&v);
}
END_TEST

START_TEST(pages_given_up_are_freed)
{
    struct fv v;
    struct fv_buf b = {FV_DATA, 16, false}, free_pages = {FV_DATA + 0x20800, 0x3000, true};
    uint32_t *pfn;

    fv_create(&v, &virtio_balloon_ops, &options);
    fv_start(&v, FEATURES, 16);
    memset(fv_at(&v, FV_DATA + 0x10000), 0xee, 0x20000);
    pfn = fv_at(&v, FV_DATA);
    pfn[0] = (FV_DATA + 0x11000) >> 12;
    pfn[1] = (FV_DATA + 0x10000) >> 12;
    pfn[2] = 0xffffffff; /* not RAM */
    pfn[3] = (FV_DATA + 0x13000) >> 12;
    fv_request(&v, 0, &b, 1);
    ck_assert_uint_eq(balloon_freed(v.dev), 3 * 4096);
    ck_assert_uint_eq(*(uint8_t *)fv_at(&v, FV_DATA + 0x11fff), 0);
    ck_assert_uint_eq(*(uint8_t *)fv_at(&v, FV_DATA + 0x12000), 0xee);
    fv_request(&v, 1, &b, 1);
    fv_request(&v, 3, &free_pages, 1); /* whole pages of it only */
    ck_assert_uint_eq(balloon_freed(v.dev), 5 * 4096);
    ck_assert_uint_eq(*(uint8_t *)fv_at(&v, FV_DATA + 0x20fff), 0xee);
    ck_assert_uint_eq(*(uint8_t *)fv_at(&v, FV_DATA + 0x21000), 0);
    ck_assert_uint_eq(*(uint8_t *)fv_at(&v, FV_DATA + 0x23000), 0xee);
    fv_destroy(&v);
}
END_TEST

static void on_stats(void *arg, const uint64_t stat[VIRTIO_BALLOON_S_NR])
{
    memcpy(arg, stat, VIRTIO_BALLOON_S_NR * sizeof(*stat));
}

START_TEST(statistics_are_asked_for)
{
    struct fv v;
    struct fv_buf b = {FV_DATA, 10, false};
    uint64_t stat[VIRTIO_BALLOON_S_NR] = {0};

    fv_create(&v, &virtio_balloon_ops, &options);
    fv_start(&v, FEATURES, 16);
    ck_assert_int_eq(balloon_stats(v.dev, on_stats, stat), -ENOTCONN);
    fv_add(&v, 2, &b, 1);
    fv_kick(&v, 2);
    ck_assert_int_eq(balloon_stats(v.dev, on_stats, stat), 0);
    store_le16(fv_at(&v, FV_DATA), VIRTIO_BALLOON_S_MEMFREE);
    store_le64(fv_at(&v, FV_DATA + 2), 4711);
    fv_add(&v, 2, &b, 1);
    fv_kick(&v, 2);
    ck_assert_uint_eq(stat[VIRTIO_BALLOON_S_MEMFREE], 4711);
    ck_assert_uint_eq(stat[VIRTIO_BALLOON_S_MEMTOT], UINT64_MAX);
    fv_negotiate(&v, 0); /* the buffer it keeps does not hold up a reset */
    fv_destroy(&v);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct fv v;

    fv_create(&v, &virtio_balloon_ops, &options);
    fv_hostile(&v, FEATURES | BIT(VIRTIO_RING_F_INDIRECT_DESC));
    fv_destroy(&v);
}
END_TEST

/* Free memory is taken, not written: what is not taken nobody has asked for. */
START_TEST(reported_pages_are_not_asked_for)
{
    const struct fv_buf part = {FV_DATA + 2048, 2048, true};
    struct fv v;

    fv_create(&v, &virtio_balloon_ops, &options);
    fv_start(&v, FEATURES, 16);
    memset(fv_at(&v, FV_DATA), 1, 4096);
    ck_assert_uint_eq(fv_request(&v, 3, &part, 1), 0);
    ck_assert(!mem_may_store(v.mem, v.mem->base + FV_DATA));
    ck_assert_uint_eq(*(uint8_t *)fv_at(&v, FV_DATA + 2048), 1);
    fv_destroy(&v);
}
END_TEST

START_TEST(state_survives)
{
    struct fv v, w;

    fv_create(&v, &virtio_balloon_ops, &options);
    fv_create(&w, &virtio_balloon_ops, &options);
    fv_start(&v, FEATURES, 16);
    balloon_set_target(v.dev, 4 * MIB);
    fake_machine_round_trip(&v.m, &w.m);
    ck_assert_uint_eq(balloon_target(w.dev), 4 * MIB);
    ck_assert_uint_eq(fake_read(&w.m, FV_CONFIG, 4), 1024);
    fv_destroy(&v);
    fv_destroy(&w);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, targets_are_rounded_and_clamped);
    UNIT_TEST(s, pages_given_up_are_freed);
    UNIT_TEST(s, statistics_are_asked_for);
    UNIT_TEST(s, reported_pages_are_not_asked_for);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, state_survives);
}

UNIT_TEST_MAIN("virtio-balloon", add_tests)
