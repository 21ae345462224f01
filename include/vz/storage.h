/* SPDX-License-Identifier: MIT */
/* Disks: the device the guest sees, and the bytes behind it.
 * Apple's: VZVirtioBlockDeviceConfiguration, VZDiskImageStorageDeviceAttachment,
 * VZDiskBlockDeviceStorageDeviceAttachment, VZNetworkBlockDeviceStorageDeviceAttachment.
 * Lifetime: counted. Threads: any; objects do not change once made. */
#ifndef VZ_STORAGE_H
#define VZ_STORAGE_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(storage_attachment);
VZ_DECLARE_COUNTED(storage_device);

/* Does the host's page cache hold what the guest reads and writes? It makes no difference to what
 * survives a crash: that is vz_disk_sync's alone. */
enum vz_disk_caching {
    VZ_DISK_CACHING_AUTOMATIC = 0, /* cached, which is always safe */
    VZ_DISK_CACHING_UNCACHED = 1,  /* around the page cache (O_DIRECT) where the host can */
    VZ_DISK_CACHING_CACHED = 2,
};

/* What a flush of the guest (a file system's journal commit, fsync) does. */
enum vz_disk_sync {
    VZ_DISK_SYNC_FULL = 1,  /* data and what is needed to find it are on stable storage, the drive's
                               own cache flushed, before the guest hears of it. The default. */
    VZ_DISK_SYNC_FSYNC = 2, /* as full, but without what is not needed to read the data back, such as
                               the image's time of change: fdatasync(), where full is fsync() */
    VZ_DISK_SYNC_NONE = 3,  /* nothing: fast, and a crash of the host (not of the guest or of vz) may destroy
                               the file system. For disks that are thrown away. */
};

/* What its bytes are. */
enum vz_disk_format {
    VZ_DISK_FORMAT_AUTOMATIC = 0, /* qcow2, if it looks like that and its name ends in .qcow2; else raw.
                                     One that looks like something else than its name says (qcow2,
                                     VMDK, VHD, VHDX, VDI, ...; ISO when it may be written) is
                                     refused, as its guest would see noise and destroy it. */
    VZ_DISK_FORMAT_RAW = 1,       /* raw, whatever it looks like. Since 0.4. */
    VZ_DISK_FORMAT_QCOW2 = 2,     /* qcow2, versions 2 and 3. Since 0.4. */
};

struct vz_disk_image_options { /* start from VZ_DISK_IMAGE_OPTIONS_INIT */
    size_t size;
    bool read_only;
    enum vz_disk_caching caching;
    enum vz_disk_sync sync;
    enum vz_disk_format format; /* since 0.4 */
    const char *backing;        /* a file or folder: where backing files of a qcow2 image may be, besides
                                   the image's own folder and those in it; NULL: nowhere. Since 0.4. */
    bool ephemeral;             /* what the guest writes goes to a layer that ends with the machine; the
                                   image is only read, and any number of machines may share it. Since 0.4. */
};
#define VZ_DISK_IMAGE_OPTIONS_INIT                                                                 \
    VZ_INIT_(struct vz_disk_image_options, VZ_SET_(sync, VZ_DISK_SYNC_FULL))

/**
 * A disk image, raw (a file whose size is a multiple of 512 bytes) or qcow2; or a block device, by its path. A
 * machine locks it, and all that it reads through to, while it runs: one writer, or any number of readers.
 * @path     copied; opened when a machine starts
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_storage_attachment *
vz_disk_image_attachment_new(const char *path, const struct vz_disk_image_options *options,
                             struct vz_error *err);

struct vz_block_device_options { /* start from VZ_BLOCK_DEVICE_OPTIONS_INIT */
    size_t size;
    bool read_only;
    enum vz_disk_sync sync;
    enum vz_disk_format format; /* since 0.4 */
};
#define VZ_BLOCK_DEVICE_OPTIONS_INIT                                                               \
    VZ_INIT_(struct vz_block_device_options, VZ_SET_(sync, VZ_DISK_SYNC_FULL))

/**
 * A disk of the host (or anything else that can be read and written by position), already open, for example by a
 * helper with more rights.
 * @fd       stays the caller's, and open while a machine uses it
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_storage_attachment *
vz_block_device_attachment_new(int fd, const struct vz_block_device_options *options,
                               struct vz_error *err);

#define VZ_NBD_TIMEOUT_DEFAULT 30
#define VZ_NBD_TIMEOUT_MAX     86400

struct vz_nbd_options { /* start from VZ_NBD_OPTIONS_INIT */
    size_t size;
    uint32_t timeout;       /* seconds, up to VZ_NBD_TIMEOUT_MAX, for a request, and for connecting at the start: then the
                               guest gets an error; 0: it waits for ever */
    bool read_only;         /* refuse writes even where the server takes them. A server's read-only export is
                               one in any case. */
    enum vz_disk_sync sync; /* full and fsync: the guest's flushes reach the server; none: they do nothing */
};
#define VZ_NBD_OPTIONS_INIT                                                                        \
    VZ_INIT_(struct vz_nbd_options, VZ_SET_(timeout, VZ_NBD_TIMEOUT_DEFAULT)                       \
                 VZ_SET_(sync, VZ_DISK_SYNC_FULL))

/**
 * A disk on an NBD server. It is connected when a machine starts, which fails with
 * VZ_ERROR_NBD_NEGOTIATION_FAILED or VZ_ERROR_NBD_DISCONNECTED. A connection that is lost later is made anew by
 * itself: requests wait for it, and what was written but not flushed is written again, so the guest sees
 * nothing but time, unless that exceeds the timeout. The program hears of it by disk_error and
 * disk_connected (<vz/machine.h>).
 * @uri      nbd://HOST[:PORT]/EXPORT, nbds://[USER@]HOST[:PORT]/EXPORT (TLS), nbd+unix:///EXPORT?socket=PATH or
 *           nbds+unix:; with tls-certificates=FOLDER, tls-psk-file=FILE or tls-verify-peer=false behind '?'. Copied.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. What is wrong with the address,
 * validation says. Since 0.4. */
VZ_PUBLIC struct vz_storage_attachment *vz_nbd_attachment_new(const char *uri,
                                                              const struct vz_nbd_options *options,
                                                              struct vz_error *err);

/* Can it be the address of an NBD export? Returns 0, or -1 with VZ_ERROR_INVALID, whose text says what is wrong. Since
 * 0.4. */
VZ_PUBLIC int vz_nbd_uri_validate(const char *uri, struct vz_error *err);

struct vz_seed_options { /* start from VZ_SEED_OPTIONS_INIT */
    size_t size;
    const char *meta_data;      /* path; NULL: instance-id is the machine's identifier, local-hostname is
                                   made of its label */
    const char *network_config; /* path; NULL: there is none, and the guest uses DHCP */
};
#define VZ_SEED_OPTIONS_INIT VZ_INIT_(struct vz_seed_options, )

/**
 * A disk for cloud-init in the guest (its NoCloud data source): a small ISO 9660 file system called cidata,
 * made in memory of files when a machine starts, and read-only.
 * @user_data  path of a file of at most 16 MiB, as the others are; copied
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_storage_attachment *vz_seed_attachment_new(const char *user_data,
                                                               const struct vz_seed_options *options,
                                                               struct vz_error *err);

/**
 * Nothing: for a CD-ROM drive that has no disc yet. vz_machine_set_disc() puts one in.
 * Returns a new reference, or NULL with VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_storage_attachment *vz_empty_storage_attachment_new(struct vz_error *err);

#define VZ_DISK_BURST_DEFAULT 100
#define VZ_DISK_BURST_MAX     3600000

/* How fast a disk may be; 0: no limit. Since 0.4. */
struct vz_disk_limits { /* start from VZ_DISK_LIMITS_INIT */
    size_t size;
    uint64_t bytes;      /* a second, of reads and writes together */
    uint64_t operations; /* a second: requests of all kinds */
    uint32_t burst;      /* ms, 1..VZ_DISK_BURST_MAX: so much of that may come at once after a rest */
};
#define VZ_DISK_LIMITS_INIT VZ_INIT_(struct vz_disk_limits, VZ_SET_(burst, VZ_DISK_BURST_DEFAULT))

#define VZ_BLOCK_IDENTIFIER_MAX 20

struct vz_virtio_block_options { /* start from VZ_VIRTIO_BLOCK_OPTIONS_INIT */
    size_t size;
    const char *identifier; /* at most VZ_BLOCK_IDENTIFIER_MAX ASCII bytes, the guest's serial
                               number of the disk (/dev/disk/by-id/virtio-...); NULL: none */
    uint32_t block_size;    /* bytes of the guest's blocks: 512 (the default), or 4096. Since 0.4. */
    uint64_t limit_bytes, limit_operations; /* as in struct vz_disk_limits, and changed while it runs by */
    uint32_t limit_burst;                   /* vz_machine_set_disk_limits(). Since 0.4. */
};
#define VZ_VIRTIO_BLOCK_OPTIONS_INIT                                                               \
    VZ_INIT_(struct vz_virtio_block_options, VZ_SET_(block_size, 512)                              \
                 VZ_SET_(limit_burst, VZ_DISK_BURST_DEFAULT))

/**
 * A virtio disk: the guest's vda, vdb, ... in the order they are added to a configuration.
 * @attachment  a reference is taken
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_storage_device *
vz_virtio_block_device_new(struct vz_storage_attachment *attachment,
                           const struct vz_virtio_block_options *options, struct vz_error *err);

struct vz_nvme_options { /* start from VZ_NVME_OPTIONS_INIT */
    size_t size;
    const char *identifier; /* at most VZ_BLOCK_IDENTIFIER_MAX ASCII bytes, the controller's serial number;
                               NULL: "vz" and the disk's number among all of the configuration */
    uint32_t block_size;    /* bytes of the guest's blocks: 512 (the default), or 4096 */
    uint64_t limit_bytes, limit_operations; /* as in struct vz_disk_limits, and changed while it runs by */
    uint32_t limit_burst;                   /* vz_machine_set_disk_limits() */
};
#define VZ_NVME_OPTIONS_INIT                                                                       \
    VZ_INIT_(struct vz_nvme_options, VZ_SET_(block_size, 512)                                      \
                 VZ_SET_(limit_burst, VZ_DISK_BURST_DEFAULT))

/**
 * An NVMe controller with a disk, its namespace 1: for guests without virtio drivers. The guest's nvme0n1, nvme1n1,
 * ... in the order they are added. More disks behind it: vz_nvme_namespace_new(). A virtio disk is faster. Apple's: VZNVMExpressControllerDeviceConfiguration.
 * @attachment  a reference is taken
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_storage_device *vz_nvme_device_new(struct vz_storage_attachment *attachment,
                                                       const struct vz_nvme_options *options,
                                                       struct vz_error *err);

#define VZ_NVME_NAMESPACES_MAX 32

struct vz_nvme_namespace_options { /* start from VZ_NVME_NAMESPACE_OPTIONS_INIT */
    size_t size;
    const char *controller; /* which NVMe controller it belongs to: by its identifier; NULL: the last one that is
                               added before it */
    uint32_t block_size;    /* bytes of the guest's blocks: 512 (the default), or 4096 */
    uint64_t limit_bytes, limit_operations; /* as in struct vz_disk_limits, and changed while it runs by */
    uint32_t limit_burst;                   /* vz_machine_set_disk_limits() */
};
#define VZ_NVME_NAMESPACE_OPTIONS_INIT                                                             \
    VZ_INIT_(struct vz_nvme_namespace_options, VZ_SET_(block_size, 512)                            \
                 VZ_SET_(limit_burst, VZ_DISK_BURST_DEFAULT))

/**
 * A further disk behind an NVMe controller of the configuration: its namespace 2, 3, ... in the order they are
 * added, the guest's nvme0n2, ... A controller has VZ_NVME_NAMESPACES_MAX of them at most, with the first.
 * @attachment  a reference is taken
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_storage_device *
vz_nvme_namespace_new(struct vz_storage_attachment *attachment,
                      const struct vz_nvme_namespace_options *options, struct vz_error *err);

struct vz_usb_storage_options { /* start from VZ_USB_STORAGE_OPTIONS_INIT */
    size_t size;
    const char *identifier; /* at most VZ_BLOCK_IDENTIFIER_MAX ASCII bytes, its serial number; NULL: "vz" and
                               the disk's number among all of the configuration */
    uint32_t block_size;    /* bytes of a disk's blocks: 512 (the default), or 4096; a CD-ROM's have 2048 */
    uint64_t limit_bytes, limit_operations; /* as in struct vz_disk_limits, and changed while it runs by */
    uint32_t limit_burst;                   /* vz_machine_set_disk_limits() */
    const char *uuid; /* as <vz/runtime.h> has it: 36 characters, in lower case; NULL: none is given */
    bool uas;         /* USB attached SCSI, too, for drivers that have it: several commands at a time. Since 0.4. */
};
#define VZ_USB_STORAGE_OPTIONS_INIT                                                                \
    VZ_INIT_(struct vz_usb_storage_options, VZ_SET_(block_size, 512)                               \
                 VZ_SET_(limit_burst, VZ_DISK_BURST_DEFAULT))

/**
 * A USB disk at SuperSpeed, on the machine's USB controller, which comes by itself: the guest's sda, sdb, ... in the
 * order they are added. Firmware and installers know it as a stick. Apple's: VZUSBMassStorageDeviceConfiguration.
 * @attachment  a reference is taken
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_storage_device *
vz_usb_mass_storage_device_new(struct vz_storage_attachment *attachment,
                               const struct vz_usb_storage_options *options, struct vz_error *err);

/**
 * A USB CD-ROM drive: the guest's sr0, sr1, ... What is in it is only read, and the guest can eject it.
 * @attachment  a reference is taken, or a read-only copy is made of it
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_storage_device *
vz_usb_cdrom_device_new(struct vz_storage_attachment *attachment,
                        const struct vz_usb_storage_options *options, struct vz_error *err);

/* Where its bytes are: of the device, which keeps it. NULL: there is no device. Since 0.4. */
VZ_PUBLIC struct vz_storage_attachment *vz_storage_device_attachment(const struct vz_storage_device *device);

/* Can it be a block device's identifier? Returns 0, or -1 with VZ_ERROR_INVALID. Since 0.2. */
VZ_PUBLIC int vz_block_identifier_validate(const char *identifier, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
