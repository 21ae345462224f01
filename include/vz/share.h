/* SPDX-License-Identifier: MIT */
/* Directories of the host that the guest mounts (mount -t virtiofs TAG DIR).
 * Apple's: VZVirtioFileSystemDeviceConfiguration, VZSingleDirectoryShare, VZMultipleDirectoryShare,
 * VZSharedDirectory. docs/shares.md says who owns what, and when a change is seen on the other side.
 * Lifetime: counted. Threads: any; objects do not change once made. */
#ifndef VZ_SHARE_H
#define VZ_SHARE_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What is shared ------------------------------------------------------------------------- */

VZ_DECLARE_COUNTED(directory_share);

struct vz_shared_directory { /* start from VZ_SHARED_DIRECTORY_INIT */
    size_t size;
    const char *name; /* of its folder in the share, where there are several; see below */
    const char *path; /* a directory of the host */
    bool read_only;   /* the guest cannot change anything in it */
};
#define VZ_SHARED_DIRECTORY_INIT VZ_INIT_(struct vz_shared_directory, )

#define VZ_SHARED_DIRECTORIES_MAX 256u

/**
 * A directory of the host, whose files are the root of what the guest mounts.
 * @path  copied; opened when a machine starts
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_directory_share *
vz_single_directory_share_new(const char *path, bool read_only, struct vz_error *err);

/**
 * Several, each a folder of its own name in what the guest mounts.
 * @directories  of this many, at most VZ_SHARED_DIRECTORIES_MAX; copied. Names differ
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_directory_share *
vz_multiple_directory_share_new(const struct vz_shared_directory *directories, unsigned count,
                                struct vz_error *err);

#define VZ_SHARED_DIRECTORY_NAME_MAX 255

/* Can it be the name of a shared directory: valid UTF-8 of 1 to 255 bytes, neither "." nor "..", without
 * control characters, slashes, backslashes and colons? Returns 0, or -1 with VZ_ERROR_INVALID. Since 0.4. */
VZ_PUBLIC int vz_shared_directory_name_validate(const char *name, struct vz_error *err);

/* The closest to name that can be: what may not be there becomes "_", what is too long is cut off. Returns 0;
 * or -1 with VZ_ERROR_INVALID if nothing is left, as of an empty name. Since 0.4. */
VZ_PUBLIC int vz_shared_directory_name_canonical(const char *name,
                                                 char ret[VZ_SHARED_DIRECTORY_NAME_MAX + 1],
                                                 struct vz_error *err);

/* ---- Programs of other processors ------------------------------------------------------------ */

/* A share of interpreters, by which a Linux guest runs programs of other processors as if they were its own:
 * docs/foreign-binaries.md says what is in it, and how the guest's kernel learns of it. Apple's:
 * VZLinuxRosettaDirectoryShare. */

#define VZ_FOREIGN_ARCHITECTURES_MAX 16u

/* What the share is known by to guests' agents when nothing else is said (vz run --foreign). */
#define VZ_FOREIGN_BINARIES_TAG "foreign"
/* Where it is mounted, in a folder called as its tag, unless its device has a mount_point. */
#define VZ_FOREIGN_BINARIES_DIRECTORY "/run/vz"

enum vz_foreign_binaries_availability {
    VZ_FOREIGN_BINARIES_NOT_SUPPORTED = 0, /* nobody here knows of such an architecture */
    VZ_FOREIGN_BINARIES_NOT_INSTALLED = 1, /* this host has no interpreter of it: see the install hint */
    VZ_FOREIGN_BINARIES_INSTALLED = 2,
};

/* Can guests be given the system's interpreter of the architecture's programs, at this moment? @architecture: a name that
 * vz_foreign_binaries_architecture() returns. Since 0.4. */
VZ_PUBLIC enum vz_foreign_binaries_availability vz_foreign_binaries_availability(const char *architecture);

/* The architectures that are supported: "arm64", "armhf", "i386", ... NULL behind the last one. Since 0.4. */
VZ_PUBLIC const char *vz_foreign_binaries_architecture(unsigned index);

/* What a person does to have interpreters installed: one sentence. Nothing is ever installed by itself. Since 0.4. */
VZ_PUBLIC const char *vz_foreign_binaries_install_hint(void);

struct vz_foreign_binaries_options { /* start from VZ_FOREIGN_BINARIES_OPTIONS_INIT */
    size_t size;
    const char *const *architectures; /* of architecture_count, copied; none: all that are installed then */
    unsigned architecture_count;      /* at most VZ_FOREIGN_ARCHITECTURES_MAX */
    const char *directory;            /* where they are, copied: files qemu-NAME-static; NULL: the system's */
};
#define VZ_FOREIGN_BINARIES_OPTIONS_INIT VZ_INIT_(struct vz_foreign_binaries_options, )

/**
 * The interpreters of these architectures. Whether they are installed is seen when a machine is validated or started,
 * which fail with VZ_ERROR_UNSUPPORTED if not, and the install hint. A running machine's device cannot change from or
 * to such a share. The device's ownership does not matter: the guest sees files of root's that nobody can write.
 * @options  NULL for the defaults
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (also of an architecture that is not supported) or
 * VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_directory_share *
vz_foreign_binaries_share_new(const struct vz_foreign_binaries_options *options, struct vz_error *err);

/* ---- Devices -------------------------------------------------------------------------------- */

VZ_DECLARE_COUNTED(directory_sharing_device);

/* How long the guest believes what it knows of files. */
enum vz_share_caching {
    VZ_SHARE_CACHING_AUTOMATIC = 0, /* a second: safe where host and guest both write */
    VZ_SHARE_CACHING_NEVER = 1,     /* not at all */
    VZ_SHARE_CACHING_ALWAYS = 2,    /* for good, and it writes later: nobody else may write there */
};

struct vz_virtio_file_system_options { /* start from VZ_VIRTIO_FILE_SYSTEM_OPTIONS_INIT */
    size_t size;
    /* Who owns what: "mine" (as NULL): on the host all is the user's who runs the machine, and owners,
     * modes and devices that the guest sets are kept in extended attributes; "root": the same, and what is that user's
     * without such an attribute is seen as root's; "same": numbers are those of
     * the host, which takes root; "UID:GID": the guest sees all as theirs. Copied. */
    const char *ownership;
    enum vz_share_caching caching;
    /* Whoever runs the machine (vz, or a program by vz_agent_mount()) has the guest's agent mount it at
     * /media/shares/TAG; or at mount_point, an absolute path in the guest (copied; NULL or "": none). */
    bool automount;
    const char *mount_point;
    /* Bytes of a window in which the guest maps files without copies (DAX): 0: none; or a power of two from 16 MiB to
     * 16 GiB, which all windows of a machine together do not exceed. It is no memory of the guest's. Files that are
     * cut short while they are mapped are SIGBUS for whoever touches what is gone; the library catches that, by a
     * handler of its own that hands on what is not its own, from when the first machine with a window starts: a
     * program that sets another one afterwards has it call the one that was there. */
    uint64_t dax_size;
};
#define VZ_VIRTIO_FILE_SYSTEM_OPTIONS_INIT VZ_INIT_(struct vz_virtio_file_system_options, )

#define VZ_SHARE_TAG_MAX 35 /* bytes */

/* A device of this tag is mounted at /media/shares itself, without being told to; where others are mounted below that,
 * beside them. Apple's:
 * macOSGuestAutomountTag, by the same name. */
#define VZ_SHARE_AUTOMOUNT_TAG "com.apple.virtio-fs.automount"
#define VZ_SHARE_AUTOMOUNT_DIRECTORY "/media/shares"

/**
 * A virtio file system, which the guest mounts by its tag.
 * @tag    see vz_share_tag_validate(); each device of a machine has another one; copied
 * @share  a reference is taken
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_directory_sharing_device *
vz_virtio_file_system_device_new(const char *tag, struct vz_directory_share *share,
                                 const struct vz_virtio_file_system_options *options,
                                 struct vz_error *err);

/* Can it be a tag: not empty, at most VZ_SHARE_TAG_MAX bytes of UTF-8? Returns 0, or -1 with
 * VZ_ERROR_INVALID. Since 0.4. */
VZ_PUBLIC int vz_share_tag_validate(const char *tag, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
