/* SPDX-License-Identifier: MIT */
#include "virtio/virtio_fs.h"

#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_virtio_driver.h"
#include "unit.h"

struct rig {
    struct fv v;
    struct share *share;
    char dir[64];
};

static void rig_create(struct rig *r, bool no_threads)
{
    struct share_directory d = {.path = r->dir};
    struct share_options o = {.directory = &d, .count = 1, .no_threads = no_threads};
    struct virtio_fs_options fs = {.tag = "the share"};

    strcpy(r->dir, "/tmp/vz-fs-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    ck_assert_int_eq(share_open(&o, &r->share, NULL), 0);
    fs.share = r->share;
    fv_create(&r->v, &virtio_fs_ops, &fs);
}

static void rig_destroy(struct rig *r)
{
    fv_destroy(&r->v);
    share_close(r->share);
    rmdir(r->dir);
}

/* Ask by queue index, and wait. Returns the answer's header, with its body behind it. */
static struct fuse_out_header *ask(struct rig *r, unsigned index, uint32_t opcode, uint64_t node,
                                   const void *args, uint32_t len)
{
    struct fuse_in_header h = {.opcode = opcode, .nodeid = node, .unique = 5,
                               .len = (uint32_t)sizeof(h) + len};
    struct fv_buf buf[3] = {{fv_alloc(&r->v, sizeof(h)), sizeof(h), false},
                            {fv_alloc(&r->v, len + 1), len, false},
                            {fv_alloc(&r->v, 512), 512, true}};
    struct fuse_out_header *out = fv_at(&r->v, buf[2].gpa);
    struct vring_used_elem e;

    memcpy(fv_at(&r->v, buf[0].gpa), &h, sizeof(h));
    if (len)
        memcpy(fv_at(&r->v, buf[1].gpa), args, len);
    fv_add(&r->v, index, buf, 3);
    fv_kick(&r->v, index);
    for (unsigned i = 0; !fv_used(&r->v, index, &e); i++) {
        ck_assert_uint_lt(i, 5000);
        usleep(1000);
        fv_turn(&r->v);
    }
    ck_assert_uint_eq(e.len, out->len); /* for errors, too */
    ck_assert_uint_eq(out->unique, 5);
    return out;
}

static void mount_it(struct rig *r)
{
    struct fuse_init_in in = {.major = 7, .minor = 38};

    ck_assert_int_eq(ask(r, 1, FUSE_INIT, 0, &in, sizeof(in))->error, 0);
}

START_TEST(the_tag_and_the_queues_are_told)
{
    struct virtio_fs_config c;
    static struct rig r;

    rig_create(&r, true);
    for (unsigned i = 0; i < sizeof(c); i += 4)
        *(uint32_t *)((uint8_t *)&c + i) = (uint32_t)fake_read(&r.v.m, FV_CONFIG + i, 4);
    ck_assert_str_eq((char *)c.tag, "the share");
    ck_assert_uint_eq(c.num_request_queues, 1);
    rig_destroy(&r);
}
END_TEST

START_TEST(requests_are_served_by_threads)
{
    struct fuse_getattr_in in = {0};
    static struct rig r;

    rig_create(&r, false);
    fv_start(&r.v, 0, 16);
    ck_assert_int_eq(ask(&r, 1, FUSE_GETATTR, 1, &in, sizeof(in))->error, -EIO); /* not mounted */
    mount_it(&r);
    for (unsigned i = 0; i < 50; i++) {
        struct fuse_out_header *out = ask(&r, 1, FUSE_GETATTR, 1, &in, sizeof(in));

        ck_assert_int_eq(out->error, 0);
        ck_assert_uint_eq(out->len, sizeof(*out) + sizeof(struct fuse_attr_out));
    }
    rig_destroy(&r);
}
END_TEST

START_TEST(a_reset_ends_the_session)
{
    struct fuse_getattr_in in = {0};
    static struct rig r;

    rig_create(&r, true);
    fv_start(&r.v, 0, 16);
    mount_it(&r);
    fv_start(&r.v, 0, 16);
    ck_assert_int_eq(ask(&r, 1, FUSE_GETATTR, 1, &in, sizeof(in))->error, -EIO);
    rig_destroy(&r);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    static struct rig r;

    rig_create(&r, true);
    fv_hostile(&r.v, BIT(VIRTIO_RING_F_INDIRECT_DESC));
    rig_destroy(&r);
}
END_TEST

START_TEST(a_restored_session_goes_on_and_its_files_are_stale)
{
    struct fuse_getattr_in in = {0};
    static struct rig a, b;

    rig_create(&a, true);
    rig_create(&b, true);
    fv_start(&a.v, 0, 16);
    mount_it(&a);
    fv_move(&a.v, &b.v);
    fv_turn(&b.v);
    ck_assert_int_eq(ask(&b, 1, FUSE_GETATTR, 1, &in, sizeof(in))->error, 0);
    ck_assert_int_eq(ask(&b, 1, FUSE_GETATTR, 2, &in, sizeof(in))->error, -ESTALE);
    rig_destroy(&a);
    rig_destroy(&b);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_tag_and_the_queues_are_told);
    UNIT_TEST(s, requests_are_served_by_threads);
    UNIT_TEST(s, a_reset_ends_the_session);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, a_restored_session_goes_on_and_its_files_are_stale);
}

UNIT_TEST_MAIN("virtio-fs", add_tests)
