/* SPDX-License-Identifier: MIT */
/* A disk or drive as a USB device: what it says of itself, its medium, what is saved of it. See usb_disk_impl.h. */
#include "usb/usb_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "usb/usb_disk_impl.h"

/* ---- Rest ----------------------------------------------------------------------------------- */

static bool is_busy(const struct usb_disk *d)
{
    return d->busy || (d->other && d->other->is_busy(d));
}

void usb_disk_at_rest(struct usb_disk *d)
{
    void (*quiet)(void *arg) = d->quiet;

    if (is_busy(d))
        return;
    d->quiet = NULL;
    if (quiet)
        quiet(d->quiet_arg);
}

void usb_disk_reset(struct usb_dev *usb)
{
    struct usb_disk *d = usb_to_disk(usb);

    usb_bot_reset(d);
    scsi_reset(&d->scsi);
}

static void set_interface(struct usb_dev *usb, unsigned interface, unsigned setting)
{
    usb_bot_reset(usb_to_disk(usb));
}

void usb_disk_quiesce(struct usb_dev *usb, void (*done)(void *arg), void *arg)
{
    struct usb_disk *d = usb_to_disk(usb);

    d->quiet = done;
    d->quiet_arg = arg;
    usb_disk_at_rest(d);
}

void usb_disk_resume(struct usb_dev *usb)
{
    usb_to_disk(usb)->quiet = NULL;
}

/* ---- What it says of itself ------------------------------------------------------------------ */

const uint8_t usb_disk_device[] = {18, USB_DT_DEVICE, 0x00, 0x03, 0, 0, 0, 9, 0x6b, 0x1d, 0x04, 0x01, 0x05, 0x00,
                                 1, 2, 3, 1};
static const uint8_t config[] = {
    9, USB_DT_CONFIG, 44, 0, 1, 1, 0, 0xc0, 0,
    9, USB_DT_INTERFACE, 0, 0, 2, 8, 6, 0x50, 0, /* mass storage, SCSI, bulk-only */
    7, USB_DT_ENDPOINT, USB_DISK_IN, 2, 0, 4, 0, 6, 0x30, 15, 0, 0, 0,
    7, USB_DT_ENDPOINT, USB_DISK_OUT, 2, 0, 4, 0, 6, 0x30, 15, 0, 0, 0};
const uint8_t usb_disk_bos[] = {5, USB_DT_BOS, 22, 0, 2, 7, 0x10, 2, 2, 0, 0, 0,
                              10, 0x10, 3, 0, 8, 0, 3, 0, 0, 0}; /* USB 2 extension; SuperSpeed only */
const char *const usb_disk_strings[] = {"vz", "vz USB Disk", "1", NULL};
const char *const usb_cdrom_strings[] = {"vz", "vz USB CD-ROM", "1", NULL};
static const struct usb_identity identities[] = {
    {.device = usb_disk_device, .config = config, .bos = usb_disk_bos, .strings = usb_disk_strings, .alt_count = {1},
     .self_powered = true},
    {.device = usb_disk_device, .config = config, .bos = usb_disk_bos, .strings = usb_cdrom_strings, .alt_count = {1},
     .self_powered = true}};

void usb_disk_fini(struct usb_dev *usb)
{
    struct usb_disk *d = usb_to_disk(usb);

    blk_drain_wait(d->scsi.blk); /* it may still write to the guest's memory */
    blk_detach(d->scsi.blk);
}

static const struct usb_dev_ops ops = {
    .name = "usb-disk", .reset = usb_disk_reset, .control = usb_bot_control, .submit = usb_bot_submit,
    .cancel = usb_bot_cancel, .clear_halt = usb_bot_clear_halt, .set_interface = set_interface, .fini = usb_disk_fini};

/* ---- State ---------------------------------------------------------------------------------- */

const struct state_field usb_disk_sense_state[] = {
    STATE_UINT(struct scsi_sense, key), STATE_UINT(struct scsi_sense, asc), STATE_UINT(struct scsi_sense, ascq),
    STATE_END};
const struct state_field usb_disk_state[] = {
    USB_DEV_STATE(struct usb_disk, usb),
    STATE_BOOL(struct usb_disk, scsi.ejected),
    STATE_BOOL(struct usb_disk, scsi.locked),
    STATE_STRUCT(struct usb_disk, scsi.sense, usb_disk_sense_state),
    STATE_STRUCT(struct usb_disk, scsi.attention, usb_disk_sense_state),
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
    STATE_UINT_MAX(struct usb_disk, buffered, USB_BOT_BUFFER),
    STATE_UINT_MAX(struct usb_disk, buffer_at, USB_BOT_BUFFER),
    STATE_BYTES(struct usb_disk, buffer),
    STATE_END,
};

int usb_disk_loaded(void *object, struct vz_error *err)
{
    struct usb_disk *d = object;
    const struct scsi_command *c = &d->command;
    bool small = c->need != SCSI_GIVE && c->need != SCSI_TAKE;
    bool takes = d->phase == PHASE_OUT && d->csw_status == CSW_GOOD && d->due;

    if ((takes && c->need != SCSI_WRITE && (c->need != SCSI_TAKE || d->buffered != d->moved)) ||
        (takes && d->buffered > d->moved) ||
        d->due > d->host_len || d->moved > d->due || d->sent > d->host_len || d->due > c->len ||
        d->buffered + d->buffer_at > USB_BOT_BUFFER || (!small && c->len > SCSI_DATA_MAX) ||
        (c->need == SCSI_TAKE && c->len < scsi_taken_min(&d->scsi, c)))
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "usb-disk: no command can be like that");
    return 0;
}

static const struct state_desc state = {.name = "usb-disk", .version = 1, .fields = usb_disk_state,
                                        .loaded = usb_disk_loaded};
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

bool usb_disk_has_medium(const struct usb_dev *usb)
{
    const struct usb_disk *d = container_of(usb, const struct usb_disk, usb);

    return !d->scsi.ejected && d->scsi.blk->size;
}

bool usb_disk_is_locked(const struct usb_dev *usb)
{
    const struct usb_disk *d = container_of(usb, const struct usb_disk, usb);

    return d->scsi.locked && usb_disk_has_medium(usb);
}

int usb_disk_change(struct usb_dev *usb, struct blk *blk, bool force, struct blk **ret_old)
{
    struct usb_disk *d = usb_to_disk(usb);
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
    usb_bot_medium_gone(d);
    if (d->other)
        d->other->medium_gone(d);
    blk_detach(old);
    if (force)
        d->scsi.locked = false;
    scsi_new_medium(&d->scsi, blk);
    *ret_old = old;
    return 0;
}

int usb_disk_init(struct usb_disk *d, const struct usb_disk_options *o, const struct usb_dev_ops *ops,
                  const struct usb_identity *identity, const struct device_ops *dev_ops, struct bus *bus, uint32_t instance,
                  struct vz_error *err)
{
    uint32_t block = o->is_cdrom ? 2048 : MAX(MAX(o->block_size, o->blk->block_size), 512u);
    int r;

    if (block > 4096 || o->blk->block_size > block) {
        free(d);
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "blocks of %u bytes are not to be had", block);
    }
    d->scsi = (struct scsi_disk){.blk = o->blk, .read_only = o->read_only || o->is_cdrom || o->blk->read_only,
                                 .removable = o->is_cdrom, .is_cdrom = o->is_cdrom, .block_size = block};
    memcpy(d->scsi.serial, o->serial, sizeof(d->scsi.serial));
    memcpy(d->usb.serial, o->serial, sizeof(o->serial));
    r = blk_attach(o->blk, &client, d);
    if (!r)
        r = usb_dev_init(&d->usb, ops, identity, USB_SUPER, dev_ops, bus, instance);
    if (r < 0) {
        free(d);
        return error_set(err, -r, VZ_ERROR_INVALID, "the disk is another device's already");
    }
    return 0;
}

int usb_disk_create(struct bus *bus, uint32_t instance, const struct usb_disk_options *o, struct usb_dev **ret,
                    struct vz_error *err)
{
    struct usb_disk *d;
    int r;

    if (o->uas)
        return usb_uas_create(bus, instance, o, ret, err);
    d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    r = usb_disk_init(d, o, &ops, &identities[o->is_cdrom], &dev_ops, bus, instance, err);
    if (!r)
        *ret = &d->usb;
    return r;
}
