/* SPDX-License-Identifier: MIT */
/* The kernel loaders: every file must be loaded or refused with one line that names it, and what
 * is loaded must start inside RAM. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <vz/error.h>

#include "arch/x86/cpu_state.h"
#include "base/le.h"
#include "board/pc/boot/boot.h"
#include "board/pc/memory_map.h"
#include "fuzz.h"
#include "strict_mem.h"

#define RAM (8 * MIB)
#define GPA 0x200000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t initrd_bytes[] = "initrd";
    const struct boot_file kernel = {"KERNEL", data, size};
    const struct boot_file initrd[] = {
        {"INITRD", initrd_bytes, sizeof(initrd_bytes), NULL},
        {"MODULE", initrd_bytes, sizeof(initrd_bytes), "with a text"}};
    const struct boot_params params = {.cmdline = "a=b", .ram_size = RAM, .rsdp_gpa = TABLES_BASE};
    struct x86_cpu_state cpu = {0};
    struct vz_error err = {0};
    struct mem *mem;
    int r;

    mem = strict_mem(RAM);
    if (!mem)
        return 0;
    r = boot_load_files(&params, &kernel, initrd, size % 3, mem, &cpu, &err);
    if (r ? (!err.text[0] || !err.code || cpu.rip) : cpu.rip >= RAM)
        abort();
    mem_destroy(mem);
    return 0;
}

static size_t seed_elf(uint8_t *ret, unsigned note)
{
    Elf64_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
                    .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_entry = GPA,
                    .e_phoff = sizeof(e), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2};
    Elf64_Phdr ph[2] = {{.p_type = PT_LOAD, .p_offset = 512, .p_vaddr = GPA, .p_paddr = GPA,
                         .p_filesz = 256, .p_memsz = 8192},
                        {.p_type = PT_NOTE, .p_offset = 256, .p_filesz = 24, .p_align = 4}};
    const uint32_t n[6] = {4, 8, note, 0x006e6558, GPA + 4, 0};

    memset(ret, 0, 768);
    memcpy(ret, &e, sizeof(e));
    memcpy(ret + sizeof(e), ph, sizeof(ph));
    memcpy(ret + 256, n, sizeof(n));
    return 768;
}

static size_t seed_bzimage(uint8_t *ret, unsigned xloadflags)
{
    uint8_t elf[768];
    uint8_t *payload = ret + 1024;
    size_t n;

    memset(ret, 0, 4096);
    n = ZSTD_compress(payload, 2048, elf, seed_elf(elf, 0), 1);
    store_le32(payload + n, sizeof(elf));
    ret[0x1f1] = 1;
    store_le32(ret + 0x1f4, (uint32_t)(n + 4 + 15) / 16);
    ret[0x201] = 0x6a;
    store_le32(ret + 0x202, 0x53726448);
    store_le16(ret + 0x206, 0x20f);
    ret[0x211] = 1;
    store_le32(ret + 0x214, 0x100000);
    store_le32(ret + 0x22c, 0x7fffffff);
    store_le16(ret + 0x236, (uint16_t)xloadflags);
    store_le32(ret + 0x238, 2047);
    store_le32(ret + 0x24c, (uint32_t)n + 4);
    return 1024 + (n + 4 + 15) / 16 * 16;
}

static size_t seed_multiboot(uint8_t *ret, uint32_t flags)
{
    const uint32_t header[8] = {0x1badb002, flags, -(0x1badb002 + flags), GPA, GPA, 0, 0, GPA};

    memset(ret, 0, 512);
    memcpy(ret, header, sizeof(header));
    return 512;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    if (room < 4096)
        return 0;
    switch (index) {
    case 0: return seed_elf(ret, 18);
    case 1: return seed_elf(ret, 0);
    case 2: return seed_bzimage(ret, 1);
    case 3: return seed_bzimage(ret, 0);
    case 4: return seed_multiboot(ret, 0x10003);
    default: return 0;
    }
}
