/* SPDX-License-Identifier: MIT */
/* Disk images: make, look at, change. What `vz disk` does. For images that no machine uses: all but
 * vz_disk_get_info() lock them, as machines do, and fail when somebody else has them.
 * Threads: any. Everything blocks until it is done. */
#ifndef VZ_DISK_H
#define VZ_DISK_H

#include <stdint.h>

#include <vz/error.h>
#include <vz/public.h>
#include <vz/storage.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called now and then while something takes long, with bytes done and in all (0 while that is not known); ten times a second
 * while an NBD server is waited for. false: stop; what was asked for then fails with VZ_ERROR_CANCELLED. */
typedef bool vz_disk_progress(void *arg, uint64_t done, uint64_t total);

/* How an existing image is opened. */
struct vz_disk_options { /* start from VZ_DISK_OPTIONS_INIT */
    size_t size;
    enum vz_disk_format format; /* as for a machine's disk, see <vz/storage.h> */
    const char *backing;        /* the same; may be NULL */
    vz_disk_progress *progress; /* may be NULL */
    void *arg;                  /* the function's */
};
#define VZ_DISK_OPTIONS_INIT VZ_INIT_(struct vz_disk_options, )

/* What of an image takes room before it is needed. */
enum vz_disk_preallocation {
    VZ_DISK_PREALLOCATION_NONE,
    VZ_DISK_PREALLOCATION_METADATA, /* qcow2: its tables; the data has places in the file, but no room yet */
    VZ_DISK_PREALLOCATION_FULL,     /* all of it: writing to the disk cannot fail for want of room */
};

struct vz_disk_create_options { /* start from VZ_DISK_CREATE_OPTIONS_INIT */
    size_t size;
    enum vz_disk_format format;   /* AUTOMATIC: qcow2 if the name ends in .qcow2, else raw */
    const char *backing;          /* qcow2: the image it reads through to, by the name that will stand in it,
                                     relative to the new image; NULL: none */
    enum vz_disk_format backing_format; /* AUTOMATIC: as for a machine's disk */
    uint64_t cluster_size;        /* qcow2; a power of two, 512 bytes to 2 MiB; 0: 64 KiB */
    unsigned version;             /* qcow2: 2 or 3; 0: 3 */
    enum vz_disk_preallocation preallocation;
    bool replace;                 /* instead of a file that is there, and that nobody uses */
    unsigned refcount_bits;       /* qcow2: 1 to 64, a power of two; 0: 16 */
    bool extended_l2;             /* qcow2: clusters have 32 parts, each of which has room or not */
    bool lazy_refcounts;          /* qcow2: refcounts are written late, and counted anew after a crash */
    bool zstd;                    /* qcow2: what others compress in it is zstd's; else deflate's */
    vz_disk_progress *progress;   /* of vz_disk_create(); may be NULL */
    void *arg;                    /* the function's */
    bool unsynced;                /* the file is not put on stable storage: the caller sees to that */
};
#define VZ_DISK_CREATE_OPTIONS_INIT VZ_INIT_(struct vz_disk_create_options, )

/**
 * Make a disk image full of zeroes, or of what its backing image has. The file appears when it is whole.
 * @bytes    size of the disk, a multiple of 512; 0 with a backing image: that one's
 * Returns 0, or -1 with VZ_ERROR_INVALID, VZ_ERROR_IO, VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC int vz_disk_create(const char *path, uint64_t bytes,
                             const struct vz_disk_create_options *options, struct vz_error *err);

struct vz_disk_info {
    size_t size;               /* of this struct, as the caller knows it: start from VZ_DISK_INFO_INIT */
    enum vz_disk_format format;
    uint64_t bytes;            /* of the disk */
    uint64_t allocated;        /* of the host's that the file takes */
    unsigned version;          /* qcow2; and so on */
    uint64_t cluster_size;
    unsigned snapshots;
    bool dirty;                /* was not closed: repaired when it is next used */
    bool corrupt;
    bool extended_l2, lazy_refcounts;
    bool zstd;                 /* its compressed clusters are zstd's; else deflate's */
    char backing[1024];        /* as it stands in the image; "": none */
    char backing_format[16];   /* "": not said */
    uint64_t reserved[4];
};
#define VZ_DISK_INFO_INIT VZ_INIT_(struct vz_disk_info, )

/**
 * Look at an image, also while a machine uses it: then some of it may be out of date. path may be the address of a
 * disk on an NBD server (nbd://...).
 * Returns 0, or -1 with VZ_ERROR_INVALID_DISK_IMAGE, VZ_ERROR_UNSUPPORTED, VZ_ERROR_IO, ... Since 0.4. */
VZ_PUBLIC int vz_disk_get_info(const char *path, const struct vz_disk_options *options,
                               struct vz_disk_info *ret, struct vz_error *err);

/**
 * Give a disk another size. What it gains reads as zeroes.
 * @shrink   it may lose its end, with all that is there
 * Returns 0, or -1 with VZ_ERROR_INVALID, VZ_ERROR_IO, ... Since 0.4. */
VZ_PUBLIC int vz_disk_resize(const char *path, uint64_t bytes, bool shrink,
                             const struct vz_disk_options *options, struct vz_error *err);

/**
 * Copy a disk into a new image, maybe of another format: all that a guest would see, backing images
 * included; zeroes take no room. The file appears when it is whole. A raw image becomes a raw one that shares
 * its room, where the file system can do that. path and to may be addresses of disks on NBD servers: to is then
 * overwritten from its beginning, at least as large, and half done when this fails.
 * @to_options   its format and so on; may be NULL
 * Returns 0, or -1 with VZ_ERROR_INVALID, VZ_ERROR_IO, VZ_ERROR_CANCELLED, ... Since 0.4. */
VZ_PUBLIC int vz_disk_convert(const char *path, const char *to,
                              const struct vz_disk_options *options,
                              const struct vz_disk_create_options *to_options, struct vz_error *err);

/**
 * Write what a qcow2 image has of its own into the image that it reads through to. It stays as it is,
 * and may be used on or deleted. Other images above the same one lose what they read there. Stopped in the
 * middle, it can be done again: until then the image still has all of it.
 * Returns 0, or -1 with VZ_ERROR_INVALID, VZ_ERROR_IO, VZ_ERROR_CANCELLED, ... Since 0.4. */
VZ_PUBLIC int vz_disk_commit(const char *path, const struct vz_disk_options *options,
                             struct vz_error *err);

/**
 * Have a qcow2 image read through to another one.
 * @backing  by the name that will stand in the image, relative to it; NULL: to none
 * @format   of backing; AUTOMATIC: as for a machine's disk
 * @unsafe   change the name only, as when the backing image was moved; else the image is given whatever it
 *           would read differently from now on, so that its guest sees what it saw before
 * Stopped in the middle, the image is as it was, only larger.
 * Returns 0, or -1 with VZ_ERROR_INVALID, VZ_ERROR_IO, VZ_ERROR_CANCELLED, ... Since 0.4. */
VZ_PUBLIC int vz_disk_rebase(const char *path, const char *backing, enum vz_disk_format format, bool unsafe,
                             const struct vz_disk_options *options, struct vz_error *err);

struct vz_disk_check {
    size_t size;       /* of this struct, as the caller knows it: start from VZ_DISK_CHECK_INIT */
    uint64_t errors;   /* contradictions: data may be lost */
    uint64_t leaks;    /* clusters that nothing uses */
    uint64_t repaired; /* of both */
    uint64_t reserved[4];
};
#define VZ_DISK_CHECK_INIT VZ_INIT_(struct vz_disk_check, )

/**
 * Compare a qcow2 image's tables with each other. A raw image has none, nor has a disk on an NBD server.
 * @repair   and correct what can be
 * Returns 0, also with errors found, or -1 with VZ_ERROR_INVALID_DISK_IMAGE where it is too damaged to
 * look at, VZ_ERROR_IO, VZ_ERROR_CANCELLED, ... Since 0.4. */
VZ_PUBLIC int vz_disk_check(const char *path, bool repair, const struct vz_disk_options *options,
                            struct vz_disk_check *ret, struct vz_error *err);

/* Bytes as people write them: "512M", "1.5G", "1T", powers of two. Returns 0, or -1 with VZ_ERROR_INVALID
 * (also for a number below 1 MiB without a unit, which was probably forgotten). Since 0.4. */
VZ_PUBLIC int vz_size_parse(const char *text, uint64_t *ret, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
