/* SPDX-License-Identifier: MIT */
/* ELF kernels: the checked essence of the headers, and loading. <elf.h> gives the layout. */
#ifndef VZ_BOARD_PC_BOOT_ELF_H
#define VZ_BOARD_PC_BOOT_ELF_H

#include "board/pc/boot/boot_image.h"

#define ELF_SEGMENTS_MAX 48 /* PT_LOADs; kernels have about five */

struct elf_segment {
    uint64_t off, file_len; /* inside the file */
    uint64_t gpa, mem_len;  /* do not wrap; mem_len >= file_len, > 0 */
    uint64_t gva;
};

struct elf_image {
    unsigned bits; /* 32 or 64 */
    uint64_t entry; /* as in the header */
    struct elf_segment segment[ELF_SEGMENTS_MAX];
    unsigned segment_count;
    bool has_pvh;
    uint32_t pvh_entry;
};

bool elf_detect(const struct boot_file *file);
/* Read and check the headers of an x86 executable. 0, or -errno with *err set. */
int elf_parse(const struct boot_file *file, struct elf_image *ret, struct vz_error *err) must_check;
/* The same, of an ELF file of len bytes of which the first are there, and without its notes. 0 or -errno. */
int elf_parse_beginning(const uint8_t *data, uint64_t there, uint64_t len, struct elf_image *ret) must_check;
/* Claim the segments' RAM. *ret_end is the end of the highest one. */
int elf_claim(struct boot_ctx *ctx, const struct elf_image *elf, uint64_t *ret_end) must_check;
/* Claim and fill the segments' RAM. *ret_end is the end of the highest one. */
int elf_load(struct boot_ctx *ctx, const struct boot_file *file, const struct elf_image *elf,
             uint64_t *ret_end) must_check;
/* Where an entry point, physical or virtual, lies in guest memory; an error outside segments. */
int elf_entry_gpa(struct boot_ctx *ctx, const struct elf_image *elf, uint64_t entry,
                  uint64_t *ret) must_check;

#endif
