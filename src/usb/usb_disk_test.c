/* SPDX-License-Identifier: MIT */
#include "usb/usb_disk_fixture.h"

#define CBW (FX_DATA + 0x300000)
#define CSW (FX_DATA + 0x301000)

static void make_with(struct rig *r, bool cdrom, const struct blk_fault *fault, bool read_only)
{
    make_disk(r, cdrom, false, fault, read_only);
    ck_assert_uint_eq(fx_configure(&r->f, r->slot, IN, XHCI_EP_BULK_IN, 1024), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_configure(&r->f, r->slot, OUT, XHCI_EP_BULK_OUT, 1024), XHCI_SUCCESS);
}

static void make(struct rig *r)
{
    make_with(r, false, NULL, false);
}

/* A transfer: its code; *ret_left. */
static unsigned move(struct rig *r, unsigned dci, uint64_t gpa, uint32_t len, uint32_t *ret_left)
{
    struct xhci_trb e;

    fx_normal(&r->f, r->slot, dci, gpa, len, XHCI_TRB_IOC | XHCI_TRB_ISP);
    fx_ring_bell(&r->f, r->slot, dci);
    turn_disk(r);
    if (!fx_event_of(&r->f, XHCI_EV_TRANSFER, &e))
        return 0;
    if (ret_left)
        *ret_left = e.status & 0xffffff;
    return fx_code(&e);
}

/* What a driver does after a stall. */
static void unstall(struct rig *r, unsigned dci)
{
    struct fx_ring *ring = &r->f.ring[r->slot][dci];

    ck_assert_uint_eq(fx_command(&r->f, XHCI_RESET_ENDPOINT, 0, r->slot << 24 | dci << 16, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_command(&r->f, XHCI_SET_TR_DEQUEUE, (ring->base + 16 * ring->at) | ring->cycle,
                                 r->slot << 24 | dci << 16, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_control(&r->f, r->slot, 2, USB_CLEAR_FEATURE, 0, dci & 1 ? 0x81 : 0x02, 0, NULL), XHCI_SUCCESS);
}

static void send_cbw(struct rig *r, const uint8_t *cdb, unsigned cdb_len, uint32_t len, bool in)
{
    uint8_t *p = fx_at(&r->f, CBW);

    memset(p, 0, 31);
    store_le32(p, 0x43425355);
    store_le32(p + 4, 0x11223344);
    store_le32(p + 8, len);
    p[12] = in ? 0x80 : 0;
    p[14] = (uint8_t)cdb_len;
    memcpy(p + 15, cdb, cdb_len);
    ck_assert_uint_eq(move(r, OUT, CBW, 31, NULL), XHCI_SUCCESS);
}

/* The status; *ret_residue. */
static unsigned read_csw(struct rig *r, uint32_t *ret_residue)
{
    const uint8_t *p = fx_at(&r->f, CSW);

    ck_assert_uint_eq(move(r, IN, CSW, 13, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(load_le32(p), 0x53425355);
    ck_assert_uint_eq(load_le32(p + 4), 0x11223344);
    if (ret_residue)
        *ret_residue = load_le32(p + 8);
    return p[12];
}

/* A whole command with one transfer for its data at FX_DATA, stalls included. */
static unsigned command(struct rig *r, const void *cdb, unsigned cdb_len, uint32_t len, bool in, uint32_t *ret_residue)
{
    send_cbw(r, cdb, cdb_len, len, in);
    if (len && move(r, in ? IN : OUT, FX_DATA, len, NULL) == XHCI_STALL_ERROR)
        unstall(r, in ? IN : OUT);
    return read_csw(r, ret_residue);
}
#define COMMAND(r, len, in, residue, ...)                                                          \
    command(r, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), len, in, residue)

static unsigned sense(struct rig *r)
{
    const uint8_t *p = fx_at(&r->f, FX_DATA);

    ck_assert_uint_eq(COMMAND(r, 18, true, NULL, 3, 0, 0, 0, 18, 0), 0);
    return p[2] << 16 | p[12] << 8 | p[13];
}

static unsigned rw(struct rig *r, bool read, uint32_t lba, uint32_t count)
{
    uint8_t cdb[10] = {read ? 0x28 : 0x2a};

    store_be32(cdb + 2, lba);
    store_be16(cdb + 7, (uint16_t)count);
    return command(r, cdb, 10, count * 512, read, NULL);
}

static void fill(struct rig *r, unsigned len, unsigned seed)
{
    fill_at(r, FX_DATA, len, seed);
}

static bool is_filled(struct rig *r, unsigned len, unsigned seed)
{
    return is_filled_at(r, FX_DATA, len, seed);
}

START_TEST(it_says_what_it_is)
{
    const uint8_t *p;
    uint32_t residue;
    struct rig r;

    make(&r);
    p = fx_at(&r.f, FX_DATA);
    ck_assert_uint_eq(COMMAND(&r, 36, true, NULL, 0x12, 0, 0, 0, 36, 0), 0);
    ck_assert_mem_eq(p + 8, "vz      USB Disk        ", 24);
    ck_assert_uint_eq(p[0] | p[1], 0);
    ck_assert_uint_eq(COMMAND(&r, 255, true, &residue, 0x12, 1, 0x80, 0, 255, 0), 0);
    ck_assert_uint_eq(residue, 255 - 12);
    ck_assert_mem_eq(p + 4, "serial 1", 8);
    for (unsigned page = 0; page < 256; page++) {
        bool known = page == 0 || page == 0x80 || page == 0x83 || (page >= 0xb0 && page <= 0xb2);

        ck_assert_uint_eq(COMMAND(&r, 255, true, NULL, 0x12, 1, (uint8_t)page, 0, 255, 0), !known);
    }
    ck_assert_uint_eq(sense(&r), 0x052400);
    ck_assert_uint_eq(COMMAND(&r, 8, true, NULL, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(load_be32(p), BLOCKS - 1);
    ck_assert_uint_eq(load_be32(p + 4), 512);
    ck_assert_uint_eq(COMMAND(&r, 32, true, NULL, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), 0);
    ck_assert_uint_eq(load_be64(p), BLOCKS - 1);
    ck_assert_uint_eq(COMMAND(&r, 192, true, NULL, 0x1a, 0, 0x3f, 0, 192, 0), 0);
    ck_assert_uint_eq(p[2] & 0x80, 0);
    ck_assert_uint_eq(COMMAND(&r, 192, true, NULL, 0x5a, 0, 8, 0, 0, 0, 0, 0, 192, 0), 0);
    ck_assert_uint_eq(p[16], 8);
    ck_assert_uint_eq(p[18], 4); /* there is a write cache */
    ck_assert_uint_eq(COMMAND(&r, 16, true, NULL, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0, 0, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0xee), 1);
    ck_assert_uint_eq(sense(&r), 0x052000);
    ck_assert_uint_eq(sense(&r), 0);
    unmake(&r);
}
END_TEST

START_TEST(blocks_are_written_and_read)
{
    struct rig r;

    make(&r);
    for (unsigned count = 1; count < 200; count += 37) {
        fill(&r, count * 512, count);
        ck_assert_uint_eq(rw(&r, false, 100, count), 0);
        memset(fx_at(&r.f, FX_DATA), 0, count * 512);
        ck_assert_uint_eq(rw(&r, true, 100, count), 0);
        ck_assert(is_filled(&r, count * 512, count));
    }
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(rw(&r, true, BLOCKS - 1, 1), 0);
    ck_assert_uint_eq(rw(&r, true, BLOCKS - 1, 2), 1);
    ck_assert_uint_eq(sense(&r), 0x052100);
    ck_assert_uint_eq(rw(&r, false, UINT32_MAX, 1), 1);
    ck_assert_uint_eq(rw(&r, true, 0, 1), 0);
    unmake(&r);
}
END_TEST

/* Transfers of any size, as firmware and small drivers have them. */
START_TEST(data_may_come_in_pieces)
{
    static const uint32_t sizes[] = {1, 31, 512, 513, 1000, 4096, 33000};
    const uint32_t len = 150 * 512;
    struct rig r;

    make(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t cdb[10] = {0x2a, 0, 0, 0, 0, 7, 0, 0, 150, 0};
        uint32_t limit = sizes[i] == 1 ? 4096 : len;

        cdb[8] = (uint8_t)(limit / 512);
        fill(&r, limit, i);
        send_cbw(&r, cdb, 10, limit, false);
        for (uint32_t at = 0; at < limit; at += sizes[i])
            ck_assert_uint_eq(move(&r, OUT, FX_DATA + at, MIN(sizes[i], limit - at), NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(read_csw(&r, NULL), 0);
        memset(fx_at(&r.f, FX_DATA), 0, limit);
        cdb[0] = 0x28;
        send_cbw(&r, cdb, 10, limit, true);
        for (uint32_t at = 0; at < limit; at += sizes[i])
            ck_assert_uint_eq(move(&r, IN, FX_DATA + at, MIN(sizes[i], limit - at), NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(read_csw(&r, NULL), 0);
        ck_assert(is_filled(&r, limit, i));
    }
    unmake(&r);
}
END_TEST

/* The thirteen cases (6.7). */
START_TEST(host_and_device_may_disagree)
{
    uint32_t residue;
    struct rig r;

    make(&r);
    ck_assert_uint_eq(COMMAND(&r, 0, true, NULL, 0x12, 0, 0, 0, 36, 0), 2);             /* Hn < Di */
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2); /* Hn < Do */
    ck_assert_uint_eq(COMMAND(&r, 64, true, &residue, 0, 0, 0, 0, 0, 0), 0);            /* Hi > Dn */
    ck_assert_uint_eq(residue, 64);
    ck_assert_uint_eq(COMMAND(&r, 64, true, &residue, 0x12, 0, 0, 0, 36, 0), 0);        /* Hi > Di */
    ck_assert_uint_eq(residue, 28);
    ck_assert_uint_eq(COMMAND(&r, 512, true, NULL, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0), 2); /* Hi < Di */
    ck_assert_uint_eq(COMMAND(&r, 512, true, NULL, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2); /* Hi <> Do */
    ck_assert_uint_eq(COMMAND(&r, 64, false, &residue, 0, 0, 0, 0, 0, 0), 0);           /* Ho > Dn */
    ck_assert_uint_eq(residue, 64);
    ck_assert_uint_eq(COMMAND(&r, 512, false, NULL, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2); /* Ho <> Di */
    fill(&r, 1024, 9);
    ck_assert_uint_eq(COMMAND(&r, 1024, false, &residue, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 0); /* Ho > Do */
    ck_assert_uint_eq(residue, 512);
    fill(&r, 512, 77);
    ck_assert_uint_eq(COMMAND(&r, 512, false, NULL, 0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0), 2); /* Ho < Do: nothing is written */
    ck_assert_uint_eq(rw(&r, true, 0, 1), 0);
    ck_assert(is_filled(&r, 512, 9));
    /* Exactly what is there, and then more is asked for. */
    send_cbw(&r, (const uint8_t[]){0x12, 0, 0, 0, 36, 0}, 6, 64, true);
    ck_assert_uint_eq(move(&r, IN, FX_DATA, 36, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(move(&r, IN, FX_DATA, 28, NULL), XHCI_STALL_ERROR);
    unstall(&r, IN);
    ck_assert_uint_eq(read_csw(&r, NULL), 0);
    unmake(&r);
}
END_TEST

START_TEST(a_bad_cbw_needs_a_reset)
{
    struct rig r;
    uint32_t len;

    make(&r);
    ck_assert_uint_eq(move(&r, OUT, CBW, 31, NULL), XHCI_STALL_ERROR); /* zeroes */
    unstall(&r, OUT);
    ck_assert_uint_eq(move(&r, OUT, CBW, 31, NULL), XHCI_STALL_ERROR); /* still */
    ck_assert_uint_eq(move(&r, IN, CSW, 13, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0x21, 0xff, 0, 0, 0, NULL), XHCI_SUCCESS);
    unstall(&r, OUT);
    unstall(&r, IN);
    ck_assert_uint_eq(rw(&r, true, 0, 8), 0);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0xa1, 0xfe, 0, 0, 1, &len), XHCI_SUCCESS);
    ck_assert_uint_eq(*(uint8_t *)fx_at(&r.f, FX_DATA), 0);
    /* In the middle of data. */
    send_cbw(&r, (const uint8_t[]){0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0}, 10, 4096, true);
    ck_assert_uint_eq(move(&r, IN, FX_DATA, 1000, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0x21, 0xff, 0, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(rw(&r, true, 0, 8), 0);
    unmake(&r);
}
END_TEST

START_TEST(errors_of_the_disk_are_told)
{
    const struct blk_fault fault = {.ops = BIT(BLK_READ), .err = -EIO, .offset = 50 * 512, .len = 512};
    struct rig r;

    make_with(&r, false, &fault, false);
    ck_assert_uint_eq(rw(&r, true, 40, 20), 1);
    ck_assert_uint_eq(sense(&r), 0x031100);
    ck_assert_uint_eq(rw(&r, true, 0, 20), 0);
    unmake(&r);
    make_with(&r, false, NULL, true);
    ck_assert_uint_eq(rw(&r, false, 0, 1), 1);
    ck_assert_uint_eq(sense(&r), 0x072700);
    ck_assert_uint_eq(COMMAND(&r, 192, true, NULL, 0x1a, 0, 0x3f, 0, 192, 0), 0);
    ck_assert_uint_eq(((uint8_t *)fx_at(&r.f, FX_DATA))[2] & 0x80, 0x80);
    unmake(&r);
}
END_TEST

/* A stop of a transfer that the disk is at: left bytes of it have not come yet. */
static void stop(struct rig *r, unsigned dci, uint32_t left)
{
    struct xhci_trb e;

    fx_put(&r->f, &r->f.command, 0, 0, (uint32_t)XHCI_STOP_ENDPOINT << 10 | r->slot << 24 | dci << 16);
    fx_ring_bell(&r->f, 0, 0);
    ck_assert(!fx_event(&r->f, &e)); /* it may still write to that memory */
    fake_loop_turn(r->loop);
    fx_turn(&r->f);
    ck_assert(fx_event(&r->f, &e));
    ck_assert_uint_eq(e.status, (uint32_t)XHCI_STOPPED << 24 | left);
    ck_assert(fx_event(&r->f, &e));
    ck_assert_uint_eq(XHCI_TRB_TYPE(e.control), XHCI_EV_COMMAND);
}

/* A disk that hangs: its delay is over when the test says so. What is no block, or does not begin with one, goes through
 * a buffer, of which there is one more in the middle of the second transfer. */
START_TEST(a_disk_that_hangs_holds_up_no_stop)
{
    static const uint32_t first[] = {0, 1000, 512, 33000}, moved[] = {0, 31768, 0, 32536};
    const uint32_t len = 150 * 512;
    struct xhci_trb e;
    struct rig r;

    make(&r);
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(first); i++) {
        const uint8_t cdb[10] = {i % 2 ? 0x28 : 0x2a, [8] = 150};
        unsigned dci = i % 2 ? IN : OUT, kind = i / 2;
        uint32_t rest = len - first[kind];

        fill(&r, len, kind);
        if (i % 2)
            memset(fx_at(&r.f, FX_DATA), 0, len);
        send_cbw(&r, cdb, 10, len, i % 2);
        if (first[kind])
            ck_assert_uint_eq(move(&r, dci, FX_DATA, first[kind], NULL), XHCI_SUCCESS);
        fx_normal(&r.f, r.slot, dci, FX_DATA + first[kind], rest, XHCI_TRB_IOC);
        for (unsigned n = 0; n < 3; n++) {
            fx_ring_bell(&r.f, r.slot, dci);
            stop(&r, dci, rest - moved[kind]);
        }
        fx_ring_bell(&r.f, r.slot, dci);
        turn_disk(&r);
        ck_assert(fx_event_of(&r.f, XHCI_EV_TRANSFER, &e));
        ck_assert_uint_eq(fx_code(&e), XHCI_SUCCESS);
        ck_assert_uint_eq(read_csw(&r, NULL), 0);
        ck_assert(is_filled(&r, len, kind));
    }
    unmake(&r);
}
END_TEST

/* The driver makes another transfer of the one that was stopped in its middle: shorter than what was moved, or longer. */
START_TEST(a_transfer_may_be_another_one_after_a_stop)
{
    static const uint32_t lens[] = {0, 100, 31768, 31769, 75801, 0x1ffff};
    static const uint8_t cdb[10] = {0x28, [8] = 150};
    struct rig r;

    make(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
        uint64_t trb;

        send_cbw(&r, cdb, 10, 150 * 512, true);
        ck_assert_uint_eq(move(&r, IN, FX_DATA, 1000, NULL), XHCI_SUCCESS);
        trb = fx_normal(&r.f, r.slot, IN, FX_DATA + 1000, 75800, XHCI_TRB_IOC);
        fx_ring_bell(&r.f, r.slot, IN);
        stop(&r, IN, 75800 - 31768);
        store_le32(fx_at(&r.f, trb + 8), lens[i]);
        memset(fx_at(&r.f, FX_DATA + 1000 + lens[i]), 0xcc, 64);
        fx_ring_bell(&r.f, r.slot, IN);
        turn_disk(&r);
        for (unsigned k = 0; k < 64; k++)
            ck_assert_uint_eq(((uint8_t *)fx_at(&r.f, FX_DATA + 1000 + lens[i]))[k], 0xcc);
        ck_assert_uint_eq(fx_control(&r.f, r.slot, 0x21, 0xff, 0, 0, 0, NULL), XHCI_SUCCESS);
        turn_disk(&r);
        ck_assert_uint_eq(rw(&r, true, 0, 8), 0);
    }
    unmake(&r);
}
END_TEST

START_TEST(ranges_are_given_back_and_zeroed)
{
    uint8_t *p;
    struct rig r;

    make(&r);
    p = fx_at(&r.f, FX_DATA);
    fill(&r, 512 * 64, 1);
    ck_assert_uint_eq(rw(&r, false, 0, 64), 0);
    memset(p, 0, 512);
    ck_assert_uint_eq(COMMAND(&r, 512, false, NULL, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 5, 0, 0), 0);
    ck_assert_uint_eq(rw(&r, true, 10, 5), 0);
    for (unsigned i = 0; i < 5 * 512; i++)
        ck_assert_uint_eq(p[i], 0);
    p[0] = 1; /* not zeroes */
    ck_assert_uint_eq(COMMAND(&r, 512, false, NULL, 0x41, 0, 0, 0, 0, 0, 0, 0, 5, 0), 1);
    memset(p, 0, 40);
    p[3] = 32;
    p[15] = 20;
    p[19] = 4;
    p[31] = 30;
    p[35] = 4;
    ck_assert_uint_eq(COMMAND(&r, 40, false, NULL, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0), 0);
    p[24] = 0xff; /* beyond the end */
    ck_assert_uint_eq(COMMAND(&r, 40, false, NULL, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0), 1);
    ck_assert_uint_eq(sense(&r), 0x052100);
    unmake(&r);
}
END_TEST

START_TEST(a_cdrom_can_be_ejected)
{
    uint8_t *p;
    struct rig r;

    make_with(&r, true, NULL, false);
    p = fx_at(&r.f, FX_DATA);
    ck_assert_uint_eq(COMMAND(&r, 36, true, NULL, 0x12, 0, 0, 0, 36, 0), 0);
    ck_assert_uint_eq(p[0], 5);
    ck_assert_uint_eq(p[1], 0x80);
    ck_assert_uint_eq(COMMAND(&r, 8, true, NULL, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(load_be32(p + 4), 2048);
    ck_assert_uint_eq(load_be32(p), BLOCKS / 4 - 1);
    ck_assert_uint_eq(COMMAND(&r, 20, true, NULL, 0x43, 0, 0, 0, 0, 0, 0, 0, 20, 0), 0);
    ck_assert_uint_eq(load_be32(p + 16), BLOCKS / 4);
    ck_assert_uint_eq(COMMAND(&r, 40, true, NULL, 0x46, 0, 0, 0, 0, 0, 0, 0, 40, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 8, true, NULL, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 2048, false, NULL, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 1); /* not written */
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x1e, 0, 0, 0, 1, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x1b, 0, 0, 0, 2, 0), 1); /* locked */
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x1e, 0, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x1b, 0, 0, 0, 2, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0, 0, 0, 0, 0, 0), 1);
    ck_assert_uint_eq(sense(&r), 0x023a00);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x1b, 0, 0, 0, 3, 0), 0);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0, 0, 0, 0, 0, 0), 1);
    ck_assert_uint_eq(sense(&r), 0x062800); /* the medium may be another one */
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0, 0, 0, 0, 0, 0), 0);
    unmake(&r);
}
END_TEST

/* Some of a command's data has gone when it is saved, and some of a transfer's. */
START_TEST(a_command_survives_a_save)
{
    const uint8_t cdb[10] = {0x28, [8] = 150};
    const uint32_t len = 150 * 512;
    struct xhci_trb e;
    struct rig a, b;

    make(&a);
    make(&b);
    for (unsigned i = 0; i < 2; i++) { /* the same disk */
        fill(i ? &b : &a, len, 3);
        ck_assert_uint_eq(rw(i ? &b : &a, false, 0, 150), 0);
    }
    memset(fx_at(&a.f, FX_DATA), 0, len);
    send_cbw(&a, cdb, 10, len, true);
    ck_assert_uint_eq(move(&a, IN, FX_DATA, 1000, NULL), XHCI_SUCCESS);
    fx_normal(&a.f, a.slot, IN, FX_DATA + 1000, len - 1000, XHCI_TRB_IOC);
    fx_ring_bell(&a.f, a.slot, IN);
    save(&a, &b);
    turn_disk(&b);
    ck_assert(fx_event_of(&b.f, XHCI_EV_TRANSFER, &e));
    ck_assert_uint_eq(fx_code(&e), XHCI_SUCCESS);
    ck_assert_uint_eq(read_csw(&b, NULL), 0);
    ck_assert(is_filled(&b, len, 3));
    unmake(&a);
    unmake(&b);
}
END_TEST

/* It has none, but the host has said it has: nothing is flushed, whoever hears of that. */
START_TEST(a_flush_with_data_survives_a_save)
{
    struct rig a, b;

    make(&a);
    make(&b);
    send_cbw(&a, (const uint8_t[10]){0x35}, 10, 40, false);
    ck_assert_uint_eq(move(&a, OUT, FX_DATA, 31, NULL), XHCI_SUCCESS);
    save(&a, &b);
    ck_assert_uint_eq(move(&b, OUT, FX_DATA, 9, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(read_csw(&b, NULL), 2);
    unmake(&a);
    unmake(&b);
}
END_TEST

START_TEST(a_disc_is_replaced)
{
    const uint8_t read[10] = {0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0};
    const struct blk_mem_options m = {.size = BLOCKS * 256, .read_only = true};
    struct blk *other, *none, *old;
    uint32_t residue;
    struct rig r;
    uint8_t *p;

    make_with(&r, true, NULL, false);
    p = fx_at(&r.f, FX_DATA);
    ck_assert_int_eq(blk_mem_create(&m, r.loop, &other), 0);
    ck_assert_int_eq(blk_null_create(0, r.loop, &none), 0);
    /* The guest has it closed: it is asked, once, and told by the drive's event. */
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0x1e, 0, 0, 0, 1, 0), 0);
    ck_assert_int_eq(usb_disk_change(r.dev, none, false, &old), -EBUSY);
    ck_assert_uint_eq(COMMAND(&r, 8, true, NULL, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 0);
    ck_assert_uint_eq(p[4] & 15, 1);
    ck_assert_uint_eq(COMMAND(&r, 8, true, NULL, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 0);
    ck_assert_uint_eq(p[4] & 15, 0);
    /* By force, in the middle of a READ: half of it is there, the rest fails. */
    send_cbw(&r, read, 10, 4096, true);
    ck_assert_uint_eq(move(&r, IN, FX_DATA, 2048, NULL), XHCI_SUCCESS);
    ck_assert_int_eq(usb_disk_change(r.dev, other, true, &old), 0);
    ck_assert_ptr_eq(old, r.blk);
    ck_assert_uint_eq(move(&r, IN, FX_DATA, 2048, NULL), XHCI_STALL_ERROR);
    unstall(&r, IN);
    ck_assert_uint_eq(read_csw(&r, &residue), 1);
    ck_assert_uint_eq(residue, 2048);
    ck_assert_uint_eq(sense(&r), 0x062800);
    ck_assert_uint_eq(COMMAND(&r, 8, true, NULL, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
    ck_assert_uint_eq(load_be32(p), BLOCKS / 8 - 1);
    ck_assert(usb_disk_has_medium(r.dev));
    /* Nothing in it. */
    ck_assert_int_eq(usb_disk_change(r.dev, none, false, &old), 0);
    blk_close(old);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0, 0, 0, 0, 0, 0), 1);
    ck_assert_uint_eq(sense(&r), 0x023a00);
    ck_assert_uint_eq(COMMAND(&r, 2048, true, NULL, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 1);
    ck_assert(!usb_disk_has_medium(r.dev));
    ck_assert_int_eq(usb_disk_change(r.dev, r.blk, false, &old), 0); /* and the first one again */
    blk_close(old);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0, 0, 0, 0, 0, 0), 1);
    ck_assert_uint_eq(COMMAND(&r, 0, false, NULL, 0, 0, 0, 0, 0, 0), 0);
    unmake(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, it_says_what_it_is);
    UNIT_TEST(s, blocks_are_written_and_read);
    UNIT_TEST(s, data_may_come_in_pieces);
    UNIT_TEST(s, host_and_device_may_disagree);
    UNIT_TEST(s, a_bad_cbw_needs_a_reset);
    UNIT_TEST(s, errors_of_the_disk_are_told);
    UNIT_TEST(s, a_disk_that_hangs_holds_up_no_stop);
    UNIT_TEST(s, a_transfer_may_be_another_one_after_a_stop);
    UNIT_TEST(s, ranges_are_given_back_and_zeroed);
    UNIT_TEST(s, a_cdrom_can_be_ejected);
    UNIT_TEST(s, a_disc_is_replaced);
    UNIT_TEST(s, a_command_survives_a_save);
    UNIT_TEST(s, a_flush_with_data_survives_a_save);
}

UNIT_TEST_MAIN("usb_disk", add_tests)
