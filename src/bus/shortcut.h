/* SPDX-License-Identifier: MIT */
/* For space.c: a range with bells has come or gone. Under its device's lock. */
#ifndef VZ_BUS_SHORTCUT_H
#define VZ_BUS_SHORTCUT_H

struct bus;
struct bus_range;

void bus_bells_added(struct bus *bus, struct bus_range *r);
void bus_bells_removed(struct bus *bus, struct bus_range *r);

#endif
