/* SPDX-License-Identifier: MIT */
/* Where a load puts its pieces: every piece claims its range, so that nothing overlaps whatever
 * addresses a kernel file asks for. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "board/pc/boot/boot_image.h"
#include "mem/mem.h"

/* Loaders start above the first 64 KiB: small kernels put their CPU start-up code there. */
#define LOW_ALLOC_BASE UINT64_C(0x10000)

bool boot_is_ram(const struct boot_ctx *ctx, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < ctx->e820_count; i++) {
        const struct e820_entry *e = &ctx->e820[i];

        if (e->type == E820_RAM && gpa >= e->addr && range_fits(gpa - e->addr, len, e->len))
            return true;
    }
    return false;
}

/* The taken range that [gpa, gpa + len) touches, or NULL. */
static const struct boot_range *find_used(const struct boot_ctx *ctx, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < ctx->used_count; i++)
        if (ranges_overlap(gpa, len, ctx->used[i].addr, ctx->used[i].len))
            return &ctx->used[i];
    return NULL;
}

int boot_claim(struct boot_ctx *ctx, uint64_t gpa, uint64_t len, const char *what)
{
    const struct boot_range *used;

    if (!boot_is_ram(ctx, gpa, len))
        return boot_invalid(ctx,
                            "%s (%" PRIu64 " KiB at 0x%" PRIx64 ") is outside the machine's RAM "
                            "(%" PRIu64 " MiB)", what, (len + 1023) / 1024, gpa,
                            ctx->params->ram_size / MIB);
    used = find_used(ctx, gpa, len);
    if (used)
        return boot_invalid(ctx, "%s at 0x%" PRIx64 " overlaps what is loaded at 0x%" PRIx64,
                            what, gpa, used->addr);
    if (ctx->used_count == BOOT_USED_MAX)
        return boot_invalid(ctx, "has too many parts");
    ctx->used[ctx->used_count++] = (struct boot_range){gpa, len};
    return 0;
}

int boot_alloc_low(struct boot_ctx *ctx, uint64_t len, uint64_t align, const char *what,
                   uint64_t *ret)
{
    uint64_t gpa = LOW_ALLOC_BASE;
    const struct boot_range *used;

    /* Each round passes one taken range, so there are at most used_count rounds. */
    while (range_fits(gpa, len, LOW_FREE_END)) {
        used = find_used(ctx, gpa, len);
        if (!used) {
            *ret = gpa;
            return boot_claim(ctx, gpa, len, what);
        }
        gpa = align_up(used->addr + used->len, align);
    }
    return boot_invalid(ctx, "no room in low memory for the %s (%" PRIu64 " bytes)", what, len);
}

int boot_put_low(struct boot_ctx *ctx, const void *buf, uint64_t len, uint64_t align,
                 const char *what, uint64_t *ret)
{
    int r = boot_alloc_low(ctx, len, align, what, ret);

    return r ? r : boot_load_bytes(ctx, *ret, buf, len, len);
}

int boot_load_bytes(struct boot_ctx *ctx, uint64_t gpa, const uint8_t *src, uint64_t len,
                    uint64_t mem_len)
{
    if ((len && mem_write(ctx->mem, gpa, src, len)) ||
        (mem_len > len && mem_zero(ctx->mem, gpa + len, mem_len - len)))
        return error_set(ctx->err, EFAULT, VZ_ERROR_INTERNAL,
                         "no memory behind the RAM at 0x%" PRIx64, gpa);
    return 0;
}

/* The highest free page-aligned place for len bytes in [LOADER_BASE, end), or 0. */
static uint64_t find_high(const struct boot_ctx *ctx, uint64_t len, uint64_t end)
{
    const struct boot_range *used;
    uint64_t gpa;

    while (end > LOADER_BASE && len <= end - LOADER_BASE) {
        gpa = align_down(end - len, MEM_PAGE_SIZE);
        if (gpa < LOADER_BASE)
            return 0;
        used = find_used(ctx, gpa, len);
        if (!used)
            return gpa;
        end = used->addr;
    }
    return 0;
}

/* Bytes of the largest free place below end, for the message. */
static uint64_t largest_room(const struct boot_ctx *ctx, uint64_t end)
{
    uint64_t low = 0, high = end / MEM_PAGE_SIZE, middle;

    while (low < high) {
        middle = (low + high + 1) / 2;
        if (find_high(ctx, middle * MEM_PAGE_SIZE, end))
            low = middle;
        else
            high = middle - 1;
    }
    return low * MEM_PAGE_SIZE;
}

/* Where each module begins, from the first one's start on. Returns their length together. */
static uint64_t measure_modules(struct boot_ctx *ctx, uint64_t align)
{
    uint64_t len = 0;

    for (unsigned i = 0; i < ctx->module_count; i++) {
        len = align_up(len, align);
        ctx->module_at[i] = (struct boot_range){len, ctx->module[i].len};
        len += ctx->module[i].len; /* files: their sum is far from wrapping */
    }
    return len;
}

static int no_room_for_modules(struct boot_ctx *ctx, uint64_t end)
{
    const char *name = ctx->module[0].name;
    uint64_t room = largest_room(ctx, end) / 1024, len = (ctx->initrd_len + 1023) / 1024;

    ctx->err_named = true;
    if (ctx->module_count == 1)
        return boot_invalid(ctx, "initrd %s: does not fit: %" PRIu64 " KiB, room for %" PRIu64
                            " KiB beside the kernel", name, len, room);
    return boot_invalid(ctx, "initrd %s and %u more: do not fit: %" PRIu64 " KiB, room for %" PRIu64
                        " KiB beside the kernel", name, ctx->module_count - 1, len, room);
}

int boot_place_modules(struct boot_ctx *ctx, uint64_t align, uint64_t max)
{
    uint64_t end = memory_map_low(ctx->params->ram_size), next;
    int r;

    ctx->initrd_len = measure_modules(ctx, align);
    if (!ctx->initrd_len)
        return 0;
    if (max < end)
        end = max + 1;
    ctx->initrd_gpa = find_high(ctx, ctx->initrd_len, end);
    if (!ctx->initrd_gpa)
        return no_room_for_modules(ctx, end);
    r = boot_claim(ctx, ctx->initrd_gpa, ctx->initrd_len, "initrd");
    for (unsigned i = 0; i < ctx->module_count && !r; i++) {
        next = i + 1 < ctx->module_count ? ctx->module_at[i + 1].addr : ctx->initrd_len;
        r = boot_load_bytes(ctx, ctx->initrd_gpa + ctx->module_at[i].addr, ctx->module[i].data,
                            ctx->module[i].len, next - ctx->module_at[i].addr);
        ctx->module_at[i].addr += ctx->initrd_gpa;
    }
    return r;
}

int boot_put_module_text(struct boot_ctx *ctx, unsigned i, uint64_t *ret)
{
    const struct boot_file *m = &ctx->module[i];
    const char *text = m->text ? m->text : m->name;

    return boot_put_low(ctx, text, strlen(text) + 1, 4, "module's text", ret);
}

int boot_place_cmdline(struct boot_ctx *ctx, const char *prefix, uint64_t max, uint64_t *ret)
{
    size_t prefix_len = strlen(prefix), len = strlen(ctx->cmdline);
    char *text;
    int r;

    if (len > max) {
        ctx->err_named = true;
        return boot_invalid(ctx, "the command line is too long: %zu bytes, this kernel takes %" PRIu64,
                            len, max);
    }
    text = malloc(prefix_len + len + 1);
    if (!text)
        return error_set(ctx->err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    memcpy(text, prefix, prefix_len);
    memcpy(text + prefix_len, ctx->cmdline, len + 1);
    r = boot_put_low(ctx, text, prefix_len + len + 1, 16, "command line", ret);
    free(text);
    return r;
}
