/* SPDX-License-Identifier: MIT */
/* USB Attached SCSI (UASP 1.0; section numbers are its), with Bulk-Only Transport as the interface's other setting, for
 * firmware and drivers without it. Commands and what manages them come as information units (IUs) on one pipe; each has
 * a tag, and its data and status go by the stream of that number. So tasks are found by their tags, and there can be no
 * more of them than there are streams. Whole blocks go between the disk and the guest's memory without a copy. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"
#include "base/iov.h"
#include "usb/usb_disk_impl.h"

#define STREAMS_LOG2 4u
#define TASKS        (1u << STREAMS_LOG2)
#define EP_COMMAND   0x04u
#define EP_STATUS    0x83u
#define COMMAND_LEN  32u
#define MANAGE_LEN   16u
#define SENSE_LEN    18u
enum { IU_COMMAND = 1, IU_SENSE = 3, IU_RESPONSE = 4, IU_MANAGE = 5 }; /* 6.2 */
enum { SIMPLE = 0, HEAD_OF_QUEUE = 1 };
enum { /* 6.2.5 */
    RESPONSE_COMPLETE = 0x00, RESPONSE_INVALID_IU = 0x02, RESPONSE_NOT_SUPPORTED = 0x04, RESPONSE_SUCCEEDED = 0x08,
    RESPONSE_NO_LUN = 0x09, RESPONSE_OVERLAPPED_TAG = 0x0a,
};
enum { /* 6.2.6 */
    ABORT_TASK = 0x01, ABORT_TASK_SET = 0x02, CLEAR_TASK_SET = 0x04, LUN_RESET = 0x08, NEXUS_RESET = 0x10,
    QUERY_TASK = 0x80, QUERY_TASK_SET = 0x81, /* those that end nothing have that bit */
};
enum { ILLEGAL_REQUEST = 5, UNIT_ATTENTION = 6, ABORTED_COMMAND = 11 };

enum task_phase {
    TASK_NONE,
    TASK_IN,       /* data to the host */
    TASK_OUT,      /* data from it */
    TASK_STATUS,   /* a sense IU is due */
    TASK_RESPONSE, /* a response IU is due */
    TASK_LAST = TASK_RESPONSE, /* of those that can be saved: nothing is on the disk then */
    TASK_DISK,     /* the disk does something that has no data */
    TASK_MANAGE,   /* waits for those that it aborted */
};

struct usb_uas;

struct task {
    struct usb_uas *uas; /* constant */
    /* Saved. */
    struct scsi_command command; /* its data: also of a block that comes or goes in pieces */
    uint8_t phase, response;
    struct scsi_sense sense;
    uint32_t moved;    /* bytes of its data, between host and here */
    uint32_t buffered; /* IN: bytes in command.data that come next, from buffer_at on; OUT: that were not written yet */
    uint32_t buffer_at;
    /* Not saved. */
    struct usb_xfer *in, *out, *status; /* that wait, */
    struct usb_xfer *served;            /* or that the request below is for */
    struct usb_xfer *leaving;           /* was cancelled while it was served */
    struct blk_req req;
    struct iovec iov[BLK_IOV_MAX];
    bool busy;       /* req, or the command's, is on the disk */
    bool aborted;    /* and nobody wants it any more */
    bool direct;     /* it moves the transfer's own bytes, not the block's, */
    uint32_t moving; /* so many */
};

struct usb_uas {
    struct usb_disk disk;
    struct task task[TASKS]; /* by tag, from 1 on */
    struct usb_xfer *held;   /* a unit whose tag the disk is at work for, though nobody wants that; not saved */
};

static struct usb_uas *to_uas(struct usb_disk *d)
{
    return container_of(d, struct usb_uas, disk);
}

static struct scsi_disk *scsi_of(struct task *t)
{
    return &t->uas->disk.scsi;
}

static unsigned tag_of(const struct task *t)
{
    return (unsigned)(t - t->uas->task) + 1;
}

static void serve(struct task *t);

static void end(struct task *t, struct usb_xfer **which, enum usb_result result)
{
    struct usb_xfer *x = *which;

    *which = NULL;
    if (t->leaving == x)
        t->leaving = NULL;
    x->done(x, result);
}

/* ---- Commands ------------------------------------------------------------------------------- */

/* It has a status; its sense comes with it, so that nobody asks for that later. */
static void finish(struct task *t)
{
    struct scsi_disk *d = scsi_of(t);

    t->phase = TASK_STATUS;
    t->buffered = 0;
    t->sense = (struct scsi_sense){0};
    if (t->command.status == SCSI_GOOD)
        return;
    t->sense = d->sense;
    d->sense = (struct scsi_sense){0};
}

static void refuse(struct task *t, uint8_t key, uint8_t asc)
{
    t->command.status = SCSI_CHECK_CONDITION;
    t->command.need = SCSI_DONE;
    t->sense = (struct scsi_sense){key, asc, 0};
    t->phase = TASK_STATUS;
}

static void respond(struct task *t, uint8_t response)
{
    t->response = response;
    t->phase = TASK_RESPONSE;
}

static void command_done(struct blk_req *req, int err);

/* What the command needs next. */
static void go_on(struct task *t)
{
    struct scsi_command *c = &t->command;

    t->moved = t->buffered = t->buffer_at = 0;
    if (c->need == SCSI_WAIT) {
        t->phase = TASK_DISK;
        t->busy = true;
        c->req.done = command_done;
        blk_submit(scsi_of(t)->blk, &c->req);
    } else if (c->need == SCSI_DONE || !c->len) {
        finish(t);
    } else if (c->need == SCSI_GIVE || c->need == SCSI_READ) {
        t->phase = TASK_IN;
        t->buffered = c->need == SCSI_GIVE ? c->len : 0;
    } else {
        t->phase = TASK_OUT;
    }
}

static void failed(struct task *t, int err)
{
    scsi_failed(scsi_of(t), &t->command, err);
    finish(t);
}

/* ---- Data ----------------------------------------------------------------------------------- */

static void io_done(struct blk_req *req, int err);

static void submit(struct task *t, struct usb_xfer *x, enum blk_op op, uint64_t at, unsigned count, uint32_t len)
{
    t->req = (struct blk_req){.op = op, .offset = t->command.offset + at, .len = len, .iov = t->iov, .iov_count = count,
                              .fua = op == BLK_WRITE && t->command.fua, .done = io_done};
    t->busy = true;
    t->served = x;
    t->moving = len;
    blk_submit(scsi_of(t)->blk, &t->req);
}

/* As many whole blocks as the transfer has room for. */
static void move_direct(struct task *t, struct usb_xfer *x, enum blk_op op, uint32_t want)
{
    uint32_t len = want - want % scsi_of(t)->block_size;
    unsigned count = iov_slice(x->iov, x->iov_count, x->actual, len, t->iov, BLK_IOV_MAX);

    t->direct = true;
    submit(t, x, op, t->moved, count, len);
}

static void move_block(struct task *t, struct usb_xfer *x, enum blk_op op)
{
    uint32_t block = scsi_of(t)->block_size;

    t->iov[0] = (struct iovec){.iov_base = t->command.data, .iov_len = block};
    t->direct = false;
    submit(t, x, op, op == BLK_READ ? t->moved : t->moved - block, 1, block);
}

static uint32_t wanted(const struct task *t, const struct usb_xfer *x)
{
    return (uint32_t)MIN(x->len - x->actual, (size_t)(t->command.len - t->moved));
}

static void give_buffered(struct task *t, struct usb_xfer *x, uint32_t n)
{
    iov_write(x->iov, x->iov_count, x->actual, t->command.data + t->buffer_at, n);
    x->actual += n;
    t->buffer_at += n;
    t->buffered -= n;
    t->moved += n;
}

static void data_in(struct task *t)
{
    struct usb_xfer *x = t->in;
    uint32_t want = wanted(t, x);

    if (!want) {
        if (t->moved == t->command.len)
            finish(t);
        end(t, &t->in, USB_OK);
    } else if (t->command.need == SCSI_READ && scsi_of(t)->ejected) {
        failed(t, -EIO); /* the disc was taken out meanwhile */
    } else if (t->buffered) {
        give_buffered(t, x, MIN(want, t->buffered));
    } else if (want >= scsi_of(t)->block_size) {
        move_direct(t, x, BLK_READ, want);
    } else {
        t->buffer_at = 0;
        move_block(t, x, BLK_READ);
    }
}

/* The host has sent all. */
static void out_complete(struct task *t)
{
    if (t->command.need == SCSI_WRITE) {
        finish(t);
        return;
    }
    scsi_taken(scsi_of(t), &t->command);
    go_on(t);
}

static void collect(struct task *t, struct usb_xfer *x, uint32_t want)
{
    bool blocks = t->command.need == SCSI_WRITE;
    uint32_t at = blocks ? t->buffered : t->moved;
    uint32_t n = blocks ? MIN(want, scsi_of(t)->block_size - t->buffered) : want;

    iov_read(x->iov, x->iov_count, x->actual, t->command.data + at, n);
    x->actual += n;
    t->moved += n;
    t->buffered += blocks ? n : 0;
}

static void data_out(struct task *t)
{
    struct usb_xfer *x = t->out;
    uint32_t want = wanted(t, x), block = scsi_of(t)->block_size;

    if (t->buffered == block) {
        move_block(t, x, BLK_WRITE);
    } else if (!want) {
        x->actual = x->len; /* what is more than the command takes is swallowed */
        if (t->moved == t->command.len)
            out_complete(t);
        end(t, &t->out, USB_OK);
    } else if (t->command.need == SCSI_WRITE && !t->buffered && want >= block) {
        move_direct(t, x, BLK_WRITE, want);
    } else {
        collect(t, x, want);
    }
}

/* ---- Ends ----------------------------------------------------------------------------------- */

static void send_status(struct task *t)
{
    struct usb_xfer *x = t->status;
    uint8_t iu[16 + SENSE_LEN] = {t->phase == TASK_STATUS ? IU_SENSE : IU_RESPONSE};
    size_t len = t->phase == TASK_STATUS ? 16 : 8;

    store_be16(iu + 2, (uint16_t)tag_of(t));
    if (t->phase == TASK_RESPONSE) {
        iu[7] = t->response;
    } else {
        iu[6] = t->command.status;
        if (t->sense.key) { /* SPC-4 4.5.3: fixed format */
            store_be16(iu + 14, SENSE_LEN);
            iu[16] = 0x70;
            iu[18] = t->sense.key;
            iu[23] = SENSE_LEN - 8;
            iu[28] = t->sense.asc;
            iu[29] = t->sense.ascq;
            len += SENSE_LEN;
        }
    }
    x->actual = iov_write(x->iov, x->iov_count, 0, iu, len);
    t->phase = TASK_NONE;
    end(t, &t->status, USB_OK);
}

static bool is_aborting(const struct usb_uas *u)
{
    for (unsigned i = 0; i < TASKS; i++) {
        if (u->task[i].aborted)
            return true;
    }
    return false;
}

/* Whoever waits for those that were aborted. */
static void settle(struct usb_uas *u)
{
    for (unsigned i = 0; i < TASKS && !is_aborting(u); i++) {
        if (u->task[i].phase != TASK_MANAGE)
            continue;
        u->task[i].phase = TASK_RESPONSE;
        serve(&u->task[i]);
    }
}

/* The request is back. False: nobody wants it any more. */
static bool came_back(struct task *t)
{
    bool wanted = !t->aborted;

    if (!wanted) {
        t->phase = t->response == RESPONSE_OVERLAPPED_TAG ? TASK_RESPONSE : TASK_NONE;
        t->command.need = SCSI_DONE; /* SCSI_WAIT is not saved */
    }
    t->served = NULL;
    t->busy = t->aborted = false;
    return wanted;
}

static void submit_iu(struct usb_uas *u, struct usb_xfer *x);

static void take_held(struct usb_uas *u)
{
    struct usb_xfer *x = u->held;

    if (!x || !u->disk.usb.alt[0])
        return; /* of a setting that was left: the host takes it back */
    u->held = NULL;
    submit_iu(u, x);
}

static void go_on_after(struct task *t)
{
    struct usb_uas *u = t->uas;

    serve(t);
    take_held(u);
    settle(u);
    usb_disk_at_rest(&u->disk);
}

static void moved(struct task *t, struct usb_xfer *x)
{
    if (t->direct) {
        t->moved += t->moving;
        x->actual += t->moving;
    } else {
        t->buffered = t->phase == TASK_IN ? t->moving : 0;
    }
}

/* One that was cancelled comes again with what is left of it, and so does the request, if that has failed. */
static void let_go(struct task *t)
{
    struct usb_xfer *x = t->leaving;

    if (!x || t->busy)
        return;
    end(t, t->in == x ? &t->in : &t->out, USB_CANCELLED);
}

static void io_done(struct blk_req *req, int err)
{
    struct task *t = container_of(req, struct task, req);
    struct usb_xfer *x = t->served;

    if (came_back(t)) {
        if (err >= 0)
            moved(t, x);
        else if (x != t->leaving)
            failed(t, err);
        if (err < 0 || wanted(t, x))
            let_go(t);
    }
    go_on_after(t);
}

static void command_done(struct blk_req *req, int err)
{
    struct task *t = container_of(container_of(req, struct scsi_command, req), struct task, command);

    if (came_back(t)) {
        scsi_ended(scsi_of(t), &t->command, err);
        go_on(t);
    }
    go_on_after(t);
}

/* As far as it goes: until the disk is at work, or what is due has not come. */
static void serve(struct task *t)
{
    while (!t->busy) {
        if (t->phase == TASK_IN && t->in)
            data_in(t);
        else if (t->phase == TASK_OUT && t->out)
            data_out(t);
        else if ((t->phase == TASK_STATUS || t->phase == TASK_RESPONSE) && t->status)
            send_status(t);
        else
            break;
    }
    let_go(t);
}

/* ---- Task management (6.2.6) ----------------------------------------------------------------- */

static void drop(struct task *t)
{
    t->aborted = t->busy;
    t->response = RESPONSE_COMPLETE;
    if (!t->busy)
        t->phase = TASK_NONE;
}

static void drop_all(struct usb_uas *u)
{
    for (unsigned i = 0; i < TASKS; i++)
        drop(&u->task[i]);
}

/* A command, whose status has not been sent; not what manages commands. */
static bool is_command(const struct task *t)
{
    return t->phase != TASK_NONE && t->phase != TASK_MANAGE && t->phase != TASK_RESPONSE && !t->aborted;
}

static bool has_commands(const struct usb_uas *u)
{
    for (unsigned i = 0; i < TASKS; i++) {
        if (is_command(&u->task[i]))
            return true;
    }
    return false;
}

static void abort_commands(struct usb_uas *u)
{
    for (unsigned i = 0; i < TASKS; i++) {
        if (is_command(&u->task[i]))
            drop(&u->task[i]);
    }
}

static void reset_unit(struct task *t, uint8_t ascq)
{
    struct scsi_disk *d = scsi_of(t);

    abort_commands(t->uas);
    scsi_reset(d);
    d->attention = (struct scsi_sense){UNIT_ATTENTION, 0x29, ascq};
}

static uint8_t manage(struct task *t, uint8_t function, unsigned tag)
{
    struct usb_uas *u = t->uas;
    struct task *target = tag && tag <= TASKS ? &u->task[tag - 1] : NULL;

    switch (function) {
    case ABORT_TASK:
        if (target && is_command(target))
            drop(target);
        return RESPONSE_COMPLETE;
    case ABORT_TASK_SET:
    case CLEAR_TASK_SET: abort_commands(u); return RESPONSE_COMPLETE;
    case LUN_RESET: reset_unit(t, 3); return RESPONSE_COMPLETE;
    case NEXUS_RESET: reset_unit(t, 7); return RESPONSE_COMPLETE;
    case QUERY_TASK: return target && is_command(target) ? RESPONSE_SUCCEEDED : RESPONSE_COMPLETE;
    case QUERY_TASK_SET: return has_commands(u) ? RESPONSE_SUCCEEDED : RESPONSE_COMPLETE;
    default: return RESPONSE_NOT_SUPPORTED;
    }
}

/* ---- Information units (6.2) ----------------------------------------------------------------- */

static void take_command(struct task *t, const uint8_t *iu)
{
    uint8_t attribute = iu[4] & 7;

    if (iu[6] >> 2) { /* a longer command than 16 bytes */
        refuse(t, ILLEGAL_REQUEST, 0x20);
    } else if (attribute != SIMPLE && attribute != HEAD_OF_QUEUE) {
        refuse(t, ABORTED_COMMAND, 0x49); /* SAM-5 8: no other order is kept, and none is promised */
    } else if (load_be64(iu + 8)) {
        refuse(t, ILLEGAL_REQUEST, 0x25);
    } else {
        memcpy(t->command.cdb, iu + 16, SCSI_CDB_MAX);
        scsi_begin(scsi_of(t), &t->command);
        go_on(t);
    }
}

static void take_management(struct task *t, const uint8_t *iu)
{
    if (load_be64(iu + 8) && iu[4] != NEXUS_RESET) {
        respond(t, RESPONSE_NO_LUN);
        return;
    }
    t->response = manage(t, iu[4], load_be16(iu + 6));
    t->phase = iu[4] & QUERY_TASK ? TASK_RESPONSE : TASK_MANAGE;
}

/* 6.2.4: a tag that is in use ends what has it, and the host hears of that. */
static void overlap(struct task *t)
{
    t->aborted = t->busy;
    t->response = RESPONSE_OVERLAPPED_TAG;
    if (!t->busy)
        t->phase = TASK_RESPONSE;
}

static void take_iu(struct task *t, const uint8_t *iu, size_t len)
{
    if (t->phase != TASK_NONE || t->busy)
        overlap(t);
    else if (iu[0] == IU_COMMAND && len >= COMMAND_LEN)
        take_command(t, iu);
    else if (iu[0] == IU_MANAGE && len >= MANAGE_LEN)
        take_management(t, iu);
    else
        respond(t, RESPONSE_INVALID_IU);
}

/* One without a tag by which it could be answered halts the pipe. One that comes behind a reset, or an abort, waits
 * until what had its tag is off the disk: for the host that is so already. */
static void submit_iu(struct usb_uas *u, struct usb_xfer *x)
{
    uint8_t iu[COMMAND_LEN] = {0};
    size_t len = iov_read(x->iov, x->iov_count, 0, iu, sizeof(iu));
    unsigned tag = load_be16(iu + 2);

    if (len < 4 || !tag || tag > TASKS) {
        usb_halt(&u->disk.usb, EP_COMMAND);
        x->done(x, USB_STALLED);
        return;
    }
    if (u->task[tag - 1].aborted) {
        u->held = x;
        return;
    }
    x->actual = x->len;
    take_iu(&u->task[tag - 1], iu, len);
    x->done(x, USB_OK);
    serve(&u->task[tag - 1]);
    settle(u);
}

/* ---- Transfers ------------------------------------------------------------------------------ */

static bool is_chosen(const struct usb_disk *d)
{
    return d->usb.alt[0];
}

/* Those of streams: usb_core.c lets no others come to the endpoints that have them. */
static struct usb_xfer **place_of(struct usb_uas *u, const struct usb_xfer *x)
{
    struct task *t = &u->task[(x->stream - 1u) % TASKS];

    return x->ep == EP_STATUS ? &t->status : x->ep & USB_DIR_IN ? &t->in : &t->out;
}

static void submit_xfer(struct usb_dev *usb, struct usb_xfer *x)
{
    struct usb_uas *u = to_uas(usb_to_disk(usb));

    if (!is_chosen(&u->disk)) {
        usb_bot_submit(usb, x);
    } else if (x->ep == EP_COMMAND) {
        submit_iu(u, x);
    } else {
        *place_of(u, x) = x;
        serve(&u->task[(x->stream - 1u) % TASKS]);
    }
}

static void cancel(struct usb_dev *usb, struct usb_xfer *x)
{
    struct usb_uas *u = to_uas(usb_to_disk(usb));
    struct task *t = &u->task[(x->stream - 1u) % TASKS];

    if (u->held == x) {
        u->held = NULL;
        x->done(x, USB_CANCELLED);
    } else if (!x->stream) {
        usb_bot_cancel(usb, x);
    } else if (t->served == x) { /* it ends when the disk has done with its memory */
        t->leaving = x;
        blk_cancel(scsi_of(t)->blk, &t->req);
    } else if (*place_of(u, x) == x) {
        end(t, place_of(u, x), USB_CANCELLED);
    }
}

static bool clear_halt(struct usb_dev *usb, uint8_t ep)
{
    return is_chosen(usb_to_disk(usb)) || usb_bot_clear_halt(usb, ep);
}

static int control(struct usb_dev *usb, const struct usb_setup *s, uint8_t *data)
{
    return is_chosen(usb_to_disk(usb)) ? -EPIPE : usb_bot_control(usb, s, data);
}

static void set_interface(struct usb_dev *usb, unsigned interface, unsigned setting)
{
    struct usb_disk *d = usb_to_disk(usb);

    usb_bot_reset(d);
    drop_all(to_uas(d));
}

static void reset(struct usb_dev *usb)
{
    usb_disk_reset(usb);
    drop_all(to_uas(usb_to_disk(usb)));
}

static bool is_busy(const struct usb_disk *d)
{
    const struct usb_uas *u = container_of(d, const struct usb_uas, disk);

    for (unsigned i = 0; i < TASKS; i++) {
        if (u->task[i].busy)
            return true;
    }
    return false;
}

static void medium_gone(struct usb_disk *d)
{
    for (unsigned i = 0; i < TASKS; i++) {
        struct task *t = &to_uas(d)->task[i];

        if (t->phase != TASK_IN || t->command.need != SCSI_READ || t->busy)
            continue;
        failed(t, -EIO);
        serve(t);
    }
}

static const struct usb_disk_other other = {.is_busy = is_busy, .medium_gone = medium_gone};

/* ---- What it says of itself ------------------------------------------------------------------ */

#define PIPE(ep, streams, use)                                                                     \
    7, USB_DT_ENDPOINT, ep, 2, 0, 4, 0, 6, USB_DT_SS_COMPANION, 15, streams, 0, 0, 4, 0x24, use, 0
#define BULK(ep)               7, USB_DT_ENDPOINT, ep, 2, 0, 4, 0, 6, USB_DT_SS_COMPANION, 15, 0, 0, 0

static const uint8_t config[] = {
    9, USB_DT_CONFIG, 121, 0, 1, 1, 0, 0xc0, 0,
    9, USB_DT_INTERFACE, 0, 0, 2, 8, 6, 0x50, 0, /* mass storage, SCSI, bulk-only */
    BULK(USB_DISK_IN), BULK(USB_DISK_OUT),
    9, USB_DT_INTERFACE, 0, 1, 4, 8, 6, 0x62, 0, /* USB attached SCSI: pipes, and what for (5.2.3.7) */
    PIPE(EP_COMMAND, 0, 1), PIPE(EP_STATUS, STREAMS_LOG2, 2), PIPE(USB_DISK_IN, STREAMS_LOG2, 3),
    PIPE(USB_DISK_OUT, STREAMS_LOG2, 4)};
_Static_assert(sizeof(config) == 121, "wTotalLength");
static const struct usb_identity identities[] = {
    {.device = usb_disk_device, .config = config, .bos = usb_disk_bos, .strings = usb_disk_strings, .alt_count = {2},
     .self_powered = true},
    {.device = usb_disk_device, .config = config, .bos = usb_disk_bos, .strings = usb_cdrom_strings, .alt_count = {2},
     .self_powered = true}};

static const struct usb_dev_ops ops = {
    .name = "usb-uas", .reset = reset, .control = control, .submit = submit_xfer, .cancel = cancel,
    .clear_halt = clear_halt, .set_interface = set_interface, .fini = usb_disk_fini};

/* ---- State ---------------------------------------------------------------------------------- */

static const struct state_field task_state[] = {
    STATE_BYTES(struct task, command.cdb),
    STATE_UINT_MAX(struct task, command.need, SCSI_WRITE),
    STATE_UINT(struct task, command.status),
    STATE_BOOL(struct task, command.fua),
    STATE_UINT(struct task, command.len),
    STATE_UINT(struct task, command.offset),
    STATE_BYTES(struct task, command.data),
    STATE_UINT_MAX(struct task, phase, TASK_LAST),
    STATE_UINT(struct task, response),
    STATE_STRUCT(struct task, sense, usb_disk_sense_state),
    STATE_UINT(struct task, moved),
    STATE_UINT_MAX(struct task, buffered, SCSI_DATA_MAX),
    STATE_UINT_MAX(struct task, buffer_at, SCSI_DATA_MAX),
    STATE_END,
};

static const struct state_field fields[] = {
    STATE_STRUCT(struct usb_uas, disk, usb_disk_state), STATE_STRUCT_ARRAY(struct usb_uas, task, task_state),
    STATE_END};

static bool can_give(const struct task *t, uint32_t block)
{
    const struct scsi_command *c = &t->command;

    if (t->buffer_at + t->buffered > SCSI_DATA_MAX)
        return false;
    if (c->need == SCSI_GIVE)
        return c->len <= SCSI_DATA_MAX && t->buffered == c->len - t->moved && t->buffer_at == t->moved;
    return c->need == SCSI_READ && !(c->len % block) && !((t->moved + t->buffered) % block) &&
           t->buffered <= c->len - t->moved;
}

static bool can_take(struct task *t, uint32_t block)
{
    const struct scsi_command *c = &t->command;

    if (c->need == SCSI_TAKE)
        return c->len <= SCSI_DATA_MAX && c->len >= scsi_taken_min(scsi_of(t), c) && !t->buffered;
    return c->need == SCSI_WRITE && !(c->len % block) && t->buffered <= MIN(block, t->moved) &&
           !((t->moved - t->buffered) % block);
}

static bool can_be(struct task *t)
{
    uint32_t block = scsi_of(t)->block_size;

    if (t->phase != TASK_IN && t->phase != TASK_OUT)
        return true;
    return t->command.len && t->moved <= t->command.len &&
           (t->phase == TASK_IN ? can_give(t, block) : can_take(t, block));
}

static int loaded(void *object, struct vz_error *err)
{
    struct usb_uas *u = object;
    int r = usb_disk_loaded(&u->disk, err);

    if (!r && u->disk.usb.alt[0] > 1)
        r = error_set(err, EINVAL, VZ_ERROR_RESTORE, "usb-uas: it has no setting %u", u->disk.usb.alt[0]);
    for (unsigned i = 0; !r && i < TASKS; i++) {
        if (!can_be(&u->task[i]))
            r = error_set(err, EINVAL, VZ_ERROR_RESTORE, "usb-uas: no task can be like %u", i + 1);
    }
    return r;
}

static const struct state_desc state = {.name = "usb-uas", .version = 1, .fields = fields, .loaded = loaded};
static const struct device_ops dev_ops = {.name = "usb-uas", .state = &state, .reset_locked = usb_dev_reset_locked,
                                          .destroy = usb_dev_destroy};

int usb_uas_create(struct bus *bus, uint32_t instance, const struct usb_disk_options *o, struct usb_dev **ret,
                   struct vz_error *err)
{
    struct usb_uas *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    for (unsigned i = 0; i < TASKS; i++)
        u->task[i].uas = u;
    u->disk.other = &other;
    r = usb_disk_init(&u->disk, o, &ops, &identities[o->is_cdrom], &dev_ops, bus, instance, err);
    if (!r)
        *ret = &u->disk.usb;
    return r;
}
