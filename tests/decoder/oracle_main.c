/* SPDX-License-Identifier: MIT */
/* decoder_oracle random COUNT SEED | elf FILE | bzimage FILE | libc | raw FILE: compare the decoder
 * with Zydis on random byte strings, on the executable sections of a 64-bit ELF file (or of the C
 * library in use, or in a Linux bzImage), or on a plain file. Prints each kind of difference once,
 * with its count; fails if there is one. */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/le.h"
#include "board/pc/boot/decompress.h"
#include "oracle.h"

#define KINDS_MAX 400

struct kind {
    char key[200];
    uint64_t count;
    uint8_t bytes[X86_INSN_MAX];
    enum x86_code_size mode;
};

struct tally {
    struct kind kind[KINDS_MAX];
    unsigned kinds;
    uint64_t compared, different;
};

static void record(struct tally *t, const uint8_t *bytes, unsigned avail, enum x86_code_size mode,
                   const struct oracle_result *r)
{
    char key[200];
    unsigned i;

    t->different++;
    snprintf(key, sizeof(key), "%s: %s", r->mnemonic, r->what);
    for (i = 0; i < t->kinds && strcmp(t->kind[i].key, key); i++)
        ;
    if (i == KINDS_MAX)
        return;
    if (i == t->kinds) {
        t->kinds++;
        memcpy(t->kind[i].key, key, sizeof(key));
        memcpy(t->kind[i].bytes, bytes, avail < X86_INSN_MAX ? avail : X86_INSN_MAX);
        t->kind[i].mode = mode;
    }
    t->kind[i].count++;
}

static unsigned compare(struct tally *t, const uint8_t *bytes, unsigned avail,
                        enum x86_code_size mode)
{
    struct oracle_result r;

    oracle_compare(bytes, avail, mode, &r);
    t->compared++;
    if (r.what[0])
        record(t, bytes, avail, mode, &r);
    return r.len;
}

static int report(const struct tally *t)
{
    for (unsigned i = 0; i < t->kinds; i++) {
        printf("%8llu  %u-bit  ", (unsigned long long)t->kind[i].count, 16 << t->kind[i].mode);
        for (unsigned j = 0; j < X86_INSN_MAX; j++)
            printf("%02x", t->kind[i].bytes[j]);
        printf("  %s\n", t->kind[i].key);
    }
    printf("%llu compared, %llu different\n", (unsigned long long)t->compared,
           (unsigned long long)t->different);
    return t->different || !t->compared;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Half of the inputs are shaped: some prefixes, an escape or VEX, then random bytes. */
static void shape(uint8_t *bytes, uint64_t r)
{
    static const uint8_t prefix[16] = { 0x66, 0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x64,
                                        0x65, 0x48, 0x41, 0x4f, 0x3e, 0xf3, 0x45, 0x66 };
    unsigned at = 0;

    for (unsigned n = r & 3; n; n--, r >>= 4)
        bytes[at++] = prefix[r >> 2 & 15];
    r >>= 8;
    switch (r & 7) {
    case 0: case 1: bytes[at] = 0x0f; break;
    case 2: bytes[at++] = 0x0f; bytes[at] = 0x38; break;
    case 3: bytes[at++] = 0x0f; bytes[at] = 0x3a; break;
    case 4: bytes[0] = 0xc5; bytes[1] |= 0x80; break;
    case 5: bytes[0] = 0xc4; bytes[1] = (bytes[1] & 0xe0) | (1 + (r >> 3) % 3);
            if (r & 0x100) bytes[1] |= 0xc0;
            if (r & 0x200) bytes[2] |= 0x78;
            break;
    default: break;
    }
}

static void run_random(struct tally *t, uint64_t count, uint64_t seed)
{
    union { uint64_t word[2]; uint8_t bytes[16]; } u;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t r;

        u.word[0] = next_random(&seed);
        u.word[1] = next_random(&seed);
        r = next_random(&seed);
        if (r & 1)
            shape(u.bytes, r >> 8);
        compare(t, u.bytes, r & 0xf0 ? 16 : r >> 32 & 15, i % 3);
    }
}

static void run_range(struct tally *t, const uint8_t *bytes, uint64_t size)
{
    for (uint64_t at = 0; at < size;)
        at += compare(t, bytes + at, size - at > 16 ? 16 : size - at, X86_CODE_64);
}

static int run_elf(struct tally *t, const uint8_t *image, uint64_t size)
{
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)image;

    if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) || !eh->e_shoff ||
        eh->e_shoff + (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr) > size)
        return -1;
    for (unsigned i = 0; i < eh->e_shnum; i++) {
        const Elf64_Shdr *sh = (const Elf64_Shdr *)(image + eh->e_shoff) + i;

        if (sh->sh_type == SHT_PROGBITS && sh->sh_flags & SHF_EXECINSTR &&
            sh->sh_offset + sh->sh_size <= size)
            run_range(t, image + sh->sh_offset, sh->sh_size);
    }
    return 0;
}

/* The kernel inside: Linux's boot protocol, setup_sects, payload_offset and payload_length. */
static int run_bzimage(struct tally *t, const uint8_t *image, uint64_t size)
{
    struct decompressed kernel = {0};
    uint64_t code, off, len;
    int r = -1;

    if (size < 0x250 || memcmp(image + 0x202, "HdrS", 4))
        return -1;
    code = (image[0x1f1] + 1) * 512ull;
    off = load_le32(image + 0x248);
    len = load_le32(image + 0x24c);
    if (range_fits(code + off, len, size) &&
        !decompress(image + code + off, len, GIB, &kernel, NULL))
        r = run_elf(t, kernel.data, kernel.len);
    decompress_free(&kernel);
    return r;
}

static int run_file(struct tally *t, const char *path, const char *kind)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *image;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    image = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (image == MAP_FAILED)
        return -1;
    if (!strcmp(kind, "elf"))
        return run_elf(t, image, st.st_size);
    if (!strcmp(kind, "bzimage"))
        return run_bzimage(t, image, st.st_size);
    run_range(t, image, st.st_size);
    return 0;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: decoder_oracle random COUNT SEED | elf FILE | bzimage FILE | libc |"
                                " raw FILE\n";
    struct tally *t = calloc(1, sizeof(*t));
    int ret = 0;

    if (!t)
        return 2;
    if (argc == 4 && !strcmp(argv[1], "random")) {
        run_random(t, strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
    } else if (argc == 2 && !strcmp(argv[1], "libc")) {
        Dl_info info;

        if (!dladdr((const void *)(uintptr_t)&qsort, &info) || run_file(t, info.dli_fname, "elf"))
            ret = 77;
    } else if (argc == 3 && run_file(t, argv[2], argv[1]) < 0) {
        perror(argv[2]);
        ret = 77; /* not there: skipped */
    } else if (argc != 3) {
        fputs(usage, stderr);
        ret = 2;
    }
    ret = ret ? ret : report(t);
    free(t);
    return ret;
}
