/* SPDX-License-Identifier: MIT */
#include "board/pc/boot/zero_page.h"

#include <string.h>

#define E820_ENTRY_LEN 20
#define LOADER_UNDEFINED 0xff /* type_of_loader: no assigned number */
#define VID_MODE_NORMAL 0xffff

void zero_page_init(uint8_t *page)
{
    memset(page, 0, ZP_SIZE);
    store_le16(page + ZP_BOOT_FLAG, 0xaa55);
    store_le32(page + ZP_HEADER, ZP_HEADER_MAGIC);
    store_le16(page + ZP_VERSION, 0x20c);
    page[ZP_LOADFLAGS] = ZP_LOADED_HIGH;
    store_le32(page + ZP_KERNEL_ALIGNMENT, 0x1000000);
    store_le32(page + ZP_INITRD_ADDR_MAX, 0x7fffffff);
    store_le32(page + ZP_CMDLINE_SIZE, 2047);
}

static void put_memory_map(const struct boot_ctx *ctx, uint8_t *page)
{
    uint64_t above_1m = (memory_map_low(ctx->params->ram_size) - MIB) / KIB;

    /* What BIOS calls 88 and e801 told: KiB above 1 MiB. */
    store_le16(page + ZP_EXT_MEM_K, (uint16_t)MIN(above_1m, UINT64_C(0xfc00)));
    store_le32(page + ZP_ALT_MEM_K, (uint32_t)above_1m);
    page[ZP_E820_ENTRIES] = (uint8_t)ctx->e820_count;
    for (unsigned i = 0; i < ctx->e820_count; i++) {
        uint8_t *e = page + ZP_E820_TABLE + i * E820_ENTRY_LEN;

        store_le64(e, ctx->e820[i].addr);
        store_le64(e + 8, ctx->e820[i].len);
        store_le32(e + 16, ctx->e820[i].type);
    }
}

int zero_page_put(struct boot_ctx *ctx, uint8_t *page, uint64_t cmdline_gpa, uint64_t *ret)
{
    page[ZP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    /* No real-mode heap, and the kernel is where it was linked. */
    page[ZP_LOADFLAGS] &= (uint8_t)~(ZP_CAN_USE_HEAP | ZP_KASLR_FLAG);
    store_le16(page + ZP_HEAP_END_PTR, 0);
    store_le16(page + ZP_VID_MODE, VID_MODE_NORMAL);
    store_le64(page + ZP_SETUP_DATA, 0);
    store_le32(page + ZP_CMD_LINE_PTR, (uint32_t)cmdline_gpa);
    store_le32(page + ZP_EXT_CMD_LINE_PTR, (uint32_t)(cmdline_gpa >> 32));
    store_le32(page + ZP_RAMDISK_IMAGE, (uint32_t)ctx->initrd_gpa);
    store_le32(page + ZP_EXT_RAMDISK_IMAGE, (uint32_t)(ctx->initrd_gpa >> 32));
    store_le32(page + ZP_RAMDISK_SIZE, (uint32_t)ctx->initrd_len);
    store_le32(page + ZP_EXT_RAMDISK_SIZE, (uint32_t)(ctx->initrd_len >> 32));
    store_le64(page + ZP_ACPI_RSDP_ADDR, ctx->params->rsdp_gpa);
    put_memory_map(ctx, page);
    return boot_put_low(ctx, page, ZP_SIZE, 4096, "zero page", ret);
}
