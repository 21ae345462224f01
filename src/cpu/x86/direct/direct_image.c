/* SPDX-License-Identifier: MIT */
/* A small shared object of which all is in sight, as Linux' vDSO: its functions are named in it, so what they do not
 * lead to is never executed. Linux leaves there what it has patched instructions with. All of it is the guest's, and
 * a copy; what does not fit together is no image. */
#include <elf.h>
#include <string.h>

#include "cpu/x86/direct/direct_priv.h"

#define TAGS_MAX 64u

struct image {
    struct direct_reach *r;
    unsigned begin, size; /* in the code */
};

/* So much of the image from `at` on; NULL: it has not as much. */
static const void *inside(const struct image *m, uint64_t at, uint64_t len)
{
    return at <= m->size && len <= m->size - at ? m->r->code + m->begin + at : NULL;
}

static bool all_here(const struct direct_reach *r, unsigned begin, unsigned size)
{
    for (unsigned n = begin / MEM_PAGE_SIZE; n < (begin + size + MEM_PAGE_SIZE - 1) / MEM_PAGE_SIZE; n++)
        if (n >= REACH_PAGES || !r->here[n])
            return false;
    return size;
}

/* Its one segment, which begins with the file, and its dynamic section. */
static bool find_parts(struct image *m, Elf64_Phdr *ret_dynamic)
{
    bool loaded = false, dynamic = false;
    Elf64_Ehdr e;
    Elf64_Phdr p;

    memcpy(&e, m->r->code + m->begin, sizeof(e));
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_type != ET_DYN ||
        e.e_machine != EM_X86_64 || e.e_phentsize != sizeof(p))
        return false;
    m->size = MEM_PAGE_SIZE;
    for (unsigned n = 0; n < e.e_phnum; n++) {
        const void *at = inside(m, e.e_phoff + n * sizeof(p), sizeof(p));

        if (!at)
            return false;
        memcpy(&p, at, sizeof(p));
        if (p.p_type == PT_LOAD) {
            if (loaded || p.p_vaddr || p.p_offset || p.p_memsz > REACH_BYTES - m->begin)
                return false;
            loaded = true;
            m->size = (unsigned)MAX(p.p_memsz, (uint64_t)MEM_PAGE_SIZE);
        } else if (p.p_type == PT_DYNAMIC) {
            dynamic = true;
            *ret_dynamic = p;
        }
    }
    return loaded && dynamic && all_here(m->r, m->begin, m->size);
}

/* Has it functions that need no name: of which addresses are stored, or that are called as it is loaded? */
static bool has_others(const Elf64_Dyn *d)
{
    switch (d->d_tag) {
    case DT_RELA: case DT_REL: case DT_RELR: case DT_JMPREL: case DT_INIT: case DT_FINI: case DT_INIT_ARRAY:
    case DT_FINI_ARRAY: case DT_PREINIT_ARRAY:
        return true;
    default:
        return false;
    }
}

static bool find_symbols(const struct image *m, const Elf64_Phdr *dynamic, uint64_t *ret_first, uint64_t *ret_end)
{
    uint64_t first = 0, end = 0;
    Elf64_Dyn d;

    for (unsigned n = 0; n < TAGS_MAX; n++) {
        const void *at = inside(m, dynamic->p_vaddr + n * sizeof(d), sizeof(d));

        if (!at)
            return false;
        memcpy(&d, at, sizeof(d));
        if (d.d_tag == DT_NULL)
            break;
        if (has_others(&d))
            return false;
        if (d.d_tag == DT_SYMTAB)
            first = d.d_un.d_ptr;
        else if (d.d_tag == DT_STRTAB)
            end = d.d_un.d_ptr; /* linkers put it there */
    }
    *ret_first = first;
    *ret_end = end;
    return first && first < end && inside(m, first, end - first);
}

static bool follow_symbols(const struct image *m, uint64_t first, uint64_t end)
{
    unsigned functions = 0;
    Elf64_Sym sym;

    for (; first + sizeof(sym) <= end; first += sizeof(sym)) {
        memcpy(&sym, inside(m, first, sizeof(sym)), sizeof(sym));
        if (ELF64_ST_TYPE(sym.st_info) != STT_FUNC || sym.st_shndx == SHN_UNDEF)
            continue;
        if (!inside(m, sym.st_value, 1))
            return false;
        direct_reach_from(m->r, m->begin + (unsigned)sym.st_value);
        functions++;
    }
    return functions;
}

void direct_reach_image(struct direct_reach *r)
{
    for (unsigned n = 0; n < REACH_PAGES; n++) {
        struct image m = {.r = r, .begin = n * MEM_PAGE_SIZE};
        uint64_t first, end;
        Elf64_Phdr dynamic = {0};

        if (!r->here[n] || memcmp(r->code + m.begin, ELFMAG, SELFMAG))
            continue;
        if (!find_parts(&m, &dynamic) || !find_symbols(&m, &dynamic, &first, &end) ||
            !follow_symbols(&m, first, end) || direct_reach_has_jumps(r, m.begin, m.size))
            continue;
        r->image = m.begin;
        r->image_size = m.size;
        return;
    }
}
