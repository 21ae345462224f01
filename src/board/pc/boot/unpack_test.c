/* SPDX-License-Identifier: MIT */
/* What is decompressed in place is compared with what elf_load() makes of the same file. */
#include "board/pc/boot/unpack.h"

#include <elf.h>
#include <lz4.h>
#include <stdlib.h>

#include "board/pc/boot/decompress.h"
#include "mem/mem.h"
#include "unit.h"

#define RAM      (96 * MIB)
#define FILE_LEN (30 * MIB + 12345)
#define SEGMENTS 5u

struct rig {
    struct mem *mem;
    struct boot_params params;
    struct boot_ctx ctx;
    struct vz_error err;
};

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    ck_assert_int_eq(mem_create(RAM, &r->mem, &r->err), 0);
    ck_assert_int_eq(mem_add(r->mem, 0, RAM, false), 0);
    r->params.ram_size = RAM;
    r->ctx = (struct boot_ctx){.params = &r->params, .mem = r->mem, .err = &r->err};
    r->ctx.e820_count = memory_map_e820(RAM, r->ctx.e820);
}

static const uint8_t *ram(struct rig *r)
{
    return mem_ptr(r->mem, 0, RAM, MEM_READ);
}

/* As kernels are: most lies as far from its place in the file as its neighbours, the rest elsewhere, with gaps of any
 * bytes. */
static uint8_t *make_file(void)
{
    static const Elf64_Phdr ph[SEGMENTS] = {
        {.p_type = PT_LOAD, .p_offset = 2 * MIB, .p_paddr = 16 * MIB, .p_filesz = 9 * MIB + 77,
         .p_memsz = 9 * MIB + 77},
        {.p_type = PT_LOAD, .p_offset = 12 * MIB, .p_paddr = 26 * MIB, .p_filesz = 3 * MIB, .p_memsz = 4 * MIB - 5},
        {.p_type = PT_LOAD, .p_offset = 17 * MIB, .p_paddr = 30 * MIB, .p_filesz = 4097, .p_memsz = 4097},
        {.p_type = PT_LOAD, .p_offset = 17 * MIB + 8192, .p_paddr = 31 * MIB, .p_filesz = 12 * MIB,
         .p_memsz = 13 * MIB},
        {.p_type = PT_LOAD, .p_offset = 0, .p_paddr = 50 * MIB, .p_filesz = 0, .p_memsz = 12288},
    };
    Elf64_Ehdr e = {.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phoff = sizeof(e), .e_phentsize = sizeof(ph[0]),
                    .e_phnum = SEGMENTS, .e_entry = 16 * MIB};
    uint8_t *file = malloc(FILE_LEN);

    ck_assert_ptr_nonnull(file);
    for (uint64_t n = 0; n < FILE_LEN; n++)
        file[n] = (uint8_t)(n * n >> 11 | 1);
    memcpy(e.e_ident, ELFMAG, SELFMAG);
    e.e_ident[EI_CLASS] = ELFCLASS64;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    memcpy(file, &e, sizeof(e));
    memcpy(file + sizeof(e), ph, sizeof(ph));
    return file;
}

static uint8_t *pack(const uint8_t *file, size_t chunk, uint64_t *ret_len)
{
    uint8_t *out = malloc(2 * FILE_LEN);
    uint64_t len = 4;

    ck_assert_ptr_nonnull(out);
    store_le32(out, DECOMPRESS_LZ4_MAGIC);
    for (uint64_t at = 0; at < FILE_LEN; at += chunk) {
        int n = LZ4_compress_default((const char *)file + at, (char *)out + len + 4, (int)MIN(chunk, FILE_LEN - at),
                                     LZ4_compressBound((int)chunk));

        ck_assert_int_gt(n, 0);
        store_le32(out + len, (uint32_t)n);
        len += 4 + (uint64_t)n;
    }
    store_le32(out + len, FILE_LEN);
    *ret_len = len + 4;
    return out;
}

static bool is_zero(const uint8_t *p, uint64_t len)
{
    while (len && !*p)
        p++, len--;
    return !len;
}

START_TEST(all_bytes_of_ram_are_as_if_it_had_been_loaded)
{
    struct elf_image one, other;
    uint64_t len, one_end, other_end;
    uint8_t *file = make_file(), *packed = pack(file, DECOMPRESS_LZ4_CHUNK, &len);
    struct boot_file whole = {.name = "k", .data = file, .len = FILE_LEN};
    struct rig a, b;

    rig_init(&a);
    rig_init(&b);
    ck_assert(unpack_in_place(&a.ctx, packed, len, &one, &one_end));
    ck_assert_int_eq(elf_parse(&whole, &other, &b.err), 0);
    ck_assert_int_eq(elf_load(&b.ctx, &whole, &other, &other_end), 0);
    ck_assert_uint_eq(one_end, other_end);
    ck_assert_uint_eq(one.segment_count, SEGMENTS);
    ck_assert_uint_eq(a.ctx.used_count, b.ctx.used_count);
    ck_assert(!memcmp(&one, &other, sizeof(one)));
    ck_assert(!memcmp(ram(&a), ram(&b), RAM));
    mem_destroy(a.mem);
    mem_destroy(b.mem);
    free(file);
    free(packed);
}
END_TEST

static void left_alone(const uint8_t *packed, uint64_t len)
{
    struct elf_image elf;
    struct rig r;
    uint64_t end;

    rig_init(&r);
    ck_assert(!unpack_in_place(&r.ctx, packed, len, &elf, &end));
    ck_assert_uint_eq(r.ctx.used_count, 0);
    ck_assert(is_zero(ram(&r), RAM));
    mem_destroy(r.mem);
}

START_TEST(what_is_damaged_or_different_leaves_nothing)
{
    uint8_t *file = make_file(), *packed;
    Elf64_Phdr *ph = (Elf64_Phdr *)(void *)(file + sizeof(Elf64_Ehdr));
    uint64_t len;

    packed = pack(file, DECOMPRESS_LZ4_CHUNK / 2, &len); /* chunks of another size */
    left_alone(packed, len);
    free(packed);
    packed = pack(file, DECOMPRESS_LZ4_CHUNK, &len);
    for (uint64_t cut = 0; cut < len; cut = cut * 3 + 1)
        left_alone(packed, cut);
    store_le32(packed + len - 4, FILE_LEN + 1);
    left_alone(packed, len);
    store_le32(packed + len - 4, UINT32_MAX);
    left_alone(packed, len);
    store_le32(packed + len - 4, FILE_LEN);
    memset(packed + len / 2, 0xff, len / 4);
    left_alone(packed, len);
    memset(packed + 4, 0xff, 4);
    left_alone(packed, len);
    free(packed);
    ph[1].p_paddr = 17 * MIB; /* one over another */
    packed = pack(file, DECOMPRESS_LZ4_CHUNK, &len);
    left_alone(packed, len);
    free(packed);
    ph[1].p_paddr = RAM - MIB; /* does not fit */
    packed = pack(file, DECOMPRESS_LZ4_CHUNK, &len);
    left_alone(packed, len);
    free(packed);
    free(file);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, all_bytes_of_ram_are_as_if_it_had_been_loaded);
    UNIT_TEST(s, what_is_damaged_or_different_leaves_nothing);
}

UNIT_TEST_MAIN("unpack", add_tests)
