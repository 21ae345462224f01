/* SPDX-License-Identifier: MIT */
/* Multiboot 1 kernels (Multiboot Specification 0.6.96): the header lies in the first 8 KiB, in an
 * ELF file or with load addresses of its own ("a.out kludge"). */
#include <stdio.h>
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "board/pc/boot/boot_image.h"
#include "board/pc/boot/elf.h"
#include "mem/mem.h"

#define SEARCH_LEN    8192u
#define HEADER_MAGIC  0x1badb002u
#define LOADER_MAGIC  0x2badb002u
#define FLAG_ADDRESSES 0x10000u
#define FLAGS_MUST    0xffffu /* a loader that does not know one of these must fail (3.1.2) */
#define FLAGS_KNOWN   0x7u    /* page-aligned modules, memory map, video mode (a wish) */
#define CMDLINE_MAX   16384u
#define PREFIX_MAX    4097u   /* the kernel's path, a space */

enum { INFO_MEMORY = 0x1, INFO_CMDLINE = 0x4, INFO_MODS = 0x8, INFO_MMAP = 0x40,
       INFO_LOADER_NAME = 0x200 };

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
    uint32_t apm_table;
};

struct multiboot_module {
    uint32_t start, end, string, reserved;
};

struct multiboot_mmap {
    uint32_t size; /* of what follows */
    uint64_t addr, len;
    uint32_t type;
} __attribute__((packed));

/* File offset of the header; false: none. */
static bool find_header(const struct boot_file *file, uint64_t *ret)
{
    uint64_t end = MIN(file->len, (uint64_t)SEARCH_LEN);

    for (uint64_t off = 0; end >= 12 && off <= end - 12; off += 4) {
        const uint8_t *p = file->data + off;

        if (load_le32(p) == HEADER_MAGIC &&
            (uint32_t)(load_le32(p) + load_le32(p + 4) + load_le32(p + 8)) == 0) {
            *ret = off;
            return true;
        }
    }
    return false;
}

bool multiboot_detect(const struct boot_file *file)
{
    uint64_t off;

    return find_header(file, &off);
}

/* Load by the header's own addresses (3.1.3). */
static int load_by_addresses(struct boot_ctx *ctx, uint64_t header_off, uint64_t *ret_entry)
{
    const uint8_t *p = ctx->kernel->data + header_off;
    uint64_t header_addr, load_addr, load_end, bss_end, off, len;
    int r;

    if (!range_fits(header_off, 32, ctx->kernel->len))
        return boot_invalid(ctx, "is truncated in its Multiboot header");
    header_addr = load_le32(p + 12);
    load_addr = load_le32(p + 16);
    load_end = load_le32(p + 20);
    bss_end = load_le32(p + 24);
    *ret_entry = load_le32(p + 28);
    if (load_addr > header_addr || header_addr - load_addr > header_off)
        return boot_invalid(ctx, "its Multiboot header is damaged: load address");
    off = header_off - (header_addr - load_addr);
    len = load_end ? load_end - load_addr : ctx->kernel->len - off;
    if ((load_end && load_end < load_addr) || !len)
        return boot_invalid(ctx, "its Multiboot header is damaged: load end address");
    if (!range_fits(off, len, ctx->kernel->len))
        return boot_invalid(ctx, "is truncated: its Multiboot header says more than is there");
    if (bss_end && bss_end < load_addr + len)
        return boot_invalid(ctx, "its Multiboot header is damaged: bss end address");
    if (!bss_end)
        bss_end = load_addr + len;
    if (*ret_entry < load_addr || *ret_entry >= bss_end)
        return boot_invalid(ctx, "its Multiboot entry address lies outside the kernel");
    r = boot_claim(ctx, load_addr, bss_end - load_addr, "its Multiboot image");
    return r ? r : boot_load_bytes(ctx, load_addr, ctx->kernel->data + off, len,
                                   bss_end - load_addr);
}

static int load_elf(struct boot_ctx *ctx, uint64_t *ret_entry)
{
    struct elf_image *elf = &(struct elf_image){0};
    uint64_t end;
    int r;

    if (!elf_detect(ctx->kernel))
        return boot_invalid(ctx, "its Multiboot header has no addresses and it is no ELF file");
    r = elf_parse(ctx->kernel, elf, ctx->err);
    if (!r)
        r = elf_load(ctx, ctx->kernel, elf, &end);
    return r ? r : elf_entry_gpa(ctx, elf, elf->entry, ret_entry);
}

static int put_modules(struct boot_ctx *ctx, struct multiboot_info *info)
{
    struct multiboot_module list[BOOT_MODULES_MAX];
    uint64_t gpa = 0;
    int r = 0;

    info->flags |= INFO_MODS; /* valid with none too */
    if (!ctx->module_count)
        return 0;
    for (unsigned i = 0; i < ctx->module_count && !r; i++) {
        const struct boot_range *at = &ctx->module_at[i];

        r = boot_put_module_text(ctx, i, &gpa);
        list[i] = (struct multiboot_module){.start = (uint32_t)at->addr,
                                            .end = (uint32_t)(at->addr + at->len),
                                            .string = (uint32_t)gpa};
    }
    if (!r)
        r = boot_put_low(ctx, list, ctx->module_count * sizeof(list[0]), 16, "module list", &gpa);
    info->mods_count = ctx->module_count;
    info->mods_addr = (uint32_t)gpa;
    return r;
}

static int put_memory(struct boot_ctx *ctx, struct multiboot_info *info)
{
    struct multiboot_mmap map[MEMORY_MAP_E820_MAX];
    uint64_t gpa;
    int r;

    for (unsigned i = 0; i < ctx->e820_count; i++)
        map[i] = (struct multiboot_mmap){sizeof(map[0]) - sizeof(map[0].size), ctx->e820[i].addr,
                                         ctx->e820[i].len, ctx->e820[i].type};
    info->mmap_length = (uint32_t)(ctx->e820_count * sizeof(map[0]));
    r = boot_put_low(ctx, map, info->mmap_length, 16, "memory map", &gpa);
    info->mmap_addr = (uint32_t)gpa;
    info->mem_lower = LOW_FREE_END / KIB;
    info->mem_upper = (uint32_t)((memory_map_low(ctx->params->ram_size) - MIB) / KIB);
    info->flags |= INFO_MEMORY | INFO_MMAP;
    return r;
}

/* Loaders put the kernel's file name in front of its arguments; kernels skip that word. */
static int put_strings(struct boot_ctx *ctx, struct multiboot_info *info)
{
    static const char loader[] = "vz";
    char prefix[PREFIX_MAX];
    uint64_t gpa;
    int r;

    snprintf(prefix, sizeof(prefix), "%s%s", ctx->kernel->name, *ctx->cmdline ? " " : "");
    r = boot_place_cmdline(ctx, prefix, CMDLINE_MAX, &gpa);
    if (r)
        return r;
    info->cmdline = (uint32_t)gpa;
    r = boot_put_low(ctx, loader, sizeof(loader), 4, "loader name", &gpa);
    info->boot_loader_name = (uint32_t)gpa;
    info->flags |= INFO_CMDLINE | INFO_LOADER_NAME;
    return r;
}

static int load_image(struct boot_ctx *ctx, uint64_t *ret_entry)
{
    uint64_t off;
    uint32_t flags;

    if (!find_header(ctx->kernel, &off))
        return boot_invalid(ctx, "has no Multiboot header");
    flags = load_le32(ctx->kernel->data + off + 4);
    if (flags & FLAGS_MUST & ~FLAGS_KNOWN)
        return boot_unsupported(ctx, "its Multiboot header asks for unknown features (flags 0x%x)",
                                flags);
    return flags & FLAG_ADDRESSES ? load_by_addresses(ctx, off, ret_entry)
                                  : load_elf(ctx, ret_entry);
}

int multiboot_boot(struct boot_ctx *ctx)
{
    struct multiboot_info info = {0};
    uint64_t entry, gpa;
    int r = load_image(ctx, &entry);

    if (!r)
        r = boot_place_modules(ctx, MEM_PAGE_SIZE, UINT32_MAX);
    if (!r)
        r = put_modules(ctx, &info);
    if (!r)
        r = put_memory(ctx, &info);
    if (!r)
        r = put_strings(ctx, &info);
    if (!r)
        r = boot_put_low(ctx, &info, sizeof(info), 16, "Multiboot information", &gpa);
    if (!r)
        r = boot_enter_32(ctx, entry);
    if (r)
        return r;
    ctx->cpu->gpr[X86_RAX] = LOADER_MAGIC;
    ctx->cpu->gpr[X86_RBX] = gpa;
    return 0;
}
