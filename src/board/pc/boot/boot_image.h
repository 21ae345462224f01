/* SPDX-License-Identifier: MIT */
/* What the loaders share: one load in progress, the guest memory it has taken so far, and the
 * modes that kernels are entered in. Included by the files of this folder only. */
#ifndef VZ_BOARD_PC_BOOT_BOOT_IMAGE_H
#define VZ_BOARD_PC_BOOT_BOOT_IMAGE_H

#include <errno.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"
#include "board/pc/boot/boot.h"
#include "board/pc/memory_map.h"

#define BOOT_USED_MAX 96
#define BOOT_INITRD_ALIGN 4 /* Linux looks for the next cpio archive there */

struct boot_range {
    uint64_t addr, len;
};

struct boot_ctx {
    const struct boot_params *params;
    const char *cmdline; /* never NULL */
    const struct boot_file *kernel;
    const struct boot_file *module; /* module_count of them: initrds */
    unsigned module_count;
    struct mem *mem;
    struct x86_cpu_state *cpu; /* a copy, handed to the caller on success */
    struct vz_error *err;
    struct e820_entry e820[MEMORY_MAP_E820_MAX];
    unsigned e820_count;
    struct boot_range used[BOOT_USED_MAX];
    unsigned used_count;
    /* Set by boot_place_modules(): where they lie, each and all. */
    struct boot_range module_at[BOOT_MODULES_MAX];
    uint64_t initrd_gpa, initrd_len;
    bool err_named; /* the error is not the kernel file's and says itself whose it is */
};

/* All functions that return int: 0 or -errno, with ctx->err filled in. */

/* boot_layout.c */
/* Does [gpa, gpa + len) lie in one range of RAM? */
bool boot_is_ram(const struct boot_ctx *ctx, uint64_t gpa, uint64_t len);
/* Take [gpa, gpa + len) for what: inside RAM and not taken yet, or an error. */
int boot_claim(struct boot_ctx *ctx, uint64_t gpa, uint64_t len, const char *what) must_check;
/* Take the lowest free place for len bytes in the first MiB's free part. */
int boot_alloc_low(struct boot_ctx *ctx, uint64_t len, uint64_t align, const char *what,
                   uint64_t *ret) must_check;
/* Copy buf to a fresh place in low memory. */
int boot_put_low(struct boot_ctx *ctx, const void *buf, uint64_t len, uint64_t align,
                 const char *what, uint64_t *ret) must_check;
/* Copy len bytes of the kernel file (inside it) to gpa and zero up to mem_len. */
int boot_load_bytes(struct boot_ctx *ctx, uint64_t gpa, const uint8_t *src, uint64_t len,
                    uint64_t mem_len) must_check;
/* The modules go to the top of low RAM, one behind the other, each at a multiple of align (a power
 * of two, a page at most), zeros between; the last byte at max or below. */
int boot_place_modules(struct boot_ctx *ctx, uint64_t align, uint64_t max) must_check;
/* What the kernel is told of module i, zero-terminated. */
int boot_put_module_text(struct boot_ctx *ctx, unsigned i, uint64_t *ret) must_check;
/* The command line, zero-terminated, of at most max bytes without the zero, prefix in front. */
int boot_place_cmdline(struct boot_ctx *ctx, const char *prefix, uint64_t max,
                       uint64_t *ret) must_check;

/* boot_cpu.c: interrupts off, flat segments 0x10 (code) and 0x18 (data), a GDT in low memory. */
/* Protected mode, paging off, at eip. */
int boot_enter_32(struct boot_ctx *ctx, uint64_t eip) must_check;
/* Long mode at rip; the low 4 GiB and all RAM below 512 GiB are mapped one to one. */
int boot_enter_64(struct boot_ctx *ctx, uint64_t rip) must_check;

/* The formats. */
bool bzimage_detect(const struct boot_file *file);
int bzimage_boot(struct boot_ctx *ctx) must_check;
bool multiboot_detect(const struct boot_file *file);
int multiboot_boot(struct boot_ctx *ctx) must_check;
struct elf_image;
int pvh_boot(struct boot_ctx *ctx, const struct elf_image *elf) must_check;

#define boot_invalid(ctx, ...) error_set((ctx)->err, EINVAL, VZ_ERROR_INVALID, __VA_ARGS__)
#define boot_unsupported(ctx, ...) error_set((ctx)->err, ENOTSUP, VZ_ERROR_UNSUPPORTED, __VA_ARGS__)

#endif
