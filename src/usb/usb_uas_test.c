/* SPDX-License-Identifier: MIT */
#define RIG_MORE                                                                                   \
    struct fx_ring ring[DCIS][STREAMS];                                                            \
    unsigned code[DCIS][STREAMS]; /* of the last event; 0: none has come */                        \
    uint32_t left[DCIS][STREAMS];
#define DCIS    9u
#define STREAMS 32u

#include "usb/usb_disk_fixture.h"

#define STATUS          7u /* DCIs */
#define COMMAND         8u
#define TAGS            16u
#define MAX_PSTREAMS    4u /* 32 stream contexts */
#define CONTEXTS(dci)   (0x200000u + 0x1000 * (dci))
#define RING(dci, tag)  (0x220000u + 0x4000 * (dci) + 0x200 * (tag))
#define ANSWER(tag)     (FX_DATA + 0x310000u + 0x100 * (tag))
#define DATA(tag)       (FX_DATA + 0x10000u * (tag))
#define IU              (FX_DATA + 0x300000u)
#define RESPONSE(code)  (0x100u | (code))
#define NOTHING         0xffffu

static void choose(struct rig *r)
{
    static const unsigned dcis[] = {IN, OUT, STATUS};

    ck_assert_uint_eq(fx_control(&r->f, r->slot, 1, USB_SET_INTERFACE, 1, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_configure(&r->f, r->slot, COMMAND, XHCI_EP_BULK_OUT, 1024), XHCI_SUCCESS);
    for (unsigned i = 0; i < ARRAY_SIZE(dcis); i++) {
        for (unsigned tag = 1; tag < STREAMS; tag++) {
            fx_ring_init(&r->f, &r->ring[dcis[i]][tag], RING(dcis[i], tag));
            store_le64(fx_at(&r->f, CONTEXTS(dcis[i]) + 16 * tag), RING(dcis[i], tag) | XHCI_SCT_PRIMARY << 1 | 1);
        }
        ck_assert_uint_eq(fx_configure_streams(&r->f, r->slot, dcis[i], dcis[i] & 1 ? XHCI_EP_BULK_IN : XHCI_EP_BULK_OUT, MAX_PSTREAMS,
                                               CONTEXTS(dcis[i])), XHCI_SUCCESS);
    }
}

static void make_with(struct rig *r, bool cdrom, const struct blk_fault *fault)
{
    make_disk(r, cdrom, true, fault, false);
}

static void make(struct rig *r)
{
    make_with(r, false, NULL);
    choose(r);
}

/* What has happened on streams since. */
static void look(struct rig *r)
{
    struct xhci_trb e;

    fx_turn(&r->f);
    while (fx_event_of(&r->f, XHCI_EV_TRANSFER, &e)) {
        unsigned dci = XHCI_TRB_EP(e.control);
        unsigned tag = dci == COMMAND ? 0 : (unsigned)((e.parameter - RING(dci, 0)) / 0x200);

        ck_assert(dci < DCIS && tag < STREAMS);
        r->code[dci][tag] = fx_code(&e);
        r->left[dci][tag] = e.status & 0xffffff;
    }
}

static void turn(struct rig *r)
{
    turn_disk(r);
    look(r);
}

/* A transfer on a stream. */
static void queue(struct rig *r, unsigned dci, unsigned tag, uint64_t gpa, uint32_t len)
{
    r->code[dci][tag] = 0;
    fx_put(&r->f, &r->ring[dci][tag], gpa, len, (uint32_t)XHCI_NORMAL << 10 | XHCI_TRB_IOC | XHCI_TRB_ISP);
    fx_ring_bell(&r->f, r->slot, dci | tag << 16);
}

/* An information unit. */
static unsigned send_raw(struct rig *r, const uint8_t *iu, uint32_t len)
{
    r->code[COMMAND][0] = 0;
    memcpy(fx_at(&r->f, IU), iu, len);
    fx_normal(&r->f, r->slot, COMMAND, IU, len, XHCI_TRB_IOC);
    fx_ring_bell(&r->f, r->slot, COMMAND);
    look(r);
    return r->code[COMMAND][0];
}

static void send(struct rig *r, unsigned tag, const uint8_t *cdb, unsigned len)
{
    uint8_t iu[32] = {1, 0, 0, (uint8_t)tag};

    memcpy(iu + 16, cdb, len);
    ck_assert_uint_eq(send_raw(r, iu, 32), XHCI_SUCCESS);
}

static void manage(struct rig *r, unsigned tag, uint8_t function, unsigned target)
{
    const uint8_t iu[16] = {5, 0, 0, (uint8_t)tag, function, 0, 0, (uint8_t)target};

    queue(r, STATUS, tag, ANSWER(tag), 96);
    ck_assert_uint_eq(send_raw(r, iu, 16), XHCI_SUCCESS);
}

/* What came on a tag's status: a SCSI status, or RESPONSE(). */
static unsigned answer(struct rig *r, unsigned tag)
{
    const uint8_t *p = fx_at(&r->f, ANSWER(tag));

    if (r->code[STATUS][tag] != XHCI_SHORT_PACKET)
        return NOTHING;
    r->code[STATUS][tag] = 0;
    ck_assert_uint_eq(load_be16(p + 2), tag);
    ck_assert(p[0] == 3 || p[0] == 4);
    ck_assert_uint_eq(96 - r->left[STATUS][tag], p[0] == 4 ? 8 : 16 + load_be16(p + 14));
    return p[0] == 4 ? RESPONSE(p[7]) : p[6];
}

static unsigned sense(struct rig *r, unsigned tag)
{
    const uint8_t *p = fx_at(&r->f, ANSWER(tag) + 16);

    return p[2] << 16 | p[12] << 8 | p[13];
}

/* A whole command with one transfer for its data at DATA(tag). */
static unsigned command(struct rig *r, unsigned tag, const uint8_t *cdb, unsigned cdb_len, uint32_t len, bool in)
{
    queue(r, STATUS, tag, ANSWER(tag), 96);
    if (len)
        queue(r, in ? IN : OUT, tag, DATA(tag), len);
    send(r, tag, cdb, cdb_len);
    turn(r);
    return answer(r, tag);
}
#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define READY       BYTES(0, 0, 0, 0, 0, 0)

static void rw(struct rig *r, unsigned tag, bool read, uint32_t lba, uint32_t count)
{
    uint8_t cdb[10] = {read ? 0x28 : 0x2a};

    store_be32(cdb + 2, lba);
    store_be16(cdb + 7, (uint16_t)count);
    queue(r, STATUS, tag, ANSWER(tag), 96);
    queue(r, read ? IN : OUT, tag, DATA(tag), count * 512);
    send(r, tag, cdb, 10);
}

static void fill(struct rig *r, unsigned tag, unsigned len, unsigned seed)
{
    fill_at(r, DATA(tag), len, seed);
}

static bool is_filled(struct rig *r, unsigned tag, unsigned len, unsigned seed)
{
    return is_filled_at(r, DATA(tag), len, seed);
}

START_TEST(commands_are_answered_by_their_tags)
{
    struct rig r;

    make(&r);
    ck_assert_uint_eq(command(&r, 3, BYTES(0x12, 0, 0, 0, 36, 0), 36, true), 0);
    ck_assert_mem_eq((uint8_t *)fx_at(&r.f, DATA(3)) + 8, "vz      USB Disk        ", 24);
    ck_assert_uint_eq(r.code[IN][3], XHCI_SUCCESS);
    ck_assert_uint_eq(command(&r, 16, BYTES(0x12, 0, 0, 0, 255, 0), 255, true), 0);
    ck_assert_uint_eq(r.code[IN][16], XHCI_SHORT_PACKET);
    ck_assert_uint_eq(r.left[IN][16], 255 - 36);
    ck_assert_uint_eq(command(&r, 1, READY, 0, false), 0);
    ck_assert_uint_eq(command(&r, 1, BYTES(0xee), 0, false), 2); /* with its sense */
    ck_assert_uint_eq(sense(&r, 1), 0x052000);
    ck_assert_uint_eq(command(&r, 2, BYTES(3, 0, 0, 0, 18, 0), 18, true), 0); /* of which nobody need ask */
    ck_assert_uint_eq(((uint8_t *)fx_at(&r.f, DATA(2)))[2], 0);
    ck_assert_uint_eq(command(&r, 2, BYTES(0x35), 0, false), 0); /* which the disk does */
    rw(&r, 5, true, BLOCKS - 1, 2);
    turn(&r);
    ck_assert_uint_eq(answer(&r, 5), 2);
    ck_assert_uint_eq(sense(&r, 5), 0x052100);
    ck_assert_uint_eq(r.code[IN][5], 0); /* nothing came */
    unmake(&r);
}
END_TEST

START_TEST(as_many_are_under_way_as_there_are_tags)
{
    struct rig r;

    make(&r);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned tag = 1; tag <= TAGS; tag++) {
            fill(&r, tag, 512 * tag, tag + round);
            rw(&r, tag, false, 100 * tag, tag);
        }
        look(&r);
        for (unsigned tag = 1; tag <= TAGS; tag++)
            ck_assert_uint_eq(r.code[OUT][tag] | r.code[STATUS][tag], 0);
        turn(&r);
        for (unsigned tag = 1; tag <= TAGS; tag++) {
            ck_assert_uint_eq(answer(&r, tag), 0);
            memset(fx_at(&r.f, DATA(TAGS + 1 - tag)), 0, 512 * TAGS);
        }
        for (unsigned tag = 1; tag <= TAGS; tag++) /* what one wrote, another one reads */
            rw(&r, TAGS + 1 - tag, true, 100 * tag, tag);
        turn(&r);
        for (unsigned tag = 1; tag <= TAGS; tag++) {
            ck_assert_uint_eq(answer(&r, TAGS + 1 - tag), 0);
            ck_assert(is_filled(&r, TAGS + 1 - tag, 512 * tag, tag + round));
        }
    }
    unmake(&r);
}
END_TEST

/* The data before the command, after it, and in pieces of any size. */
START_TEST(data_may_come_in_pieces)
{
    static const uint32_t sizes[] = {1, 31, 512, 513, 1000, 4096, 33000};
    struct rig r;

    make(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint32_t len = sizes[i] == 1 ? 1024 : 100 * 512;
        uint8_t cdb[10] = {0x2a, 0, 0, 0, 0, 7, 0, 0, (uint8_t)(len / 512)};

        fill(&r, 4, len, i);
        send(&r, 4, cdb, 10);
        for (uint32_t at = 0; at < len; at += sizes[i]) {
            queue(&r, OUT, 4, DATA(4) + at, MIN(sizes[i], len - at));
            turn(&r);
            ck_assert_uint_eq(r.code[OUT][4], XHCI_SUCCESS);
        }
        queue(&r, STATUS, 4, ANSWER(4), 96);
        turn(&r);
        ck_assert_uint_eq(answer(&r, 4), 0);
        memset(fx_at(&r.f, DATA(4)), 0, len);
        cdb[0] = 0x28;
        queue(&r, IN, 4, DATA(4), MIN(sizes[i], len));
        send(&r, 4, cdb, 10);
        turn(&r);
        for (uint32_t at = sizes[i]; at < len; at += sizes[i]) {
            queue(&r, IN, 4, DATA(4) + at, MIN(sizes[i], len - at));
            turn(&r);
            ck_assert_uint_eq(r.code[IN][4], XHCI_SUCCESS);
        }
        queue(&r, STATUS, 4, ANSWER(4), 96);
        turn(&r);
        ck_assert_uint_eq(answer(&r, 4), 0);
        ck_assert(is_filled(&r, 4, len, i));
    }
    unmake(&r);
}
END_TEST

START_TEST(tasks_are_managed)
{
    struct rig r;

    make(&r);
    fill(&r, 2, 4096, 9);
    rw(&r, 2, false, 0, 8); /* on the disk, which holds it */
    rw(&r, 3, true, 0, 8);
    manage(&r, 9, 0x80, 2);
    look(&r);
    ck_assert_uint_eq(answer(&r, 9), RESPONSE(8)); /* it is there */
    manage(&r, 9, 0x80, 4);
    look(&r);
    ck_assert_uint_eq(answer(&r, 9), RESPONSE(0)); /* it is not */
    manage(&r, 10, 0x01, 2);
    look(&r);
    ck_assert_uint_eq(answer(&r, 10), NOTHING); /* it may still be done */
    manage(&r, 9, 0x80, 2);
    look(&r);
    ck_assert_uint_eq(answer(&r, 9), RESPONSE(0));
    turn(&r);
    ck_assert_uint_eq(answer(&r, 10), RESPONSE(0));
    ck_assert_uint_eq(answer(&r, 2), NOTHING);
    ck_assert_uint_eq(answer(&r, 3), 0); /* the other one was let be */
    ck_assert_uint_eq(r.code[OUT][2], 0);
    manage(&r, 9, 0x81, 0);
    look(&r);
    ck_assert_uint_eq(answer(&r, 9), RESPONSE(0));
    /* What it has left goes as the driver wants: by a stop, and a ring that is moved. */
    ck_assert_uint_eq(fx_command(&r.f, XHCI_STOP_ENDPOINT, 0, r.slot << 24 | OUT << 16, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_command(&r.f, XHCI_STOP_ENDPOINT, 0, r.slot << 24 | STATUS << 16, NULL), XHCI_SUCCESS);
    for (unsigned dci = OUT; dci <= STATUS; dci += STATUS - OUT) {
        struct fx_ring *ring = &r.ring[dci][2];
        uint64_t at = fx_put(&r.f, &r.f.command, (ring->base + 16 * ring->at) | XHCI_SCT_PRIMARY << 1 | ring->cycle, 2u << 16,
                             (uint32_t)XHCI_SET_TR_DEQUEUE << 10 | r.slot << 24 | dci << 16);
        struct xhci_trb e;

        fx_ring_bell(&r.f, 0, 0);
        ck_assert(fx_event_of(&r.f, XHCI_EV_COMMAND, &e) && e.parameter == at);
        ck_assert_uint_eq(fx_code(&e), XHCI_SUCCESS);
    }
    ck_assert_uint_eq(command(&r, 2, READY, 0, false), 0);
    /* Resets: what is there ends, and the next command hears of it. */
    for (unsigned i = 0; i < 2; i++) {
        rw(&r, 5, true, 0, 8);
        manage(&r, 9, i ? 0x10 : 0x08, 0);
        turn(&r);
        ck_assert_uint_eq(answer(&r, 9), RESPONSE(0));
        ck_assert_uint_eq(answer(&r, 5), NOTHING);
        ck_assert_uint_eq(command(&r, 6, READY, 0, false), 2);
        ck_assert_uint_eq(sense(&r, 6), i ? 0x062907 : 0x062903);
        ck_assert_uint_eq(command(&r, 6, READY, 0, false), 0);
        ck_assert_uint_eq(fx_control(&r.f, r.slot, 1, USB_SET_INTERFACE, 1, 0, 0, NULL), XHCI_SUCCESS);
        fx_wr(&r.f, FX_OP + XHCI_USBCMD, 0);
        turn(&r);
        fx_start(&r.f);
        r.slot = fx_enumerate(&r.f, r.dev->port);
        choose(&r);
    }
    manage(&r, 9, 0x82, 0);
    look(&r);
    ck_assert_uint_eq(answer(&r, 9), RESPONSE(4));
    unmake(&r);
}
END_TEST

START_TEST(a_tag_is_one_commands)
{
    struct rig r;

    make(&r);
    rw(&r, 7, true, 0, 8); /* on the disk */
    send(&r, 7, READY);
    look(&r);
    ck_assert_uint_eq(answer(&r, 7), NOTHING);
    turn(&r);
    ck_assert_uint_eq(answer(&r, 7), RESPONSE(0x0a));
    send(&r, 8, BYTES(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)); /* waits for its data */
    send(&r, 8, READY);
    queue(&r, STATUS, 8, ANSWER(8), 96);
    look(&r);
    ck_assert_uint_eq(answer(&r, 8), RESPONSE(0x0a));
    ck_assert_uint_eq(command(&r, 8, READY, 0, false), 0);
    unmake(&r);
}
END_TEST

/* A flush is still on the disk after a reset; its tag is the next command's all the same. */
START_TEST(tags_are_free_after_a_reset)
{
    const uint8_t ready[32] = {1, 0, 0, 5};
    struct rig r;

    make(&r);
    send(&r, 5, BYTES(0x35));
    fx_start(&r.f);
    r.slot = fx_enumerate(&r.f, r.dev->port);
    choose(&r);
    queue(&r, STATUS, 5, ANSWER(5), 96);
    ck_assert_uint_eq(send_raw(&r, ready, 32), 0);
    turn(&r);
    ck_assert_uint_eq(r.code[COMMAND][0], XHCI_SUCCESS);
    ck_assert_uint_eq(answer(&r, 5), 0);
    unmake(&r);
}
END_TEST

START_TEST(bad_units_are_refused)
{
    static const struct bad {
        uint8_t iu[32];
        uint32_t len;
        unsigned code, answer, sense;
    } bad[] = {
        {{1, 0, 0}, 3, XHCI_STALL_ERROR, NOTHING, 0},
        {{1}, 32, XHCI_STALL_ERROR, NOTHING, 0},
        {{1, 0, 0, TAGS + 1}, 32, XHCI_STALL_ERROR, NOTHING, 0},
        {{1, 0, 1, 1}, 32, XHCI_STALL_ERROR, NOTHING, 0},
        {{1, 0, 0, 1}, 31, XHCI_SUCCESS, RESPONSE(2), 0},
        {{5, 0, 0, 1}, 15, XHCI_SUCCESS, RESPONSE(2), 0},
        {{3, 0, 0, 1}, 32, XHCI_SUCCESS, RESPONSE(2), 0},
        {{5, 0, 0, 1, 0x08, 0, 0, 0, 0, 1}, 16, XHCI_SUCCESS, RESPONSE(9), 0},
        {{1, 0, 0, 1, 0, 0, 4}, 32, XHCI_SUCCESS, 2, 0x052000},
        {{1, 0, 0, 1, 2}, 32, XHCI_SUCCESS, 2, 0x0b4900},
        {{1, 0, 0, 1, 0, 0, 0, 0, 0, 1}, 32, XHCI_SUCCESS, 2, 0x052500},
    };
    struct rig r;

    make(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct fx_ring *ring = &r.f.ring[r.slot][COMMAND];

        if (bad[i].answer != NOTHING)
            queue(&r, STATUS, 1, ANSWER(1), 96);
        ck_assert_uint_eq(send_raw(&r, bad[i].iu, bad[i].len), bad[i].code);
        turn(&r);
        ck_assert_uint_eq(answer(&r, 1), bad[i].answer);
        if (bad[i].answer == 2)
            ck_assert_uint_eq(sense(&r, 1), bad[i].sense);
        if (bad[i].code != XHCI_STALL_ERROR)
            continue;
        ck_assert_uint_eq(fx_command(&r.f, XHCI_RESET_ENDPOINT, 0, r.slot << 24 | COMMAND << 16, NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(fx_command(&r.f, XHCI_SET_TR_DEQUEUE, (ring->base + 16 * ring->at) | ring->cycle,
                                     r.slot << 24 | COMMAND << 16, NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(fx_control(&r.f, r.slot, 2, USB_CLEAR_FEATURE, 0, 0x04, 0, NULL), XHCI_SUCCESS);
    }
    ck_assert_uint_eq(command(&r, 1, READY, 0, false), 0);
    unmake(&r);
}
END_TEST

START_TEST(errors_of_the_disk_are_told)
{
    const struct blk_fault fault = {.ops = BIT(BLK_READ), .err = -EIO, .offset = 50 * 512, .len = 512};
    struct rig r;

    make_with(&r, false, &fault);
    choose(&r);
    rw(&r, 1, true, 40, 20);
    rw(&r, 2, true, 0, 20);
    turn(&r);
    ck_assert_uint_eq(answer(&r, 1), 2);
    ck_assert_uint_eq(sense(&r, 1), 0x031100);
    ck_assert_uint_eq(answer(&r, 2), 0);
    unmake(&r);
}
END_TEST

static uint64_t context(struct rig *r, unsigned dci, unsigned tag)
{
    return load_le64(fx_at(&r->f, CONTEXTS(dci) + 16 * tag));
}

static unsigned set_dequeue(struct rig *r, unsigned dci, unsigned tag, uint64_t to)
{
    struct xhci_trb e;

    fx_put(&r->f, &r->f.command, to, tag << 16, (uint32_t)XHCI_SET_TR_DEQUEUE << 10 | r->slot << 24 | dci << 16);
    fx_ring_bell(&r->f, 0, 0);
    ck_assert(fx_event_of(&r->f, XHCI_EV_COMMAND, &e));
    return fx_code(&e);
}

START_TEST(an_endpoint_stops_with_all_its_streams)
{
    struct xhci_trb e;
    struct rig r;

    make(&r);
    queue(&r, STATUS, 1, ANSWER(1), 96);
    queue(&r, STATUS, 2, ANSWER(2), 96);
    ck_assert_uint_eq(context(&r, STATUS, 1), RING(STATUS, 1) | XHCI_SCT_PRIMARY << 1 | 1);
    fx_put(&r.f, &r.f.command, 0, 0, (uint32_t)XHCI_STOP_ENDPOINT << 10 | r.slot << 24 | STATUS << 16);
    fx_ring_bell(&r.f, 0, 0);
    ck_assert(fx_event(&r.f, &e) && XHCI_TRB_TYPE(e.control) == XHCI_EV_TRANSFER);
    ck_assert_uint_eq(fx_code(&e), XHCI_STOPPED);
    ck_assert_uint_eq(e.status & 0xffffff, 96);
    ck_assert(fx_event(&r.f, &e) && XHCI_TRB_TYPE(e.control) == XHCI_EV_COMMAND); /* one was told of */
    ck_assert_uint_eq(fx_ep_state(&r.f, r.slot, STATUS), XHCI_EP_STOPPED);
    ck_assert_uint_eq(load_le64(fx_at(&r.f, fx_context(r.slot) + 32 * STATUS + 8)), CONTEXTS(STATUS)); /* its contexts still */
    ck_assert_uint_eq(set_dequeue(&r, STATUS, 0, RING(STATUS, 1) | XHCI_SCT_PRIMARY << 1 | 1), XHCI_INVALID_STREAM_ID);
    ck_assert_uint_eq(set_dequeue(&r, STATUS, STREAMS, RING(STATUS, 1) | XHCI_SCT_PRIMARY << 1 | 1), XHCI_INVALID_STREAM_ID);
    ck_assert_uint_eq(set_dequeue(&r, STATUS, 1, RING(STATUS, 1) | 1), XHCI_INVALID_STREAM_TYPE);
    ck_assert_uint_eq(set_dequeue(&r, STATUS, 1, (RING(STATUS, 1) + 16) | XHCI_SCT_PRIMARY << 1 | 1), XHCI_SUCCESS);
    ck_assert_uint_eq(context(&r, STATUS, 1), (RING(STATUS, 1) + 16) | XHCI_SCT_PRIMARY << 1 | 1);
    /* Tag 1 has lost its transfer; the bell of one starts them all. */
    queue(&r, STATUS, 3, ANSWER(3), 96);
    send(&r, 2, READY);
    send(&r, 3, READY);
    send(&r, 1, READY);
    look(&r);
    ck_assert_uint_eq(answer(&r, 2), 0);
    ck_assert_uint_eq(answer(&r, 3), 0);
    ck_assert_uint_eq(answer(&r, 1), NOTHING);
    queue(&r, STATUS, 1, ANSWER(1), 96);
    look(&r);
    ck_assert_uint_eq(answer(&r, 1), 0);
    ck_assert_uint_eq(context(&r, STATUS, 1), (RING(STATUS, 1) + 32) | XHCI_SCT_PRIMARY << 1 | 1);
    /* One that the disk is at waits until it has let go of it; it is done when it comes again. */
    rw(&r, 4, true, 0, 8);
    fx_put(&r.f, &r.f.command, 0, 0, (uint32_t)XHCI_STOP_ENDPOINT << 10 | r.slot << 24 | IN << 16);
    fx_ring_bell(&r.f, 0, 0);
    ck_assert(!fx_event(&r.f, &e));
    fake_loop_turn(r.loop);
    fx_turn(&r.f);
    ck_assert(fx_event_of(&r.f, XHCI_EV_TRANSFER, &e));
    ck_assert_uint_eq(fx_code(&e), XHCI_STOPPED);
    ck_assert(fx_event_of(&r.f, XHCI_EV_COMMAND, &e));
    ck_assert_uint_eq(fx_ep_state(&r.f, r.slot, IN), XHCI_EP_STOPPED);
    fx_wr(&r.f, FX_DB + 4 * r.slot, 4 << 16 | IN);
    turn(&r);
    ck_assert_uint_eq(r.code[IN][4], XHCI_SUCCESS);
    ck_assert_uint_eq(answer(&r, 4), 0);
    unmake(&r);
}
END_TEST

/* A disk that hangs, but for what it is told to forget: a stop takes back what it is at, with what is there of it; and the
 * rest comes when it does something again. What is no block goes through a buffer. */
START_TEST(a_disk_that_hangs_holds_up_no_stop)
{
    static const uint32_t first[] = {0, 1000, 512, 33000}, moved[] = {0, 24, 0, 280}; /* until there is a block */
    const uint32_t len = 150 * 512;
    struct xhci_trb e;
    struct rig r;

    make(&r);
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(first); i++) {
        const uint8_t cdb[10] = {i % 2 ? 0x28 : 0x2a, [8] = 150};
        unsigned dci = i % 2 ? IN : OUT, kind = i / 2;
        uint32_t rest = len - first[kind];

        fill(&r, 4, len, kind);
        if (i % 2)
            memset(fx_at(&r.f, DATA(4)), 0, len);
        queue(&r, STATUS, 4, ANSWER(4), 96);
        send(&r, 4, cdb, 10);
        if (first[kind])
            queue(&r, dci, 4, DATA(4), first[kind]);
        turn(&r);
        queue(&r, dci, 4, DATA(4) + first[kind], rest);
        for (unsigned n = 0; n < 3; n++) {
            fx_put(&r.f, &r.f.command, 0, 0, (uint32_t)XHCI_STOP_ENDPOINT << 10 | r.slot << 24 | dci << 16);
            fx_ring_bell(&r.f, 0, 0);
            ck_assert(!fx_event(&r.f, &e)); /* it may still write to that memory */
            fake_loop_turn(r.loop);
            fx_turn(&r.f);
            ck_assert(fx_event_of(&r.f, XHCI_EV_TRANSFER, &e));
            ck_assert_uint_eq(e.status, (uint32_t)XHCI_STOPPED << 24 | (rest - moved[kind]));
            ck_assert(fx_event_of(&r.f, XHCI_EV_COMMAND, &e));
            fx_ring_bell(&r.f, r.slot, dci | 4 << 16);
        }
        turn(&r);
        ck_assert_uint_eq(r.code[dci][4], XHCI_SUCCESS);
        ck_assert_uint_eq(answer(&r, 4), 0);
        ck_assert(is_filled(&r, 4, len, kind));
    }
    unmake(&r);
}
END_TEST

START_TEST(streams_are_for_bulk_endpoints_and_few)
{
    struct rig r;

    make_with(&r, false, NULL);
    ck_assert_uint_eq(fx_configure_streams(&r.f, r.slot, IN, XHCI_EP_BULK_IN, MAX_PSTREAMS + 1, CONTEXTS(IN)), XHCI_PARAMETER_ERROR);
    ck_assert_uint_eq(fx_configure_streams(&r.f, r.slot, IN, XHCI_EP_INTERRUPT_IN, MAX_PSTREAMS, CONTEXTS(IN)), XHCI_PARAMETER_ERROR);
    /* Bulk-only transport has none. */
    fx_ring_init(&r.f, &r.ring[IN][1], RING(IN, 1));
    store_le64(fx_at(&r.f, CONTEXTS(IN) + 16), RING(IN, 1) | XHCI_SCT_PRIMARY << 1 | 1);
    ck_assert_uint_eq(fx_configure_streams(&r.f, r.slot, IN, XHCI_EP_BULK_IN, 1, CONTEXTS(IN)), XHCI_SUCCESS);
    queue(&r, IN, 1, FX_DATA, 13);
    look(&r);
    ck_assert_uint_eq(r.code[IN][1], XHCI_STALL_ERROR);
    ck_assert_uint_eq(fx_ep_state(&r.f, r.slot, IN), XHCI_EP_HALTED);
    unmake(&r);
}
END_TEST

/* What is behind the contexts of an endpoint is no stream of it, and nothing of it stays with the device. */
START_TEST(streams_end_with_their_contexts)
{
    struct rig r;

    make_with(&r, false, NULL);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 1, USB_SET_INTERFACE, 1, 0, 0, NULL), XHCI_SUCCESS);
    fx_ring_init(&r.f, &r.ring[STATUS][5], RING(STATUS, 5));
    store_le64(fx_at(&r.f, CONTEXTS(STATUS) + 16 * 5), RING(STATUS, 5) | XHCI_SCT_PRIMARY << 1 | 1);
    ck_assert_uint_eq(fx_configure_streams(&r.f, r.slot, STATUS, XHCI_EP_BULK_IN, 1, CONTEXTS(STATUS)), XHCI_SUCCESS);
    queue(&r, STATUS, 5, ANSWER(5), 96);
    look(&r);
    ck_assert_uint_eq(r.code[STATUS][5], 0);
    fx_start(&r.f); /* which would wait for it without end */
    r.slot = fx_enumerate(&r.f, r.dev->port);
    choose(&r);
    ck_assert_uint_eq(command(&r, 1, READY, 0, false), 0);
    unmake(&r);
}
END_TEST

/* A ring or a context that is nothing, or not in memory, does no harm; others go on. */
START_TEST(contexts_may_be_anything)
{
    static const uint64_t bad[] = {0, UINT64_MAX, FX_RAM - 16, (UINT64_C(1) << 60) | 3, FX_RAM | 3};
    struct rig r;

    make(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        store_le64(fx_at(&r.f, CONTEXTS(STATUS) + 16 * (10 + i)), bad[i]);
        fx_ring_bell(&r.f, r.slot, STATUS | (10 + i) << 16);
        if (fx_ep_state(&r.f, r.slot, STATUS) == XHCI_EP_ERROR) {
            ck_assert_uint_eq(set_dequeue(&r, STATUS, 10 + i, RING(STATUS, 10 + i) | XHCI_SCT_PRIMARY << 1 | 1), XHCI_SUCCESS);
            fx_ring_bell(&r.f, r.slot, STATUS | 1 << 16);
        }
    }
    fx_ring_bell(&r.f, r.slot, STATUS);
    fx_ring_bell(&r.f, r.slot, STATUS | 31u << 16);
    fx_ring_bell(&r.f, r.slot, STATUS | 0xffffu << 16);
    fx_event_of(&r.f, XHCI_EV_COMMAND, &(struct xhci_trb){0}); /* what was told of that */
    ck_assert_uint_eq(command(&r, 1, READY, 0, false), 0);
    ck_assert_uint_eq(fx_configure_streams(&r.f, r.slot, 5, XHCI_EP_BULK_IN, MAX_PSTREAMS, FX_RAM), XHCI_SUCCESS);
    fx_ring_bell(&r.f, r.slot, 5 | 1 << 16);
    ck_assert_uint_eq(command(&r, 1, READY, 0, false), 0);
    unmake(&r);
}
END_TEST

/* One has half of its data, another one's is on the disk, a third one waits for whoever takes its status. */
START_TEST(tasks_survive_a_save)
{
    struct rig a, b;

    make(&a);
    make(&b);
    for (unsigned i = 0; i < 2; i++) { /* the same disk */
        fill(i ? &b : &a, 1, 4096, 5);
        rw(i ? &b : &a, 1, false, 0, 8);
        turn(i ? &b : &a);
        ck_assert_uint_eq(answer(i ? &b : &a, 1), 0);
    }
    send(&a, 2, BYTES(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0));
    queue(&a, IN, 2, DATA(2), 1000);
    turn(&a);
    ck_assert_uint_eq(a.code[IN][2], XHCI_SUCCESS);
    queue(&a, STATUS, 2, ANSWER(2), 96);
    send(&a, 5, BYTES(0x35)); /* a flush, which is on the disk when it is aborted */
    manage(&a, 6, 0x01, 5);
    turn(&a);
    ck_assert_uint_eq(answer(&a, 6), RESPONSE(0));
    send(&a, 3, BYTES(0xee));
    send(&a, 7, BYTES(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0));
    queue(&a, IN, 7, DATA(7), 1000); /* and the rest of a block */
    turn(&a);
    rw(&a, 4, true, 0, 8);
    queue(&a, IN, 7, DATA(7) + 1000, 3096);
    queue(&a, STATUS, 7, ANSWER(7), 96);
    save(&a, &b);
    memcpy(b.ring, a.ring, sizeof(b.ring));
    queue(&b, IN, 2, DATA(2) + 1000, 3096);
    queue(&b, STATUS, 3, ANSWER(3), 96);
    turn(&b);
    ck_assert_uint_eq(answer(&b, 2), 0);
    ck_assert(is_filled(&b, 2, 4096, 5));
    ck_assert_uint_eq(answer(&b, 3), 2);
    ck_assert_uint_eq(sense(&b, 3), 0x052000);
    ck_assert_uint_eq(answer(&b, 4), 0);
    ck_assert(is_filled(&b, 4, 4096, 5));
    ck_assert_uint_eq(answer(&b, 7), 0);
    ck_assert(is_filled(&b, 7, 4096, 5));
    unmake(&a);
    unmake(&b);
}
END_TEST

/* With one command's data half there, and others on the disk. */
START_TEST(a_disc_is_replaced)
{
    const struct blk_mem_options m = {.size = BLOCKS * 256, .read_only = true};
    struct blk *other, *old;
    struct rig r;

    make_with(&r, true, NULL);
    choose(&r);
    ck_assert_int_eq(blk_mem_create(&m, r.loop, &other), 0);
    send(&r, 2, BYTES(0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0));
    queue(&r, IN, 2, DATA(2), 2048);
    turn(&r);
    queue(&r, STATUS, 2, ANSWER(2), 96);
    queue(&r, STATUS, 3, ANSWER(3), 96);
    queue(&r, IN, 3, DATA(3), 4096);
    send(&r, 3, BYTES(0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0));
    ck_assert_int_eq(usb_disk_change(r.dev, other, false, &old), 0);
    ck_assert_ptr_eq(old, r.blk);
    turn(&r);
    ck_assert_uint_eq(answer(&r, 2), 2);
    ck_assert_uint_eq(sense(&r, 2), 0x031100);
    ck_assert_uint_eq(answer(&r, 3), 0); /* it was waited for */
    ck_assert_uint_eq(command(&r, 4, READY, 0, false), 2);
    ck_assert_uint_eq(sense(&r, 4), 0x062800);
    ck_assert_uint_eq(command(&r, 4, BYTES(0x25), 8, true), 0);
    ck_assert_uint_eq(load_be32(fx_at(&r.f, DATA(4))), BLOCKS / 8 - 1);
    ck_assert_int_eq(usb_disk_change(r.dev, r.blk, false, &old), 0);
    blk_close(old);
    unmake(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, commands_are_answered_by_their_tags);
    UNIT_TEST(s, as_many_are_under_way_as_there_are_tags);
    UNIT_TEST(s, data_may_come_in_pieces);
    UNIT_TEST(s, tasks_are_managed);
    UNIT_TEST(s, a_tag_is_one_commands);
    UNIT_TEST(s, tags_are_free_after_a_reset);
    UNIT_TEST(s, bad_units_are_refused);
    UNIT_TEST(s, errors_of_the_disk_are_told);
    UNIT_TEST(s, an_endpoint_stops_with_all_its_streams);
    UNIT_TEST(s, a_disk_that_hangs_holds_up_no_stop);
    UNIT_TEST(s, streams_are_for_bulk_endpoints_and_few);
    UNIT_TEST(s, streams_end_with_their_contexts);
    UNIT_TEST(s, contexts_may_be_anything);
    UNIT_TEST(s, tasks_survive_a_save);
    UNIT_TEST(s, a_disc_is_replaced);
}

UNIT_TEST_MAIN("usb_uas", add_tests)
