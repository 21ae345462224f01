/* SPDX-License-Identifier: MIT */
#include "virtio/virtio.h"

#include "fake_virtio_driver.h"
#include "unit.h"

START_TEST(buffers_are_filled)
{
    struct fv v;
    struct fv_buf buf[2];
    static const uint8_t zero[64];

    fv_create(&v, &virtio_rng_ops, NULL);
    fv_start(&v, 0, 8);
    buf[0] = (struct fv_buf){fv_alloc(&v, 64), 64, true};
    buf[1] = (struct fv_buf){fv_alloc(&v, 64), 64, true};
    for (unsigned i = 0; i < 100; i++)
        ck_assert_uint_eq(fv_request(&v, 0, buf, 2), 128);
    ck_assert(memcmp(fv_at(&v, buf[0].gpa), zero, 64));
    ck_assert(memcmp(fv_at(&v, buf[1].gpa), zero, 64));
    fv_destroy(&v);
}
END_TEST

START_TEST(a_request_without_room_gets_nothing)
{
    struct fv v;
    struct fv_buf buf = {FV_DATA, 64, false};

    fv_create(&v, &virtio_rng_ops, NULL);
    fv_start(&v, 0, 8);
    ck_assert_uint_eq(fv_request(&v, 0, &buf, 1), 0);
    fv_destroy(&v);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct fv v;

    fv_create(&v, &virtio_rng_ops, NULL);
    fv_hostile(&v, BIT(VIRTIO_RING_F_INDIRECT_DESC));
    fv_destroy(&v);
}
END_TEST

START_TEST(state_survives)
{
    struct fv v, w;
    struct fv_buf buf = {FV_DATA, 64, true};

    fv_create(&v, &virtio_rng_ops, NULL);
    fv_create(&w, &virtio_rng_ops, NULL);
    fv_start(&v, BIT(VIRTIO_RING_F_EVENT_IDX), 8);
    ck_assert_uint_eq(fv_request(&v, 0, &buf, 1), 64);
    fv_move(&v, &w);
    fv_turn(&w);
    ck_assert_uint_eq(fv_request(&w, 0, &buf, 1), 64);
    fv_destroy(&v);
    fv_destroy(&w);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, buffers_are_filled);
    UNIT_TEST(s, a_request_without_room_gets_nothing);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, state_survives);
}

UNIT_TEST_MAIN("virtio-rng", add_tests)
