/* SPDX-License-Identifier: MIT */
/* The devices of a machine while it runs: the memory balloon, sockets, and where networks and ports
 * lead.
 *
 * Devices are counted as in the configuration, from 0. Threads: any; what needs the devices waits
 * for the machine's thread, which is busy only for moments (so hold nothing that your completions
 * and events wait for). "Live" is a machine that runs or is paused. */
#ifndef VZ_RUNTIME_H
#define VZ_RUNTIME_H

#include <vz/clipboard.h>
#include <vz/display.h>
#include <vz/machine.h>
#include <vz/network.h>
#include <vz/serial.h>
#include <vz/share.h>
#include <vz/socket.h>
#include <vz/storage.h>
#include <vz/usb.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Memory balloon (Apple's: VZVirtioTraditionalMemoryBalloonDevice) ----------------------- */

/**
 * Say how much memory the guest should have left. In any state, and kept over starts. The guest
 * follows when and as far as it can; pages it gives up go back to the host.
 * @bytes  rounded down to 1 MiB, then moved into the range from the balloon's minimum size to the
 *         machine's memory size
 * Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND (no balloon). Since 0.2. */
VZ_PUBLIC int vz_machine_set_memory_target(struct vz_machine *machine, uint64_t bytes,
                                           struct vz_error *err);

struct vz_memory_state { /* start from VZ_MEMORY_STATE_INIT */
    size_t size;
    uint64_t target; /* bytes: as set, after rounding */
    uint64_t actual; /* bytes the guest has now, as it says; all when it has no driver or does not run */
    uint64_t freed;  /* bytes that went back to the host in this run so far, some maybe many times */
};
#define VZ_MEMORY_STATE_INIT VZ_INIT_(struct vz_memory_state, )

/* Returns 0; or -1 with VZ_ERROR_DEVICE_NOT_FOUND (no balloon) or VZ_ERROR_INVALID (a struct of an
 * unknown size). Since 0.2. */
VZ_PUBLIC int vz_machine_memory_state(struct vz_machine *machine, struct vz_memory_state *ret,
                                      struct vz_error *err);

/* ---- Sockets (Apple's: VZVirtioSocketDevice, VZVirtioSocketListener) ------------------------ */

/* A guest's connection to a port of the host, as an event. connection is the caller's: take a
 * reference to keep it. Returns whether to accept; the guest waits until then. */
typedef bool vz_socket_accept_fn(void *arg, struct vz_machine *machine,
                                 struct vz_socket_connection *connection);

/**
 * Take the guest's connections to a port of the host. In any state, and kept over starts. fn replaces
 * that of an earlier call for the port.
 * Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND (no socket device), VZ_ERROR_INVALID (a
 * port that is 0xffffffff, or is forwarded) or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC int vz_machine_socket_listen(struct vz_machine *machine, uint32_t port,
                                       vz_socket_accept_fn *fn, void *arg, struct vz_error *err);

/* No call of fn begins after this; connections that are there stay. Since 0.2. */
VZ_PUBLIC void vz_machine_socket_unlisten(struct vz_machine *machine, uint32_t port);

/* The end of vz_machine_socket_connect(): connection, of which a reference must be taken to keep
 * it; or NULL and err. */
typedef void vz_socket_connected_fn(void *arg, struct vz_machine *machine,
                                    struct vz_socket_connection *connection,
                                    const struct vz_error *err);

/**
 * Connect to a port of the guest, by a stream. fn is called exactly once, as a completion, never from inside:
 *   VZ_ERROR_DEVICE_NOT_FOUND  no socket device
 *   VZ_ERROR_INVALID_STATE     the machine is not live, or its guest has no driver yet
 *   VZ_ERROR_NETWORK           nobody in the guest listens there, or the guest or the machine ended
 * Returns 0; or -1, and fn is not called, without memory. Since 0.2. */
VZ_PUBLIC int vz_machine_socket_connect(struct vz_machine *machine, uint32_t port,
                                        vz_socket_connected_fn *fn, void *arg);

/* The same, and wait. Returns a reference; or NULL with err, on the event thread
 * VZ_ERROR_INVALID_STATE. Since 0.2. */
VZ_PUBLIC struct vz_socket_connection *
vz_machine_socket_connect_wait(struct vz_machine *machine, uint32_t port, struct vz_error *err);

/* ---- Shared directories (Apple's: VZVirtioFileSystemDevice) ---------------------------------- */

/**
 * Give a directory sharing device of a live machine another share. What the guest knew of the one before is
 * stale (ESTALE) from then on; files that it has open stay open. Until the machine stops.
 * @share  a reference is taken; NULL: nothing is shared, and the guest finds an empty folder
 * Returns 0; or -1, and nothing has changed, with VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live),
 * VZ_ERROR_IO, or what vz_config_validate() says of shares. Since 0.4. */
VZ_PUBLIC int vz_machine_set_directory_share(struct vz_machine *machine, unsigned device,
                                             struct vz_directory_share *share, struct vz_error *err);

/* ---- Networks (Apple's: VZNetworkDevice) ---------------------------------------------------- */

/**
 * Wire a network card of a live machine to another network; the guest sees its link go down and up. A NAT in
 * place of a NAT with other forwards is the same network: the guest and its connections do not notice. Until
 * the machine stops: the next start has what the configuration says.
 * @attachment  a reference is taken; NULL: pull the plug
 * Returns 0; or -1, and the network before stays if that is possible, with VZ_ERROR_DEVICE_NOT_FOUND (no
 * such card), VZ_ERROR_INVALID_STATE (not live), or what vz_config_validate() and a start say of
 * attachments. Since 0.2. */
VZ_PUBLIC int vz_machine_set_network_attachment(struct vz_machine *machine, unsigned device,
                                                struct vz_network_attachment *attachment,
                                                struct vz_error *err);

/* What the card is wired to now: a reference; or NULL, if it has no link (pulled, or lost) or the
 * machine is not live. Since 0.2. */
VZ_PUBLIC struct vz_network_attachment *vz_machine_network_attachment(struct vz_machine *machine,
                                                                      unsigned device);

/**
 * Which address the guest behind a NAT has: as it calls itself, by DHCP or not. The event
 * guest_address_changed tells when there is another one.
 * Returns 0; or -1 with VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live), or
 * VZ_ERROR_UNSUPPORTED (not a NAT). Since 0.2. */
VZ_PUBLIC int vz_machine_guest_address(struct vz_machine *machine, unsigned device,
                                   struct vz_guest_address *ret, struct vz_error *err);

/* ---- Disks ---------------------------------------------------------------------------------- */

/**
 * Make a disk of a live machine longer: its image (raw or qcow2) grows, and the guest is told, a running one at
 * once: by virtio's configuration interrupt, or an event of the NVMe controller. Linux sees the new size by
 * itself; what is on the disk is the guest's to enlarge. Requests that are under way end first, and the guest's
 * next ones wait until it is done; nothing else does.
 * @device  of the configuration's storage devices
 * @size    bytes, a multiple of the disk's blocks (512 or 4096), no less than it has
 * @fn      (may be NULL) is called exactly once, as a completion, never from inside. With an error it has the size
 *          it had: VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live, a read-only disk, or one that is
 *          being made longer already), VZ_ERROR_INVALID (shorter, or not a multiple), VZ_ERROR_UNSUPPORTED (a block
 *          device of the host, or an image that cannot grow), or VZ_ERROR_IO
 * Returns 0; or -1, and fn is not called, without memory. Since 0.4. */
VZ_PUBLIC int vz_machine_resize_disk(struct vz_machine *machine, unsigned device, uint64_t size,
                                     vz_machine_done_fn *fn, void *arg);

/* The same, and wait. Returns 0, or -1 with the errors above; on the event thread VZ_ERROR_INVALID_STATE. Since
 * 0.4. */
VZ_PUBLIC int vz_machine_resize_disk_wait(struct vz_machine *machine, unsigned device, uint64_t size,
                                          struct vz_error *err);

/* The size of a live machine's disk now, in bytes. Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND,
 * VZ_ERROR_INVALID_STATE (not live) or VZ_ERROR_INVALID (ret is NULL). Since 0.4. */
VZ_PUBLIC int vz_machine_disk_size(struct vz_machine *machine, unsigned device, uint64_t *ret,
                                   struct vz_error *err);

/**
 * Change how fast a disk of a live machine may be: what waits goes by the new limits at once. Until the machine
 * stops: the next start has what the configuration says.
 * Returns 0; or -1, and nothing has changed, with VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live), or
 * VZ_ERROR_INVALID (a burst out of range). Since 0.4. */
VZ_PUBLIC int vz_machine_set_disk_limits(struct vz_machine *machine, unsigned device,
                                         const struct vz_disk_limits *limits, struct vz_error *err);

/* What a live machine's disk goes by now. Returns 0, or -1 as above. Since 0.4. */
VZ_PUBLIC int vz_machine_disk_limits(struct vz_machine *machine, unsigned device,
                                     struct vz_disk_limits *ret, struct vz_error *err);

#define VZ_DISK_TIME_COUNTS 24

/* How long requests of one kind took, from when the device gave it to the disk until it ended; those that failed
 * and what a speed limit held back included. */
struct vz_disk_time {
    uint64_t total_ns, max_ns;
    uint64_t count[VZ_DISK_TIME_COUNTS]; /* how many took less than 2^i us, and no less than half of that; the
                                            last one: all that took longer */
};

struct vz_disk_stats { /* start from VZ_DISK_STATS_INIT */
    size_t size;
    uint64_t reads, writes, flushes, discards, zeroes; /* requests */
    uint64_t bytes_read, bytes_written;                /* of those that did not fail */
    uint64_t errors;     /* requests that failed, */
    uint64_t refused;    /* of them: out of range, or writes to a read-only disk */
    uint64_t limited;    /* requests that a speed limit held back */
    uint64_t reconnects; /* connections to its server that were made anew */
    struct vz_disk_time read, write, flush, discard, zero;
};
#define VZ_DISK_STATS_INIT VZ_INIT_(struct vz_disk_stats, )

/**
 * What a disk has done since the machine started; after a run, at its end. In any state: without a run, nothing.
 * Does not wait for the machine's thread.
 * Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND or VZ_ERROR_INVALID (a struct of an unknown size). Since 0.4. */
VZ_PUBLIC int vz_machine_disk_stats(struct vz_machine *machine, unsigned device,
                                    struct vz_disk_stats *ret, struct vz_error *err);

/**
 * Have the disks of a paused machine lead to where those of a configuration do: to other images with the same bytes, as
 * layers (qcow2) on the ones that they have, which stay as they are from now on. So one makes a snapshot: pause, save,
 * this, resume. What the guest has written is written out first. The machine keeps them, also when it is started again.
 * @config  of a machine with the same storage devices; only paths of disk images are looked at
 * Returns 0; or -1, and they are as before, with VZ_ERROR_INVALID_STATE (not paused, or a USB disk was attached to it), VZ_ERROR_INVALID (other devices, or
 * another size), VZ_ERROR_IO or those of opening an image. Where one of before cannot be opened again, the machine ends
 * with an error. Since 0.4. */
VZ_PUBLIC int vz_machine_set_disks(struct vz_machine *machine, const struct vz_config *config,
                                   struct vz_error *err);

/* ---- USB devices (Apple's: VZUSBController) --------------------------------------------------- */

/* USB disks and CD-ROM drives (<vz/storage.h>), and USB devices of the host (<vz/usb.h>), can be attached to a live machine and
 * detached from it. Each has a UUID, in
 * lower case; one of the configuration that was given none has one that follows from the machine's identifier and its
 * number; one that is attached without one gets a random one. A state is saved with the devices that the machine has then:
 * vz_saved_state_config() has them, and it can be restored with a configuration that has them, with their UUIDs. What was
 * attached is there until it is detached, or the machine stops. */

#define VZ_USB_UUID_TEXT_MAX 37
#define VZ_USB_DEVICES_MAX   16 /* so many disks and drives fit in */

/**
 * Attach a disk or CD-ROM drive to a live machine. The guest sees it at once, a paused one when it goes on. Its image is opened
 * and locked as at a start.
 * @device  of vz_usb_mass_storage_device_new() or vz_usb_cdrom_device_new(); a reference is taken
 * @fn      (may be NULL) is called exactly once, as a completion, never from inside:
 *   VZ_ERROR_USB_CONTROLLER_NOT_FOUND       the machine has none: vz_xhci_controller_new() gives it one
 *   VZ_ERROR_DEVICE_ALREADY_ATTACHED        there is one with this UUID
 *   VZ_ERROR_DEVICE_INITIALIZATION_FAILURE  no port is free
 *   VZ_ERROR_INVALID_STATE                  the machine is not live
 *   VZ_ERROR_UNSUPPORTED                    from a completion or event on the machine's own thread, a machine in its sandbox,
 *                                           which can open nothing any more but what vz_block_device_attachment_new()
 *                                           describes
 *   and what vz_config_validate() and a start say of disks. One on an NBD server comes when that has answered, for which the
 *   machine does not wait.
 * Returns 0; or -1, and fn is not called, without memory. Since 0.4. */
VZ_PUBLIC int vz_machine_attach_usb_device(struct vz_machine *machine, struct vz_storage_device *device,
                                           vz_machine_done_fn *fn, void *arg);
/* The same, and wait. Returns 0, or -1 with the errors above; on the event thread VZ_ERROR_INVALID_STATE. Since 0.4. */
VZ_PUBLIC int vz_machine_attach_usb_device_wait(struct vz_machine *machine, struct vz_storage_device *device,
                                                struct vz_error *err);

/**
 * Attach a USB device of the host to a live machine, which takes it from the host's drivers. The guest sees it at once, a
 * paused one when it goes on. When the device is pulled out of the host, the guest sees it go, and the delegate hears of
 * it (usb_device_disconnected).
 * @device  of vz_usb_host_device_new(); a reference is taken
 * @fn      as above; with VZ_ERROR_DEVICE_NOT_FOUND where the host has no such device, or more than one, VZ_ERROR_IO where it
 *          cannot be opened, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE also where another program has it or it makes no sense, and
 *          VZ_ERROR_UNSUPPORTED also without libusb, and for a machine in its sandbox that was started with neither such a device
 *          nor a USB controller of its configuration's own
 * Returns 0; or -1, and fn is not called, without memory. Since 0.4. */
VZ_PUBLIC int vz_machine_attach_usb_host_device(struct vz_machine *machine, struct vz_usb_device *device,
                                                vz_machine_done_fn *fn, void *arg);
/* The same, and wait. As above. Since 0.4. */
VZ_PUBLIC int vz_machine_attach_usb_host_device_wait(struct vz_machine *machine, struct vz_usb_device *device,
                                                     struct vz_error *err);

/**
 * Pull a device out of a live machine, one of its configuration, too: the guest sees it go at once, and what it still asks of
 * it fails. What the guest has not written yet is lost, as with a stick: it should unmount first.
 * @uuid  of the device
 * @fn    (may be NULL) is called exactly once, as a completion, never from inside, when its image is closed, or the host has its
 *        device back:
 *   VZ_ERROR_DEVICE_NOT_FOUND  there is none with this UUID
 *   VZ_ERROR_INVALID_STATE     the machine is not live, or ended first
 * Returns 0; or -1, and fn is not called, without memory. Since 0.4. */
VZ_PUBLIC int vz_machine_detach_usb_device(struct vz_machine *machine, const char *uuid, vz_machine_done_fn *fn,
                                           void *arg);
/* The same, and wait. As above. Since 0.4. */
VZ_PUBLIC int vz_machine_detach_usb_device_wait(struct vz_machine *machine, const char *uuid, struct vz_error *err);

/**
 * Put another disc into a CD-ROM drive of a live machine, or take out what is in it. The guest sees it; what it reads of the one
 * before fails. The next start of this machine has it, too.
 * @device      number of the storage device
 * @attachment  a reference is taken, or a read-only copy is made of it; NULL: none
 * @force       though the guest keeps the drive closed, as it does while something on the disc is mounted
 * Returns 0; or -1, and nothing has changed, with VZ_ERROR_DEVICE_NOT_FOUND (no such drive), VZ_ERROR_INVALID_STATE (not
 * live; or without force: the guest keeps it closed, and has been asked to eject the disc), VZ_ERROR_UNSUPPORTED (as
 * above), or what a start says of images. A disc on an NBD server is waited for, not by the machine; on the event thread
 * that is VZ_ERROR_INVALID_STATE. Since 0.4. */
VZ_PUBLIC int vz_machine_set_disc(struct vz_machine *machine, unsigned device,
                                  struct vz_storage_attachment *attachment, bool force, struct vz_error *err);
/**
 * The same, without waiting for an NBD server.
 * @fn  (may be NULL) is called exactly once, as a completion, never from inside, with NULL or an error as above
 * Returns 0; or -1, and fn is not called, without memory. Since 0.4. */
VZ_PUBLIC int vz_machine_insert_disc(struct vz_machine *machine, unsigned device,
                                     struct vz_storage_attachment *attachment, bool force, vz_machine_done_fn *fn,
                                     void *arg);

enum vz_usb_device_kind {
    VZ_USB_DISK = 1,
    VZ_USB_CDROM = 2,
    VZ_USB_HOST_DEVICE = 3, /* one of the host's */
};

struct vz_usb_device_info { /* start from VZ_USB_DEVICE_INFO_INIT */
    size_t size;
    char uuid[VZ_USB_UUID_TEXT_MAX];
    enum vz_usb_device_kind kind;
    unsigned storage_device; /* its number for the functions on disks: those that were attached come behind the
                                configuration's; of a device of the host, among those */
    unsigned port;           /* of the controller, from 1 on */
    bool attached;           /* it came while the machine runs */
    bool has_disc;           /* of a CD-ROM drive: something is in it that the guest has not ejected */
    char device[32];         /* of one of the host's: as it was described; else empty */
};
#define VZ_USB_DEVICE_INFO_INIT VZ_INIT_(struct vz_usb_device_info, )

typedef void vz_usb_device_fn(void *arg, const struct vz_usb_device_info *info);

/**
 * Call fn, from inside, for each disk, CD-ROM drive and device of the host that is plugged into a live machine's USB controller.
 * Returns 0; or -1 with VZ_ERROR_INVALID (NULL) or VZ_ERROR_INVALID_STATE (not live). Since 0.4. */
VZ_PUBLIC int vz_machine_usb_devices(struct vz_machine *machine, vz_usb_device_fn *fn, void *arg,
                                     struct vz_error *err);

/* ---- Ports (Apple's: VZVirtioConsolePort) --------------------------------------------------- */

/**
 * Have a port of a live machine lead somewhere else. Bytes under way to the old place are given a moment to
 * get there. Until the machine stops.
 * @index, device, port  of the configuration's serial ports; of its console devices, and their ports
 * @attachment  NULL: nowhere
 * Returns 0; or -1, and nothing has changed, with VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live),
 * or what vz_config_validate() and a start say of attachments. Since 0.2. */
VZ_PUBLIC int vz_machine_set_serial_attachment(struct vz_machine *machine, unsigned index,
                                               struct vz_serial_attachment *attachment,
                                               struct vz_error *err);
VZ_PUBLIC int vz_machine_set_console_port_attachment(struct vz_machine *machine, unsigned device,
                                                     unsigned port,
                                                     struct vz_serial_attachment *attachment,
                                                     struct vz_error *err);

/**
 * Tell the guest how large the terminal is at the host's end of a virtio port; stdio: of every port that
 * leads to standard input and output. A 16550A cannot tell it.
 * Returns 0; or -1 with VZ_ERROR_DEVICE_NOT_FOUND or VZ_ERROR_INVALID_STATE (not live). Since 0.2. */
VZ_PUBLIC int vz_machine_set_serial_window(struct vz_machine *machine, unsigned index,
                                           uint16_t columns, uint16_t rows, struct vz_error *err);
VZ_PUBLIC int vz_machine_set_console_port_window(struct vz_machine *machine, unsigned device,
                                                 unsigned port, uint16_t columns, uint16_t rows,
                                                 struct vz_error *err);
VZ_PUBLIC int vz_machine_set_stdio_window(struct vz_machine *machine, uint16_t columns,
                                          uint16_t rows, struct vz_error *err);

/**
 * Give the guest input through a port of a live machine that leads to the program
 * (vz_callback_serial_attachment_new()). What the guest does not read yet waits, up to 64 KiB.
 * @index, device, port  as above
 * @ret_taken            how many of the len bytes: offer the others again later
 * Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live), or
 * VZ_ERROR_UNSUPPORTED (the port leads somewhere else). Since 0.4. */
VZ_PUBLIC int vz_machine_serial_send(struct vz_machine *machine, unsigned index, const void *data,
                                     size_t len, size_t *ret_taken, struct vz_error *err);
VZ_PUBLIC int vz_machine_console_port_send(struct vz_machine *machine, unsigned device,
                                           unsigned port, const void *data, size_t len,
                                           size_t *ret_taken, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
