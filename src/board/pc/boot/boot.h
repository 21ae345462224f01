/* SPDX-License-Identifier: MIT */
/* Direct boot: put a kernel, its initrd and its command line into guest memory, and the bootstrap
 * CPU at its first instruction, as a boot loader and firmware would have left it.
 *
 * Formats: Linux bzImage (boot protocol 2.02 and later), ELF64 with a PVH entry or Linux's 64-bit
 * entry, Multiboot 1; each also packed by gzip. Files are not trusted. */
#ifndef VZ_BOARD_PC_BOOT_BOOT_H
#define VZ_BOARD_PC_BOOT_BOOT_H

#include "base/compiler.h"
#include "base/disk_format.h"

struct disk_chain;
struct mem;
struct vz_error;
struct x86_cpu_state;

#define BOOT_MODULES_MAX 32u

/* A file that a kernel finds in memory: an initrd, or a module of a Multiboot or PVH kernel. */
struct boot_module {
    const char *path;
    const char *text; /* what the kernel is told of it; or NULL: path */
};

struct boot_params {
    const char *kernel_path;
    const struct boot_module *modules; /* Linux sees them as one initrd, one behind the other */
    unsigned module_count;   /* at most BOOT_MODULES_MAX */
    const char *disk_path;   /* or NULL; else both are read from this disk, see boot_disk.h */
    enum disk_format disk_format;
    const char *disk_backing; /* as disk_chain_options.backing; or NULL */
    const char *cmdline;     /* or NULL: empty; with a disk: its root, and consoles */
    const char *consoles;    /* "console=ttyS0 ..."; or NULL */
    uint64_t ram_size;       /* bytes, as for memory_map_e820() */
    uint64_t rsdp_gpa;       /* ACPI root pointer; 0: none */
};

/* A file's bytes; name is for messages. */
struct boot_file {
    const char *name;
    const uint8_t *data;
    uint64_t len;
    const char *text; /* of a module; or NULL: name */
};

/* The files that params name, open. All zero: none. */
struct boot_sources {
    unsigned count;
    int fd[1 + BOOT_MODULES_MAX]; /* the kernel's, then the modules' */
    struct disk_chain *disk;      /* or the disk; NULL: none */
};

/* A machine opens its files once, when it starts; each reset reads the same ones again, whatever
 * their names lead to by then. 0; or -errno with *err naming the file, VZ_ERROR_IO, and nothing is
 * open. */
int boot_open(const struct boot_params *params, struct boot_sources *ret,
              struct vz_error *err) must_check;
void boot_close(struct boot_sources *sources);

/* Load into mem, whose RAM is laid out as the memory map says. *bsp comes in its reset state
 * (x86_cpu_state_reset()); on success it is at the kernel's entry, on failure untouched. RAM may
 * have been written in part on failure. May block on file I/O; any thread, no CPU running.
 * Returns 0 or -errno with *err naming the file: VZ_ERROR_IO for a file that cannot be read,
 * VZ_ERROR_INVALID for one that is damaged, foreign or does not fit, VZ_ERROR_UNSUPPORTED for a
 * sound one that vz cannot boot, VZ_ERROR_NO_MEMORY. */
int boot_load(const struct boot_params *params, const struct boot_sources *sources,
              struct mem *mem, struct x86_cpu_state *bsp, struct vz_error *err) must_check;

/* The same with files already in memory; the paths in params are not looked at. count modules, at
 * most BOOT_MODULES_MAX. */
int boot_load_files(const struct boot_params *params, const struct boot_file *kernel,
                    const struct boot_file *modules, unsigned count, struct mem *mem,
                    struct x86_cpu_state *bsp, struct vz_error *err) must_check;

/* What firmware does on every CPU before a kernel runs: MTRRs on, write-back by default. Called by
 * boot_load() for the bootstrap CPU; the board calls it for the others, since Linux wants all CPUs
 * alike, and switches the PAT off where MTRRs are off. */
void boot_prepare_cpu(struct x86_cpu_state *cpu);

#endif
