/* SPDX-License-Identifier: MIT */
/* Linux bzImage (Documentation/arch/x86/boot.rst). A 64-bit kernel's payload is decompressed here
 * and entered at its own first instruction, startup_64, so that the guest spends no time on it: the
 * kernel stays where it was linked, so neither relocations nor KASLR are needed. A 32-bit kernel,
 * and one whose compression we do not know, is loaded whole and decompresses itself. */
#include <inttypes.h>
#include <libdeflate.h> /* its CRC-32 takes an eighth of the time of zlib's */
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "board/pc/boot/boot_image.h"
#include "board/pc/boot/decompress.h"
#include "board/pc/boot/elf.h"
#include "board/pc/boot/unpack.h"
#include "board/pc/boot/zero_page.h"

#define ZP_KERNEL_VERSION 0x20e /* where the version text is, from 0x200 on */
#define CRC_MAJOR        6     /* kernels up to 6.12 have it; later ones dropped it */
#define CRC_MINOR        12
#define CRC_VERSION_TEXT 16    /* of the version's text, more than "major.minor" can be */
#define PE_POINTER       0x3c  /* file offset of the PE header, whose fields follow (PE32+) */
#define PE_CHECKSUM      88
#define PE_CERTIFICATES  168   /* data directory 4 */

#define VERSION_MIN      0x202 /* cmd_line_ptr */
#define VERSION_INITRD   0x203 /* initrd_addr_max */
#define VERSION_SYSSIZE  0x204 /* syssize can be trusted */
#define VERSION_MOVES    0x205 /* relocatable_kernel */
#define VERSION_CMDLINE  0x206 /* cmdline_size */
#define VERSION_PAYLOAD  0x208
#define VERSION_INIT     0x20a /* pref_address, init_size */
#define VERSION_XLOAD    0x20c
#define SECTOR           512u
#define SETUP_SECTS_OLD  4u    /* what 0 means */
#define ENTRY_64_OFFSET  0x200u
#define DECOMPRESSED_MAX GIB
#define INITRD_MAX_OLD   0x37ffffffu /* what kernels took before they said */
#define CMDLINE_MAX_OLD  255u
#define PARAGRAPH        16u /* bytes, in which syssize counts */

struct bzimage {
    const uint8_t *data;
    unsigned version;
    uint64_t code_off, code_len;       /* the protected-mode part, in the file */
    bool is_short;                     /* the file ends before syssize does */
    uint64_t payload_off, payload_len; /* in the file; 0: none */
    uint64_t initrd_max, cmdline_max;
    uint64_t pref_address, init_size;  /* 0: not told */
    bool is_64, relocatable;
};

bool bzimage_detect(const struct boot_file *file)
{
    return file->len >= ZP_VERSION && load_le32(file->data + ZP_HEADER) == ZP_HEADER_MAGIC;
}

/* The fields that exist from some version of the protocol on. */
static void read_newer_fields(struct bzimage *b)
{
    b->initrd_max = b->version >= VERSION_INITRD ? load_le32(b->data + ZP_INITRD_ADDR_MAX)
                                                 : INITRD_MAX_OLD;
    b->cmdline_max = b->version >= VERSION_CMDLINE ? load_le32(b->data + ZP_CMDLINE_SIZE)
                                                   : CMDLINE_MAX_OLD;
    b->relocatable = b->version >= VERSION_MOVES && b->data[ZP_RELOCATABLE];
    if (b->version >= VERSION_INIT) {
        b->pref_address = load_le64(b->data + ZP_PREF_ADDRESS);
        b->init_size = load_le32(b->data + ZP_INIT_SIZE);
    }
    b->is_64 = b->version >= VERSION_XLOAD &&
               (load_le16(b->data + ZP_XLOADFLAGS) & ZP_XLF_KERNEL_64);
}

/* Is a file that ends so many bytes before its header's syssize whole all the same? syssize is
 * rounded up, and could not be trusted before VERSION_SYSSIZE. Who tells a payload has it checked
 * below; programs that are no Linux (memory testers, boot loaders) tell none and are loose here. */
static bool may_be_short(const struct bzimage *b, uint64_t missing)
{
    return missing < PARAGRAPH || b->version < VERSION_SYSSIZE ||
           (b->version >= VERSION_PAYLOAD && !load_le32(b->data + ZP_PAYLOAD_LENGTH));
}

/* What follows syssize's end, as signatures do, is not the kernel's. */
static int read_code_place(struct boot_ctx *ctx, struct bzimage *b)
{
    uint64_t len = ctx->kernel->len, said;

    if (b->version >= VERSION_SYSSIZE)
        said = load_le32(b->data + ZP_SYSSIZE) * (uint64_t)PARAGRAPH;
    else
        said = len > b->code_off ? len - b->code_off : 1;
    if (!said)
        return boot_invalid(ctx, "its setup header is damaged: it says that there is no kernel");
    b->is_short = !range_fits(b->code_off, said, len);
    if (b->is_short && (len <= b->code_off || !may_be_short(b, b->code_off + said - len)))
        return boot_invalid(ctx, "is truncated: %" PRIu64 " bytes where its header says %" PRIu64,
                            len, b->code_off + said);
    b->code_len = b->is_short ? len - b->code_off : said;
    return 0;
}

static int read_payload_place(struct boot_ctx *ctx, struct bzimage *b)
{
    uint64_t off;

    if (b->version < VERSION_PAYLOAD)
        return 0;
    off = load_le32(b->data + ZP_PAYLOAD_OFFSET);
    b->payload_len = load_le32(b->data + ZP_PAYLOAD_LENGTH);
    b->payload_off = b->code_off + off;
    if (!range_fits(off, b->payload_len, ctx->kernel->len - b->code_off))
        return boot_invalid(ctx, "is truncated or damaged: its payload lies outside the file");
    return 0;
}

static int parse(struct boot_ctx *ctx, struct bzimage *b)
{
    const struct boot_file *file = ctx->kernel;
    unsigned sects;
    int r;

    *b = (struct bzimage){.data = file->data};
    if (file->len < ZP_HEADER_END_MAX)
        return boot_invalid(ctx, "is truncated in its setup header");
    b->version = load_le16(b->data + ZP_VERSION);
    if (b->version < VERSION_MIN)
        return boot_unsupported(ctx, "has Linux boot protocol %u.%02u; vz needs 2.02",
                                b->version >> 8, b->version & 0xff);
    if (!(b->data[ZP_LOADFLAGS] & ZP_LOADED_HIGH))
        return boot_unsupported(ctx, "is a zImage; vz boots bzImages");
    sects = b->data[ZP_SETUP_SECTS] ? b->data[ZP_SETUP_SECTS] : SETUP_SECTS_OLD;
    b->code_off = (sects + 1) * SECTOR;
    read_newer_fields(b);
    r = read_code_place(ctx, b);
    return r ? r : read_payload_place(ctx, b);
}

/* Is the kernel's version, as its header tells it, at most the last one that surely has a CRC? */
static bool has_crc(const struct bzimage *b)
{
    uint64_t at = SECTOR + (uint64_t)load_le16(b->data + ZP_KERNEL_VERSION), v[2] = {0};

    if (b->version < VERSION_PAYLOAD || at == SECTOR || at + CRC_VERSION_TEXT > b->code_off)
        return false;
    for (unsigned n = 0; n < 2; n++, at++) {
        for (unsigned digits = 0; digits < 3 && b->data[at] >= '0' && b->data[at] <= '9'; digits++)
            v[n] = v[n] * 10 + b->data[at++] - '0';
        if (n == 0 && b->data[at] != '.')
            return false;
    }
    return v[0] >= 2 && (v[0] < CRC_MAJOR || (v[0] == CRC_MAJOR && v[1] <= CRC_MINOR));
}

/* The CRC-32 over the file up to syssize's end, itself included (so a short file has lost it), is 0 before the final inversion
 * (Linux boot protocol, "The Image Checksum"). Some payloads (legacy LZ4) carry none of their own.
 * Signing for secure boot came later: what it wrote into the PE header counts as zeros. */
static int check_crc(struct boot_ctx *ctx, const struct bzimage *b)
{
    uint8_t head[2 * SECTOR];
    uint64_t end = b->code_off + b->code_len, pe = load_le32(b->data + PE_POINTER);
    uint32_t crc;

    if (b->is_short || !has_crc(b))
        return 0;
    memcpy(head, b->data, sizeof(head));
    if (pe <= sizeof(head) - PE_CERTIFICATES - 8 && !memcmp(head + pe, "PE\0\0", 4)) {
        memset(head + pe + PE_CHECKSUM, 0, 4);
        memset(head + pe + PE_CERTIFICATES, 0, 8);
    }
    crc = libdeflate_crc32(0, head, sizeof(head));
    if (end > sizeof(head))
        crc = libdeflate_crc32(crc, b->data + sizeof(head), end - sizeof(head));
    return crc == 0xffffffff ? 0 : boot_invalid(ctx, "is damaged: its checksum is wrong");
}

/* Initrd, command line and zero page. */
static int put_parameters(struct boot_ctx *ctx, const struct bzimage *b)
{
    uint64_t end = ZP_HEADER + (uint64_t)b->data[ZP_JUMP_LEN];
    uint8_t page[ZP_SIZE] = {0};
    uint64_t cmdline_gpa, page_gpa;
    int r;

    end = MIN(MAX(end, (uint64_t)ZP_CMDLINE_SIZE), (uint64_t)ZP_HEADER_END_MAX);
    memcpy(page + ZP_SETUP_SECTS, b->data + ZP_SETUP_SECTS, end - ZP_SETUP_SECTS);
    r = boot_place_modules(ctx, BOOT_INITRD_ALIGN, b->initrd_max);
    if (!r)
        r = boot_place_cmdline(ctx, "", b->cmdline_max, &cmdline_gpa);
    if (!r)
        r = zero_page_put(ctx, page, cmdline_gpa, &page_gpa);
    if (!r)
        ctx->cpu->gpr[X86_RSI] = page_gpa;
    return r;
}

/* Keep [end, start + init_size) free of the initrd, as far as it is RAM: the kernel's own start may
 * use it. Not reached for kernels whose segments fill it. */
static int claim_init_size(struct boot_ctx *ctx, uint64_t start, uint64_t end, uint64_t init_size)
{
    uint64_t ram_end = memory_map_low(ctx->params->ram_size), want;

    if (!add_u64(start, init_size, &want))
        return boot_invalid(ctx, "its setup header is damaged: init_size wraps");
    want = MIN(want, ram_end);
    if (end >= ram_end || want <= end)
        return 0;
    return boot_claim(ctx, end, want - end, "the kernel's work space");
}

/* Its segments are where they belong, and end there. */
static int enter_vmlinux(struct boot_ctx *ctx, const struct bzimage *b, const struct elf_image *elf, uint64_t end)
{
    uint64_t start = UINT64_MAX, entry;
    int r = elf_entry_gpa(ctx, elf, elf->entry, &entry);

    if (r)
        return r;
    for (unsigned i = 0; i < elf->segment_count; i++)
        start = MIN(start, elf->segment[i].gpa);
    r = claim_init_size(ctx, start, end, b->init_size);
    if (!r)
        r = put_parameters(ctx, b);
    return r ? r : boot_enter_64(ctx, entry);
}

static int boot_vmlinux(struct boot_ctx *ctx, const struct bzimage *b,
                        const struct boot_file *vmlinux)
{
    struct elf_image *elf = &(struct elf_image){0};
    uint64_t end;
    int r;

    if (!elf_detect(vmlinux))
        return boot_invalid(ctx, "its payload is damaged: not an ELF file");
    r = elf_parse(vmlinux, elf, ctx->err);
    if (r) {
        error_prefix(ctx->err, "the kernel inside");
        return r;
    }
    if (elf->bits != 64)
        return boot_invalid(ctx, "its setup header says 64-bit, its payload is a 32-bit kernel");
    r = elf_load(ctx, vmlinux, elf, &end);
    return r ? r : enter_vmlinux(ctx, b, elf, end);
}

static int boot_payload(struct boot_ctx *ctx, const struct bzimage *b)
{
    const uint8_t *payload = b->data + b->payload_off;
    struct decompressed out = {0};
    struct elf_image *elf = &(struct elf_image){0};
    uint64_t max = MIN(ctx->params->ram_size, (uint64_t)DECOMPRESSED_MAX), end;
    int r;

    if (unpack_in_place(ctx, payload, b->payload_len, elf, &end))
        return enter_vmlinux(ctx, b, elf, end);
    r = decompress(payload, b->payload_len, max, &out, ctx->err);
    if (r == -EFBIG && max == ctx->params->ram_size)
        return boot_invalid(ctx, "does not fit in %" PRIu64 " MiB of RAM", max / MIB);
    if (r)
        return r;
    r = boot_vmlinux(ctx, b, &(struct boot_file){ctx->kernel->name, out.data, out.len});
    decompress_free(&out);
    return r;
}

/* Where a kernel that decompresses itself wants to be. */
static uint64_t whole_address(const struct bzimage *b)
{
    if (b->relocatable && b->pref_address)
        return b->pref_address;
    return LOADER_BASE;
}

/* Every Linux says where its 32-bit code is to be; iPXE, for one, has none that could be entered. */
static bool wants_bios(const struct bzimage *b)
{
    return !b->is_64 && !load_le32(b->data + ZP_CODE32_START);
}

static int boot_whole(struct boot_ctx *ctx, const struct bzimage *b)
{
    uint64_t gpa = whole_address(b), len = MAX(b->code_len, b->init_size);
    int r;

    if (wants_bios(b))
        return boot_unsupported(ctx, "can be entered in real mode only, and calls a BIOS, which this machine has not; if there is "
                                "a form of it for UEFI, --efi starts that");
    r = boot_claim(ctx, gpa, len, "the kernel with its work space");
    if (!r)
        r = boot_load_bytes(ctx, gpa, b->data + b->code_off, b->code_len, b->code_len);
    if (!r)
        r = put_parameters(ctx, b);
    if (r)
        return r;
    return b->is_64 ? boot_enter_64(ctx, gpa + ENTRY_64_OFFSET) : boot_enter_32(ctx, gpa);
}

int bzimage_boot(struct boot_ctx *ctx)
{
    struct bzimage b;
    enum decompress_format format;
    int r = parse(ctx, &b);

    if (r)
        return r;
    if (!b.is_64 || !b.payload_len)
        return boot_whole(ctx, &b);
    r = check_crc(ctx, &b);
    if (r)
        return r;
    format = decompress_detect(b.data + b.payload_off, b.payload_len);
    if (format == DECOMPRESS_UNKNOWN)
        return boot_invalid(ctx, "its payload is damaged or of an unknown compression");
    return decompress_supported(format) ? boot_payload(ctx, &b) : boot_whole(ctx, &b);
}
