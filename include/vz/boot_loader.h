/* SPDX-License-Identifier: MIT */
/* What a machine runs first: a kernel, handed its initial RAM disk and command line; or UEFI firmware,
 * which finds an operating system on the disks.
 * Apple's: VZLinuxBootLoader, VZEFIBootLoader. Lifetime: counted. Threads: any; does not change once made. */
#ifndef VZ_BOOT_LOADER_H
#define VZ_BOOT_LOADER_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(boot_loader);

#define VZ_BOOT_MODULES_MAX 31

struct vz_boot_module { /* start from VZ_BOOT_MODULE_INIT */
    size_t size;
    const char *path; /* a file */
    const char *text; /* what a Multiboot or PVH kernel is told of it; NULL: path */
};
#define VZ_BOOT_MODULE_INIT VZ_INIT_(struct vz_boot_module, )

struct vz_linux_boot_loader_options { /* start from VZ_LINUX_BOOT_LOADER_OPTIONS_INIT */
    size_t size;
    const char *kernel;  /* a file: bzImage, ELF64 or Multiboot 1; required without disk */
    const char *initrd;  /* a file; NULL: none */
    const char *cmdline; /* NULL: empty */
    /* A raw disk image or block device, instead of kernel and initrd: at each start and each reset
     * of the machine both are read from its ext2, ext3 or ext4 file system (on the whole disk, or
     * on the first partition with a kernel): the newest /boot/vmlinuz-VERSION and its initrd, else
     * /vmlinuz and /initrd.img. So a kernel that the guest installs is the one it boots next. The
     * disk is only read, and not made a device of the machine. A file system that was cut off is
     * read as its journal's last checkpoint left it: that may be the kernel before. NULL: none.
     * Since 0.3. */
    const char *disk;
    /* Files behind the initrd, of this many, at most VZ_BOOT_MODULES_MAX; copied. Linux sees all as one
     * initrd, other kernels as modules. Not with disk. Since 0.4. */
    const struct vz_boot_module *modules;
    unsigned module_count;
};
#define VZ_LINUX_BOOT_LOADER_OPTIONS_INIT VZ_INIT_(struct vz_linux_boot_loader_options, )

/**
 * Describe a direct boot of a kernel. Strings are copied. Opens no file: vz_config_validate() looks
 * whether they open, and each start of a machine reads them.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (no kernel and no disk, or both) or VZ_ERROR_NO_MEMORY.
 * Since 0.2. */
VZ_PUBLIC struct vz_boot_loader *
vz_linux_boot_loader_new(const struct vz_linux_boot_loader_options *options, struct vz_error *err);

struct vz_efi_boot_loader_options { /* start from VZ_EFI_BOOT_LOADER_OPTIONS_INIT */
    size_t size;
    /* A file with the variables of UEFI: boot entries and their order. Made of the firmware's template when
     * a machine starts and nothing is there. One machine at a time uses it. NULL: variables last as
     * long as the machine. */
    const char *variable_store;
    /* A file with the firmware's code, a build of EDK2's OVMF. NULL: what the system has installed (Debian's
     * package ovmf) and goes with the store. */
    const char *firmware;
    /* Firmware that can do Secure Boot, and keeps its variables from everybody else by System Management Mode;
     * a store that is made trusts the keys that the firmware's package comes with. Whether it is in force the
     * store says. On KVM where the host's has that mode, else VZ_ERROR_UNSUPPORTED at the start. Since 0.4. */
    bool secure_boot;
    /* What firmware looks at, in this order, at every start and reset: words of usb (disks on USB), cdrom, disk (all others)
     * and network, with commas between. What is not named comes behind, but for networks. It is firmware that sorts
     * its boot entries by this and keeps them so. NULL: by what its variables say (BootOrder), and where they
     * say nothing yet, cdrom,usb,disk. Since 0.4. */
    const char *boot_order;
    /* The same for one start, and not for resets after it, which go by the variables. What they had as their order is theirs again at
     * the first start without this, behind entries that were made meanwhile (by an installer). NULL: nothing. Since 0.4. */
    const char *boot_once;
    /* How long firmware waits for a key (Esc: its menus) before it starts something, in ms, up to 65535; 0: not at all. Since
     * 0.4. */
    uint32_t boot_menu_wait;
};
#define VZ_EFI_BOOT_LOADER_OPTIONS_INIT VZ_INIT_(struct vz_efi_boot_loader_options, )

/**
 * Describe a boot by UEFI firmware. options may be NULL. Strings are copied. Opens no file:
 * vz_config_validate() looks whether they open, and a start of a machine reads them.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_boot_loader *
vz_efi_boot_loader_new(const struct vz_efi_boot_loader_options *options, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
