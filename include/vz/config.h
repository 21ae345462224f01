/* SPDX-License-Identifier: MIT */
/* What a machine consists of.
 *
 * Lifetime: vz_config_new() copies all it is given; machines copy what they need of it in turn.
 * Threads:  any; the object does not change once made. */
#ifndef VZ_CONFIG_H
#define VZ_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vz/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VZ_PUBLIC __attribute__((visibility("default")))

struct vz_config;

/* Where the machine's first serial port leads. */
enum vz_serial {
    VZ_SERIAL_NULL, /* nowhere: no input, output is swallowed */
    VZ_SERIAL_FDS,  /* serial_read_fd and serial_write_fd */
    VZ_SERIAL_FILE, /* output to the file serial_path, created or truncated; no input */
};

struct vz_config_options { /* start from VZ_CONFIG_OPTIONS_INIT */
    size_t size;           /* of this struct, as the caller knows it */

    const char *accel;     /* what runs the CPUs: "auto", or a backend's name: "soft" */
    uint64_t memory_size;  /* bytes, a multiple of 4096, within vz_config_memory_min() and _max() */
    unsigned cpu_count;    /* 1 to vz_config_cpu_max() */

    /* Files, opened and checked when the machine starts. */
    const char *kernel;    /* bzImage, ELF64 or Multiboot 1 */
    const char *initrd;    /* NULL: none */
    const char *cmdline;   /* NULL: empty */

    enum vz_serial serial;
    int serial_read_fd;    /* -1: no input. End of file ends the input, not the machine */
    int serial_write_fd;   /* both stay the caller's, and open while the machine exists */
    const char *serial_path;

    bool stop_at_reset;    /* a guest's reset ends the machine instead of rebooting it */
    bool debug_exit;       /* a byte written to port 0xf4 ends the machine (for test programs) */
    uint8_t uuid[16];      /* the machine's identity in SMBIOS; all zeros: a random one */
};

#define VZ_CONFIG_OPTIONS_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(struct vz_config_options), .accel = "auto",                                 \
        .memory_size = (uint64_t)1 << 30, .cpu_count = 1, .serial_read_fd = -1,                    \
        .serial_write_fd = -1                                                                      \
    }

/**
 * Check options as a whole and keep a copy. Opens no file.
 * Returns NULL, and fills in err (may be NULL), with
 *   VZ_ERROR_INVALID    a value that cannot work; the text names it
 *   VZ_ERROR_NO_MEMORY
 * Since 0.1. */
VZ_PUBLIC struct vz_config *vz_config_new(const struct vz_config_options *options,
                                          struct vz_error *err);

/* NULL is fine. Since 0.1. */
VZ_PUBLIC void vz_config_free(struct vz_config *config);

/* What this host allows: bytes of memory, CPUs. Since 0.1. */
VZ_PUBLIC uint64_t vz_config_memory_min(void);
VZ_PUBLIC uint64_t vz_config_memory_max(void); /* the host's memory and swap space */
VZ_PUBLIC unsigned vz_config_cpu_max(void);

#ifdef __cplusplus
}
#endif
#endif
