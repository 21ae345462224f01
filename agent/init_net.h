/* SPDX-License-Identifier: MIT */
/* The network of a root without an init: addresses by DHCP. */
#ifndef VZ_AGENT_INIT_NET_H
#define VZ_AGENT_INIT_NET_H

/* Raise the loopback interface, and all network cards, each with a process of its own that asks for its address and
 * keeps it. Returns when all have one, or after some seconds: they go on. /run is a file system in memory. */
void net_start(void);

#endif
