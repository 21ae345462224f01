/* SPDX-License-Identifier: MIT */
/* What a kind of device is to a machine, and what one device of a machine is from open to close.
 *
 * A kind joins three things that know nothing of each other: an object of the configuration, the
 * host's end (block/, net/, char/, sockets) and the model that the guest sees (virtio/, chipset/).
 * One file x_kind.c per kind; the board lists those that it can have (board/pc/devices.c). The
 * smallest is entropy_kind.c: copy it to start one.
 *
 * A slot stands for itself: it points to no other slot, and what it uses of the machine is in its
 * env. So it can come and go while the machine runs, and live in a process of its own.
 *
 * Threads: all calls come on the machine's loop thread, or while the loop does not run. */
#ifndef VZ_DEVICE_DEVICE_KIND_H
#define VZ_DEVICE_DEVICE_KIND_H

#include <sys/queue.h>

#include "base/compiler.h"
#include "loop/loop.h"

struct bus;
struct child;
struct device_slot;
struct loop;
struct mem;
struct nbd_dial;
struct pci_host;
struct schema_type;
struct state_desc;
struct vz_disk_limits;
struct vz_disk_stats;
struct vz_error;
struct vz_guest_address;

/* What a device has to tell whoever runs the machine. */
struct device_event {
    enum {
        DEVICE_PORT_OPENED,   /* the guest opened (open) or closed the port part */
        DEVICE_NETWORK_LOST,  /* the host's end is gone; err says why */
        DEVICE_GUEST_ADDRESS, /* the guest behind NAT has another address */
        DEVICE_DISK_CONNECTED, /* the host's end is there again */
        DEVICE_DISK_ERROR,     /* it is not; err says why */
        DEVICE_USB_LOST,       /* a USB device of the host is gone; whoever runs the machine takes it out */
        DEVICE_AGENT, /* the guest's SPICE agent says something: agent */
        DEVICE_DISPLAY_CHANGING, /* display part is about to have another size; or (open) has it now */
    } what;
    unsigned part;
    bool open;
    const struct vz_error *err;
    const struct vz_guest_address *address;
    const struct agent_event *agent; /* agent_line.h */
};

/* What the devices of a machine are given of it; outlives them. */
struct device_counters;
struct device_env {
    /* Constant from the start. */
    struct loop *loop;
    unsigned cpu_count;
    unsigned share_count;              /* of the configuration's shared directories */
    uint64_t ram_size;                 /* bytes */
    const uint8_t *identifier;         /* 16 bytes, the machine's */
    const char *label;                 /* its name; may be NULL */
    int stdio_read_fd, stdio_write_fd; /* for lines that lead to standard input and output */
    bool restored;                     /* a saved state is loaded into the devices before the guest runs */
    struct child *nat;                 /* the process for networks behind NAT; NULL: this one */
    struct child *nbd;                 /* the same, for connections to NBD servers */
    /* Optional. In the middle of what the slot does, so it is for telling somebody. */
    void (*tell)(void *arg, const struct device_slot *s, const struct device_event *e);
    /* Optional. Asked now and then while a kind's open() waits for somebody: false: give up. */
    bool (*goes_on)(void *arg);
    void *arg;
    struct device_counters *counters;  /* the slots' (device_counters.h); any thread adds to them */
    /* The board's, there before any create(). */
    struct mem *mem;
    struct bus *bus;
    struct pci_host *pci;
};

/* One device of a machine. */
struct device_slot {
    /* Constant once added. */
    const struct device_kind *kind;
    const void *config;     /* the configuration's object; outlives the slot. NULL: has none */
    const char *list;       /* where it is there: "storageDevices"[1]; NULL: nowhere */
    unsigned index;
    unsigned place;         /* DEVICE_ON_PCI: the number of its PCI slot */
    struct device_env *env;
    struct nbd_dial *dial; /* of a disk on an NBD server: what open() takes over, and then NULL; or NULL before, too */
    /* The kind's. */
    void *host;  /* by open() */
    void *model; /* by create(); virtio_slot.h: its struct virtio_dev */
    _Atomic unsigned lost_output; /* how many lines have lost some, those replaced included */
    /* device_slots.c's. */
    TAILQ_ENTRY(device_slot) link;
    struct device_slots *slots;
    bool created, started;
    bool resting; /* between quiesce() and device_slot_quiet() */
    /* device_slots_unplug() at work. */
    bool leaving, out, unplugging;
    struct loop_work removal;
    void (*left)(void *arg);
    void *left_arg;
};

/* Of what a device keeps outside of the machine. */
struct device_identity {
    const char *path; /* NULL: none */
    uint64_t size;    /* bytes */
    unsigned port;    /* of the USB controller; 0: it is not there */
    unsigned number;  /* of a USB device: its UUID's (usb/usb.h) */
    bool lost;        /* of one of the host's: it is gone */
};

/* Of a disk. */
struct device_disk_ops {
    /* Make it longer, to size bytes, for which the loop does not wait. Unless that fails here, done(arg, NULL),
     * or with what went wrong, comes from the loop, or while the slot is closed. After a success it calls
     * grown(), by which the guest is told; but not when the guest is gone. */
    int (*grow)(struct device_slot *s, uint64_t size,
                void (*done)(void *arg, const struct vz_error *err), void *arg, struct vz_error *err);
    void (*grown)(struct device_slot *s);
    void (*hurry)(struct device_slot *s); /* the machine ends: wait for no server for long. Loop thread */
    void (*settle)(struct device_slot *s); /* the loop does not turn: come to the end of that */
    uint64_t (*size)(const struct device_slot *s); /* bytes, now */
    /* Exchange its attachment, for one with the same bytes. It is quiet, and the loop does not run. After a failure
     * it is as before; -ENODEV: it has no disk any more, and its guest must not run again. */
    int (*exchange)(struct device_slot *s, const void *was, const void *is, struct vz_error *err);
    /* Optional, of a drive: put another disc in. -EBUSY: the guest keeps it closed. After a failure it is as before. */
    int (*set_disc)(struct device_slot *s, const void *attachment, bool force, struct vz_error *err);
    bool (*has_disc)(const struct device_slot *s); /* with set_disc */
    void (*set_limits)(struct device_slot *s, const struct vz_disk_limits *limits);
    void (*limits)(const struct device_slot *s, struct vz_disk_limits *ret);
    void (*stats)(const struct device_slot *s, struct vz_disk_stats *ret); /* any thread */
};

enum device_bus {
    DEVICE_ON_PORTS, /* at a fixed place */
    DEVICE_ON_PCI,   /* in the next free slot */
    DEVICE_ON_ANOTHER, /* part of a device that is made before it */
};

/* Functions return 0, or -errno with err filled in. Optional ones say so. */
struct device_kind {
    const struct schema_type *type; /* of slot->config */
    bool always; /* there is one even where none is configured; then its config is NULL */
    enum device_bus bus;
    const struct device_kind *needs; /* what it is part of: one comes by itself where there is none; or NULL */
    /* The model's source without its suffix ("virtio/blk"): its unit test and its fuzz program
     * (fuzz_virtio_blk) go by it; see kinds_test.c. */
    const char *model;

    /* Optional. Open files, sockets, interfaces: the host is asked here and in change() only. After
     * a failure close() follows. The loop may run. */
    int (*open)(struct device_slot *s, struct vz_error *err);
    /* Make the model, on the bus, which owns it. Opens nothing. No vCPU runs. */
    int (*create)(struct device_slot *s, struct vz_error *err);
    /* Optional. The machine is whole: let the host's end come in. No vCPU runs. */
    int (*start)(struct device_slot *s, struct vz_error *err);
    /* Optional, both or none. Finish what is under way and take nothing new; then, maybe from
     * inside, call device_slot_quiet(). Go on; also before that, which then does not come. */
    void (*quiesce)(struct device_slot *s);
    void (*resume)(struct device_slot *s);
    /* Optional: what is changed while it runs. attachment: the configuration's kind of object for
     * it, checked; NULL: none. After a failure it is as before, if that was possible. */
    int (*change)(struct device_slot *s, unsigned part, void *attachment, struct vz_error *err);
    /* Optional. What the guest shows at the host's end has another size there. part may be
     * DEVICE_PART_STDIO: whatever leads to standard output, if anything. */
    int (*resize)(struct device_slot *s, unsigned part, uint16_t columns, uint16_t rows,
                  struct vz_error *err);
    /* Optional. Input for the guest from the program, of which some is taken. -ENOTSUP: part leads
     * somewhere else. */
    int (*send)(struct device_slot *s, unsigned part, const void *data, size_t len,
                size_t *ret_taken, struct vz_error *err);
    /* Optional, what disks have. NULL: it is none. */
    const struct device_disk_ops *disk;
    /* Optional. What the guest has written is on stable storage when this returns. It is quiet, and the
     * loop does not run. */
    int (*flush)(struct device_slot *s, struct vz_error *err);
    /* Optional. What has to be the same when a saved state is restored. */
    void (*identify)(const struct device_slot *s, struct device_identity *ret);
    /* Optional. What is saved of the host's end now, and loaded into another's: object and table, or
     * NULL. */
    void *(*host_state)(const struct device_slot *s, const struct state_desc **ret);
    /* Optional. The state of the model and of the host's end have been loaded, and no CPU runs yet. */
    void (*loaded)(struct device_slot *s);
    /* Optional. Wait, not for ever, until the guest's last output has reached the host. The loop
     * does not run. */
    void (*drain)(struct device_slot *s);
    /* Optional. Where a peer finds the host's end of part; NULL: nowhere. */
    const char *(*path)(const struct device_slot *s, unsigned part);
    /* Optional. Take the model off the bus, while the machine goes on; without it the device cannot
     * be removed. It is quiet, and no vCPU runs. */
    void (*remove)(struct device_slot *s);
    /* Optional: it can go while all runs. The guest sees it go at once; then, maybe from inside, call device_slot_unplugged() when nothing of it is under way; then remove(). */
    void (*unplug)(struct device_slot *s);
    /* Optional. Be at that port, as the one that was saved. At rest. */
    int (*place)(struct device_slot *s, unsigned port, struct vz_error *err);
    /* Optional. The model is gone, or was never made: close the host's end. Loop not running. */
    void (*close)(struct device_slot *s);
};

#define DEVICE_PART_STDIO (~0u)

/* For kinds: quiesce() is done. s is the slot; void *, so that it can be a callback. */
void device_slot_quiet(void *s);

/* For kinds: unplug() is done, likewise; from anywhere. */
void device_slot_unplugged(void *s);

/* For kinds: s->host is another one from now on. Other threads, which may look (stats()), do so no more at the one before. */
void device_slot_set_host(struct device_slot *s, void *host);

/* For kinds: "storageDevices[1]: " in front of a message. */
void device_slot_prefix(const struct device_slot *s, struct vz_error *err);

/* For kinds. */
static inline void device_slot_tell(const struct device_slot *s, const struct device_event *e)
{
    if (s->env->tell)
        s->env->tell(s->env->arg, s, e);
}

#endif
