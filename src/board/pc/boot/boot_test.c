/* SPDX-License-Identifier: MIT */
/* Synthetic kernels of each format, sound and damaged. */
#include "board/pc/boot/boot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <lzma.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <vz/error.h>

#include "arch/x86/cpu_state.h"
#include "arch/x86/regs.h"
#include "base/le.h"
#include "board/pc/memory_map.h"
#include "strict_mem.h"
#include "unit.h"

#define RAM (64 * MIB)
#define KERNEL_GPA 0x1000000u
#define TEXT_LEN 4096u

struct image {
    uint8_t data[65536];
    uint64_t len;
};

struct machine {
    struct mem *mem;
    struct x86_cpu_state cpu;
    struct vz_error err;
    struct boot_params params;
    struct boot_file module[3];
    unsigned module_count;
};

static void machine_init(struct machine *m)
{
    memset(m, 0, sizeof(*m));
    m->mem = strict_mem(RAM);
    ck_assert_ptr_nonnull(m->mem);
    x86_cpu_state_reset(&m->cpu, true, false);
    m->params = (struct boot_params){.cmdline = "hello world", .ram_size = RAM,
                                     .rsdp_gpa = TABLES_BASE};
}

static int load(struct machine *m, const struct image *image)
{
    struct boot_file kernel = {"KERNEL", image->data, image->len, NULL};

    return boot_load_files(&m->params, &kernel, m->module, m->module_count, m->mem, &m->cpu,
                           &m->err);
}

/* Load must fail, say text, name the file, and leave the CPU alone. */
static void refused(const struct image *image, const char *text)
{
    struct machine m;
    struct x86_cpu_state before;

    machine_init(&m);
    before = m.cpu;
    ck_assert_int_lt(load(&m, image), 0);
    ck_assert_msg(strstr(m.err.text, text) && strstr(m.err.text, "KERNEL"), "\"%s\" lacks \"%s\"",
                  m.err.text, text);
    ck_assert_mem_eq(&m.cpu, &before, sizeof(before));
    mem_destroy(m.mem);
}

static uint8_t text_byte(unsigned i)
{
    return (uint8_t)(i * 7 + 3);
}

static const uint8_t *at(const struct machine *m, uint64_t gpa, uint64_t len)
{
    void *p = mem_ptr(m->mem, gpa, len, MEM_READ);

    ck_assert_ptr_nonnull(p);
    return p;
}

static void check_text(const struct machine *m, uint64_t gpa, unsigned skip)
{
    const uint8_t *p = at(m, gpa, 2 * TEXT_LEN);

    for (unsigned i = skip; i < TEXT_LEN; i++)
        ck_assert_uint_eq(p[i], text_byte(i));
    for (unsigned i = TEXT_LEN; i < 2 * TEXT_LEN; i++)
        ck_assert_uint_eq(p[i], 0);
}

/* An ELF64 with one segment at KERNEL_GPA, virtual addresses high, and perhaps a PVH note. */
static void make_elf64(struct image *im, bool pvh)
{
    Elf64_Ehdr e = {.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1,
                    .e_entry = KERNEL_GPA + 0x10, .e_phoff = sizeof(e), .e_ehsize = sizeof(e),
                    .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = pvh ? 2 : 1};
    Elf64_Phdr ph[2] = {
        {.p_type = PT_LOAD, .p_offset = 0x1000, .p_vaddr = 0xffffffff81000000, .p_paddr = KERNEL_GPA,
         .p_filesz = TEXT_LEN, .p_memsz = 2 * TEXT_LEN, .p_align = 0x1000},
        {.p_type = PT_NOTE, .p_offset = 0x800, .p_filesz = 24, .p_memsz = 24, .p_align = 4}};
    Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 8, .n_type = 18};

    memset(im, 0, sizeof(*im));
    memcpy(e.e_ident, ELFMAG, SELFMAG);
    e.e_ident[EI_CLASS] = ELFCLASS64;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    e.e_ident[EI_VERSION] = 1;
    memcpy(im->data, &e, sizeof(e));
    memcpy(im->data + sizeof(e), ph, sizeof(ph));
    memcpy(im->data + 0x800, &note, sizeof(note));
    memcpy(im->data + 0x800 + sizeof(note), "Xen", 4);
    store_le64(im->data + 0x800 + sizeof(note) + 4, KERNEL_GPA + 0x20);
    for (unsigned i = 0; i < TEXT_LEN; i++)
        im->data[0x1000 + i] = text_byte(i);
    im->len = 0x1000 + TEXT_LEN;
}

static uint64_t pack_lz4(const struct image *in, uint8_t *out, uint64_t room)
{
    int n = LZ4_compress_default((const char *)in->data, (char *)out + 8, (int)in->len,
                                 (int)room - 8);

    store_le32(out, 0x184c2102);
    store_le32(out + 4, (uint32_t)n);
    return (uint64_t)n + 8;
}

static uint64_t pack_gzip(const struct image *in, uint8_t *out, uint64_t room)
{
    z_stream z = {.next_in = (Bytef *)in->data, .avail_in = (uInt)in->len, .next_out = out,
                  .avail_out = (uInt)room};

    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static uint64_t pack_xz(const struct image *in, uint8_t *out, uint64_t room)
{
    lzma_options_lzma opt;
    lzma_filter filter[] = {{LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &opt},
                            {LZMA_VLI_UNKNOWN, NULL}};
    size_t pos = 0;

    lzma_lzma_preset(&opt, 6);
    ck_assert_int_eq(lzma_stream_buffer_encode(filter, LZMA_CHECK_CRC32, NULL, in->data, in->len,
                                               out, &pos, room), LZMA_OK);
    return pos;
}

static uint64_t pack_zstd(const struct image *in, uint8_t *out, uint64_t room)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t n;

    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1); /* as the zstd program does */
    n = ZSTD_compress2(c, out, room, in->data, in->len);
    ZSTD_freeCCtx(c);
    return n;
}

typedef uint64_t pack_fn(const struct image *in, uint8_t *out, uint64_t room);

enum { SETUP = 5 * 512, PAYLOAD = 0x300 };

static void make_bzimage(struct image *im, pack_fn *pack)
{
    struct image elf;
    uint64_t n;
    uint8_t *d = im->data;

    make_elf64(&elf, true);
    memset(im, 0, sizeof(*im));
    n = pack(&elf, d + SETUP + PAYLOAD, sizeof(im->data) - SETUP - PAYLOAD - 32);
    if (pack != pack_gzip) {
        store_le32(d + SETUP + PAYLOAD + n, (uint32_t)elf.len);
        n += 4;
    }
    d[0x1f1] = 4;
    store_le32(d + 0x1f4, (uint32_t)((PAYLOAD + n + 15) / 16));
    d[0x201] = 0x6a;
    store_le32(d + 0x202, 0x53726448);
    store_le16(d + 0x206, 0x20f);
    d[0x211] = 0x83;
    store_le32(d + 0x214, 0x100000);
    store_le32(d + 0x22c, 0x7fffffff);
    d[0x234] = 1;
    store_le16(d + 0x236, 1);
    store_le32(d + 0x238, 2047);
    store_le32(d + 0x248, PAYLOAD);
    store_le32(d + 0x24c, (uint32_t)n);
    store_le64(d + 0x258, KERNEL_GPA);
    store_le32(d + 0x260, 0x100000);
    im->len = SETUP + (PAYLOAD + n + 15) / 16 * 16;
}

static void check_long_mode(const struct machine *m, uint64_t rip)
{
    const struct x86_cpu_state *c = &m->cpu;
    uint64_t pdpt, pd;

    ck_assert_uint_eq(c->rip, rip);
    ck_assert_uint_eq(c->rflags, 2);
    ck_assert_uint_eq(c->cr0 & (X86_CR0_PG | X86_CR0_PE), X86_CR0_PG | X86_CR0_PE);
    ck_assert(c->cr4 & X86_CR4_PAE);
    ck_assert_uint_eq(c->efer, X86_EFER_LME | X86_EFER_LMA);
    ck_assert_uint_eq(c->seg[X86_CS].selector, 0x10);
    ck_assert_uint_eq(c->seg[X86_DS].selector, 0x18);
    ck_assert(c->seg[X86_CS].attr & SEG_ATTR_L);
    ck_assert_uint_eq(load_le64(at(m, c->gdtr.base + 0x10, 8)), 0x00af9b000000ffff);
    for (uint64_t gpa = 0; gpa < 4 * GIB; gpa += 2 * MIB) {
        pdpt = load_le64(at(m, c->cr3, 8)) & ~0xfffull;
        pd = load_le64(at(m, pdpt + gpa / GIB * 8, 8)) & ~0xfffull;
        ck_assert_uint_eq(load_le64(at(m, pd + gpa % GIB / (2 * MIB) * 8, 8)), gpa | 0xe3);
    }
}

static void check_zero_page(const struct machine *m)
{
    const uint8_t *zp = at(m, m->cpu.gpr[X86_RSI], 4096);
    struct e820_entry e820[MEMORY_MAP_E820_MAX];
    unsigned count = memory_map_e820(RAM, e820);

    ck_assert_uint_eq(load_le32(zp + 0x202), 0x53726448);
    ck_assert_uint_eq(zp[0x210], 0xff);
    ck_assert_uint_eq(zp[0x1ef], 0); /* sentinel */
    ck_assert_uint_eq(load_le64(zp + 0x70), TABLES_BASE);
    ck_assert_str_eq((const char *)at(m, load_le32(zp + 0x228), 16), "hello world");
    ck_assert_uint_eq(load_le32(zp + 0x1e0), (RAM - MIB) / 1024);
    ck_assert_uint_eq(zp[0x1e8], count);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_eq(load_le64(zp + 0x2d0 + i * 20), e820[i].addr);
        ck_assert_uint_eq(load_le64(zp + 0x2d0 + i * 20 + 8), e820[i].len);
        ck_assert_uint_eq(load_le32(zp + 0x2d0 + i * 20 + 16), e820[i].type);
    }
}

START_TEST(bzimages_of_every_compression_start_at_the_64_bit_entry)
{
    static pack_fn *const pack[] = {pack_zstd, pack_lz4, pack_gzip, pack_xz};
    struct image im;
    struct machine m;

    for (unsigned i = 0; i < ARRAY_SIZE(pack); i++) {
        machine_init(&m);
        memset(mem_ptr(m.mem, KERNEL_GPA, 2 * TEXT_LEN, MEM_WRITE), 0xee, 2 * TEXT_LEN);
        make_bzimage(&im, pack[i]);
        ck_assert_msg(!load(&m, &im), "%u: %s", i, m.err.text);
        check_long_mode(&m, KERNEL_GPA + 0x10);
        check_zero_page(&m);
        check_text(&m, KERNEL_GPA, 0);
        mem_destroy(m.mem);
    }
}
END_TEST

START_TEST(damaged_bzimages_are_refused)
{
    static pack_fn *const pack[] = {pack_zstd, pack_lz4, pack_gzip, pack_xz};
    struct image im;

    for (unsigned i = 0; i < ARRAY_SIZE(pack); i++) {
        uint64_t n;

        make_bzimage(&im, pack[i]);
        n = load_le32(im.data + 0x24c);
        memset(im.data + SETUP + PAYLOAD + n / 4, 0xff, n / 2);
        refused(&im, "payload is damaged");
        make_bzimage(&im, pack[i]);
        im.data[SETUP + PAYLOAD + n - 2] ^= 1; /* the size behind the payload */
        refused(&im, "payload is damaged");
        make_bzimage(&im, pack[i]);
        im.data[SETUP + PAYLOAD] ^= 0xff;
        refused(&im, "unknown compression");
    }
    make_bzimage(&im, pack_zstd);
    im.len -= 16;
    refused(&im, "truncated");
    im.len = 0x208;
    refused(&im, "truncated in its setup header");
    make_bzimage(&im, pack_zstd);
    store_le32(im.data + 0x24c, UINT32_MAX);
    refused(&im, "payload lies outside");
    make_bzimage(&im, pack_zstd);
    store_le16(im.data + 0x206, 0x201);
    refused(&im, "boot protocol 2.01");
    make_bzimage(&im, pack_zstd);
    im.data[0x211] = 0;
    refused(&im, "zImage");
}
END_TEST

START_TEST(bzimages_without_a_decompressor_are_loaded_whole)
{
    struct image im;
    struct machine m;

    machine_init(&m);
    make_bzimage(&im, pack_zstd);
    memcpy(im.data + SETUP + PAYLOAD, "BZh9", 4);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    check_long_mode(&m, KERNEL_GPA + 0x200);
    check_zero_page(&m);
    ck_assert_mem_eq(at(&m, KERNEL_GPA, 0x400), im.data + SETUP, 0x400);
    mem_destroy(m.mem);

    machine_init(&m);
    store_le16(im.data + 0x236, 0); /* a 32-bit kernel */
    im.data[0x234] = 0;
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    ck_assert_uint_eq(m.cpu.rip, 0x100000);
    ck_assert_uint_eq(m.cpu.cr0 & (X86_CR0_PG | X86_CR0_PE), X86_CR0_PE);
    check_zero_page(&m);
    mem_destroy(m.mem);

    store_le32(im.data + 0x214, 0);
    refused(&im, "calls a BIOS");
}
END_TEST

/* Multiboot by addresses: the file's text goes to 1 MiB, the header at file offset 64. */
static void make_multiboot(struct image *im)
{
    uint32_t header[8] = {0x1badb002, 0x10003, -(0x1badb002u + 0x10003u), 0x100000 + 64, 0x100000,
                          0x100000 + TEXT_LEN, 0x100000 + 2 * TEXT_LEN, 0x100000 + 0x100};

    memset(im, 0, sizeof(*im));
    for (unsigned i = 0; i < TEXT_LEN; i++)
        im->data[i] = text_byte(i);
    memcpy(im->data + 64, header, sizeof(header));
    im->len = TEXT_LEN;
}

/* A bzImage of the given protocol version that tells no payload and has text behind its header. */
static void make_plain_bzimage(struct image *im, unsigned version)
{
    make_bzimage(im, pack_zstd);
    store_le16(im->data + 0x206, (uint16_t)version);
    store_le16(im->data + 0x236, 0);
    im->data[0x234] = 0;
    store_le32(im->data + 0x248, 0);
    store_le32(im->data + 0x24c, 0);
}

/* syssize counts paragraphs of 16 bytes; old protocols and programs that are no Linux say anything
 * there. */
START_TEST(bzimages_may_be_shorter_or_longer_than_their_syssize)
{
    static const struct {
        unsigned version, missing;
        bool loads;
    } shorter[] = {{0x20f, 15, true}, {0x20f, 500, true}, {0x203, 500, true}, {0x202, 15, true},
                   {0x206, 15, true}, {0x206, 16, false}, {0x204, 500, false}};
    struct image im;
    struct machine m;

    for (unsigned i = 0; i < ARRAY_SIZE(shorter); i++) {
        make_plain_bzimage(&im, shorter[i].version);
        im.len -= shorter[i].missing;
        if (!shorter[i].loads) {
            refused(&im, "truncated");
            continue;
        }
        machine_init(&m);
        ck_assert_msg(!load(&m, &im), "%u: %s", i, m.err.text);
        ck_assert_uint_eq(m.cpu.rip, 0x100000);
        ck_assert_mem_eq(at(&m, 0x100000, im.len - SETUP), im.data + SETUP, im.len - SETUP);
        mem_destroy(m.mem);
    }
    machine_init(&m); /* Linux, trimmed or signed */
    make_bzimage(&im, pack_zstd);
    im.len = SETUP + PAYLOAD + load_le32(im.data + 0x24c);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    im.len += 1000;
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    mem_destroy(m.mem);
}
END_TEST

START_TEST(old_kernels_have_the_limits_of_their_protocol)
{
    struct image im;
    struct machine m;
    char text[257];

    memset(text, 'a', sizeof(text));
    text[256] = 0;
    machine_init(&m);
    m.params.cmdline = text;
    make_plain_bzimage(&im, 0x202);
    ck_assert_int_eq(load(&m, &im), -EINVAL);
    ck_assert_ptr_nonnull(strstr(m.err.text, "this kernel takes 255"));
    text[255] = 0;
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    mem_destroy(m.mem);
}
END_TEST

START_TEST(kernels_packed_by_gzip_are_unpacked)
{
    struct image im, packed = {.len = 0};
    struct machine m;

    make_multiboot(&im);
    packed.len = pack_gzip(&im, packed.data, sizeof(packed.data));
    machine_init(&m);
    ck_assert_msg(!load(&m, &packed), "%s", m.err.text);
    ck_assert_uint_eq(m.cpu.gpr[X86_RAX], 0x2badb002);
    ck_assert_str_eq((const char *)at(&m, load_le32(at(&m, m.cpu.gpr[X86_RBX] + 16, 4)), 32),
                     "KERNEL hello world");
    mem_destroy(m.mem);

    packed.data[packed.len / 2] ^= 0xff;
    refused(&packed, "damaged");
    packed.len = 0;
    im.len = pack_gzip(&im, packed.data, sizeof(packed.data));
    memcpy(im.data, packed.data, im.len);
    packed.len = pack_gzip(&im, packed.data, sizeof(packed.data)); /* twice: GRUB would not */
    refused(&packed, "gzip-compressed");
}
END_TEST

START_TEST(linux_sees_several_initrds_as_one)
{
    struct image im;
    struct machine m;
    const uint8_t *zp;

    machine_init(&m);
    m.module_count = 3;
    m.module[0] = (struct boot_file){"A", (const uint8_t *)"abcde", 5, NULL};
    m.module[1] = (struct boot_file){"B", (const uint8_t *)"fg", 2, NULL};
    m.module[2] = (struct boot_file){"C", (const uint8_t *)"h", 1, NULL};
    make_bzimage(&im, pack_zstd);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    zp = at(&m, m.cpu.gpr[X86_RSI], 4096);
    ck_assert_uint_eq(load_le32(zp + 0x21c), 13);
    ck_assert_mem_eq(at(&m, load_le32(zp + 0x218), 13), "abcde\0\0\0fg\0\0h", 13);
    make_elf64(&im, true);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    ck_assert_uint_eq(load_le32(at(&m, m.cpu.gpr[X86_RBX] + 12, 4)), 1);
    m.module[1].text = "second"; /* a kernel that tells modules apart */
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    ck_assert_uint_eq(load_le32(at(&m, m.cpu.gpr[X86_RBX] + 12, 4)), 3);
    zp = at(&m, load_le64(at(&m, m.cpu.gpr[X86_RBX] + 16, 8)), 96);
    ck_assert_mem_eq(at(&m, load_le64(zp + 32), 2), "fg", 2);
    ck_assert_str_eq((const char *)at(&m, load_le64(zp + 48), 8), "second");
    ck_assert_str_eq((const char *)at(&m, load_le64(zp + 16), 8), "A");
    mem_destroy(m.mem);
}
END_TEST

START_TEST(initrds_go_to_the_top_of_allowed_ram)
{
    static uint8_t big[65 * MIB];
    struct image im;
    struct machine m;
    const uint8_t *zp;

    machine_init(&m);
    m.module_count = 1;
    m.module[0] = (struct boot_file){"INITRD", big, 5000, NULL};
    memset(big, 0x5a, 5000);
    make_bzimage(&im, pack_zstd);
    ck_assert_int_eq(load(&m, &im), 0);
    zp = at(&m, m.cpu.gpr[X86_RSI], 4096);
    ck_assert_uint_eq(load_le32(zp + 0x218), RAM - 8192);
    ck_assert_uint_eq(load_le32(zp + 0x21c), 5000);
    ck_assert_mem_eq(at(&m, RAM - 8192, 5000), big, 5000);
    store_le32(im.data + 0x22c, 0x1fffffff & (32 * MIB - 1));
    ck_assert_int_eq(load(&m, &im), 0);
    ck_assert_uint_eq(load_le32(at(&m, m.cpu.gpr[X86_RSI] + 0x218, 4)), 32 * MIB - 8192);
    m.module[0].len = sizeof(big);
    ck_assert_int_eq(load(&m, &im), -EINVAL);
    ck_assert_ptr_nonnull(strstr(m.err.text, "initrd INITRD: does not fit: 66560 KiB, room for"));
    mem_destroy(m.mem);
}
END_TEST

START_TEST(command_lines_beyond_the_kernels_limit_are_refused)
{
    struct image im;
    struct machine m;
    char text[2100];

    memset(text, 'a', sizeof(text));
    text[2048] = 0;
    machine_init(&m);
    m.params.cmdline = text;
    make_bzimage(&im, pack_zstd);
    ck_assert_int_eq(load(&m, &im), -EINVAL);
    ck_assert_ptr_nonnull(strstr(m.err.text, "command line is too long"));
    text[2047] = 0;
    ck_assert_int_eq(load(&m, &im), 0);
    mem_destroy(m.mem);
}
END_TEST

START_TEST(elf_kernels_prefer_the_pvh_entry)
{
    struct image im;
    struct machine m;
    const uint8_t *info;

    machine_init(&m);
    m.module_count = 1;
    m.module[0] = (struct boot_file){"INITRD", (const uint8_t *)"abc", 3, NULL};
    make_elf64(&im, true);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    ck_assert_uint_eq(m.cpu.rip, KERNEL_GPA + 0x20);
    ck_assert_uint_eq(m.cpu.cr0 & (X86_CR0_PG | X86_CR0_PE), X86_CR0_PE);
    ck_assert_uint_eq(m.cpu.efer, 0);
    ck_assert(m.cpu.seg[X86_CS].attr & SEG_ATTR_DB);
    check_text(&m, KERNEL_GPA, 0);
    info = at(&m, m.cpu.gpr[X86_RBX], 56);
    ck_assert_uint_eq(load_le32(info), 0x336ec578);
    ck_assert_uint_eq(load_le32(info + 4), 1);
    ck_assert_uint_eq(load_le32(info + 12), 1);
    ck_assert_mem_eq(at(&m, load_le64(at(&m, load_le64(info + 16), 32)), 3), "abc", 3);
    ck_assert_uint_eq(load_le64(at(&m, load_le64(info + 16) + 8, 8)), 3);
    ck_assert_str_eq((const char *)at(&m, load_le64(info + 24), 16), "hello world");
    ck_assert_uint_eq(load_le64(info + 32), TABLES_BASE);
    ck_assert_uint_eq(load_le32(at(&m, load_le64(info + 40) + 16, 4)), E820_RAM);
    mem_destroy(m.mem);
}
END_TEST

START_TEST(elf_kernels_without_pvh_get_a_zero_page)
{
    struct image im;
    struct machine m;

    machine_init(&m);
    make_elf64(&im, false);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    check_long_mode(&m, KERNEL_GPA + 0x10);
    check_zero_page(&m);
    /* A virtual entry point means the same place. */
    store_le64(im.data + 24, 0xffffffff81000010);
    ck_assert_int_eq(load(&m, &im), 0);
    ck_assert_uint_eq(m.cpu.rip, KERNEL_GPA + 0x10);
    mem_destroy(m.mem);
}
END_TEST

enum { PH = 64, PH_OFF = PH + 8, PH_PADDR = PH + 24, PH_FILESZ = PH + 32, PH_MEMSZ = PH + 40 };

START_TEST(damaged_elf_files_are_refused)
{
    static const struct {
        unsigned off, size;
        uint64_t value;
        const char *text;
    } bad[] = {
        {4, 1, 7, "class"}, {5, 1, 2, "big-endian"}, {18, 2, EM_AARCH64, "ARM64"},
        {18, 2, 4, "another machine"}, {16, 2, ET_REL, "object file"}, {56, 2, 0, "no ELF program"},
        {56, 2, 0xffff, "program headers of"}, {54, 2, 1, "program headers of"},
        {32, 8, UINT64_MAX - 10, "outside the file"}, {24, 8, 0x10, "entry point"},
        {PH_OFF, 8, UINT64_MAX, "outside the file"}, {PH_FILESZ, 8, 1 << 20, "outside the file"},
        {PH_MEMSZ, 8, 16, "larger in the file"}, {PH_MEMSZ, 8, UINT64_MAX, "wraps"},
        {PH_MEMSZ, 8, RAM, "outside the machine's RAM"}, {PH_PADDR, 8, RAM, "outside the machine"},
        {PH_PADDR, 8, 0xa0000, "outside the machine"}, {PH, 4, PT_INTERP, "operating system"},
        {PH, 4, PT_NULL, "no ELF segment"},
    };
    struct image im;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        make_elf64(&im, false);
        memcpy(im.data + bad[i].off, &bad[i].value, bad[i].size);
        refused(&im, bad[i].text);
    }
    make_elf64(&im, false);
    im.len = 60;
    refused(&im, "truncated in its ELF header");
    make_elf64(&im, true); /* two segments in one place */
    memcpy(im.data + PH + 56, im.data + PH, 56);
    refused(&im, "overlaps");
}
END_TEST

START_TEST(multiboot_kernels_get_their_information)
{
    struct image im;
    struct machine m;
    const uint8_t *info, *module;

    machine_init(&m);
    m.module_count = 2;
    m.module[1] = (struct boot_file){"M", (const uint8_t *)"defg", 4, "second quiet"};
    m.module[0] = (struct boot_file){"INITRD", (const uint8_t *)"abc", 3, NULL};
    make_multiboot(&im);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    ck_assert_uint_eq(m.cpu.rip, 0x100100);
    ck_assert_uint_eq(m.cpu.gpr[X86_RAX], 0x2badb002);
    check_text(&m, 0x100000, 96);
    info = at(&m, m.cpu.gpr[X86_RBX], 88);
    ck_assert_uint_eq(load_le32(info) & 0x24d, 0x24d);
    ck_assert_uint_eq(load_le32(info + 8), (RAM - MIB) / 1024);
    ck_assert_str_eq((const char *)at(&m, load_le32(info + 16), 32), "KERNEL hello world");
    ck_assert_uint_eq(load_le32(info + 20), 2);
    module = at(&m, load_le32(info + 24), 32);
    ck_assert_mem_eq(at(&m, load_le32(module), 3), "abc", 3);
    ck_assert_uint_eq(load_le32(module + 4) - load_le32(module), 3);
    ck_assert_str_eq((const char *)at(&m, load_le32(module + 8), 8), "INITRD");
    ck_assert_mem_eq(at(&m, load_le32(module + 16), 4), "defg", 4);
    ck_assert_uint_eq(load_le32(module + 16) % 4096, 0);
    ck_assert_uint_eq(load_le32(module + 20) - load_le32(module + 16), 4);
    ck_assert_str_eq((const char *)at(&m, load_le32(module + 24), 16), "second quiet");
    ck_assert_uint_eq(load_le32(at(&m, load_le32(info + 48), 4)), 20);
    ck_assert_uint_eq(load_le32(info + 44) % 24, 0);
    mem_destroy(m.mem);
}
END_TEST

START_TEST(multiboot_elf32_kernels_load_by_their_segments)
{
    Elf32_Ehdr e = {.e_type = ET_EXEC, .e_machine = EM_386, .e_version = 1, .e_entry = 0x400010,
                    .e_phoff = sizeof(e), .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1};
    Elf32_Phdr ph = {.p_type = PT_LOAD, .p_offset = 0x1000, .p_vaddr = 0x400000,
                     .p_paddr = 0x400000, .p_filesz = TEXT_LEN, .p_memsz = 2 * TEXT_LEN};
    uint32_t header[3] = {0x1badb002, 0, -0x1badb002u};
    struct image im;
    struct machine m;

    make_elf64(&im, false);
    memcpy(e.e_ident, ELFMAG "\1\1\1", 7);
    memset(im.data, 0, 0x1000);
    memcpy(im.data, &e, sizeof(e));
    memcpy(im.data + sizeof(e), &ph, sizeof(ph));
    refused(&im, "32-bit ELF file without a Multiboot header");
    memcpy(im.data + 0x400, header, sizeof(header));
    machine_init(&m);
    ck_assert_msg(!load(&m, &im), "%s", m.err.text);
    ck_assert_uint_eq(m.cpu.rip, 0x400010);
    check_text(&m, 0x400000, 0);
    mem_destroy(m.mem);
}
END_TEST

START_TEST(damaged_multiboot_headers_are_refused)
{
    struct image im;

    make_multiboot(&im);
    store_le32(im.data + 64 + 16, 0x200000);
    refused(&im, "load address");
    make_multiboot(&im);
    store_le32(im.data + 64 + 20, 0x100000 + 2 * TEXT_LEN);
    refused(&im, "truncated");
    make_multiboot(&im);
    store_le32(im.data + 64 + 24, 0x100001);
    refused(&im, "bss end");
    make_multiboot(&im);
    store_le32(im.data + 64 + 24, UINT32_MAX);
    refused(&im, "outside the machine's RAM");
    make_multiboot(&im);
    store_le32(im.data + 64 + 28, 5);
    refused(&im, "entry address");
    make_multiboot(&im);
    store_le32(im.data + 64 + 4, 0x10008);
    store_le32(im.data + 64 + 8, -(0x1badb002u + 0x10008u));
    refused(&im, "unknown features");
}
END_TEST

START_TEST(foreign_files_are_named_for_what_they_are)
{
    struct image im = {.len = 4096};

    refused(&im, "not a kernel format that vz knows");
    memcpy(im.data + 0x38, "ARM\x64", 4);
    refused(&im, "ARM64");
    memcpy(im.data + 0x38, "\0\0\0", 4);
    memcpy(im.data, "MZ\0\0zimg", 8);
    refused(&im, "zboot");
    memset(im.data, 0, 8);
    memcpy(im.data, "\x1f\x8b", 2);
    refused(&im, "gzip");
    memcpy(im.data, "070701", 6);
    refused(&im, "cpio");
    im.len = 1;
    refused(&im, "not a kernel format");
}
END_TEST

static void refused_path(const char *kernel, const char *initrd, const char *text)
{
    const struct boot_module module = {.path = initrd};
    struct boot_sources sources = {0};
    struct machine m;
    int r;

    machine_init(&m);
    m.params.kernel_path = kernel;
    m.params.modules = &module;
    m.params.module_count = initrd != NULL;
    r = boot_open(&m.params, &sources, &m.err);
    if (!r)
        r = boot_load(&m.params, &sources, m.mem, &m.cpu, &m.err);
    boot_close(&sources);
    ck_assert_int_lt(r, 0);
    ck_assert_msg(strstr(m.err.text, text), "%s", m.err.text);
    mem_destroy(m.mem);
}

START_TEST(unreadable_files_are_errors_that_name_them)
{
    char path[] = "/tmp/boot_test_XXXXXX";
    struct image im;
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    refused_path("/nonexistent/kernel", NULL, "kernel /nonexistent/kernel: No such file");
    refused_path("/tmp", NULL, "kernel /tmp: is a directory");
    refused_path("/dev/null", NULL, "neither a file nor a pipe");
    refused_path(path, NULL, "is empty");
    make_elf64(&im, true);
    ck_assert_int_eq(write(fd, im.data, im.len), (ssize_t)im.len);
    refused_path(path, "/nonexistent/initrd", "initrd /nonexistent/initrd: No such file");
    ck_assert_int_eq(ftruncate(fd, (off_t)(2 * GIB)), 0);
    refused_path(path, NULL, "too large");
    close(fd);
    unlink(path);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, bzimages_of_every_compression_start_at_the_64_bit_entry);
    UNIT_TEST(s, damaged_bzimages_are_refused);
    UNIT_TEST(s, bzimages_without_a_decompressor_are_loaded_whole);
    UNIT_TEST(s, bzimages_may_be_shorter_or_longer_than_their_syssize);
    UNIT_TEST(s, old_kernels_have_the_limits_of_their_protocol);
    UNIT_TEST(s, kernels_packed_by_gzip_are_unpacked);
    UNIT_TEST(s, linux_sees_several_initrds_as_one);
    UNIT_TEST(s, initrds_go_to_the_top_of_allowed_ram);
    UNIT_TEST(s, command_lines_beyond_the_kernels_limit_are_refused);
    UNIT_TEST(s, elf_kernels_prefer_the_pvh_entry);
    UNIT_TEST(s, elf_kernels_without_pvh_get_a_zero_page);
    UNIT_TEST(s, damaged_elf_files_are_refused);
    UNIT_TEST(s, multiboot_kernels_get_their_information);
    UNIT_TEST(s, multiboot_elf32_kernels_load_by_their_segments);
    UNIT_TEST(s, damaged_multiboot_headers_are_refused);
    UNIT_TEST(s, foreign_files_are_named_for_what_they_are);
    UNIT_TEST(s, unreadable_files_are_errors_that_name_them);
}

UNIT_TEST_MAIN("boot", add_tests)
