/* SPDX-License-Identifier: MIT */
/* Sockets between host and guest without a network (AF_VSOCK): the guest has an address (CID) and
 * ports, and so has the host (CID 2). <vz/runtime.h> listens and connects; forwards need
 * no program of yours. Apple's: VZVirtioSocketDeviceConfiguration, VZVirtioSocketConnection.
 * Lifetime: counted. Threads: any; devices do not change once made. */
#ifndef VZ_SOCKET_H
#define VZ_SOCKET_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The device ----------------------------------------------------------------------------- */

VZ_DECLARE_COUNTED(socket_device);

#define VZ_SOCKET_CID_HOST    2u
#define VZ_SOCKET_CID_MIN     3u          /* of a guest */
#define VZ_SOCKET_CID_MAX     0xfffffffeu
#define VZ_SOCKET_FORWARDS_MAX 256u

/* A port joined to a Unix socket of the host. */
struct vz_socket_forward { /* start from VZ_SOCKET_FORWARD_INIT */
    size_t size;
    /* true: the machine listens at path while it runs (nothing may be there but a socket that
     * nobody listens on any more; removed in the end), and who connects there reaches the guest's
     * port, by a stream. false: the guest's connections to this port of the host reach who listens
     * at path, with a socket of the type that the guest uses: SOCK_STREAM or SOCK_SEQPACKET. */
    bool to_guest;
    uint32_t port;    /* not 0xffffffff */
    const char *path; /* up to 107 bytes */
};

#define VZ_SOCKET_FORWARD_INIT VZ_INIT_(struct vz_socket_forward, )

struct vz_virtio_socket_options { /* start from VZ_VIRTIO_SOCKET_OPTIONS_INIT */
    size_t size;
    uint32_t guest_cid; /* VZ_SOCKET_CID_MIN to _MAX; machines need not differ */
    const struct vz_socket_forward *forwards; /* of this many; copied */
    unsigned forward_count;
};
#define VZ_VIRTIO_SOCKET_OPTIONS_INIT                                                              \
    VZ_INIT_(struct vz_virtio_socket_options, VZ_SET_(guest_cid, VZ_SOCKET_CID_MIN))

/**
 * Describe the virtio device. At most one per machine.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size, more than
 * VZ_SOCKET_FORWARDS_MAX forwards) or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_socket_device *
vz_virtio_socket_device_new(const struct vz_virtio_socket_options *options, struct vz_error *err);

/* ---- Connections ---------------------------------------------------------------------------- */

/* One end of a connection, that of the host. The last reference closes it. */
VZ_DECLARE_COUNTED(socket_connection);

/* A socket that blocks unless you change that: read, write, poll, shutdown (the guest sees a half
 * close). A stream, unless the guest connected with SOCK_SEQPACKET: then one of messages too
 * (SO_TYPE tells), each up to the guest's buffer, 256 KiB on Linux; a longer one ends the
 * connection. It is the connection's: do not close it. -1 once closed. Since 0.2. */
VZ_PUBLIC int vz_socket_connection_fd(const struct vz_socket_connection *connection);

/* The port of who connected, and that connected to. Since 0.2. */
VZ_PUBLIC uint32_t
vz_socket_connection_source_port(const struct vz_socket_connection *connection);
VZ_PUBLIC uint32_t
vz_socket_connection_destination_port(const struct vz_socket_connection *connection);

/* Both ways, at once. Again: does nothing. Nobody may be using the descriptor. Since 0.2. */
VZ_PUBLIC void vz_socket_connection_close(struct vz_socket_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
