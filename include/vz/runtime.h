/* SPDX-License-Identifier: MIT */
/* The devices of a machine while it runs: the memory balloon, sockets.
 *
 * Devices are counted as in the configuration, from 0. Threads: any; what needs the devices waits for
 * the machine's thread, which is busy only for moments (so hold nothing that your completions and
 * events wait for). "Live" is a machine that runs or is paused. */
#ifndef VZ_RUNTIME_H
#define VZ_RUNTIME_H

#include <vz/machine.h>
#include <vz/socket.h>

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
#define VZ_MEMORY_STATE_INIT {.size = sizeof(struct vz_memory_state)}

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

/* The end of vz_machine_socket_connect(): connection, of which a reference must be taken to keep it;
 * or NULL and err. */
typedef void vz_socket_connected_fn(void *arg, struct vz_machine *machine,
                                    struct vz_socket_connection *connection,
                                    const struct vz_error *err);

/**
 * Connect to a port of the guest. fn is called exactly once, as a completion, never from inside:
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

#ifdef __cplusplus
}
#endif
#endif
