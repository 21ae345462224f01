/* SPDX-License-Identifier: MIT */
/* The other way to boot: UEFI firmware in flash below 4 GiB, at whose reset vector the first CPU begins.
 * Its code is ROM; the bank in front of it, with its variables, a CFI device (chipset/flash.c). It finds
 * out what the board has by fw_cfg (chipset/fw_cfg.c), gives out PCI's addresses itself, and hands on
 * the board's tables. */
#ifndef VZ_BOARD_PC_FIRMWARE_H
#define VZ_BOARD_PC_FIRMWARE_H

#include "board/pc/boot/boot.h"
#include "config/objects.h"
#include "efi/efi_store.h"

struct board;

#define FIRMWARE_RAM_MIN (64 * MIB) /* OVMF hangs without a word where it has less */
#define FIRMWARE_END UINT64_C(0x100000000)

struct firmware_params {
    const char *code;  /* path; NULL: what is installed, and goes with the store */
    const char *store; /* path, which is made where nothing is; NULL: variables last as long as the machine */
    bool secure_boot;  /* firmware that can do it, and a new store with its keys */
    const char *boot_order, *boot_once; /* see struct vz_efi_boot_loader_options; may be NULL */
    uint32_t menu_wait;                 /* ms */
};

/* The firmware's files, read and open. */
struct firmware {
    struct boot_file code;
    char *code_path;
    struct efi_store store;
    bool smm; /* it guards its variables in System Management Mode */
    struct boot_order order, once; /* count 0: none */
    uint32_t menu_wait;
    bool started; /* once is over */
};

/* 0, or -errno with err; firmware_close() if 0. */
int firmware_open(const struct firmware_params *params, struct firmware *ret,
                  struct vz_error *err) must_check;
void firmware_close(struct firmware *f); /* all-zero is fine */

/* How wide guest-physical addresses are to be, at most; 0: as wide as they can. */
unsigned firmware_phys_bits_max(const struct board *b);

/* Bytes of guest memory that it takes. */
uint64_t firmware_rom_size(const struct firmware *f);

/* Put it into the guest's address space: its ROM, behind which no memory is added; its flash bank, when
 * the bus is there; and what it can ask for, as after every reset. All 0 or -errno. */
int firmware_add_rom(struct board *b) must_check;
int firmware_add_flash(struct board *b) must_check;
int firmware_prepare(struct board *b) must_check;

#endif
