/* SPDX-License-Identifier: MIT */
/* The block device under a driver that does what it should, and one that does not. */
#include <errno.h>
#include <linux/virtio_blk.h>

#include "base/le.h"
#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_virtio_driver.h"
#include "unit.h"
#include "virtio/virtio_blk.h"

#define SECTORS 2048u
#define NONE    0xee /* a status the device never writes */

struct rig {
    struct fv v;
    struct loop *loop; /* the disk's: turned together with the device's */
    struct blk *mem, *blk;
    uint64_t header, status, data;
    uint32_t block_size; /* 0: the disk's own */
};

static char lines[4096];

static void add_line(void *arg, const char *text)
{
    strcat(strcat(lines, text), "\n");
}

static const uint32_t no_delay[BLK_OP_COUNT];

/* A disk in memory under filters: fault, delay, log. */
static void make_disk(struct rig *r, const struct blk_fault *fault, const uint32_t *delay)
{
    const struct blk_mem_options o = {.size = SECTORS * BLK_SECTOR};

    memset(r, 0, sizeof(*r));
    ck_assert_int_eq(loop_create(&r->loop), 0);
    ck_assert_int_eq(blk_mem_create(&o, r->loop, &r->mem), 0);
    ck_assert_int_eq(blk_fault_create(r->mem, fault, fault ? 1 : 0, &r->blk), 0);
    ck_assert_int_eq(blk_delay_create(r->blk, delay ? delay : no_delay, &r->blk), 0);
    ck_assert_int_eq(blk_log_create(r->blk, add_line, NULL, &r->blk), 0);
}

static void attach(struct rig *r, bool read_only)
{
    const struct virtio_blk_options o = {.blk = r->blk, .read_only = read_only, .block_size = r->block_size,
                                         .identifier = "serial-of-20-letters"};

    fv_create(&r->v, &virtio_blk_ops, &o);
    r->header = fv_alloc(&r->v, 16);
    r->status = fv_alloc(&r->v, 1);
    r->data = fv_alloc(&r->v, 64 * KIB);
}

static void setup(struct rig *r)
{
    make_disk(r, NULL, NULL);
    attach(r, false);
    fv_start(&r->v, virtio_blk_ops.features, 16);
}

static void teardown(struct rig *r)
{
    fv_destroy(&r->v);
    blk_close(r->blk);
    loop_destroy(r->loop);
}

static void turn(struct rig *r)
{
    for (unsigned i = 0; i < 4; i++) {
        fv_turn(&r->v);
        while (fake_loop_fire(r->loop))
            ;
        for (unsigned n = 0; n < 6; n++)
            fake_loop_turn(r->loop);
    }
    fv_turn(&r->v);
}

static void set_header(struct rig *r, uint32_t type, uint64_t sector)
{
    uint8_t *h = fv_at(&r->v, r->header);

    store_le32(h, type);
    store_le32(h + 4, 0);
    store_le64(h + 8, sector);
    *(uint8_t *)fv_at(&r->v, r->status) = NONE;
}

/* Offer a request without turning the loops. */
static void offer(struct rig *r, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
    struct fv_buf buf[3] = {{r->header, 16, false}, {r->data, len, in}, {r->status, 1, true}};

    set_header(r, type, sector);
    if (!len)
        buf[1] = buf[2];
    fv_add(&r->v, 0, buf, len ? 3 : 2);
}

static uint8_t finish(struct rig *r, uint32_t want_len)
{
    struct vring_used_elem e;

    fv_kick(&r->v, 0);
    turn(r);
    ck_assert(fv_used(&r->v, 0, &e));
    ck_assert_uint_eq(e.len, want_len);
    return *(uint8_t *)fv_at(&r->v, r->status);
}

static uint8_t run(struct rig *r, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
    offer(r, type, sector, len, in);
    return finish(r, in ? len + 1 : 1);
}

static uint8_t *data_of(struct rig *r)
{
    return fv_at(&r->v, r->data);
}

static uint8_t *disk_of(struct rig *r)
{
    return blk_mem_data(r->mem);
}

static uint64_t config(struct rig *r, unsigned off, unsigned size)
{
    return fake_read(&r->v.m, FV_CONFIG + off, size);
}

#define CONFIG(r, member)                                                                          \
    config(r, offsetof(struct virtio_blk_config, member),                                          \
           sizeof(((struct virtio_blk_config *)0)->member))

START_TEST(reads_and_writes)
{
    struct rig r;

    setup(&r);
    memset(data_of(&r), 0x5a, 4096);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 8, 4096, false), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(disk_of(&r)[8 * 512], 0x5a);
    ck_assert_uint_eq(disk_of(&r)[8 * 512 - 1], 0);
    ck_assert_uint_eq(disk_of(&r)[8 * 512 + 4096], 0);
    memset(data_of(&r), 0, 8192);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 7, 1024, true), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(data_of(&r)[511], 0);
    ck_assert_uint_eq(data_of(&r)[512], 0x5a);
    ck_assert_uint_eq(data_of(&r)[1023], 0x5a);
    ck_assert_uint_eq(data_of(&r)[1024], 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(r.mem->stats.flushes + r.blk->stats.flushes, 1);
    teardown(&r);
}
END_TEST

START_TEST(header_and_data_may_be_cut_anywhere)
{
    struct rig r;
    struct fv_buf buf[5];
    uint64_t at;

    setup(&r);
    set_header(&r, VIRTIO_BLK_T_OUT, 3);
    at = fv_alloc(&r.v, 16 + 1024); /* header and data in one, then in odd pieces */
    memcpy(fv_at(&r.v, at), fv_at(&r.v, r.header), 16);
    memset((uint8_t *)fv_at(&r.v, at) + 16, 0x77, 1024);
    buf[0] = (struct fv_buf){at, 5, false};
    buf[1] = (struct fv_buf){at + 5, 20, false};
    buf[2] = (struct fv_buf){at + 25, 1015, false};
    buf[3] = (struct fv_buf){r.status, 1, true};
    fv_add(&r.v, 0, buf, 4);
    ck_assert_uint_eq(finish(&r, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(disk_of(&r)[3 * 512], 0x77);
    ck_assert_uint_eq(disk_of(&r)[5 * 512 - 1], 0x77);
    set_header(&r, VIRTIO_BLK_T_IN, 3); /* the status right behind the data */
    buf[0] = (struct fv_buf){r.header, 16, false};
    buf[1] = (struct fv_buf){r.data, 513, true};
    fv_add(&r.v, 0, buf, 2);
    finish(&r, 513);
    ck_assert_uint_eq(data_of(&r)[511], 0x77);
    ck_assert_uint_eq(data_of(&r)[512], VIRTIO_BLK_S_OK);
    teardown(&r);
}
END_TEST

START_TEST(configuration_tells_the_disk)
{
    struct rig r;

    setup(&r);
    ck_assert_uint_eq(CONFIG(&r, capacity), SECTORS);
    ck_assert_uint_eq(CONFIG(&r, blk_size), 512);
    ck_assert_uint_eq(CONFIG(&r, physical_block_exp), 3);
    ck_assert_uint_eq(CONFIG(&r, seg_max), 126);
    ck_assert_uint_eq(CONFIG(&r, wce), 1);
    ck_assert_uint_eq(CONFIG(&r, num_queues), 1);
    ck_assert_uint_gt(CONFIG(&r, max_discard_sectors), 0);
    ck_assert_uint_gt(CONFIG(&r, size_max), 65535);
    ck_assert(!(fv_offered(&r.v) & (BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_MQ))));
    teardown(&r);
}
END_TEST

START_TEST(read_only_disks_refuse_writes)
{
    struct rig r;

    make_disk(&r, NULL, NULL);
    attach(&r, true);
    ck_assert(fv_offered(&r.v) & BIT(VIRTIO_BLK_F_RO));
    ck_assert(!(fv_offered(&r.v) & BIT(VIRTIO_BLK_F_DISCARD)));
    fv_start(&r.v, fv_offered(&r.v) & ~BIT(VIRTIO_F_RING_PACKED), 16);
    memset(data_of(&r), 1, 512);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 16, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(disk_of(&r)[0], 0);
    teardown(&r);
}
END_TEST

START_TEST(identifier_is_given)
{
    struct rig r;

    setup(&r);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
    ck_assert_mem_eq(data_of(&r), "serial-of-20-letters", 20);
    memset(data_of(&r), 0xff, 64);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_GET_ID, 0, 8, true), VIRTIO_BLK_S_OK);
    ck_assert_mem_eq(data_of(&r), "serial-o\xff", 9);
    teardown(&r);
}
END_TEST

static bool wrote_fua(struct rig *r)
{
    lines[0] = 0;
    ck_assert_uint_eq(run(r, VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_OK);
    return strstr(lines, "write 0+512 fua: ok");
}

/* 5.2.6.2: by the configuration if that was negotiated, else by whether the driver knows flushes. */
START_TEST(write_through_when_the_driver_needs_it)
{
    uint64_t wce = BIT(VIRTIO_BLK_F_CONFIG_WCE), flush = BIT(VIRTIO_BLK_F_FLUSH);
    unsigned off = offsetof(struct virtio_blk_config, wce);
    struct rig r;

    setup(&r);
    ck_assert(!wrote_fua(&r));
    fake_write(&r.v.m, FV_CONFIG + off, 1, 0xfe);
    ck_assert_uint_eq(CONFIG(&r, wce), 0);
    ck_assert(wrote_fua(&r));
    fv_start(&r.v, wce | flush, 16); /* a reset brings it back */
    ck_assert_uint_eq(CONFIG(&r, wce), 1);
    ck_assert(!wrote_fua(&r));
    fv_start(&r.v, flush, 16);
    ck_assert(!wrote_fua(&r));
    fv_start(&r.v, 0, 16);
    ck_assert(wrote_fua(&r));
    teardown(&r);
}
END_TEST

static void set_range(struct rig *r, unsigned index, uint64_t sector, uint32_t count,
                      uint32_t flags)
{
    uint8_t *p = data_of(r) + 16 * index;

    store_le64(p, sector);
    store_le32(p + 8, count);
    store_le32(p + 12, flags);
}

START_TEST(discard_and_zero_take_several_ranges)
{
    struct rig r;

    setup(&r);
    memset(disk_of(&r), 0xff, SECTORS * 512);
    set_range(&r, 0, 8, 8, 0);
    set_range(&r, 1, 0, 0, 0);
    set_range(&r, 2, 100, 1, 1);
    lines[0] = 0;
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_WRITE_ZEROES, 0, 48, false), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(disk_of(&r)[8 * 512 - 1], 0xff);
    ck_assert_uint_eq(disk_of(&r)[8 * 512], 0);
    ck_assert_uint_eq(disk_of(&r)[16 * 512 - 1], 0);
    ck_assert_uint_eq(disk_of(&r)[16 * 512], 0xff);
    ck_assert_uint_eq(disk_of(&r)[100 * 512], 0);
    ck_assert_ptr_nonnull(strstr(lines, "zero 4096+4096: ok"));
    ck_assert_ptr_nonnull(strstr(lines, "zero 51200+512 unmap: ok"));
    set_range(&r, 0, 0, SECTORS, 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 16, false), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(r.blk->stats.discards, 1);
    teardown(&r);
}
END_TEST

START_TEST(bad_ranges_change_nothing)
{
    struct rig r;

    setup(&r);
    memset(disk_of(&r), 0xff, SECTORS * 512);
    set_range(&r, 0, 0, 8, 0);
    set_range(&r, 1, SECTORS - 1, 2, 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, false), VIRTIO_BLK_S_IOERR);
    set_range(&r, 1, UINT64_MAX, 8, 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 32, false), VIRTIO_BLK_S_IOERR);
    set_range(&r, 1, 0, UINT32_MAX, 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 32, false), VIRTIO_BLK_S_IOERR);
    set_range(&r, 1, 0, 8, 1); /* unmap is no word for discard */
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 32, false), VIRTIO_BLK_S_UNSUPP);
    set_range(&r, 1, 0, 8, 2);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, false), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 15, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 17 * 16, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 0, false), VIRTIO_BLK_S_IOERR);
    for (unsigned i = 0; i < SECTORS * 512; i++)
        ck_assert_uint_eq(disk_of(&r)[i], 0xff);
    teardown(&r);
}
END_TEST

START_TEST(bad_requests_get_errors)
{
    struct rig r;

    setup(&r);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, SECTORS, 512, true), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, SECTORS - 1, 1024, true), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, UINT64_MAX, 512, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 512, false),
                      VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 0, 100, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 0, 0, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, 77, 0, 512, true), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_SECURE_ERASE, 0, 16, false), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(fv_status(&r.v), 15);
    teardown(&r);
}
END_TEST

START_TEST(host_errors_reach_the_driver)
{
    struct blk_fault f = {.err = -ENOSPC};
    struct rig r;

    make_disk(&r, &f, NULL);
    attach(&r, false);
    fv_start(&r.v, virtio_blk_ops.features, 16);
    memset(data_of(&r), 0xff, 512);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(data_of(&r)[0], 0); /* counted as written, so it is */
    set_range(&r, 0, 0, 8, 0);
    set_range(&r, 1, 8, 8, 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 32, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(r.blk->stats.discards, 1); /* the second was not tried */
    teardown(&r);
}
END_TEST

START_TEST(no_room_for_header_or_status_breaks_the_device)
{
    struct rig r;
    struct fv_buf header = {0, 15, false}, status = {0, 1, true}, full = {0, 16, false};

    setup(&r);
    header.gpa = full.gpa = r.header;
    status.gpa = r.status;
    fv_add(&r.v, 0, (struct fv_buf[]){header, status}, 2);
    fv_kick(&r.v, 0);
    ck_assert(fv_is_broken(&r.v));
    fv_start(&r.v, 0, 16);
    fv_add(&r.v, 0, &full, 1);
    fv_kick(&r.v, 0);
    ck_assert(fv_is_broken(&r.v));
    fv_start(&r.v, 0, 16);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
    teardown(&r);
}
END_TEST

START_TEST(more_pieces_than_agreed_are_refused)
{
    struct fv_buf buf[130];
    struct rig r;

    setup(&r);
    fv_start(&r.v, 0, 256);
    set_header(&r, VIRTIO_BLK_T_OUT, 0);
    buf[0] = (struct fv_buf){r.header, 16, false};
    for (unsigned i = 1; i < 129; i++)
        buf[i] = (struct fv_buf){r.data, 512, false};
    buf[127] = (struct fv_buf){r.status, 1, true};
    fv_add(&r.v, 0, buf, 128); /* 126 pieces */
    ck_assert_uint_eq(finish(&r, 1), VIRTIO_BLK_S_OK);
    set_header(&r, VIRTIO_BLK_T_OUT, 0);
    buf[127] = buf[1];
    buf[128] = (struct fv_buf){r.status, 1, true};
    r.v.q[0].free = 0;
    fv_add(&r.v, 0, buf, 129);
    ck_assert_uint_eq(finish(&r, 1), VIRTIO_BLK_S_IOERR);
    teardown(&r);
}
END_TEST

START_TEST(a_new_size_is_told)
{
    struct rig r;

    setup(&r);
    (void)fake_read(&r.v.m, FV_ISR, 1);
    ck_assert_int_eq(blk_mem_resize(r.mem, 2 * SECTORS * 512), 0);
    turn(&r);
    ck_assert_uint_eq(CONFIG(&r, capacity), 2 * SECTORS);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_ISR, 1) & 2, 2);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 2 * SECTORS - 1, 512, false), VIRTIO_BLK_S_OK);
    teardown(&r);
}
END_TEST

static const uint32_t slow[BLK_OP_COUNT] = {100000, 100000, 100000, 100000, 100000};

START_TEST(reset_waits_for_what_is_in_flight)
{
    struct vring_used_elem e;
    struct rig r;

    make_disk(&r, NULL, slow);
    attach(&r, false);
    fv_start(&r.v, 0, 16);
    memset(data_of(&r), 3, 512);
    offer(&r, VIRTIO_BLK_T_OUT, 0, 512, false);
    offer(&r, VIRTIO_BLK_T_IN, 8, 512, true);
    fv_kick(&r.v, 0);
    ck_assert(!fv_used(&r.v, 0, &e));
    fv_wr(&r.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&r.v);
    ck_assert_uint_ne(fv_status(&r.v), 0);
    blk_drain_wait(r.blk);
    fv_turn(&r.v);
    ck_assert_uint_eq(fv_status(&r.v), 0);
    teardown(&r);
}
END_TEST

START_TEST(blocks_of_4096_bytes)
{
    struct rig r;

    make_disk(&r, NULL, NULL);
    ck_assert_int_eq(blk_mem_resize(r.mem, SECTORS * 512 + 512), 0); /* not a multiple */
    r.block_size = 4096;
    attach(&r, false);
    fv_start(&r.v, virtio_blk_ops.features, 16);
    ck_assert_uint_eq(CONFIG(&r, blk_size), 4096);
    ck_assert_uint_eq(CONFIG(&r, physical_block_exp), 0);
    ck_assert_uint_eq(CONFIG(&r, capacity), SECTORS);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 8, 4096, false), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 8, 8192, true), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 1, 4096, false), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 8, 512, true), VIRTIO_BLK_S_IOERR);
    memset(disk_of(&r), 0xff, SECTORS * 512);
    set_range(&r, 0, 8, 16, 0); /* ranges are in sectors of 512 bytes all the same */
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(disk_of(&r)[8 * 512 - 1], 0xff);
    ck_assert_uint_eq(disk_of(&r)[8 * 512], 0);
    ck_assert_uint_eq(disk_of(&r)[24 * 512 - 1], 0);
    ck_assert_uint_eq(disk_of(&r)[24 * 512], 0xff);
    set_range(&r, 0, 32, 8, 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_DISCARD, 0, 16, false), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(disk_of(&r)[32 * 512 - 1], 0xff);
    ck_assert_uint_eq(disk_of(&r)[40 * 512], 0xff);
    set_range(&r, 0, 33, 8, 0);
    ck_assert_uint_ne(run(&r, VIRTIO_BLK_T_DISCARD, 0, 16, false), VIRTIO_BLK_S_OK);
    teardown(&r);
}
END_TEST

START_TEST(a_machine_may_end_in_the_middle)
{
    struct rig r;

    make_disk(&r, NULL, slow);
    attach(&r, false);
    fv_start(&r.v, 0, 16);
    for (unsigned i = 0; i < 4; i++)
        offer(&r, VIRTIO_BLK_T_OUT, i, 512, false);
    fv_kick(&r.v, 0);
    ck_assert_uint_eq(r.blk->inflight, 4);
    fv_destroy(&r.v);
    ck_assert_uint_eq(r.blk->inflight, 0);
    blk_close(r.blk);
    loop_destroy(r.loop);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct rig r;

    setup(&r);
    fv_hostile(&r.v, virtio_blk_ops.features | BIT(VIRTIO_RING_F_INDIRECT_DESC));
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
    teardown(&r);
}
END_TEST

START_TEST(a_disk_has_one_device)
{
    struct virtio_blk_options o = {0};
    struct vz_error err = {0};
    struct virtio_params p = {.options = &o};
    struct virtio_dev *dev;
    struct rig r;

    setup(&r);
    o.blk = r.blk;
    p.loop = r.v.m.loop;
    p.mem = r.v.mem;
    ck_assert_int_eq(virtio_pci_create(r.v.host, PCI_DEVFN(5, 0), &virtio_blk_ops, &p, &dev, &err),
                     -EBUSY);
    ck_assert_ptr_nonnull(strstr(err.text, "another device"));
    teardown(&r);
}
END_TEST

START_TEST(state_survives)
{
    struct rig r, s;

    setup(&r);
    fake_write(&r.v.m, FV_CONFIG + offsetof(struct virtio_blk_config, wce), 1, 0);
    ck_assert_uint_eq(run(&r, VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_OK);
    make_disk(&s, NULL, NULL);
    ck_assert_int_eq(blk_mem_resize(s.mem, 4 * SECTORS * 512), 0); /* grew meanwhile */
    attach(&s, false);
    fv_move(&r.v, &s.v);
    turn(&s);
    ck_assert_uint_eq(CONFIG(&s, capacity), 4 * SECTORS);
    ck_assert_uint_eq(CONFIG(&s, wce), 0);
    ck_assert(wrote_fua(&s));
    teardown(&r);
    teardown(&s);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, reads_and_writes);
    UNIT_TEST(s, header_and_data_may_be_cut_anywhere);
    UNIT_TEST(s, configuration_tells_the_disk);
    UNIT_TEST(s, read_only_disks_refuse_writes);
    UNIT_TEST(s, identifier_is_given);
    UNIT_TEST(s, write_through_when_the_driver_needs_it);
    UNIT_TEST(s, discard_and_zero_take_several_ranges);
    UNIT_TEST(s, bad_ranges_change_nothing);
    UNIT_TEST(s, bad_requests_get_errors);
    UNIT_TEST(s, host_errors_reach_the_driver);
    UNIT_TEST(s, no_room_for_header_or_status_breaks_the_device);
    UNIT_TEST(s, more_pieces_than_agreed_are_refused);
    UNIT_TEST(s, a_new_size_is_told);
    UNIT_TEST(s, reset_waits_for_what_is_in_flight);
    UNIT_TEST(s, blocks_of_4096_bytes);
    UNIT_TEST(s, a_machine_may_end_in_the_middle);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, a_disk_has_one_device);
    UNIT_TEST(s, state_survives);
}

UNIT_TEST_MAIN("virtio-blk", add_tests)
