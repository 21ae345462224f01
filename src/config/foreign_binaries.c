/* SPDX-License-Identifier: MIT */
/* Interpreters for programs of other processors: which there are, where the host has them, and how a guest's kernel is
 * told what they are for (binfmt_misc). */
#include "config/foreign_binaries.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/share.h>

#include "base/error.h"
#include "config/report.h"

/* By the head of an ELF file. */
struct architecture {
    const char *name, *qemu;
    uint8_t class, data;
    uint16_t machine;
    uint8_t abi_mask; /* of the byte that says for which system it is: Linux programs have 0 or 3 there */
};

static const struct architecture architectures[] = {
    {"arm64", "aarch64", ELFCLASS64, ELFDATA2LSB, EM_AARCH64, 0x00},
    {"armhf", "arm", ELFCLASS32, ELFDATA2LSB, EM_ARM, 0x00},
    {"i386", "i386", ELFCLASS32, ELFDATA2LSB, EM_386, 0xfc},
    {"ppc64le", "ppc64le", ELFCLASS64, ELFDATA2LSB, EM_PPC64, 0xfc},
    {"riscv64", "riscv64", ELFCLASS64, ELFDATA2LSB, EM_RISCV, 0x00},
    {"s390x", "s390x", ELFCLASS64, ELFDATA2MSB, EM_S390, 0xfc},
};

#define HEAD_LEN 20u /* of an ELF file, up to its machine */
#define HINT "install the package qemu-user-static (apt-get install qemu-user-static)"

static const struct architecture *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(architectures); i++) {
        if (!strcmp(architectures[i].name, name))
            return &architectures[i];
    }
    return NULL;
}

/* ---- Interpreters --------------------------------------------------------------------------- */

/* Does it run without other files, which a guest and the containers in it do not have? Of this computer's class and
 * order of bytes. */
static bool is_static(int fd)
{
    Elf64_Ehdr head;
    Elf64_Phdr part;

    if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || memcmp(head.e_ident, ELFMAG, SELFMAG) ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != EM_X86_64)
        return false;
    for (unsigned i = 0; i < head.e_phnum; i++) {
        uint64_t at = head.e_phoff + (uint64_t)i * sizeof(part);

        if (at > INT64_MAX || pread(fd, &part, sizeof(part), (off_t)at) != sizeof(part) || part.p_type == PT_INTERP)
            return false;
    }
    return true;
}

/* 0; -ENOENT: there is none; -ENOEXEC: it is not a static program of this computer's. */
static int interpreter(const struct architecture *a, const char *directory, char ret[PATH_MAX])
{
    struct stat st;
    int fd, r = 0;

    snprintf(ret, PATH_MAX, "%s/qemu-%s-static", directory ? directory : "/usr/bin", a->qemu);
    fd = open(ret, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_static(fd))
        r = -ENOEXEC;
    close(fd);
    return r;
}

enum vz_foreign_binaries_availability vz_foreign_binaries_availability(const char *architecture)
{
    const struct architecture *a = architecture ? find(architecture) : NULL;
    char path[PATH_MAX];

    if (!a)
        return VZ_FOREIGN_BINARIES_NOT_SUPPORTED;
    return interpreter(a, NULL, path) < 0 ? VZ_FOREIGN_BINARIES_NOT_INSTALLED : VZ_FOREIGN_BINARIES_INSTALLED;
}

const char *vz_foreign_binaries_architecture(unsigned index)
{
    return index < ARRAY_SIZE(architectures) ? architectures[index].name : NULL;
}

const char *vz_foreign_binaries_install_hint(void)
{
    return HINT;
}

/* ---- What the guest's kernel is told --------------------------------------------------------- */

static void print_bytes(FILE *to, const uint8_t bytes[HEAD_LEN])
{
    for (unsigned i = 0; i < HEAD_LEN; i++)
        fprintf(to, "\\x%02x", bytes[i]);
    fputc(':', to);
}

/* A line as the kernel takes it (binfmt-misc.rst) but for the interpreter, which is named without its folder. P: it
 * is told what it was called as; O, C: it gets the program opened, and that one's set-ID bits count; F: it is
 * opened now, so that it is there in containers. */
static void print_registration(FILE *to, const struct architecture *a, const char *interpreter_name)
{
    const bool big = a->data == ELFDATA2MSB;
    uint8_t magic[HEAD_LEN] = {0x7f, 'E', 'L', 'F', a->class, a->data, EV_CURRENT}, mask[HEAD_LEN];

    /* ET_EXEC, and by the mask ET_DYN. */
    magic[big ? 17 : 16] = ET_EXEC;
    magic[big ? 19 : 18] = (uint8_t)a->machine;
    memset(mask, 0xff, sizeof(mask));
    mask[EI_OSABI] = a->abi_mask;
    mask[big ? 17 : 16] = 0xfe;
    fprintf(to, ":vz-%s:M:0:", a->name);
    print_bytes(to, magic);
    print_bytes(to, mask);
    fprintf(to, "%s:POCF\n", interpreter_name);
}

static const char register_script[] =
    "#!/bin/sh\n"
    "# Have this system's kernel run programs of other processors, by the interpreters beside this file:\n"
    "#     mount -t virtiofs -o nosuid,nodev TAG /run/vz/TAG && sh /run/vz/TAG/register\n"
    "# The agent of vz does that by itself.\n"
    "here=$(CDPATH= cd -- \"$(dirname -- \"$0\")\" && pwd) || exit 1\n"
    "misc=/proc/sys/fs/binfmt_misc\n"
    "[ -e $misc/register ] || modprobe -q binfmt_misc\n"
    "[ -e $misc/register ] || mount -t binfmt_misc binfmt_misc $misc || exit 1\n"
    "while IFS= read -r line; do\n"
    "    name=${line#:}\n"
    "    name=${name%%:*}\n"
    "    last=${line##*:}\n"
    "    line=${line%:*}\n"
    "    [ ! -e \"$misc/$name\" ] || echo -1 >\"$misc/$name\"\n"
    "    printf '%s\\n' \"${line%:*}:$here/${line##*:}:$last\" >$misc/register || exit 1\n"
    "done <\"$here/registrations\"\n";

/* ---- The share ------------------------------------------------------------------------------ */

/* Is it wanted? None chosen: all that are there. */
static bool is_chosen(const struct vz_directory_share *s, const struct architecture *a)
{
    bool chosen = !s->choice_count;

    for (unsigned i = 0; i < s->choice_count; i++)
        chosen = chosen || !strcmp(s->choice[i].name, a->name);
    return chosen;
}

static int refuse(const struct vz_directory_share *s, const char *name, const char *path, int r, struct vz_error *err)
{
    if (r == -ENOEXEC)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: not a static program for x86-64", path);
    if (s->path)
        return error_set(err, -r, VZ_ERROR_IO, "%s: %s", path, strerror(-r));
    return error_set(err, -r, VZ_ERROR_UNSUPPORTED, "no interpreter of %s programs: " HINT, name);
}

static int find_all(const struct vz_directory_share *s, struct foreign_files *f, FILE *registrations,
                    struct vz_error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(architectures); i++) {
        const struct architecture *a = &architectures[i];
        struct foreign_file *file = &f->file[f->count];
        int r;

        if (!is_chosen(s, a))
            continue;
        r = interpreter(a, s->path, file->path);
        if (r < 0 && s->choice_count)
            return refuse(s, a->name, file->path, r, err);
        if (r < 0)
            continue;
        /* "-binfmt-P" tells Debian's QEMU that what it was called as comes behind the program, on kernels before 5.12,
         * too. */
        snprintf(file->name, sizeof(file->name), "%s-binfmt-P", a->name);
        print_registration(registrations, a, file->name);
        f->count++;
    }
    return f->count ? 0 : refuse(s, "foreign", s->path ? s->path : "", -ENOENT, err);
}

int foreign_files_find(const struct vz_directory_share *share, struct foreign_files *ret, struct vz_error *err)
{
    struct foreign_files f = {.file = calloc(ARRAY_SIZE(architectures), sizeof(*f.file)),
                              .register_script = register_script, .version = "1\n"};
    size_t len;
    FILE *registrations = f.file ? open_memstream(&f.registrations, &len) : NULL;
    int r = registrations ? find_all(share, &f, registrations, err) : -ENOMEM;

    if (registrations && fclose(registrations) < 0)
        r = -ENOMEM;
    if (r == -ENOMEM)
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    if (r < 0) {
        foreign_files_fini(&f);
        return r;
    }
    *ret = f;
    return 0;
}

void foreign_files_fini(struct foreign_files *f)
{
    free(f->file);
    free(f->registrations);
}

void foreign_check_name(struct report *r, const void *choice)
{
    const char *name = ((const struct foreign_choice *)choice)->name;

    if (!find(name))
        report_problem(r, VZ_ERROR_INVALID, "'%.40s' is not " FOREIGN_ARCHITECTURES, name);
}

void foreign_check(struct report *r, const void *share)
{
    const struct vz_directory_share *s = share;
    struct foreign_files f;
    struct vz_error err;

    for (unsigned i = 0; i < s->choice_count; i++) {
        if (!find(s->choice[i].name))
            return; /* which has been said */
    }
    if (foreign_files_find(s, &f, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
    else
        foreign_files_fini(&f);
}
