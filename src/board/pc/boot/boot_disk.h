/* SPDX-License-Identifier: MIT */
/* Kernel and initrd from the guest's own disk, as a boot loader on it would find them. */
#ifndef VZ_BOARD_PC_BOOT_BOOT_DISK_H
#define VZ_BOARD_PC_BOOT_BOOT_DISK_H

#include "board/pc/boot/boot.h"

/* Read from a disk, which is not trusted, and which is looked at anew (path is for messages): from
 * an ext2, ext3 or ext4 file system on the whole disk, else on the first partition (MBR's primary ones, GPT) that has a
 * kernel.
 *
 * The kernel is the newest vmlinuz-VERSION in /boot (on a boot partition: in /) that has an initrd
 * (initrd.img-VERSION, initramfs-VERSION.img, initrd-VERSION), or the newest at all; without any,
 * /vmlinuz and /initrd.img. A file system that was not unmounted is read as the last checkpoint of
 * its journal left it, which may be an older kernel than the one installed last.
 *
 * root says where the guest finds its root, if that is where its kernel is: "root=UUID=..." for an
 * initrd to look for, "root=/dev/vda" without one and on the whole disk; or "".
 *
 * 0 or -errno; on success kernel_file_free() gives both back; initrd->data is NULL where there is
 * none. Errors as boot_load()'s. */
#define BOOT_DISK_ROOT_MAX 64u
struct disk_chain;
int boot_disk_read(struct disk_chain *disk, const char *path, uint64_t kernel_max, uint64_t initrd_max,
                   struct boot_file *kernel, struct boot_file *initrd,
                   char root[BOOT_DISK_ROOT_MAX], struct vz_error *err) must_check;

#endif
