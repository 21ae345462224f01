/* SPDX-License-Identifier: MIT */
/* A disk's insides, for the files of usb/:
 *
 *   usb_disk.c  the device: what it says of itself, its medium, what is saved of it
 *   usb_bot.c   bulk-only transport: setting 0 of its interface, the only one of most
 *   usb_uas.c   the device with a setting 1: USB attached SCSI
 *   scsi.c      the commands, whatever carries them */
#ifndef VZ_USB_USB_DISK_IMPL_H
#define VZ_USB_USB_DISK_IMPL_H

#include "usb/usb_disk.h"

#define USB_BOT_BUFFER 32768u
#define USB_DISK_IN    0x81u /* bulk endpoints, with either transport for data */
#define USB_DISK_OUT   0x02u

struct usb_disk;

/* Another transport than bulk-only, that a device has as well. */
struct usb_disk_other {
    bool (*is_busy)(const struct usb_disk *d); /* is something of it on the disk? */
    void (*medium_gone)(struct usb_disk *d);   /* what reads it fails */
};

enum usb_bot_phase {
    PHASE_CBW,
    PHASE_IN,     /* data to the host */
    PHASE_OUT,    /* data from it */
    PHASE_STATUS,
    PHASE_BROKEN, /* the CBW was none: until a reset (6.6.1) */
    PHASE_LAST = PHASE_BROKEN,
};

enum { CSW_GOOD = 0, CSW_FAILED = 1, CSW_PHASE_ERROR = 2 };

struct usb_disk {
    struct usb_dev usb;
    struct scsi_disk scsi;
    const struct usb_disk_other *other; /* beside bulk-only; NULL: none */
    /* Bulk-only: saved, with the command. */
    struct scsi_command command;
    uint8_t phase, csw_status;
    uint32_t tag;
    uint32_t host_len; /* bytes that the host wants to move, */
    uint32_t due;      /* of them the command's, */
    uint32_t moved;    /* and so many were */
    uint32_t sent;     /* OUT: by the host, also what nobody wants */
    uint32_t buffered; /* IN: bytes in buffer that come next, from buffer_at on; OUT: that were not written yet */
    uint32_t buffer_at;
    uint8_t buffer[USB_BOT_BUFFER];
    /* Not saved. */
    struct usb_xfer *in, *out; /* that wait, */
    struct usb_xfer *served;   /* or that the request below is for, */
    struct usb_xfer *leaving;  /* and was cancelled meanwhile */
    struct blk_req req;
    struct iovec iov[BLK_IOV_MAX];
    bool busy;       /* req, or the command's, is on the disk */
    bool aborted;    /* and nobody wants it any more */
    bool direct;     /* it moves the transfer's own bytes, not the buffer's, */
    uint32_t moving; /* so many */
    /* Of all. */
    void (*quiet)(void *arg);
    void *quiet_arg;
};

static inline struct usb_disk *usb_to_disk(struct usb_dev *d)
{
    return container_of(d, struct usb_disk, usb);
}

/* usb_disk.c */
/* Fill in the base and put it on the bus. d is zeroed, and the bus's from here on; or it is freed, with -errno. */
int usb_disk_init(struct usb_disk *d, const struct usb_disk_options *o, const struct usb_dev_ops *ops,
                  const struct usb_identity *identity, const struct device_ops *dev_ops, struct bus *bus, uint32_t instance,
                  struct vz_error *err) must_check;
void usb_disk_at_rest(struct usb_disk *d); /* tell whoever waits for it, if that is so */
void usb_disk_reset(struct usb_dev *usb);
void usb_disk_fini(struct usb_dev *usb);
extern const uint8_t usb_disk_device[], usb_disk_bos[];
extern const char *const usb_disk_strings[], *const usb_cdrom_strings[];
extern const struct state_field usb_disk_state[], usb_disk_sense_state[];
int usb_disk_loaded(void *disk, struct vz_error *err);

/* usb_uas.c */
int usb_uas_create(struct bus *bus, uint32_t instance, const struct usb_disk_options *o, struct usb_dev **ret,
                   struct vz_error *err) must_check;

/* usb_bot.c */
void usb_bot_submit(struct usb_dev *usb, struct usb_xfer *x);
void usb_bot_cancel(struct usb_dev *usb, struct usb_xfer *x);
bool usb_bot_clear_halt(struct usb_dev *usb, uint8_t ep);
int usb_bot_control(struct usb_dev *usb, const struct usb_setup *s, uint8_t *data);
void usb_bot_reset(struct usb_disk *d);
void usb_bot_medium_gone(struct usb_disk *d);

#endif
