/* SPDX-License-Identifier: MIT */
/* Ports of the socket device joined to Unix sockets of the host. The device reads and writes those
 * sockets itself; nothing is copied here. Loop thread, or while the loop does not run. */
#ifndef VZ_DEVICE_SOCKET_FORWARD_H
#define VZ_DEVICE_SOCKET_FORWARD_H

#include "base/compiler.h"

struct loop;
struct socket_forwards;
struct virtio_dev;
struct vz_error;
struct vz_socket_device;

/* Make the sockets that d asks for (d outlives them). *ret is NULL if it asks for none. 0 or
 * -errno. */
int socket_forwards_open(const struct vz_socket_device *d, struct loop *loop,
                         struct socket_forwards **ret, struct vz_error *err) must_check;
/* Let connections through, once the device is there. 0 or -errno. */
int socket_forwards_start(struct socket_forwards *f, struct virtio_dev *dev,
                          struct vz_error *err) must_check;
/* After the device is gone. NULL is fine. */
void socket_forwards_close(struct socket_forwards *f);

#endif
