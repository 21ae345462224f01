/* SPDX-License-Identifier: MIT */
/* The configuration objects from the inside: for what validates them and builds machines from them.
 * Their tables (schema.h) are in the files of their names. All but struct vz_config are constant
 * once made; strings are their own. */
#ifndef VZ_CONFIG_OBJECTS_H
#define VZ_CONFIG_OBJECTS_H

#include <vz/config.h>

#include "config/object.h"
#include "config/schema.h"

struct vz_boot_loader {
    struct object object;
    struct vz_linux_boot_loader_options options; /* kernel is there where disk is not */
    struct vz_efi_boot_loader_options efi;       /* of the other type */
};

enum boot_group { BOOT_CDROM, BOOT_USB, BOOT_DISK, BOOT_NETWORK, BOOT_GROUPS };

struct boot_order {
    unsigned count;
    enum boot_group group[BOOT_GROUPS];
};

/* Of words with commas between; ret may be NULL. 0 or -errno. */
int config_boot_order_parse(const char *words, struct boot_order *ret, struct vz_error *err) must_check;

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
    SERIAL_CALLBACK,
    SERIAL_SPICE_AGENT, /* of console ports only */
};

struct vz_serial_attachment {
    struct object object;
    enum serial_attachment_kind kind;
    int read_fd, write_fd; /* SERIAL_FD */
    char *path;            /* SERIAL_FILE, SERIAL_UNIX */
    bool append;
    vz_serial_output_fn *output; /* SERIAL_CALLBACK, as the next */
    void *output_arg;
    bool private; /* SERIAL_SPICE_AGENT: the clipboard is not shared */
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
    unsigned port_count; /* at most VZ_CONSOLE_PORTS_MAX */
    struct console_port *port;
};

enum storage_attachment_kind { STORAGE_DISK_IMAGE, STORAGE_BLOCK_DEVICE, STORAGE_SEED, STORAGE_NBD, STORAGE_EMPTY };

struct vz_storage_attachment {
    struct object object;
    enum storage_attachment_kind kind;
    char *path; /* STORAGE_DISK_IMAGE */
    int fd;     /* STORAGE_BLOCK_DEVICE */
    bool read_only;
    enum vz_disk_caching caching;
    enum vz_disk_sync sync;
    enum vz_disk_format format;
    char *backing;   /* STORAGE_DISK_IMAGE; may be NULL */
    bool ephemeral;  /* STORAGE_DISK_IMAGE */
    char *uri;        /* STORAGE_NBD */
    uint32_t timeout; /* STORAGE_NBD; seconds, 0: none */
    char *user_data; /* STORAGE_SEED, as the next, which may be NULL */
    char *meta_data, *network_config;
};
struct vz_storage_device;
/* Can it come and go while a machine runs? */
bool storage_is_usb(const struct vz_storage_device *d);
/* Is what it names only read? */
static inline bool storage_is_shared(const struct vz_storage_attachment *a)
{
    return a->read_only || a->ephemeral;
}

struct vz_storage_device {
    struct object object;
    struct vz_storage_attachment *attachment; /* never NULL */
    const char *identifier;                   /* may be NULL */
    const char *filter;                       /* may be NULL */
    const char *controller;                   /* of a namespace; NULL: the last one before it */
    const char *uuid;                         /* of a USB device, in lower case; may be NULL */
    bool uas;                                 /* it has USB attached SCSI, too */
    uint32_t block_size;                      /* bytes */
    uint64_t limit_bytes, limit_operations;   /* a second; 0: none */
    uint32_t limit_burst;                     /* ms */
};

enum network_attachment_kind { NETWORK_NAT, NETWORK_FD, NETWORK_TAP, NETWORK_BRIDGED };

struct vz_network_attachment {
    struct object object;
    enum network_attachment_kind kind;
    const struct vz_port_forward *forward; /* NETWORK_NAT; hosts are never NULL */
    unsigned forward_count;
    bool host_loopback; /* NETWORK_NAT */
    int fd;             /* NETWORK_FD */
    unsigned mtu;       /* bytes */
    char *interface;    /* NETWORK_TAP, NETWORK_BRIDGED */
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
    const struct vz_socket_forward *forward; /* paths are never NULL */
    unsigned forward_count;
};

struct vz_usb_controller {
    struct object object;
};

struct vz_usb_device {
    struct object object;
    const char *device; /* never NULL: base/usb_name.h */
    const char *uuid;   /* in lower case; may be NULL */
};

struct vz_keyboard {
    struct object object;
    bool is_mac;
};

enum pointing_kind { POINTING_ABSOLUTE, POINTING_MOUSE, POINTING_TRACKPAD };

struct vz_pointing_device {
    struct object object;
    enum pointing_kind kind;
};

enum directory_share_kind { SHARE_OF_ONE, SHARE_OF_SEVERAL, SHARE_OF_INTERPRETERS };

/* An architecture whose programs the guest is to run. */
struct foreign_choice {
    char *name; /* never NULL */
};

struct vz_directory_share {
    struct object object;
    enum directory_share_kind kind;
    char *path;     /* of one, as the next; of interpreters: where they are, or NULL */
    bool read_only;
    const struct vz_shared_directory *directory; /* of several: names and paths are never NULL */
    unsigned directory_count;
    const struct foreign_choice *choice; /* of interpreters; none: all that there are */
    unsigned choice_count;
};

struct vz_directory_sharing_device {
    struct object object;
    char *tag;                        /* never NULL, as the others */
    struct vz_directory_share *share;
    char *ownership;                  /* share_ownership.h */
    enum vz_share_caching caching;
    bool automount;
    char *mount_point;                /* "": as automount says */
    uint64_t dax_size;                /* bytes; 0: none */
};

struct vz_graphics_device {
    struct object object;
    struct vz_graphics_scanout *scanout;
    unsigned scanout_count; /* 1 to VZ_SCANOUTS_MAX */
};

enum sound_attachment_kind { SOUND_HOST, SOUND_WAV };

struct vz_sound_attachment {
    struct object object;
    enum sound_attachment_kind kind;
    char *path; /* SOUND_WAV */
};

struct sound_stream {
    enum vz_sound_direction direction;
    struct vz_sound_attachment *attachment; /* NULL: silence, and nowhere */
};

struct vz_sound_device {
    struct object object;
    unsigned stream_count; /* 1 to VZ_SOUND_STREAMS_MAX */
    struct sound_stream *stream;
};

/* The lists of a configuration, in the order of its JSON form: member, which its class is named
 * after; name; text. */
#define CONFIG_LISTS(X)                                                                            \
    X(serial_ports, "serialPorts", "its serial ports")                                             \
    X(storage_devices, "storageDevices", "its disks")                                              \
    X(network_devices, "networkDevices", "its network cards")                                      \
    X(console_devices, "consoleDevices", "its consoles with named ports")                          \
    X(entropy_devices, "entropyDevices", "its sources of random numbers")                          \
    X(balloon_devices, "memoryBalloonDevices", "its memory balloon")                               \
    X(socket_devices, "socketDevices", "its socket device")                                        \
    X(directory_sharing_devices, "directorySharingDevices", "directories of the host that the guest mounts") \
    X(usb_controllers, "usbControllers", "its USB controller")                                     \
    X(usb_devices, "usbDevices", "USB devices of the host that it has")                                \
    X(keyboards, "keyboards", "its keyboards")                                                     \
    X(pointing_devices, "pointingDevices", "its pointers, mice and trackpads")                 \
    X(graphics_devices, "graphicsDevices", "its graphics devices, with the displays of each") \
    X(sound_devices, "audioDevices", "its sound devices")

#define CONFIG_LIST_MEMBER(member, ...) struct object_list member;
#define CONFIG_LIST_CLASS(member, ...)  extern const struct schema_class config_##member;

struct firmware_item {
    char *name, *text;
};

struct vz_config {
    struct object object;
    struct firmware_item *firmware_item;
    unsigned firmware_item_count; /* at most VZ_FIRMWARE_ITEMS_MAX */
    struct vz_config_options options;
    int stdio_read_fd, stdio_write_fd;
    struct vz_boot_loader *boot_loader; /* may be NULL, which does not validate */
    struct vz_platform *platform;       /* never NULL */
    CONFIG_LISTS(CONFIG_LIST_MEMBER)
};

/* The whole, and what its members and lists take: a type each for what can be there. */
extern const struct schema_type config_machine_type;
extern const struct schema_type config_generic_platform_type;
extern const struct schema_type config_uart_type, config_virtio_serial_type;
extern const struct schema_type config_virtio_block_type, config_nvme_type, config_nvme_namespace_type;
extern const struct schema_type config_virtio_net_type;
extern const struct schema_type config_virtio_console_type, config_virtio_entropy_type;
extern const struct schema_type config_virtio_balloon_type, config_virtio_socket_type;
extern const struct schema_type config_virtio_file_system_type, config_virtio_sound_type;
extern const struct schema_type config_xhci_type, config_usb_host_type, config_usb_keyboard_type, config_mac_keyboard_type;
extern const struct schema_type config_usb_disk_type, config_usb_cdrom_type;
extern const struct schema_type config_usb_pointer_type, config_usb_mouse_type, config_trackpad_type;
extern const struct schema_type config_virtio_gpu_type;
extern const struct schema_type config_linux_type, config_efi_type; /* of boot loaders */
extern const struct schema_class config_boot_loaders, config_platforms, config_serial_attachments;
extern const struct schema_class config_console_attachments; /* those, and what needs a port with a name */
extern const struct schema_class config_storage_attachments, config_drive_attachments; /* the latter: or nothing */
CONFIG_LISTS(CONFIG_LIST_CLASS)

/* Of the storage device number index, a namespace: the number of its NVMe controller; -1: it has none. at()
 * returns the device number i; NULL: there is none. */
int config_nvme_controller(const struct vz_storage_device *(*at)(const void *arg, unsigned i),
                           const void *arg, unsigned index);

/* The serial number of the storage device number index, for guests that need one: its identifier, or "vz" and that. */
void config_storage_serial(const struct vz_storage_device *d, unsigned index, char ret[VZ_BLOCK_IDENTIFIER_MAX + 1]);

/* Is it one, in lower case? NULL is fine. */
void config_check_uuid(struct report *r, const char *uuid);

/* Where a port leads to the guest's SPICE agent; NULL: none does. */
const struct vz_serial_attachment *config_spice_agent(const struct vz_config *c);

/* A device of a configuration: in which list, which of it, and of which type. */
struct config_device {
    const char *list; /* "storageDevices" */
    unsigned index;
    const struct schema_type *type;
    const void *object;
};

/* Call fn for each device, list by list in the order of the JSON form, until it returns something
 * else than 0, which is returned. */
int config_each_device(const struct vz_config *config,
                       int (*fn)(void *arg, const struct config_device *device), void *arg);

/* For vz_config_add_...(): 0, or -1 with err: no memory, or list or object is NULL. */
int config_add(struct object_list *list, void *object, struct vz_error *err);

/* Access to the lists with their types. */
static inline const struct vz_serial_port *config_serial_port(const struct vz_config *c, unsigned i)
{
    return c->serial_ports.item[i];
}

static inline const struct vz_storage_device *config_storage_device(const struct vz_config *c,
                                                                    unsigned i)
{
    return c->storage_devices.item[i];
}

static inline const struct vz_network_device *config_network_device(const struct vz_config *c,
                                                                    unsigned i)
{
    return c->network_devices.item[i];
}

static inline const struct vz_console_device *config_console_device(const struct vz_config *c,
                                                                    unsigned i)
{
    return c->console_devices.item[i];
}

/* The machine's only one, or NULL. */
static inline const struct vz_balloon_device *config_balloon(const struct vz_config *c)
{
    return c->balloon_devices.count ? c->balloon_devices.item[0] : NULL;
}

static inline const struct vz_socket_device *config_socket(const struct vz_config *c)
{
    return c->socket_devices.count ? c->socket_devices.item[0] : NULL;
}

/* Bytes of all windows of shared directories. */
uint64_t config_dax_sizes(const struct vz_config *c);

#endif
