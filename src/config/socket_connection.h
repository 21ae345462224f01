/* SPDX-License-Identifier: MIT */
/* Making vz_socket_connection. */
#ifndef VZ_CONFIG_SOCKET_CONNECTION_H
#define VZ_CONFIG_SOCKET_CONNECTION_H

#include <vz/socket.h>

/* fd is the connection's from now on, also after a failure. NULL without memory. */
struct vz_socket_connection *socket_connection_new(int fd, uint32_t source_port,
                                                   uint32_t destination_port);

#endif
