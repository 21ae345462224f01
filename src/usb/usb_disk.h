/* SPDX-License-Identifier: MIT */
/* A USB mass storage device at SuperSpeed: a disk, or a CD-ROM drive; by Bulk-Only Transport 1.0, and by USB Attached
 * SCSI (UASP 1.0) if the driver chooses that and it was asked for. Threads as in usb.h. */
#ifndef VZ_USB_USB_DISK_H
#define VZ_USB_USB_DISK_H

#include "usb/scsi.h"
#include "usb/usb.h"

struct usb_disk_options {
    struct blk *blk;     /* the caller's, outlives it; it attaches */
    bool read_only;      /* also where the disk could be written */
    bool uas;            /* it has USB attached SCSI, too */
    bool is_cdrom;       /* blocks of 2048 bytes, read-only, can be ejected */
    uint32_t block_size; /* of a disk: 512, 4096, or 0 for the disk's own, which is the least */
    char serial[SCSI_SERIAL_MAX + 1]; /* ASCII; "": "1" */
};

/* It belongs to the bus until it is taken away: usb_dev_destroy(). 0 or -errno with err filled in. */
int usb_disk_create(struct bus *bus, uint32_t instance, const struct usb_disk_options *o, struct usb_dev **ret,
                    struct vz_error *err) must_check;

/* Of a drive: does the guest keep it closed? Then it is asked to eject the disc (unless force), and this is -EBUSY. Else blk takes
 * the disc's place, with what is under way on that one waited for (it fails), and that one is the caller's again. Loop
 * thread. */
int usb_disk_change(struct usb_dev *d, struct blk *blk, bool force, struct blk **ret_old) must_check;
/* Does the guest keep the drive closed? */
bool usb_disk_is_locked(const struct usb_dev *d);
/* Is there a disc that can be read? */
bool usb_disk_has_medium(const struct usb_dev *d);

/* Call done(arg) once nothing of it is on the disk: from the loop, or from inside when that is so already. Go on; also
 * before that, which then does not come. */
void usb_disk_quiesce(struct usb_dev *d, void (*done)(void *arg), void *arg);
void usb_disk_resume(struct usb_dev *d);

#endif
