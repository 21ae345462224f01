/* SPDX-License-Identifier: MIT */
/* Mass storage, Bulk-Only Transport 1.0 (section numbers are its): a command block wrapper (CBW), data, a status wrapper
 * (CSW). Transfers that do not fit what is due wait. Whole blocks go between the disk and the guest's memory without a copy;
 * whoever cuts them into pieces gets them through a buffer here. */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "base/le.h"
#include "usb/usb_disk_impl.h"

#define CBW_LEN       31u
#define CSW_LEN       13u
#define CBW_SIGNATURE 0x43425355u
#define CSW_SIGNATURE 0x53425355u
enum { REQ_RESET = 0xff, REQ_GET_MAX_LUN = 0xfe };

static void serve(struct usb_disk *d);

/* ---- Transfers ------------------------------------------------------------------------------ */

static void end(struct usb_xfer **which, enum usb_result result)
{
    struct usb_xfer *x = *which;

    *which = NULL;
    x->done(x, result);
}

static void halt(struct usb_disk *d, uint8_t ep, struct usb_xfer **waiting)
{
    usb_halt(&d->usb, ep);
    if (*waiting)
        end(waiting, USB_STALLED);
}

/* ---- Phases --------------------------------------------------------------------------------- */

/* The data phase is over. What the host still waits for ends in a stall, before the status (6.7.2). */
static void stall_in(struct usb_disk *d)
{
    d->phase = PHASE_STATUS;
    d->buffered = 0;
    halt(d, USB_DISK_IN, &d->in);
}

static void set_status(struct usb_disk *d)
{
    if (d->csw_status == CSW_GOOD && d->command.status != SCSI_GOOD)
        d->csw_status = CSW_FAILED;
}

static void command_done(struct blk_req *req, int err);

static void submit_command(struct usb_disk *d)
{
    d->busy = true;
    d->command.req.done = command_done;
    blk_submit(d->scsi.blk, &d->command.req);
}

/* 6.7: who wants to move how much which way. */
static void begin_data(struct usb_disk *d, bool in)
{
    enum scsi_need need = d->command.need;
    bool gives = need == SCSI_GIVE || need == SCSI_READ, takes = need == SCSI_TAKE || need == SCSI_WRITE;
    uint32_t len = gives || takes ? d->command.len : 0;
    bool other_way = len && d->host_len && in != gives;

    if (len > d->host_len || other_way || (need == SCSI_WAIT && d->host_len))
        d->csw_status = CSW_PHASE_ERROR; /* cases 2, 3, 7, 8, 10, 13: what was to be written is not */
    if (need == SCSI_WAIT && d->host_len)
        d->command.need = SCSI_DONE; /* nor is it done; and it is not saved */
    d->due = other_way || (takes && len > d->host_len) ? 0 : MIN(len, d->host_len);
    set_status(d);
    d->phase = !d->host_len ? PHASE_STATUS : in ? PHASE_IN : PHASE_OUT;
    if (need == SCSI_GIVE) {
        memcpy(d->buffer, d->command.data, d->due);
        d->buffered = d->due;
    }
    if (d->phase == PHASE_IN && !d->due)
        stall_in(d);
    if (need == SCSI_WAIT && !d->host_len)
        submit_command(d);
}

/* 6.2: a CBW that is valid and meaningful. */
static void take_cbw(struct usb_disk *d)
{
    struct usb_xfer *x = d->out;
    uint8_t cbw[CBW_LEN];

    if (x->len != CBW_LEN || iov_read(x->iov, x->iov_count, 0, cbw, CBW_LEN) != CBW_LEN ||
        load_le32(cbw) != CBW_SIGNATURE || cbw[13] || !cbw[14] || cbw[14] > SCSI_CDB_MAX) {
        d->phase = PHASE_BROKEN;
        halt(d, USB_DISK_OUT, &d->out);
        halt(d, USB_DISK_IN, &d->in);
        return;
    }
    x->actual = CBW_LEN;
    d->tag = load_le32(cbw + 4);
    d->host_len = load_le32(cbw + 8);
    d->moved = d->sent = d->buffered = d->buffer_at = 0;
    d->csw_status = CSW_GOOD;
    memset(d->command.cdb, 0, SCSI_CDB_MAX);
    memcpy(d->command.cdb, cbw + 15, cbw[14]);
    scsi_begin(&d->scsi, &d->command);
    begin_data(d, cbw[12] & USB_DIR_IN);
    end(&d->out, USB_OK);
}

static void send_csw(struct usb_disk *d)
{
    struct usb_xfer *x = d->in;
    uint8_t csw[CSW_LEN];

    store_le32(csw, CSW_SIGNATURE);
    store_le32(csw + 4, d->tag);
    store_le32(csw + 8, d->host_len - d->moved);
    csw[12] = d->csw_status;
    x->actual = iov_write(x->iov, x->iov_count, 0, csw, CSW_LEN);
    d->phase = PHASE_CBW;
    end(&d->in, USB_OK);
}

/* ---- Data ----------------------------------------------------------------------------------- */

static void io_done(struct blk_req *req, int err);
static void io_failed(struct usb_disk *d, int err);

static void submit(struct usb_disk *d, enum blk_op op, const struct iovec *iov, unsigned count, uint32_t len, bool direct)
{
    d->req = (struct blk_req){.op = op, .offset = d->command.offset + d->moved, .len = len, .iov = iov,
                              .iov_count = count, .fua = op == BLK_WRITE && d->command.fua, .done = io_done};
    if (op == BLK_WRITE && !direct)
        d->req.offset -= d->buffered;
    d->busy = true;
    d->served = op == BLK_READ ? d->in : d->out;
    d->direct = direct;
    d->moving = len;
    blk_submit(d->scsi.blk, &d->req);
}

static bool is_whole(const struct usb_disk *d, uint32_t len)
{
    return !d->buffered && len && !(d->moved % d->scsi.block_size) && !(len % d->scsi.block_size);
}

static void move_direct(struct usb_disk *d, enum blk_op op, const struct usb_xfer *x, uint32_t len)
{
    unsigned count = iov_slice(x->iov, x->iov_count, 0, len, d->iov, BLK_IOV_MAX);

    submit(d, op, d->iov, count, len, true);
}

static void move_buffer(struct usb_disk *d, enum blk_op op, uint32_t len)
{
    d->iov[0] = (struct iovec){.iov_base = d->buffer, .iov_len = len};
    submit(d, op, d->iov, 1, len, false);
}

/* The transfer has what it gets. After the last one the host hears the status, or, when it was not told by a short
 * packet that there is no more, first a stall. */
static void end_in(struct usb_disk *d)
{
    bool is_short = d->in->actual < d->in->len;

    if (d->moved == d->due) {
        d->phase = PHASE_STATUS;
        if (!is_short && d->due < d->host_len)
            usb_halt(&d->usb, USB_DISK_IN);
    }
    end(&d->in, USB_OK);
}

static void data_in(struct usb_disk *d)
{
    struct usb_xfer *x = d->in;
    uint32_t want = (uint32_t)MIN(x->len - x->actual, (size_t)(d->due - d->moved));
    uint32_t have = MIN(want, d->buffered);

    if (!want) {
        end_in(d);
    } else if (d->command.need == SCSI_READ && d->scsi.ejected) {
        io_failed(d, -EIO); /* the disc was taken out meanwhile */
    } else if (have) {
        iov_write(x->iov, x->iov_count, x->actual, d->buffer + d->buffer_at, have);
        x->actual += have;
        d->buffer_at += have;
        d->buffered -= have;
        d->moved += have;
    } else if (!x->actual && is_whole(d, want)) {
        move_direct(d, BLK_READ, x, want);
    } else {
        d->buffer_at = 0;
        move_buffer(d, BLK_READ, MIN(d->command.len - d->moved, USB_BOT_BUFFER));
    }
}

/* The host has sent all. */
static void out_complete(struct usb_disk *d)
{
    d->phase = PHASE_STATUS;
    if (d->command.need == SCSI_TAKE && d->csw_status == CSW_GOOD) {
        memcpy(d->command.data, d->buffer, d->due);
        scsi_taken(&d->scsi, &d->command);
    }
    d->buffered = 0;
    if (d->command.need == SCSI_WAIT && d->csw_status == CSW_GOOD)
        submit_command(d);
    else
        set_status(d);
}

/* More than the command takes is swallowed: the status tells of the rest (6.7.3). */
static void end_out(struct usb_disk *d)
{
    struct usb_xfer *x = d->out;

    x->actual = x->len;
    d->sent += (uint32_t)MIN(x->len, (size_t)(d->host_len - d->sent));
    if (d->sent == d->host_len)
        out_complete(d);
    end(&d->out, USB_OK);
}

static void collect(struct usb_disk *d, struct usb_xfer *x, uint32_t want)
{
    uint32_t n = MIN(want, USB_BOT_BUFFER - d->buffered);

    iov_read(x->iov, x->iov_count, x->actual, d->buffer + d->buffered, n);
    x->actual += n;
    d->buffered += n;
    d->moved += n;
}

static void data_out(struct usb_disk *d)
{
    struct usb_xfer *x = d->out;
    uint32_t want = (uint32_t)MIN(x->len - x->actual, (size_t)(d->due - d->moved));
    bool full = d->buffered == USB_BOT_BUFFER || (d->buffered && d->moved == d->due);

    if (d->csw_status != CSW_GOOD)
        end_out(d); /* nothing is wanted any more */
    else if (full && d->command.need == SCSI_WRITE)
        move_buffer(d, BLK_WRITE, d->buffered);
    else if (!want)
        end_out(d);
    else if (d->command.need == SCSI_WRITE && !x->actual && is_whole(d, want))
        move_direct(d, BLK_WRITE, x, want);
    else
        collect(d, x, want);
}

/* ---- The disk ------------------------------------------------------------------------------- */

/* The request is back. True: but nobody wants it any more. */
static bool is_aborted(struct usb_disk *d)
{
    bool aborted = d->aborted;

    if (aborted && d->served && d->served == d->in)
        end(&d->in, USB_STALLED);
    else if (aborted && d->served && d->served == d->out)
        end(&d->out, USB_STALLED);
    d->served = NULL;
    d->busy = d->aborted = false;
    return aborted;
}

static void io_failed(struct usb_disk *d, int err)
{
    scsi_failed(&d->scsi, &d->command, err);
    d->csw_status = CSW_FAILED;
    d->buffered = 0;
    if (d->phase == PHASE_IN)
        stall_in(d);
}

static void io_moved(struct usb_disk *d, struct usb_xfer *x)
{
    if (d->direct) {
        d->moved += d->moving;
        x->actual += d->moving;
    } else {
        d->buffered = d->phase == PHASE_IN ? d->moving : 0;
    }
}

/* What was sent of it counts; the rest comes again. */
static void cancelled(struct usb_disk *d, struct usb_xfer *x)
{
    if (x == d->out)
        d->sent += (uint32_t)MIN(x->actual, (size_t)(d->host_len - d->sent));
    end(x == d->in ? &d->in : &d->out, USB_CANCELLED);
}

/* A transfer that was cancelled while the disk was at it: unless that was its end, the rest of it comes again, and with
 * it the request, if that has failed. */
static void let_go(struct usb_disk *d, struct usb_xfer *x, int err)
{
    if (err >= 0)
        io_moved(d, x);
    if (err < 0 || (x->actual < x->len && d->moved < d->due))
        cancelled(d, x);
}

static void io_done(struct blk_req *req, int err)
{
    struct usb_disk *d = container_of(req, struct usb_disk, req);
    struct usb_xfer *x = d->served;
    bool leaves = x == d->leaving;

    d->leaving = NULL;
    if (!is_aborted(d)) {
        if (leaves)
            let_go(d, x, err);
        else if (err < 0)
            io_failed(d, err);
        else
            io_moved(d, x);
    }
    serve(d);
    usb_disk_at_rest(d);
}

static void command_done(struct blk_req *req, int err)
{
    struct scsi_command *c = container_of(req, struct scsi_command, req);
    struct usb_disk *d = container_of(c, struct usb_disk, command);

    if (!is_aborted(d)) {
        scsi_ended(&d->scsi, c, err);
        if (c->need == SCSI_WAIT)
            submit_command(d);
        else
            set_status(d);
    }
    serve(d);
    usb_disk_at_rest(d);
}

/* ---- All ------------------------------------------------------------------------------------ */

/* As far as it goes: until the disk is at work, or what is due has not come. */
static void serve(struct usb_disk *d)
{
    while (!d->busy) {
        if (d->phase == PHASE_CBW && d->out)
            take_cbw(d);
        else if (d->phase == PHASE_IN && d->in)
            data_in(d);
        else if (d->phase == PHASE_OUT && d->out)
            data_out(d);
        else if (d->phase == PHASE_STATUS && d->in)
            send_csw(d);
        else
            return;
    }
}

void usb_bot_submit(struct usb_dev *usb, struct usb_xfer *x)
{
    struct usb_disk *d = usb_to_disk(usb);

    if (x->ep & USB_DIR_IN)
        d->in = x;
    else
        d->out = x;
    serve(d);
}

void usb_bot_cancel(struct usb_dev *usb, struct usb_xfer *x)
{
    struct usb_disk *d = usb_to_disk(usb);

    if (d->served == x) { /* it ends when the disk has done with its memory */
        d->leaving = x;
        blk_cancel(d->scsi.blk, &d->req);
    } else if (d->in == x || d->out == x) {
        cancelled(d, x);
    }
}

/* 5.3.4: a device that got no CBW stays halted until its reset. */
bool usb_bot_clear_halt(struct usb_dev *usb, uint8_t ep)
{
    return usb_to_disk(usb)->phase != PHASE_BROKEN;
}

void usb_bot_reset(struct usb_disk *d)
{
    d->phase = PHASE_CBW;
    d->buffered = 0;
    d->command.need = SCSI_DONE; /* SCSI_WAIT is not saved */
    d->aborted = d->busy;
}

int usb_bot_control(struct usb_dev *usb, const struct usb_setup *s, uint8_t *data)
{
    bool class = (s->type & USB_TYPE_MASK) == USB_TYPE_CLASS && (s->type & USB_TO_MASK) == USB_TO_INTERFACE;

    if (class && s->request == REQ_GET_MAX_LUN && s->type & USB_DIR_IN && s->length) {
        data[0] = 0;
        return 1;
    }
    if (!class || s->request != REQ_RESET)
        return -EPIPE;
    usb_bot_reset(usb_to_disk(usb));
    return 0;
}

void usb_bot_medium_gone(struct usb_disk *d)
{
    if (d->phase == PHASE_IN && d->command.need == SCSI_READ)
        io_failed(d, -EIO);
}
