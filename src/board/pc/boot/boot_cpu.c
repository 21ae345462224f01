/* SPDX-License-Identifier: MIT */
/* The modes that kernels are entered in: 32-bit protected mode without paging (PVH, Multiboot,
 * Linux's 32-bit entry) and 64-bit mode with an identity map (Linux's 64-bit entry). */
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "arch/x86/regs.h"
#include "board/pc/boot/boot_image.h"

/* Linux's __BOOT_CS and __BOOT_DS (boot protocol, "32-bit" and "64-bit Boot Protocol"). */
enum { SEL_CODE = 0x10, SEL_DATA = 0x18, SEL_TSS = 0x20 };
enum { GDT_ENTRIES = 6 }; /* the TSS takes two in long mode */

#define DESC_CODE32 UINT64_C(0x00cf9b000000ffff)
#define DESC_CODE64 UINT64_C(0x00af9b000000ffff)
#define DESC_DATA   UINT64_C(0x00cf93000000ffff)
#define DESC_TSS    UINT64_C(0x00008b0000000067) /* base 0, busy: PVH asks for limit 0x67 */

#define ATTR_CODE (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_G | 0xbu)
#define ATTR_DATA (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_G | SEG_ATTR_DB | 0x3u)
#define ATTR_TSS  (SEG_ATTR_P | 0xbu)

#define TABLE_BYTES 4096u
#define LARGE_PAGE  (X86_PTE_P | X86_PTE_W | X86_PTE_A | X86_PTE_D | X86_PTE_PS)
#define TABLE_LINK  (X86_PTE_P | X86_PTE_W | X86_PTE_A)
#define MTRR_DEF_ENABLE_WB 0x806u /* SDM vol. 3, 12.11.2.1: E, type 6 */

void boot_prepare_cpu(struct x86_cpu_state *cpu)
{
    cpu->mtrr_def_type = MTRR_DEF_ENABLE_WB;
}

static struct x86_segment flat(uint16_t selector, uint16_t attr)
{
    return (struct x86_segment){.limit = UINT32_MAX, .selector = selector, .attr = attr};
}

static int set_segments(struct boot_ctx *ctx, bool is_64)
{
    static const enum x86_seg data[] = {X86_ES, X86_SS, X86_DS, X86_FS, X86_GS};
    const uint64_t gdt[GDT_ENTRIES] = {
        [SEL_CODE / 8] = is_64 ? DESC_CODE64 : DESC_CODE32,
        [SEL_DATA / 8] = DESC_DATA,
        [SEL_TSS / 8] = DESC_TSS,
    };
    struct x86_cpu_state *cpu = ctx->cpu;
    uint64_t gpa;
    int r = boot_put_low(ctx, gdt, sizeof(gdt), 16, "GDT", &gpa);

    if (r)
        return r;
    cpu->gdtr = (struct x86_table){.base = gpa, .limit = sizeof(gdt) - 1};
    cpu->idtr = (struct x86_table){.base = 0, .limit = 0};
    cpu->seg[X86_CS] = flat(SEL_CODE, ATTR_CODE | (is_64 ? SEG_ATTR_L : SEG_ATTR_DB));
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        cpu->seg[data[i]] = flat(SEL_DATA, ATTR_DATA);
    cpu->seg[X86_TR] = (struct x86_segment){.limit = 0x67, .selector = SEL_TSS, .attr = ATTR_TSS};
    cpu->seg[X86_LDTR] = (struct x86_segment){.selector = 0};
    cpu->rflags = X86_FLAG_1;
    boot_prepare_cpu(cpu);
    return 0;
}

int boot_enter_32(struct boot_ctx *ctx, uint64_t eip)
{
    int r;

    if (eip > UINT32_MAX)
        return boot_invalid(ctx, "its 32-bit entry point 0x%llx lies above 4 GiB",
                            (unsigned long long)eip);
    r = set_segments(ctx, false);
    if (r)
        return r;
    ctx->cpu->cr0 = X86_CR0_PE | X86_CR0_ET;
    ctx->cpu->cr3 = 0;
    ctx->cpu->cr4 = 0;
    ctx->cpu->efer = 0;
    ctx->cpu->rip = eip;
    return 0;
}

/* One PML4, one PDPT, and a page directory of 2 MiB pages for each of the low 4 GiB; RAM above is
 * mapped by 1 GiB pages, which kernels do not touch this early. SDM vol. 3, 4.5.4. */
static int build_page_tables(struct boot_ctx *ctx, uint64_t *ret_cr3)
{
    enum { DIRECTORIES = 4, TABLES = 2 + DIRECTORIES, ENTRIES = TABLE_BYTES / 8 };
    uint64_t end = HIGH_RAM_BASE + memory_map_high(ctx->params->ram_size);
    uint64_t table[ENTRIES];
    uint64_t base;
    int r = boot_alloc_low(ctx, TABLES * TABLE_BYTES, TABLE_BYTES, "page tables", &base);

    if (r)
        return r;
    memset(table, 0, sizeof(table));
    table[0] = (base + TABLE_BYTES) | TABLE_LINK;
    r = boot_load_bytes(ctx, base, (const uint8_t *)table, TABLE_BYTES, TABLE_BYTES);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        if (i < DIRECTORIES)
            table[i] = (base + (2 + i) * TABLE_BYTES) | TABLE_LINK;
        else
            table[i] = i * GIB < end ? (i * GIB) | LARGE_PAGE : 0;
    }
    if (!r)
        r = boot_load_bytes(ctx, base + TABLE_BYTES, (const uint8_t *)table, TABLE_BYTES,
                            TABLE_BYTES);
    for (uint64_t d = 0; !r && d < DIRECTORIES; d++) {
        for (uint64_t i = 0; i < ENTRIES; i++)
            table[i] = (d * GIB + i * 2 * MIB) | LARGE_PAGE;
        r = boot_load_bytes(ctx, base + (2 + d) * TABLE_BYTES, (const uint8_t *)table, TABLE_BYTES,
                            TABLE_BYTES);
    }
    *ret_cr3 = base;
    return r;
}

int boot_enter_64(struct boot_ctx *ctx, uint64_t rip)
{
    uint64_t cr3;
    int r = build_page_tables(ctx, &cr3);

    if (!r)
        r = set_segments(ctx, true);
    if (r)
        return r;
    ctx->cpu->cr0 = X86_CR0_PG | X86_CR0_NE | X86_CR0_ET | X86_CR0_PE;
    ctx->cpu->cr3 = cr3;
    ctx->cpu->cr4 = X86_CR4_PAE;
    ctx->cpu->efer = X86_EFER_LME | X86_EFER_LMA;
    ctx->cpu->rip = rip;
    return 0;
}
