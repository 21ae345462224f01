/* SPDX-License-Identifier: MIT */
/* Ports that are forwarded since programs of the guest opened them. */
#ifndef VZ_TOOLS_GUEST_PORTS_H
#define VZ_TOOLS_GUEST_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#define GUEST_PORTS_MAX 128u /* so many of the host's at most: the guest says which */

struct guest_ports {
    bool on;
    uint16_t port[GUEST_PORTS_MAX];
    unsigned count;
};

bool guest_ports_has(const struct guest_ports *g, uint16_t port);

#endif
