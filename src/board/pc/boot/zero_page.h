/* SPDX-License-Identifier: MIT */
/* Linux's struct boot_params, the "zero page": Documentation/arch/x86/zero-page.rst and boot.rst.
 * Offsets of what a loader reads in a bzImage (same offsets in the file) or writes in the page. */
#ifndef VZ_BOARD_PC_BOOT_ZERO_PAGE_H
#define VZ_BOARD_PC_BOOT_ZERO_PAGE_H

#include "board/pc/boot/boot_image.h"

#define ZP_SIZE 4096u
enum {
    ZP_EXT_MEM_K = 0x002,
    ZP_ACPI_RSDP_ADDR = 0x070,
    ZP_EXT_RAMDISK_IMAGE = 0x0c0,
    ZP_EXT_RAMDISK_SIZE = 0x0c4,
    ZP_EXT_CMD_LINE_PTR = 0x0c8,
    ZP_ALT_MEM_K = 0x1e0,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_SETUP_SECTS = 0x1f1, /* the setup header begins here */
    ZP_SYSSIZE = 0x1f4,
    ZP_VID_MODE = 0x1fa,
    ZP_BOOT_FLAG = 0x1fe,
    ZP_JUMP_LEN = 0x201, /* the header ends this many bytes behind 0x202 */
    ZP_HEADER = 0x202,
    ZP_VERSION = 0x206,
    ZP_TYPE_OF_LOADER = 0x210,
    ZP_LOADFLAGS = 0x211,
    ZP_CODE32_START = 0x214,
    ZP_RAMDISK_IMAGE = 0x218,
    ZP_RAMDISK_SIZE = 0x21c,
    ZP_HEAP_END_PTR = 0x224,
    ZP_CMD_LINE_PTR = 0x228,
    ZP_INITRD_ADDR_MAX = 0x22c,
    ZP_KERNEL_ALIGNMENT = 0x230,
    ZP_RELOCATABLE = 0x234,
    ZP_XLOADFLAGS = 0x236,
    ZP_CMDLINE_SIZE = 0x238,
    ZP_PAYLOAD_OFFSET = 0x248,
    ZP_PAYLOAD_LENGTH = 0x24c,
    ZP_SETUP_DATA = 0x250,
    ZP_PREF_ADDRESS = 0x258,
    ZP_INIT_SIZE = 0x260,
    ZP_HEADER_END_MAX = 0x290,
    ZP_E820_TABLE = 0x2d0, /* entries of 20 bytes */
};

#define ZP_HEADER_MAGIC 0x53726448u /* "HdrS" */
#define ZP_LOADED_HIGH  0x01u       /* loadflags */
#define ZP_KASLR_FLAG   0x02u
#define ZP_CAN_USE_HEAP 0x80u
#define ZP_XLF_KERNEL_64 0x01u      /* xloadflags */

/* Fill in the fields that a loader owns in page (ZP_SIZE bytes, whose setup header is there) and
 * put it into low memory. The initrd has been placed; cmdline_gpa is the command line. */
int zero_page_put(struct boot_ctx *ctx, uint8_t *page, uint64_t cmdline_gpa,
                  uint64_t *ret) must_check;
/* A zero page for a Linux without setup header (a vmlinux file). */
void zero_page_init(uint8_t *page);

#endif
