/* SPDX-License-Identifier: MIT */
#include "board/pc/boot/elf.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define PHDRS_MAX 256
#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY, Xen's public/elfnote.h */

/* Program header fields of either class. */
struct phdr {
    uint32_t type;
    uint64_t off, file_len, gpa, gva, mem_len, align;
};

struct table { /* of program headers */
    uint64_t off;
    unsigned count, entry_len;
};

#define invalid(err, ...) error_set(err, EINVAL, VZ_ERROR_INVALID, __VA_ARGS__)
#define unsupported(err, ...) error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, __VA_ARGS__)

bool elf_detect(const struct boot_file *file)
{
    return file->len >= EI_NIDENT && !memcmp(file->data, ELFMAG, SELFMAG);
}

static int check_kind(unsigned data, unsigned type, unsigned machine, struct vz_error *err)
{
    if (data != ELFDATA2LSB)
        return unsupported(err, "is an ELF file for a big-endian machine, not x86");
    if (machine == EM_AARCH64)
        return unsupported(err, "is an ELF file for ARM64; this machine is x86-64");
    if (machine != EM_X86_64 && machine != EM_386)
        return unsupported(err, "is an ELF file for another machine (type %u), not x86", machine);
    if (type == ET_REL)
        return unsupported(err, "is an ELF object file, not a kernel");
    if (type == ET_CORE)
        return unsupported(err, "is an ELF core dump, not a kernel");
    if (type != ET_EXEC && type != ET_DYN)
        return invalid(err, "its ELF header is damaged: type %u", type);
    return 0;
}

/* A file of which the first bytes are there. */
struct beginning {
    const uint8_t *data;
    uint64_t there, len;
};

static int read_header(const struct beginning *file, struct elf_image *ret, struct table *ret_table,
                       struct vz_error *err)
{
    bool is_64 = file->data[EI_CLASS] == ELFCLASS64;
    uint64_t need = is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    unsigned want_entry = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    Elf64_Ehdr e64 = {0};
    Elf32_Ehdr e32 = {0};
    int r;

    if (!is_64 && file->data[EI_CLASS] != ELFCLASS32)
        return invalid(err, "its ELF header is damaged: class %u", file->data[EI_CLASS]);
    if (file->there < need)
        return invalid(err, "is truncated in its ELF header");
    memcpy(&e64, file->data, is_64 ? sizeof(e64) : 0);
    memcpy(&e32, file->data, is_64 ? 0 : sizeof(e32));
    r = check_kind(file->data[EI_DATA], is_64 ? e64.e_type : e32.e_type,
                   is_64 ? e64.e_machine : e32.e_machine, err);
    if (r)
        return r;
    ret->bits = is_64 ? 64 : 32;
    ret->entry = is_64 ? e64.e_entry : e32.e_entry;
    ret_table->off = is_64 ? e64.e_phoff : e32.e_phoff;
    ret_table->count = is_64 ? e64.e_phnum : e32.e_phnum;
    ret_table->entry_len = is_64 ? e64.e_phentsize : e32.e_phentsize;
    if (!ret_table->count)
        return invalid(err, "has no ELF program headers");
    if (ret_table->count > PHDRS_MAX || ret_table->entry_len != want_entry)
        return invalid(err, "its ELF header is damaged: %u program headers of %u bytes",
                       ret_table->count, ret_table->entry_len);
    if (!range_fits(ret_table->off, (uint64_t)ret_table->count * want_entry, file->there))
        return invalid(err, "is truncated or damaged: its program headers lie outside the file");
    return 0;
}

static struct phdr read_phdr(const uint8_t *p, bool is_64)
{
    Elf64_Phdr h;
    Elf32_Phdr s;

    if (is_64) {
        memcpy(&h, p, sizeof(h));
        return (struct phdr){h.p_type, h.p_offset, h.p_filesz, h.p_paddr, h.p_vaddr, h.p_memsz,
                             h.p_align};
    }
    memcpy(&s, p, sizeof(s));
    return (struct phdr){s.p_type, s.p_offset, s.p_filesz, s.p_paddr, s.p_vaddr, s.p_memsz,
                         s.p_align};
}

static int add_segment(struct elf_image *elf, unsigned index, const struct phdr *h,
                       struct vz_error *err)
{
    uint64_t end;

    if (!h->mem_len && !h->file_len)
        return 0;
    if (h->file_len > h->mem_len)
        return invalid(err, "segment %u is damaged: larger in the file than in memory", index);
    if (!add_u64(h->gpa, h->mem_len, &end))
        return invalid(err, "segment %u is damaged: it wraps around the address space", index);
    if (elf->segment_count == ELF_SEGMENTS_MAX)
        return invalid(err, "has more than %u ELF segments", ELF_SEGMENTS_MAX);
    elf->segment[elf->segment_count++] = (struct elf_segment){
        .off = h->off, .file_len = h->file_len, .gpa = h->gpa, .mem_len = h->mem_len,
        .gva = h->gva};
    return 0;
}

/* One note at p: its length in the segment, or 0 when it does not fit. */
static uint64_t read_note(const uint8_t *p, uint64_t len, uint64_t align, struct elf_image *elf)
{
    Elf64_Nhdr h; /* the same in both classes */
    uint64_t desc, next;

    if (len < sizeof(h))
        return 0;
    memcpy(&h, p, sizeof(h));
    desc = align_up(sizeof(h) + h.n_namesz, align);
    if (!range_fits(desc, h.n_descsz, len))
        return 0;
    if (h.n_type == NOTE_PHYS32_ENTRY && h.n_namesz == 4 && !memcmp(p + sizeof(h), "Xen", 4) &&
        (h.n_descsz == 4 || h.n_descsz == 8)) {
        uint64_t entry = h.n_descsz == 8 ? load_le64(p + desc) : load_le32(p + desc);

        elf->has_pvh = entry <= UINT32_MAX;
        elf->pvh_entry = (uint32_t)entry;
    }
    next = align_up(desc + h.n_descsz, align);
    return MIN(next, len);
}

static void read_notes(const struct boot_file *file, const struct phdr *h, struct elf_image *elf)
{
    const uint8_t *p = file->data + h->off;
    uint64_t left = h->file_len, n;

    while (left && !elf->has_pvh && (n = read_note(p, left, h->align == 8 ? 8 : 4, elf))) {
        p += n;
        left -= n;
    }
}

/* Without its notes. */
static int parse(const struct beginning *file, struct elf_image *ret, struct table *ret_table, struct vz_error *err)
{
    int r;

    memset(ret, 0, sizeof(*ret));
    r = read_header(file, ret, ret_table, err);
    for (unsigned i = 0; !r && i < ret_table->count; i++) {
        struct phdr h = read_phdr(file->data + ret_table->off + (uint64_t)i * ret_table->entry_len,
                                  ret->bits == 64);

        if (h.type == PT_INTERP)
            return unsupported(err, "is a program for an operating system, not a kernel");
        if (h.type != PT_LOAD && h.type != PT_NOTE)
            continue;
        if (!range_fits(h.off, h.file_len, file->len))
            return invalid(err, "is truncated or damaged: ELF segment %u lies outside the file", i);
        if (h.type == PT_LOAD)
            r = add_segment(ret, i, &h, err);
    }
    if (!r && !ret->segment_count)
        return invalid(err, "has no ELF segment to load");
    return r;
}

int elf_parse(const struct boot_file *file, struct elf_image *ret, struct vz_error *err)
{
    const struct beginning all = {file->data, file->len, file->len};
    struct table table = {0};
    int r = parse(&all, ret, &table, err);

    for (unsigned i = 0; !r && i < table.count; i++) {
        struct phdr h = read_phdr(file->data + table.off + (uint64_t)i * table.entry_len, ret->bits == 64);

        if (h.type == PT_NOTE)
            read_notes(file, &h, ret);
    }
    return r;
}

int elf_parse_beginning(const uint8_t *data, uint64_t there, uint64_t len, struct elf_image *ret)
{
    const struct beginning some = {data, there, len};
    struct table table = {0};

    if (there < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG))
        return -EINVAL;
    return parse(&some, ret, &table, NULL);
}

int elf_claim(struct boot_ctx *ctx, const struct elf_image *elf, uint64_t *ret_end)
{
    int r = 0;

    *ret_end = 0;
    for (unsigned i = 0; !r && i < elf->segment_count; i++) {
        const struct elf_segment *s = &elf->segment[i];

        r = boot_claim(ctx, s->gpa, s->mem_len, "its ELF segment");
        *ret_end = MAX(*ret_end, s->gpa + s->mem_len);
    }
    return r;
}

int elf_load(struct boot_ctx *ctx, const struct boot_file *file, const struct elf_image *elf,
             uint64_t *ret_end)
{
    int r = elf_claim(ctx, elf, ret_end);

    for (unsigned i = 0; !r && i < elf->segment_count; i++) {
        const struct elf_segment *s = &elf->segment[i];

        r = boot_load_bytes(ctx, s->gpa, file->data + s->off, s->file_len, s->mem_len);
    }
    return r;
}

int elf_entry_gpa(struct boot_ctx *ctx, const struct elf_image *elf, uint64_t entry, uint64_t *ret)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct elf_segment *s = &elf->segment[i];

        if (entry >= s->gpa && entry - s->gpa < s->mem_len) {
            *ret = entry;
            return 0;
        }
    }
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct elf_segment *s = &elf->segment[i];

        if (entry >= s->gva && entry - s->gva < s->mem_len) {
            *ret = s->gpa + (entry - s->gva);
            return 0;
        }
    }
    return boot_invalid(ctx, "its entry point 0x%" PRIx64 " lies outside its segments", entry);
}
