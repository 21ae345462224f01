/* SPDX-License-Identifier: MIT */
/* What firmware is to look at first, as fw_cfg's file "bootorder" says it: a device a line, by its Open Firmware path (edk2,
 * OvmfPkg/Library/QemuBootOrderLib). Firmware sorts its boot entries by that. */
#ifndef VZ_BOARD_PC_BOOT_ORDER_H
#define VZ_BOARD_PC_BOOT_ORDER_H

#include "config/objects.h"

struct board;
struct efi_store;

#define BOOT_ORDER_TEXT_MAX 8192u

/* The file's text for the board's devices, with what order does not name behind, but for networks. Returns its length with the
 * final 0; 0: there is no such device. */
size_t boot_order_write(const struct board *b, const struct boot_order *order, char ret[BOOT_ORDER_TEXT_MAX]);

/* A start with another order, once: keep the one that the store has. And a start without: have that one back, behind what
 * was added since. Does the store say what the order is? 0, 1 for yes, or -errno. */
int boot_order_keep(struct efi_store *s) must_check;
int boot_order_restore(struct efi_store *s) must_check;

#endif
