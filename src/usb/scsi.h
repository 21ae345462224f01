/* SPDX-License-Identifier: MIT */
/* The SCSI commands of a disk or CD-ROM drive (SPC-4, SBC-3, MMC-6), whatever carries them: what a command asks for, and what to
 * answer. Data is moved by the transport (usb_disk.c). Loop thread. */
#ifndef VZ_USB_SCSI_H
#define VZ_USB_SCSI_H

#include "block/blk.h"

#define SCSI_CDB_MAX    16u
#define SCSI_DATA_MAX   4096u /* of answers and parameters that are not blocks */
#define SCSI_SERIAL_MAX 20u

enum { SCSI_GOOD = 0, SCSI_CHECK_CONDITION = 2 };

enum scsi_need {
    SCSI_DONE,  /* nothing: status is there */
    SCSI_GIVE,  /* len bytes of data go to the host */
    SCSI_TAKE,  /* len bytes of data come from the host: then scsi_taken() */
    SCSI_READ,  /* len bytes of the disk at offset go to the host */
    SCSI_WRITE, /* they come from it; and fua */
    SCSI_WAIT,  /* req is to be submitted: then scsi_ended() */
};

struct scsi_sense {
    uint8_t key, asc, ascq;
};

struct scsi_disk {
    /* Constant. */
    struct blk *blk; /* of a drive, changed at rest */
    bool read_only, removable, is_cdrom;
    uint32_t block_size; /* bytes: 512, 2048 or 4096 */
    char serial[SCSI_SERIAL_MAX + 1];
    bool asked;          /* the guest is to eject the disc, and has not heard of it; not saved */
    /* Saved. */
    bool ejected, locked;
    struct scsi_sense sense;     /* of the last command */
    struct scsi_sense attention; /* for the next one; key 0: nothing */
};

struct scsi_command {
    uint8_t cdb[SCSI_CDB_MAX];
    /* What it needs. */
    enum scsi_need need;
    uint8_t status;
    bool fua;
    uint32_t len;
    uint64_t offset;         /* bytes */
    uint8_t data[SCSI_DATA_MAX];
    struct blk_req req;      /* SCSI_WAIT; done is the transport's */
    unsigned next;           /* of the ranges in data */
};

/* Begin the command in cdb: fills in the rest. */
void scsi_begin(struct scsi_disk *d, struct scsi_command *c);
/* What it needed is there, or err (0 or -errno). It may need something else then. */
void scsi_taken(struct scsi_disk *d, struct scsi_command *c);
/* Of how many bytes at least, whatever state was loaded. */
uint32_t scsi_taken_min(const struct scsi_disk *d, const struct scsi_command *c);
void scsi_ended(struct scsi_disk *d, struct scsi_command *c, int err);
/* Blocks could not be read or written: the status. */
void scsi_failed(struct scsi_disk *d, struct scsi_command *c, int err);
void scsi_reset(struct scsi_disk *d);
/* Another disc is in the drive, maybe none (of size 0). */
void scsi_new_medium(struct scsi_disk *d, struct blk *blk);

#endif
