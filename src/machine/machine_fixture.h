/* SPDX-License-Identifier: MIT */
/* Machines for tests, on the fake backend: the "kernel" is an ELF file whose code is a script of
 * struct fake_op. */
#ifndef VZ_MACHINE_MACHINE_FIXTURE_H
#define VZ_MACHINE_MACHINE_FIXTURE_H

#include <elf.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "base/compiler.h"
#include "hv/fake/fake.h"
#include "unit.h"

#define LOAD_ADDR 0x200000u

struct file {
    char path[64];
};

/* Write an ELF64 kernel that consists of len bytes. */
static inline struct file write_elf(const void *code, size_t len)
{
    Elf64_Ehdr eh = {.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
                     .e_entry = LOAD_ADDR, .e_phoff = sizeof(eh), .e_ehsize = sizeof(eh),
                     .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1};
    Elf64_Phdr ph = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 4096,
                     .p_vaddr = LOAD_ADDR, .p_paddr = LOAD_ADDR, .p_align = 4096};
    struct file f = {"/tmp/vz-machine-test.XXXXXX"};
    int fd = mkstemp(f.path);

    memcpy(eh.e_ident, ELFMAG, SELFMAG);
    eh.e_ident[EI_CLASS] = ELFCLASS64;
    eh.e_ident[EI_DATA] = ELFDATA2LSB;
    eh.e_ident[EI_VERSION] = EV_CURRENT;
    ph.p_filesz = ph.p_memsz = len;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
    ck_assert_int_eq(pwrite(fd, &ph, sizeof(ph), sizeof(eh)), sizeof(ph));
    ck_assert_int_eq(pwrite(fd, code, ph.p_filesz, 4096), ph.p_filesz);
    close(fd);
    return f;
}

/* Of ops. */
static inline struct file write_kernel(const struct fake_op *ops, size_t count)
{
    return write_elf(ops, sizeof(*ops) * count);
}

static inline struct vz_config *make_config(const char *kernel, unsigned cpus, bool stop_at_reset)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_boot_loader *loader;
    struct vz_config *c;

    b.kernel = kernel;
    o.accel = "fake";
    o.memory_size = 16 << 20;
    o.cpu_count = cpus;
    o.debug_exit = true;
    o.stop_at_reset = stop_at_reset;
    c = vz_config_new(&o, NULL);
    loader = vz_linux_boot_loader_new(&b, NULL);
    vz_config_set_boot_loader(c, loader);
    vz_boot_loader_unref(loader);
    return c;
}

#endif
