/* SPDX-License-Identifier: MIT */
/* The configuration objects from the inside: for what validates them, writes them out, and builds
 * machines from them. All but struct vz_config are constant once made; strings are their own. */
#ifndef VZ_CONFIG_CONFIG_IMPL_H
#define VZ_CONFIG_CONFIG_IMPL_H

#include <vz/config.h>

#include "config/object.h"

struct vz_boot_loader {
    struct object object;
    char *kernel, *initrd, *cmdline; /* initrd may be NULL; kernel is where disk is not */
    char *disk;                      /* to read both from, or NULL */
};

struct vz_platform {
    struct object object;
    struct vz_machine_identifier identifier;
};

enum serial_attachment_kind {
    SERIAL_NULL,
    SERIAL_STDIO,
    SERIAL_FD,
    SERIAL_FILE,
    SERIAL_PTY,
    SERIAL_UNIX,
    SERIAL_KIND_COUNT
};

struct vz_serial_attachment {
    struct object object;
    enum serial_attachment_kind kind;
    int read_fd, write_fd; /* SERIAL_FD */
    char *path;            /* SERIAL_FILE, SERIAL_UNIX */
    bool append;
};

struct vz_serial_port {
    struct object object;
    bool is_virtio;
    struct vz_serial_attachment *attachment; /* never NULL */
};

struct console_port {
    char *name; /* may be NULL */
    bool is_console;
    struct vz_serial_attachment *attachment; /* never NULL */
};

struct vz_console_device {
    struct object object;
    unsigned port_count;
    struct console_port port[VZ_CONSOLE_PORTS_MAX];
};

enum storage_attachment_kind { STORAGE_DISK_IMAGE, STORAGE_BLOCK_DEVICE };

struct vz_storage_attachment {
    struct object object;
    enum storage_attachment_kind kind;
    char *path; /* STORAGE_DISK_IMAGE */
    int fd;     /* STORAGE_BLOCK_DEVICE */
    bool read_only;
    enum vz_disk_caching caching;
    enum vz_disk_sync sync;
};

struct vz_storage_device {
    struct object object;
    struct vz_storage_attachment *attachment; /* never NULL */
    char *identifier;                         /* may be NULL */
};

enum network_attachment_kind { NETWORK_NAT, NETWORK_FD, NETWORK_TAP, NETWORK_BRIDGED };

struct vz_network_attachment {
    struct object object;
    enum network_attachment_kind kind;
    struct vz_port_forward *forward; /* NETWORK_NAT; host strings are our own, never NULL */
    unsigned forward_count;
    bool host_loopback; /* NETWORK_NAT */
    int fd;          /* NETWORK_FD */
    unsigned mtu;    /* bytes */
    char *interface; /* NETWORK_TAP, NETWORK_BRIDGED */
};

struct vz_network_device {
    struct object object;
    struct vz_network_attachment *attachment; /* may be NULL */
    struct vz_mac_address mac;
};

struct vz_entropy_device {
    struct object object;
};

struct vz_balloon_device {
    struct object object;
    struct vz_virtio_balloon_options options;
};

struct vz_socket_device {
    struct object object;
    uint32_t guest_cid;
    struct vz_socket_forward *forward; /* paths are our own, never NULL */
    unsigned forward_count;
};

/* Objects of one kind that a configuration has; each holds a reference. */
struct object_list {
    void **item;
    unsigned count;
};

struct vz_config {
    struct object object;
    char *label; /* may be NULL */
    char *accel; /* may be NULL, which does not validate */
    char *jit;   /* may be NULL */
    uint64_t memory_size;
    unsigned cpu_count;
    bool stop_at_reset, debug_exit, interpret_only;
    bool memory_preallocate, memory_huge_pages, host_cpu;
    int stdio_read_fd, stdio_write_fd;
    struct vz_boot_loader *boot_loader; /* may be NULL, which does not validate */
    struct vz_platform *platform;       /* never NULL */
    struct object_list serial_ports, storage_devices, network_devices, console_devices,
        entropy_devices, balloon_devices, socket_devices;
};

/* A configuration of its own with references to the same objects. NULL, with err, without memory. */
struct vz_config *config_copy(const struct vz_config *config, struct vz_error *err);

/* Access to the lists with their types. */
#define CONFIG_DEFINE_ITEM(name)                                                                   \
    static inline const struct vz_##name *config_##name(const struct vz_config *c, unsigned i)     \
    {                                                                                              \
        return c->name##s.item[i];                                                                 \
    }                                                                                              \
    struct vz_##name
CONFIG_DEFINE_ITEM(serial_port);
CONFIG_DEFINE_ITEM(storage_device);
CONFIG_DEFINE_ITEM(network_device);
CONFIG_DEFINE_ITEM(console_device);
CONFIG_DEFINE_ITEM(balloon_device);
CONFIG_DEFINE_ITEM(socket_device);

/* The machine's only one, or NULL. */
static inline const struct vz_balloon_device *config_balloon(const struct vz_config *c)
{
    return c->balloon_devices.count ? config_balloon_device(c, 0) : NULL;
}

static inline const struct vz_socket_device *config_socket(const struct vz_config *c)
{
    return c->socket_devices.count ? config_socket_device(c, 0) : NULL;
}

#endif
