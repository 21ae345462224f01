/* SPDX-License-Identifier: MIT */
/* The front of direct boot: read the files, see what the kernel is, call its loader. */
#include "board/pc/boot/boot.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arch/x86/cpu_state.h"
#include "base/log.h"
#include "board/pc/boot/boot_disk.h"
#include "board/pc/boot/boot_image.h"
#include "board/pc/boot/decompress.h"
#include "board/pc/boot/elf.h"
#include "board/pc/boot/ext_library.h"
#include "board/pc/boot/kernel_file.h"
#include "block/disk_chain.h"

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

static int boot_any(struct boot_ctx *ctx);

/* A kernel packed by gzip, of any format, is unpacked as boot loaders do it. */
static int boot_packed(struct boot_ctx *ctx)
{
    const struct boot_file *packed = ctx->kernel;
    uint64_t max = MIN(ctx->params->ram_size, (uint64_t)KERNEL_FILE_MAX);
    struct decompressed out = {0};
    struct boot_file kernel;
    int r = decompress(packed->data, packed->len, max, &out, ctx->err);

    if (r)
        return r;
    kernel = (struct boot_file){.name = packed->name, .data = out.data, .len = out.len};
    ctx->kernel = &kernel;
    r = decompress_detect(kernel.data, kernel.len) == DECOMPRESS_GZIP ? refuse(ctx) : boot_any(ctx);
    ctx->kernel = packed;
    decompress_free(&out);
    return r;
}

static int boot_any(struct boot_ctx *ctx)
{
    if (bzimage_detect(ctx->kernel))
        return bzimage_boot(ctx);
    if (elf_detect(ctx->kernel))
        return boot_elf(ctx);
    if (multiboot_detect(ctx->kernel))
        return multiboot_boot(ctx);
    if (decompress_detect(ctx->kernel->data, ctx->kernel->len) == DECOMPRESS_GZIP)
        return boot_packed(ctx);
    return refuse(ctx);
}

int boot_load_files(const struct boot_params *params, const struct boot_file *kernel,
                    const struct boot_file *modules, unsigned count, struct mem *mem,
                    struct x86_cpu_state *bsp, struct vz_error *err)
{
    struct x86_cpu_state cpu = *bsp;
    struct boot_ctx ctx = {
        .params = params, .cmdline = params->cmdline ? params->cmdline : "", .kernel = kernel,
        .module = modules, .module_count = count, .mem = mem, .cpu = &cpu, .err = err};
    int r;

    if (params->ram_size < RAM_SIZE_MIN || params->ram_size > RAM_SIZE_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "RAM size out of range");
    if (count > BOOT_MODULES_MAX)
        return error_set(err, E2BIG, VZ_ERROR_INVALID, "more than %u initrds", BOOT_MODULES_MAX);
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

/* What a start reads: the kernel and its modules. */
struct boot_files {
    struct boot_file kernel, module[BOOT_MODULES_MAX];
    unsigned module_count;
    char root[BOOT_DISK_ROOT_MAX]; /* of the disk; "": not known */
};

static int open_one(struct boot_sources *s, const char *what, const char *path,
                    uint64_t pipe_max, struct vz_error *err)
{
    int r = kernel_file_open(what, path, pipe_max, &s->fd[s->count], err);

    if (!r)
        s->count++;
    return r;
}

/* The guest has it for itself meanwhile, so it is not locked a second time. */
static int open_disk(struct boot_sources *s, const struct boot_params *params, struct vz_error *err)
{
    const struct disk_chain_options o = {
        .path = params->disk_path, .format = params->disk_format, .read_only = true,
        .backing = params->disk_backing, .unlocked = true};

    int r = ext_library_load(err); /* while it may be, which resets are not */

    return r < 0 ? r : disk_chain_open(&o, &s->disk, err);
}

int boot_open(const struct boot_params *params, struct boot_sources *ret, struct vz_error *err)
{
    struct boot_sources s = {.count = 0};
    int r;

    if (params->module_count > BOOT_MODULES_MAX)
        return error_set(err, E2BIG, VZ_ERROR_INVALID, "more than %u initrds", BOOT_MODULES_MAX);
    r = params->disk_path ? open_disk(&s, params, err)
                          : open_one(&s, "kernel", params->kernel_path, KERNEL_FILE_MAX, err);
    for (unsigned i = 0; !r && !params->disk_path && i < params->module_count; i++)
        r = open_one(&s, "initrd", params->modules[i].path, params->ram_size, err);
    if (r < 0)
        boot_close(&s);
    else
        *ret = s;
    return r;
}

void boot_close(struct boot_sources *s)
{
    while (s->count)
        close(s->fd[--s->count]);
    (void)!disk_chain_close(s->disk);
    s->disk = NULL;
}

static int read_from_disk(const struct boot_params *params, const struct boot_sources *s,
                          struct boot_files *f, struct vz_error *err)
{
    int r = boot_disk_read(s->disk, params->disk_path, MIN(KERNEL_FILE_MAX, params->ram_size),
                           params->ram_size, &f->kernel, &f->module[0], f->root, err);

    f->module_count = !r && f->module[0].data;
    return r;
}

static int read_files(const struct boot_params *params, const struct boot_sources *s,
                      struct boot_files *f, struct vz_error *err)
{
    int r;

    if (params->disk_path)
        return read_from_disk(params, s, f, err);
    r = kernel_file_read("kernel", params->kernel_path, s->fd[0], KERNEL_FILE_MAX, &f->kernel,
                         err);
    for (unsigned i = 0; i < s->count - 1 && !r; i++) {
        r = kernel_file_read("initrd", params->modules[i].path, s->fd[1 + i], params->ram_size,
                             &f->module[i], err);
        f->module[i].text = params->modules[i].text;
        f->module_count = i + 1;
    }
    return r;
}

#define CMDLINE_DEFAULT_MAX 256u

/* A disk that comes without a command line gets what a boot loader on it would say. */
static void complete_cmdline(struct boot_params *params, const struct boot_files *f,
                             char text[CMDLINE_DEFAULT_MAX])
{
    if (!params->disk_path || (params->cmdline && params->cmdline[0]))
        return;
    if (!f->root[0])
        log_warn("disk %s: its kernel is not on its root file system: name that by the command line "
                 "(root=...)", params->disk_path);
    snprintf(text, CMDLINE_DEFAULT_MAX, "%s%s%s", f->root, f->root[0] ? " " : "",
             params->consoles ? params->consoles : "");
    params->cmdline = text;
}

int boot_load(const struct boot_params *params, const struct boot_sources *sources,
              struct mem *mem, struct x86_cpu_state *bsp, struct vz_error *err)
{
    struct boot_files f = {.module_count = 0};
    struct boot_params all = *params;
    char cmdline[CMDLINE_DEFAULT_MAX];
    int r = read_files(params, sources, &f, err);

    if (!r)
        complete_cmdline(&all, &f, cmdline);
    if (!r)
        r = boot_load_files(&all, &f.kernel, f.module, f.module_count, mem, bsp, err);
    for (unsigned i = 0; i < f.module_count; i++)
        kernel_file_free(&f.module[i]);
    kernel_file_free(&f.kernel);
    return r;
}
