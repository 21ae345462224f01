/* SPDX-License-Identifier: MIT */
/* A vmlinux packed by LZ4, which most distributions' quick kernels are, decompressed straight to where it belongs: such
 * payloads are chunks of 8 MiB that need nothing of each other. Called by the bzImage loader. */
#ifndef VZ_BOARD_PC_BOOT_UNPACK_H
#define VZ_BOARD_PC_BOOT_UNPACK_H

#include "board/pc/boot/elf.h"

/* Do what decompress(), elf_parse() and elf_load() together would. False: it is another format, damaged, or does not
 * fit, which they find out, and say, better: nothing is claimed, and RAM is zero wherever it was used. */
bool unpack_in_place(struct boot_ctx *ctx, const uint8_t *payload, uint64_t len, struct elf_image *ret_elf,
                     uint64_t *ret_end) must_check;

#endif
