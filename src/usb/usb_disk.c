/* SPDX-License-Identifier: MIT */
/* Mass storage, Bulk-Only Transport 1.0 (section numbers are its): a command block wrapper (CBW), data, a status wrapper
 * (CSW). Transfers that do not fit what is due wait. Whole blocks go between the disk and the guest's memory without a copy;
 * whoever cuts them into pieces gets them through a buffer here. */
#include "usb/usb_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"
#include "base/le.h"

#define BUFFER_SIZE   32768u
#define CBW_LEN       31u
#define CSW_LEN       13u
#define CBW_SIGNATURE 0x43425355u
#define CSW_SIGNATURE 0x53425355u
#define EP_IN         0x81u
#define EP_OUT        0x02u
enum { REQ_RESET = 0xff, REQ_GET_MAX_LUN = 0xfe };
enum { CSW_GOOD = 0, CSW_FAILED = 1, CSW_PHASE_ERROR = 2 };

enum phase {
    PHASE_CBW,
    PHASE_IN,     /* data to the host */
    PHASE_OUT,    /* data from it */
    PHASE_STATUS,
    PHASE_BROKEN, /* the CBW was none: until a reset (6.6.1) */
    PHASE_LAST = PHASE_BROKEN,
};

struct usb_disk {
    struct usb_dev usb;
    struct scsi_disk scsi;
    struct scsi_command command;
    /* Saved, with the command. */
    uint8_t phase, csw_status;
    uint32_t tag;
    uint32_t host_len; /* bytes that the host wants to move, */
    uint32_t due;      /* of them the command's, */
    uint32_t moved;    /* and so many were */
    uint32_t sent;     /* OUT: by the host, also what nobody wants */
    uint32_t buffered; /* IN: bytes in buffer that come next, from buffer_at on; OUT: that were not written yet */
    uint32_t buffer_at;
    uint8_t buffer[BUFFER_SIZE];
    /* Not saved. */
    struct usb_xfer *in, *out; /* that wait, */
    struct usb_xfer *served;   /* or that the request below is for */
    struct blk_req req;
    struct iovec iov[BLK_IOV_MAX];
    bool busy;       /* req, or the command's, is on the disk */
    bool aborted;    /* and nobody wants it any more */
    bool direct;     /* it moves the transfer's own bytes, not the buffer's, */
    uint32_t moving; /* so many */
    void (*quiet)(void *arg);
    void *quiet_arg;
};

static struct usb_disk *to_disk(struct usb_dev *d)
{
    return container_of(d, struct usb_disk, usb);
}

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
    halt(d, EP_IN, &d->in);
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
        halt(d, EP_OUT, &d->out);
        halt(d, EP_IN, &d->in);
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
            usb_halt(&d->usb, EP_IN);
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
        move_buffer(d, BLK_READ, MIN(d->command.len - d->moved, BUFFER_SIZE));
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
    uint32_t n = MIN(want, BUFFER_SIZE - d->buffered);

    iov_read(x->iov, x->iov_count, x->actual, d->buffer + d->buffered, n);
    x->actual += n;
    d->buffered += n;
    d->moved += n;
}

static void data_out(struct usb_disk *d)
{
    struct usb_xfer *x = d->out;
    uint32_t want = (uint32_t)MIN(x->len - x->actual, (size_t)(d->due - d->moved));
    bool full = d->buffered == BUFFER_SIZE || (d->buffered && d->moved == d->due);

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

static void at_rest(struct usb_disk *d)
{
    void (*quiet)(void *arg) = d->quiet;

    d->quiet = NULL;
    if (quiet)
        quiet(d->quiet_arg);
}

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

static void io_done(struct blk_req *req, int err)
{
    struct usb_disk *d = container_of(req, struct usb_disk, req);
    struct usb_xfer *x = d->served;

    if (!is_aborted(d)) {
        if (err < 0)
            io_failed(d, err);
        else
            io_moved(d, x);
    }
    serve(d);
    if (!d->busy)
        at_rest(d);
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
    if (!d->busy)
        at_rest(d);
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

static void submit_xfer(struct usb_dev *usb, struct usb_xfer *x)
{
    struct usb_disk *d = to_disk(usb);

    if (x->ep & USB_DIR_IN)
        d->in = x;
    else
        d->out = x;
    serve(d);
}

static void cancel(struct usb_dev *usb, struct usb_xfer *x)
{
    struct usb_disk *d = to_disk(usb);

    if (d->served == x)
        return; /* it ends when the disk has done with its memory */
    if (d->in == x)
        end(&d->in, USB_CANCELLED);
    else if (d->out == x)
        end(&d->out, USB_CANCELLED);
}

/* 5.3.4: a device that got no CBW stays halted until its reset. */
static bool clear_halt(struct usb_dev *usb, uint8_t ep)
{
    return to_disk(usb)->phase != PHASE_BROKEN;
}

static void reset_transport(struct usb_disk *d)
{
    d->phase = PHASE_CBW;
    d->buffered = 0;
    d->command.need = SCSI_DONE; /* SCSI_WAIT is not saved */
    d->aborted = d->busy;
}

static void reset(struct usb_dev *usb)
{
    struct usb_disk *d = to_disk(usb);

    reset_transport(d);
    scsi_reset(&d->scsi);
}

static int control(struct usb_dev *usb, const struct usb_setup *s, uint8_t *data)
{
    bool class = (s->type & USB_TYPE_MASK) == USB_TYPE_CLASS && (s->type & USB_TO_MASK) == USB_TO_INTERFACE;

    if (class && s->request == REQ_GET_MAX_LUN && s->type & USB_DIR_IN && s->length) {
        data[0] = 0;
        return 1;
    }
    if (!class || s->request != REQ_RESET)
        return -EPIPE;
    reset_transport(to_disk(usb));
    return 0;
}

void usb_disk_quiesce(struct usb_dev *usb, void (*done)(void *arg), void *arg)
{
    struct usb_disk *d = to_disk(usb);

    d->quiet = done;
    d->quiet_arg = arg;
    if (!d->busy)
        at_rest(d);
}

void usb_disk_resume(struct usb_dev *usb)
{
    to_disk(usb)->quiet = NULL;
}

/* ---- What it says of itself ------------------------------------------------------------------ */

static const uint8_t device[] = {18, USB_DT_DEVICE, 0x00, 0x03, 0, 0, 0, 9, 0x6b, 0x1d, 0x04, 0x01, 0x05, 0x00,
                                 1, 2, 3, 1};
static const uint8_t config[] = {
    9, USB_DT_CONFIG, 44, 0, 1, 1, 0, 0xc0, 0,
    9, USB_DT_INTERFACE, 0, 0, 2, 8, 6, 0x50, 0, /* mass storage, SCSI, bulk-only */
    7, USB_DT_ENDPOINT, EP_IN, 2, 0, 4, 0, 6, 0x30, 15, 0, 0, 0,
    7, USB_DT_ENDPOINT, EP_OUT, 2, 0, 4, 0, 6, 0x30, 15, 0, 0, 0};
static const uint8_t bos[] = {5, USB_DT_BOS, 22, 0, 2, 7, 0x10, 2, 2, 0, 0, 0,
                              10, 0x10, 3, 0, 8, 0, 3, 0, 0, 0}; /* USB 2 extension; SuperSpeed only */
static const char *const disk_strings[] = {"vz", "vz USB Disk", "1", NULL};
static const char *const cdrom_strings[] = {"vz", "vz USB CD-ROM", "1", NULL};
static const struct usb_identity identities[] = {
    {.device = device, .config = config, .bos = bos, .strings = disk_strings, .alt_count = {1}, .self_powered = true},
    {.device = device, .config = config, .bos = bos, .strings = cdrom_strings, .alt_count = {1}, .self_powered = true}};

static void fini(struct usb_dev *usb)
{
    struct usb_disk *d = to_disk(usb);

    blk_drain_wait(d->scsi.blk); /* it may still write to the guest's memory */
    blk_detach(d->scsi.blk);
}

static const struct usb_dev_ops ops = {
    .name = "usb-disk", .reset = reset, .control = control, .submit = submit_xfer, .cancel = cancel,
    .clear_halt = clear_halt, .fini = fini};

/* ---- State ---------------------------------------------------------------------------------- */

static const struct state_field sense_state[] = {
    STATE_UINT(struct scsi_sense, key), STATE_UINT(struct scsi_sense, asc), STATE_UINT(struct scsi_sense, ascq),
    STATE_END};
static const struct state_field fields[] = {
    USB_DEV_STATE(struct usb_disk, usb),
    STATE_BOOL(struct usb_disk, scsi.ejected),
    STATE_BOOL(struct usb_disk, scsi.locked),
    STATE_STRUCT(struct usb_disk, scsi.sense, sense_state),
    STATE_STRUCT(struct usb_disk, scsi.attention, sense_state),
    STATE_BYTES(struct usb_disk, command.cdb),
    STATE_UINT_MAX(struct usb_disk, command.need, SCSI_WRITE),
    STATE_UINT(struct usb_disk, command.status),
    STATE_BOOL(struct usb_disk, command.fua),
    STATE_UINT(struct usb_disk, command.len),
    STATE_UINT(struct usb_disk, command.offset),
    STATE_UINT_MAX(struct usb_disk, phase, PHASE_LAST),
    STATE_UINT_MAX(struct usb_disk, csw_status, CSW_PHASE_ERROR),
    STATE_UINT(struct usb_disk, tag),
    STATE_UINT(struct usb_disk, host_len),
    STATE_UINT(struct usb_disk, due),
    STATE_UINT(struct usb_disk, moved),
    STATE_UINT(struct usb_disk, sent),
    STATE_UINT_MAX(struct usb_disk, buffered, BUFFER_SIZE),
    STATE_UINT_MAX(struct usb_disk, buffer_at, BUFFER_SIZE),
    STATE_BYTES(struct usb_disk, buffer),
    STATE_END,
};

static int loaded(void *object, struct vz_error *err)
{
    struct usb_disk *d = object;
    const struct scsi_command *c = &d->command;
    bool small = c->need != SCSI_GIVE && c->need != SCSI_TAKE;
    bool takes = d->phase == PHASE_OUT && d->csw_status == CSW_GOOD && d->due;

    if ((takes && c->need != SCSI_WRITE && (c->need != SCSI_TAKE || d->buffered != d->moved)) ||
        (takes && d->buffered > d->moved) ||
        d->due > d->host_len || d->moved > d->due || d->sent > d->host_len || d->due > c->len ||
        d->buffered + d->buffer_at > BUFFER_SIZE || (!small && c->len > SCSI_DATA_MAX) ||
        (c->need == SCSI_TAKE && c->len < scsi_taken_min(&d->scsi, c)))
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "usb-disk: no command can be like that");
    return 0;
}

static const struct state_desc state = {.name = "usb-disk", .version = 1, .fields = fields, .loaded = loaded};
static const struct device_ops dev_ops = {.name = "usb-disk", .state = &state,
                                          .reset_locked = usb_dev_reset_locked,
                                          .destroy = usb_dev_destroy};

/* ---- Making one ----------------------------------------------------------------------------- */

/* A disk that is longer now tells the host at its next command. */
static void resized(void *arg)
{
    struct usb_disk *d = arg;

    d->scsi.attention = (struct scsi_sense){6, 0x2a, 9}; /* capacity data has changed */
}

static const struct blk_client client = {.resized = resized};

bool usb_disk_is_locked(const struct usb_dev *usb)
{
    const struct usb_disk *d = container_of(usb, const struct usb_disk, usb);

    return d->scsi.locked && !d->scsi.ejected && d->scsi.blk->size;
}

int usb_disk_change(struct usb_dev *usb, struct blk *blk, bool force, struct blk **ret_old)
{
    struct usb_disk *d = to_disk(usb);
    struct blk *old = d->scsi.blk;
    int r;

    if (usb_disk_is_locked(usb) && !force) {
        d->scsi.asked = true;
        return -EBUSY;
    }
    r = blk_attach(blk, &client, d);
    if (r < 0)
        return r;
    d->scsi.ejected = true;
    blk_drain_wait(old);
    if (d->phase == PHASE_IN && d->command.need == SCSI_READ)
        io_failed(d, -EIO);
    blk_detach(old);
    d->scsi.locked = d->scsi.locked && !force;
    scsi_new_medium(&d->scsi, blk);
    *ret_old = old;
    return 0;
}

bool usb_disk_has_medium(const struct usb_dev *usb)
{
    const struct usb_disk *d = container_of(usb, const struct usb_disk, usb);

    return !d->scsi.ejected && d->scsi.blk->size;
}

int usb_disk_create(struct bus *bus, uint32_t instance, const struct usb_disk_options *o, struct usb_dev **ret,
                    struct vz_error *err)
{
    uint32_t block = o->is_cdrom ? 2048 : MAX(MAX(o->block_size, o->blk->block_size), 512u);
    struct usb_disk *d;
    int r;

    if (block > 4096 || o->blk->block_size > block)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "blocks of %u bytes are not to be had", block);
    d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    d->scsi = (struct scsi_disk){.blk = o->blk, .read_only = o->read_only || o->is_cdrom || o->blk->read_only,
                                 .removable = o->is_cdrom, .is_cdrom = o->is_cdrom, .block_size = block};
    memcpy(d->scsi.serial, o->serial, sizeof(d->scsi.serial));
    memcpy(d->usb.serial, o->serial, sizeof(o->serial));
    r = blk_attach(o->blk, &client, d);
    if (!r)
        r = usb_dev_init(&d->usb, &ops, &identities[o->is_cdrom], USB_SUPER, &dev_ops, bus, instance);
    if (r < 0) {
        free(d);
        return error_set(err, -r, VZ_ERROR_INVALID, "the disk is another device's already");
    }
    *ret = &d->usb;
    return 0;
}
