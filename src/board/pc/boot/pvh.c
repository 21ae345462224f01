/* SPDX-License-Identifier: MIT */
/* Raw ELF64 kernels: by their PVH entry where they have one (Xen's start_info.h and "x86/HVM direct
 * boot ABI"), else by Linux's 64-bit entry with a zero page. */
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "board/pc/boot/boot_image.h"
#include "board/pc/boot/elf.h"
#include "board/pc/boot/zero_page.h"
#include "mem/mem.h"

#define START_MAGIC 0x336ec578u
#define LINUX_CMDLINE_MAX 2047
#define INITRD_ADDR_MAX 0x7fffffff

struct hvm_start_info { /* version 1 */
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};

struct hvm_modlist_entry {
    uint64_t paddr, size, cmdline_paddr, reserved;
};

struct hvm_memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};

/* Linux looks at the first module alone, so that several initrds are one. Kernels that tell modules
 * apart are given texts to tell them by. */
static bool has_texts(const struct boot_ctx *ctx)
{
    for (unsigned i = 0; i < ctx->module_count; i++)
        if (ctx->module[i].text)
            return true;
    return false;
}

static int put_initrd(struct boot_ctx *ctx, struct hvm_start_info *info)
{
    const struct hvm_modlist_entry entry = {.paddr = ctx->initrd_gpa, .size = ctx->initrd_len};

    info->nr_modules = 1;
    return boot_put_low(ctx, &entry, sizeof(entry), 16, "module list", &info->modlist_paddr);
}

static int put_modules(struct boot_ctx *ctx, struct hvm_start_info *info)
{
    struct hvm_modlist_entry list[BOOT_MODULES_MAX];
    int r = 0;

    for (unsigned i = 0; i < ctx->module_count && !r; i++) {
        list[i] = (struct hvm_modlist_entry){.paddr = ctx->module_at[i].addr,
                                             .size = ctx->module_at[i].len};
        r = boot_put_module_text(ctx, i, &list[i].cmdline_paddr);
    }
    info->nr_modules = ctx->module_count;
    return r ? r : boot_put_low(ctx, list, ctx->module_count * sizeof(list[0]), 16, "module list",
                                &info->modlist_paddr);
}

static int put_start_info(struct boot_ctx *ctx, uint64_t cmdline_gpa, uint64_t *ret)
{
    struct hvm_memmap_entry map[MEMORY_MAP_E820_MAX] = {0};
    struct hvm_start_info info = {
        .magic = START_MAGIC, .version = 1, .cmdline_paddr = cmdline_gpa, .rsdp_paddr = ctx->params->rsdp_gpa,
        .memmap_entries = ctx->e820_count};
    int r;

    for (unsigned i = 0; i < ctx->e820_count; i++)
        map[i] = (struct hvm_memmap_entry){ctx->e820[i].addr, ctx->e820[i].len, ctx->e820[i].type,
                                           0};
    r = boot_put_low(ctx, map, ctx->e820_count * sizeof(map[0]), 16, "memory map",
                     &info.memmap_paddr);
    if (!r && ctx->initrd_len)
        r = has_texts(ctx) ? put_modules(ctx, &info) : put_initrd(ctx, &info);
    return r ? r : boot_put_low(ctx, &info, sizeof(info), 16, "start info", ret);
}

static int enter_pvh(struct boot_ctx *ctx, const struct elf_image *elf)
{
    uint64_t entry, cmdline_gpa, info_gpa;
    int r = elf_entry_gpa(ctx, elf, elf->pvh_entry, &entry);

    if (!r)
        r = boot_place_cmdline(ctx, "", LINUX_CMDLINE_MAX, &cmdline_gpa);
    if (!r)
        r = put_start_info(ctx, cmdline_gpa, &info_gpa);
    if (!r)
        r = boot_enter_32(ctx, entry);
    if (!r)
        ctx->cpu->gpr[X86_RBX] = info_gpa;
    return r;
}

static int enter_linux(struct boot_ctx *ctx, const struct elf_image *elf)
{
    uint8_t page[ZP_SIZE];
    uint64_t entry, cmdline_gpa, page_gpa;
    int r = elf_entry_gpa(ctx, elf, elf->entry, &entry);

    zero_page_init(page);
    if (!r)
        r = boot_place_cmdline(ctx, "", LINUX_CMDLINE_MAX, &cmdline_gpa);
    if (!r)
        r = zero_page_put(ctx, page, cmdline_gpa, &page_gpa);
    if (!r)
        r = boot_enter_64(ctx, entry);
    if (!r)
        ctx->cpu->gpr[X86_RSI] = page_gpa;
    return r;
}

int pvh_boot(struct boot_ctx *ctx, const struct elf_image *elf)
{
    uint64_t end;
    int r = elf_load(ctx, ctx->kernel, elf, &end);

    if (!r)
        r = boot_place_modules(ctx, has_texts(ctx) ? MEM_PAGE_SIZE : BOOT_INITRD_ALIGN,
                               INITRD_ADDR_MAX);
    if (r)
        return r;
    return elf->has_pvh ? enter_pvh(ctx, elf) : enter_linux(ctx, elf);
}
