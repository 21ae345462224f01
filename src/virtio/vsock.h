/* SPDX-License-Identifier: MIT */
/* The socket device (VIRTIO 1.2 section 5.10), in user space: connections of bytes or of messages
 * between ports of the guest and of the host (CID 2). The host's end of each is a Unix socket of the
 * same type, SOCK_STREAM or SOCK_SEQPACKET: what a program writes there the guest reads, shutdown()
 * and close() reach the other side, and a slow reader holds back the writer by the protocol's
 * credit. A message of the host's may be as long as the guest's buffer (Linux: 256 KiB); a longer
 * one ends the connection, as does one of the guest's that the host's socket does not take.
 *
 * Threads: loop thread, or while the loop does not run. */
#ifndef VZ_VIRTIO_VSOCK_H
#define VZ_VIRTIO_VSOCK_H

#include "virtio/virtio.h"

#define VSOCK_HOST_CID        2u
#define VSOCK_CONNECTIONS_MAX 4096u

struct vsock_options {
    uint32_t guest_cid; /* 3 or more */
};

/* Connect to a port of the guest, by a stream. 0: done() comes once, later, on the loop thread: with err 0 and a
 * socket, which is the callee's then; or with -ECONNREFUSED (nobody listens), -ECONNRESET (the
 * guest reset the device, or the device goes away) and fd -1. -ENOTCONN: the guest has no driver
 * now; -EMFILE, -ENOMEM, -EAGAIN (VSOCK_CONNECTIONS_MAX). */
int vsock_connect(struct virtio_dev *dev, uint32_t guest_port,
                  void (*done)(void *arg, int err, int fd), void *arg) must_check;

/* The host's port of the last vsock_connect() that succeeded. */
uint32_t vsock_last_port(const struct virtio_dev *dev);

/* Take the guest's connections to a port of the host, of either type, which is the socket's
 * (SO_TYPE). accept() gets a socket, and returns whether
 * it keeps it; false refuses the connection (and the socket is closed). It must not call back into
 * the device. -EADDRINUSE, -ENOMEM. */
int vsock_listen(struct virtio_dev *dev, uint32_t host_port,
                 bool (*accept)(void *arg, int fd, uint32_t host_port, uint32_t guest_port),
                 void *arg) must_check;
/* Connections that are there stay. */
void vsock_unlisten(struct virtio_dev *dev, uint32_t host_port);

/* As vsock_connect(), with a socket that is there as the host's end, and says the type: fd is the
 * device's from now on, also after a failure, and is closed when the guest refuses. -ENOTCONN also
 * for SOCK_SEQPACKET when the guest's driver has none. */
int vsock_connect_fd(struct virtio_dev *dev, uint32_t guest_port, int fd) must_check;

/* As vsock_listen(): open() makes the host's end, a socket of that type that is the device's then; or
 * it returns -errno, and the connection is refused. */
int vsock_listen_open(struct virtio_dev *dev, uint32_t host_port,
                      int (*open)(void *arg, uint32_t guest_port, int type),
                      void *arg) must_check;

/* As vsock_listen(), for who cannot say at once: offered() gets a socket, which is the callee's,
 * and the guest waits until vsock_answer() is called with the same numbers. What is written
 * meanwhile waits too. */
int vsock_listen_deferred(struct virtio_dev *dev, uint32_t host_port,
                          void (*offered)(void *arg, int fd, uint32_t host_port,
                                          uint32_t guest_port, uint64_t id),
                          void *arg) must_check;
/* Does nothing when the guest has given up. */
void vsock_answer(struct virtio_dev *dev, uint32_t host_port, uint32_t guest_port, uint64_t id,
                  bool accept);

unsigned vsock_connections(const struct virtio_dev *dev);

#endif
