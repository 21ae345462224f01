/* SPDX-License-Identifier: MIT */
/* What a machine consists of. Apple's: VZVirtualMachineConfiguration.
 *
 * Make one, set and add, validate; machines made from it copy what it says at that moment.
 * Lifetime: counted. Threads: one at a time for the functions that change it. */
#ifndef VZ_CONFIG_H
#define VZ_CONFIG_H

#include <vz/balloon.h>
#include <vz/boot_loader.h>
#include <vz/console.h>
#include <vz/display.h>
#include <vz/entropy.h>
#include <vz/error.h>
#include <vz/input.h>
#include <vz/network.h>
#include <vz/platform.h>
#include <vz/public.h>
#include <vz/serial.h>
#include <vz/share.h>
#include <vz/socket.h>
#include <vz/sound.h>
#include <vz/storage.h>
#include <vz/usb.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(config);

struct vz_config_options { /* start from VZ_CONFIG_OPTIONS_INIT */
    size_t size;
    const char *label;    /* for people: at most 64 characters; NULL: none */
    const char *accel;    /* what runs the CPUs: a backend's name: "kvm", "soft"; or "auto", as NULL */
    uint64_t memory_size; /* bytes: a multiple of 1 MiB, within vz_config_memory_min() and _max() */
    unsigned cpu_count;   /* 1 to vz_config_cpu_max() */
    bool stop_at_reset;   /* a guest's reset stops the machine instead of rebooting it */
    bool debug_exit;      /* a byte written to port 0xf4 stops the machine (for test programs) */
    bool interpret_only;  /* software CPU: do not translate hot code; slower, for comparison */
    const char *jit;      /* software CPU: how it translates, words as for `vz run --jit`; NULL: "on" */
    bool memory_preallocate; /* take all of the guest's memory from the host at the start, or fail */
    bool memory_huge_pages;  /* from the host's pool of huge pages (/proc/sys/vm/nr_hugepages) */
    bool host_cpu;        /* KVM: show the guest the host's CPU, not the one that is the same everywhere */
    bool continue_at_panic; /* a guest's kernel panic does not end the machine; since 0.4 */
};
#define VZ_CONFIG_OPTIONS_INIT                                                                     \
    VZ_INIT_(struct vz_config_options,                                                             \
             VZ_SET_(accel, "auto")                                                                \
             VZ_SET_(memory_size, (uint64_t)1 << 30)                                               \
             VZ_SET_(cpu_count, 1))

/**
 * A configuration without boot loader and devices. Values are checked by vz_config_validate().
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_config *vz_config_new(const struct vz_config_options *options,
                                          struct vz_error *err);

/**
 * Another configuration that says the same, identities included, and has the same objects: change
 * the one, and the other one stays.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (@config is NULL) or VZ_ERROR_NO_MEMORY.
 * Since 0.4. */
VZ_PUBLIC struct vz_config *vz_config_copy(const struct vz_config *config, struct vz_error *err);

/* What this host allows: bytes of memory, CPUs. Since 0.1. */
VZ_PUBLIC uint64_t vz_config_memory_min(void);
VZ_PUBLIC uint64_t vz_config_memory_max(void); /* the host's memory and swap space */
VZ_PUBLIC unsigned vz_config_cpu_max(void);

/* Change what the options said. Since 0.2. */
VZ_PUBLIC void vz_config_set_memory_size(struct vz_config *config, uint64_t bytes);
VZ_PUBLIC void vz_config_set_cpu_count(struct vz_config *config, unsigned count);
VZ_PUBLIC void vz_config_set_stop_at_reset(struct vz_config *config, bool stop);
VZ_PUBLIC void vz_config_set_debug_exit(struct vz_config *config, bool on);
VZ_PUBLIC void vz_config_set_interpret_only(struct vz_config *config, bool on);
VZ_PUBLIC void vz_config_set_memory_preallocate(struct vz_config *config, bool on);
VZ_PUBLIC void vz_config_set_memory_huge_pages(struct vz_config *config, bool on);
VZ_PUBLIC void vz_config_set_host_cpu(struct vz_config *config, bool on);
VZ_PUBLIC void vz_config_set_continue_at_panic(struct vz_config *config, bool on); /* since 0.4 */
/* name is copied; NULL: "auto". Returns 0, or -1 with VZ_ERROR_NO_MEMORY.
 * Since 0.2; err since 0.4. */
VZ_PUBLIC int vz_config_set_accel(struct vz_config *config, const char *name, struct vz_error *err);
/* how is copied, and checked by vz_config_validate(); NULL: "on". Returns 0, or -1 with
 * VZ_ERROR_NO_MEMORY. Since 0.2; err since 0.4. */
VZ_PUBLIC int vz_config_set_jit(struct vz_config *config, const char *how, struct vz_error *err);

#define VZ_FIRMWARE_ITEMS_MAX 16
#define VZ_FIRMWARE_ITEM_NAME_MAX 55 /* bytes */

/**
 * Have a text for whatever in the guest asks for it by QEMU's fw_cfg: firmware (OVMF), boot loaders, or systemd, whose
 * credentials are opt/io.systemd.credentials/NAME.
 * @name  opt/ and more, such as opt/org.example/key; copied, as text is
 * Returns 0; or -1 with VZ_ERROR_INVALID (more than VZ_FIRMWARE_ITEMS_MAX, or NULL) or VZ_ERROR_NO_MEMORY; what is wrong with a
 * name, vz_config_validate() says. Since 0.4. */
VZ_PUBLIC int vz_config_add_firmware_item(struct vz_config *config, const char *name, const char *text,
                                          struct vz_error *err);

/* The only one of its kind: replaces what was there. A reference is taken. NULL takes a boot loader
 * out, and does not change the platform. Since 0.2. */
VZ_PUBLIC void vz_config_set_boot_loader(struct vz_config *config, struct vz_boot_loader *loader);
VZ_PUBLIC void vz_config_set_platform(struct vz_config *config, struct vz_platform *platform);

/* Add a device; the order is that in which the guest finds those of a kind. A reference is taken.
 * Returns 0, or -1 with VZ_ERROR_NO_MEMORY, or VZ_ERROR_INVALID where the object is NULL (so that
 * only the last of a chain of calls needs to be checked). Since 0.2; err since 0.4. */
VZ_PUBLIC int vz_config_add_serial_port(struct vz_config *config, struct vz_serial_port *port,
                                        struct vz_error *err);
VZ_PUBLIC int vz_config_add_storage_device(struct vz_config *config,
                                           struct vz_storage_device *device, struct vz_error *err);
/* One of them, which belongs to the configuration; NULL: there is no such number. Since 0.4. */
VZ_PUBLIC struct vz_storage_device *vz_config_storage_device(const struct vz_config *config, unsigned index);
VZ_PUBLIC int vz_config_add_network_device(struct vz_config *config,
                                           struct vz_network_device *device, struct vz_error *err);
VZ_PUBLIC int vz_config_add_console_device(struct vz_config *config,
                                           struct vz_console_device *device, struct vz_error *err);
VZ_PUBLIC int vz_config_add_entropy_device(struct vz_config *config,
                                           struct vz_entropy_device *device, struct vz_error *err);
VZ_PUBLIC int vz_config_add_balloon_device(struct vz_config *config,
                                           struct vz_balloon_device *device, struct vz_error *err);
VZ_PUBLIC int vz_config_add_socket_device(struct vz_config *config,
                                          struct vz_socket_device *device, struct vz_error *err);
VZ_PUBLIC int vz_config_add_directory_sharing_device(struct vz_config *config,
                                                     struct vz_directory_sharing_device *device,
                                                     struct vz_error *err); /* since 0.4 */
VZ_PUBLIC int vz_config_add_usb_controller(struct vz_config *config,
                                           struct vz_usb_controller *controller,
                                           struct vz_error *err); /* since 0.4, as the next */
VZ_PUBLIC int vz_config_add_usb_device(struct vz_config *config, struct vz_usb_device *device, struct vz_error *err);
/* The USB device of the host number index, or NULL; no reference is taken. Since 0.4. */
VZ_PUBLIC struct vz_usb_device *vz_config_usb_device(const struct vz_config *config, unsigned index);
VZ_PUBLIC int vz_config_add_keyboard(struct vz_config *config, struct vz_keyboard *keyboard,
                                     struct vz_error *err);
VZ_PUBLIC int vz_config_add_pointing_device(struct vz_config *config,
                                            struct vz_pointing_device *device, struct vz_error *err);
VZ_PUBLIC int vz_config_add_graphics_device(struct vz_config *config,
                                            struct vz_graphics_device *device,
                                            struct vz_error *err); /* since 0.4 */
VZ_PUBLIC int vz_config_add_sound_device(struct vz_config *config, struct vz_sound_device *device,
                                         struct vz_error *err); /* since 0.4 */

/* Does something lead to standard input and output? Since 0.2. */
VZ_PUBLIC bool vz_config_uses_stdio(const struct vz_config *config);
/* Have attachments of that kind use other descriptors: for a program that filters what is typed.
 * They stay the caller's, and open while a machine that uses them runs. Since 0.2. */
VZ_PUBLIC void vz_config_set_stdio(struct vz_config *config, int read_fd, int write_fd);

/* ---- Validation ----------------------------------------------------------------------------- */

struct vz_problem {
    enum vz_error_code code;
    const char *object; /* which: "memory", "storageDevices[1]"; as in the JSON form */
    const char *text;   /* what is wrong with it: one line, no full stop */
};
/* The strings live until it returns. */
typedef void vz_problem_fn(void *arg, const struct vz_problem *problem);

/**
 * Check the whole: values, limits, combinations, whether files open, and whether this build has
 * the devices. What validates fails later only for reasons that come up meanwhile.
 * @fn   called for every problem, in the calling thread, in the order of the JSON form; may be NULL
 * @err  the first problem, with its object in front; may be NULL
 * Returns 0, or -1 when there is any problem. Since 0.2. */
VZ_PUBLIC int vz_config_validate(const struct vz_config *config, vz_problem_fn *fn, void *arg,
                                 struct vz_error *err);

/* ---- JSON (docs/config-json.md) ------------------------------------------------------------- */

/**
 * Make a configuration from its JSON form. What it describes is not validated.
 * Returns a new reference, or NULL with
 *   VZ_ERROR_INVALID  not JSON (the text says where), or not a configuration (the text names the
 *                     member, as networkDevices[0].mac)
 *   VZ_ERROR_NO_MEMORY
 * Since 0.2. */
VZ_PUBLIC struct vz_config *vz_config_from_json(const char *text, size_t len,
                                                struct vz_error *err);

/* The JSON form, complete: identities that were chosen at random are in it. Returns a string to be
 * given to free(), or NULL with VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC char *vz_config_to_json(const struct vz_config *config, struct vz_error *err);

/**
 * One member of the JSON form.
 * @path  "memory", "networkDevices[0].mac"
 * Returns text to be given to free(): a string as it is, anything else in JSON ("2", "true", a whole
 * object); or NULL with VZ_ERROR_INVALID (there is no such thing, or it is not set) or
 * VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC char *vz_config_get(const struct vz_config *config, const char *path,
                              struct vz_error *err);

/* ---- Options, and what there is to configure ------------------------------------------------ */

/**
 * What an option of `vz run` does: add a device ("disk", "data.img,ro"), or set a member ("memory",
 * "2G"). vz(1) lists them; so does vz_config_describe().
 * @option  its name, without dashes
 * @value   NULL: none; a comma that belongs to one of several values is doubled
 * Returns 0, or -1, and the configuration is as before, with
 *   VZ_ERROR_INVALID  no such option, or a value that it does not take: what was expected
 *   VZ_ERROR_NO_MEMORY
 * Since 0.4. */
VZ_PUBLIC int vz_config_add(struct vz_config *config, const char *option, const char *value,
                            struct vz_error *err);

enum vz_description_kind {
    VZ_DESCRIBES_OBJECT, /* what a configuration can have; its members follow */
    VZ_DESCRIBES_MEMBER,
    VZ_DESCRIBES_OPTION, /* for vz_config_add() */
};

/* Strings live until the function returns that gets them; NULL where there is nothing to say. */
struct vz_description {
    size_t size; /* of this struct, as the library knows it */
    enum vz_description_kind kind;
    const char *object;  /* OBJECT, MEMBER: the object's name, unique ("disk_image"). OPTION: that of
                            the device that it adds */
    const char *name;    /* OBJECT: its "type" in JSON. MEMBER: in JSON. OPTION: without dashes */
    const char *type;    /* MEMBER: boolean, number, size (bytes), descriptor, string, path, word,
                            mac, uuid, object, or list */
    const char *of;      /* MEMBER: objects that may stand there, "|" between their names */
    const char *value;   /* What its value looks like in options; OPTION, NULL: it has none. Words, of
                            which it is one, have "|" between them */
    const char *initial; /* MEMBER, OPTION: the default */
    const char *option;  /* In the value of an option, MEMBER: its name. OBJECT: the word that the
                            value begins with to have this one attached */
    const char *heading; /* OPTION: what belongs together */
    char letter;         /* OPTION: "-k" means the same; 0: none */
    bool required;       /* MEMBER */
    bool optional;       /* OPTION: it may do without its value */
    bool repeats;        /* OPTION: may be given several times */
    const char *text;    /* one sentence, without a full stop */
    const char *more;    /* whole sentences */
};
typedef void vz_describe_fn(void *arg, const struct vz_description *description);

/* Call fn for everything that can be configured, and then for every option. Since 0.4. */
VZ_PUBLIC void vz_config_describe(vz_describe_fn *fn, void *arg);

/* The same as JSON: {"objects": [{"name", "type", "text", "members": [{"name", "type", ...}]}],
 * "options": [...]}, with the names above ("default" is initial, "adds" an option's object, "words" the
 * value of a word); what there is nothing to say about is left out. Returns text for free(), or NULL
 * with VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC char *vz_config_schema(struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
