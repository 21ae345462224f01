/* SPDX-License-Identifier: MIT */
/* Shortcuts through the backend: eventfds that send interrupts, and eventfds that the guest's
 * writes signal. Where there are none, everything goes by calls, and nobody notices. See bus.h. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bus/bus.h"
#include "bus/shortcut.h"
#include "hv/hv_shortcut.h"

/* ---- bells ---- */

static void silence(struct bus *bus, struct bus_bell *bell)
{
    if (bell->rings)
        bus->shortcut->ioeventfd_remove(bus->vm, bell->gpa, bell->fd);
    bell->rings = false;
}

static bool ring(struct bus *bus, const struct bus_range *r, struct bus_bell *bell)
{
    bell->gpa = r->base + bell->off;
    bell->rings = !bus->shortcut->ioeventfd_add(bus->vm, bell->gpa, bell->fd);
    return bell->rings;
}

void bus_bells_added(struct bus *bus, struct bus_range *r)
{
    /* One that fails is not missed: the handler is called then. */
    for (struct bus_bell *b = r->bells; b; b = b->next)
        (void)ring(bus, r, b);
}

void bus_bells_removed(struct bus *bus, struct bus_range *r)
{
    for (struct bus_bell *b = r->bells; b; b = b->next)
        silence(bus, b);
}

bool bus_has_bells(const struct bus *bus)
{
    return bus->shortcut->ioeventfd_add;
}

bool bus_bell_add(struct bus *bus, struct bus_range *r, struct bus_bell *bell)
{
    if (!bus_has_bells(bus))
        return false;
    bell->rings = false;
    if (r->added && !ring(bus, r, bell))
        return false;
    bell->next = r->bells;
    r->bells = bell;
    return true;
}

void bus_bell_remove(struct bus *bus, struct bus_range *r, struct bus_bell *bell)
{
    struct bus_bell **at = &r->bells;

    silence(bus, bell);
    while (*at && *at != bell)
        at = &(*at)->next;
    if (*at)
        *at = bell->next;
}

/* ---- messages ---- */

static void make_irqfd(struct bus *bus, struct bus_msi_line *line)
{
    line->tried = true;
    if (!bus->shortcut->irqfd_add)
        return;
    line->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (line->fd < 0)
        return;
    if (bus->shortcut->irqfd_add(bus->vm, line->fd, &line->msi, &line->irqfd) < 0) {
        line->irqfd = NULL;
        close(line->fd);
    }
}

static bool route(struct bus *bus, struct bus_msi_line *line, const struct hv_msi *msi)
{
    if (!line->tried) {
        line->msi = *msi;
        make_irqfd(bus, line);
    }
    if (!line->irqfd)
        return false;
    if (line->msi.address == msi->address && line->msi.data == msi->data)
        return true;
    if (bus->shortcut->irqfd_route(line->irqfd, msi) < 0)
        return false;
    line->msi = *msi;
    return true;
}

void bus_msi_line_send(struct bus *bus, struct bus_msi_line *line, uint64_t address,
                       uint32_t data)
{
    const struct hv_msi msi = {.address = address, .data = data};

    if (!route(bus, line, &msi) || eventfd_write(line->fd, 1) < 0)
        bus_msi(bus, address, data);
}

void bus_msi_line_fini(struct bus *bus, struct bus_msi_line *line)
{
    if (!line->irqfd)
        return;
    bus->shortcut->irqfd_remove(line->irqfd);
    close(line->fd);
    *line = (struct bus_msi_line){0};
}
