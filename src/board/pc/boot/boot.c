/* SPDX-License-Identifier: MIT */
/* The front of direct boot: read the files, see what the kernel is, call its loader. */
#include "board/pc/boot/boot.h"

#include <string.h>

#include "arch/x86/cpu_state.h"
#include "board/pc/boot/boot_disk.h"
#include "board/pc/boot/boot_image.h"
#include "board/pc/boot/decompress.h"
#include "board/pc/boot/elf.h"
#include "board/pc/boot/kernel_file.h"

#define KERNEL_FILE_MAX GIB

struct foreign {
    unsigned off;
    unsigned len;
    const char *magic;
    const char *text;
};

/* Files that people mistake for a kernel of this machine; the first match counts. */
static const struct foreign foreign[] = {
    {0x38, 4, "ARM\x64", "is an ARM64 kernel image; this machine is x86-64"},
    {0x38, 4, "RSC\x05", "is a RISC-V kernel image; this machine is x86-64"},
    {0x4, 4, "zimg", "is an EFI zboot image, a kernel of another machine; this machine is x86-64"},
    {0, 2, "MZ", "is an EFI application without a Linux setup header, not a kernel"},
    {0, 5, "07070", "is a cpio archive (an initrd?), not a kernel"},
    {0, 4, "\x27\x05\x19\x56", "is a U-Boot uImage, a kernel of another machine"},
    {0, 8, "ANDROID!", "is an Android boot image; vz needs the kernel inside it"},
};

static int refuse(struct boot_ctx *ctx)
{
    const struct boot_file *file = ctx->kernel;
    enum decompress_format format = decompress_detect(file->data, file->len);

    for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++) {
        const struct foreign *f = &foreign[i];

        if (range_fits(f->off, f->len, file->len) &&
            !memcmp(file->data + f->off, f->magic, f->len))
            return boot_unsupported(ctx, "%s", f->text);
    }
    if (format != DECOMPRESS_UNKNOWN)
        return boot_unsupported(ctx, "is a %s-compressed file; vz takes a bzImage, or a kernel "
                                "decompressed first", decompress_name(format));
    return boot_invalid(ctx, "is not a kernel format that vz knows (bzImage, ELF64, Multiboot)");
}

static int boot_elf(struct boot_ctx *ctx)
{
    struct elf_image *elf = &(struct elf_image){0};
    bool multiboot = multiboot_detect(ctx->kernel);
    int r = elf_parse(ctx->kernel, elf, ctx->err);

    if (multiboot && (r || elf->bits != 64 || !elf->has_pvh))
        return multiboot_boot(ctx);
    if (r)
        return r;
    if (elf->bits != 64)
        return boot_unsupported(ctx, "is a 32-bit ELF file without a Multiboot header");
    return pvh_boot(ctx, elf);
}

static int boot_any(struct boot_ctx *ctx)
{
    if (bzimage_detect(ctx->kernel))
        return bzimage_boot(ctx);
    if (elf_detect(ctx->kernel))
        return boot_elf(ctx);
    if (multiboot_detect(ctx->kernel))
        return multiboot_boot(ctx);
    return refuse(ctx);
}

int boot_load_files(const struct boot_params *params, const struct boot_file *kernel,
                    const struct boot_file *initrd, struct mem *mem, struct x86_cpu_state *bsp,
                    struct vz_error *err)
{
    struct x86_cpu_state cpu = *bsp;
    struct boot_ctx ctx = {
        .params = params, .cmdline = params->cmdline ? params->cmdline : "", .kernel = kernel,
        .initrd = initrd, .mem = mem, .cpu = &cpu, .err = err};
    int r;

    if (params->ram_size < RAM_SIZE_MIN || params->ram_size > RAM_SIZE_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "RAM size out of range");
    ctx.e820_count = memory_map_e820(params->ram_size, ctx.e820);
    r = boot_any(&ctx);
    if (r) {
        if (!ctx.err_named)
            error_prefix(err, "kernel %s", kernel->name);
        return r;
    }
    *bsp = cpu;
    return 0;
}

static int read_files(const struct boot_params *params, struct boot_file *kernel,
                      struct boot_file *initrd, struct vz_error *err)
{
    int r;

    if (params->disk_path)
        return boot_disk_read(params->disk_path, MIN(KERNEL_FILE_MAX, params->ram_size),
                              params->ram_size, kernel, initrd, err);
    r = kernel_file_read("kernel", params->kernel_path, KERNEL_FILE_MAX, kernel, err);
    if (!r && params->initrd_path)
        r = kernel_file_read("initrd", params->initrd_path, params->ram_size, initrd, err);
    return r;
}

int boot_load(const struct boot_params *params, struct mem *mem, struct x86_cpu_state *bsp,
              struct vz_error *err)
{
    struct boot_file kernel = {0}, initrd = {0};
    int r = read_files(params, &kernel, &initrd, err);

    if (!r)
        r = boot_load_files(params, &kernel, initrd.data ? &initrd : NULL, mem, bsp, err);
    kernel_file_free(&initrd);
    kernel_file_free(&kernel);
    return r;
}
