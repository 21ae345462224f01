/* SPDX-License-Identifier: MIT */
/* A hypervisor that has shortcuts: for tests of what uses them. It remembers which address rings
 * which eventfd and which eventfd sends which message, up to FAKE_SHORTCUTS_MAX of each. */
#ifndef VZ_TESTS_FAKE_SHORTCUTS_H
#define VZ_TESTS_FAKE_SHORTCUTS_H

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "fake_machine.h"
#include "hv/hv_shortcut.h"

#define FAKE_SHORTCUTS_MAX 8u

struct hv_irqfd {
    struct fake_shortcuts *owner;
    int fd;
    struct hv_msi msi;
};

struct fake_shortcuts {
    struct fake_machine m; /* first: it is the hv_vm */
    struct {
        gpa_t gpa;
        int fd;
    } bell[FAKE_SHORTCUTS_MAX];
    unsigned bell_count;
    struct hv_irqfd *irqfd[FAKE_SHORTCUTS_MAX];
    unsigned routed; /* how often a route was changed */
};

static inline int fake_ioeventfd_add(struct hv_vm *vm, gpa_t gpa, int fd)
{
    struct fake_shortcuts *s = (struct fake_shortcuts *)vm;

    if (s->bell_count == FAKE_SHORTCUTS_MAX)
        return -ENOSPC;
    s->bell[s->bell_count].gpa = gpa;
    s->bell[s->bell_count++].fd = fd;
    return 0;
}

static inline void fake_ioeventfd_remove(struct hv_vm *vm, gpa_t gpa, int fd)
{
    struct fake_shortcuts *s = (struct fake_shortcuts *)vm;

    for (unsigned i = 0; i < s->bell_count; i++) {
        if (s->bell[i].gpa == gpa && s->bell[i].fd == fd) {
            s->bell[i] = s->bell[--s->bell_count];
            return;
        }
    }
    ck_abort_msg("a bell that is not there");
}

static inline int fake_irqfd_add(struct hv_vm *vm, int fd, const struct hv_msi *msi,
                                 struct hv_irqfd **ret)
{
    struct fake_shortcuts *s = (struct fake_shortcuts *)vm;

    for (unsigned i = 0; i < FAKE_SHORTCUTS_MAX; i++) {
        if (s->irqfd[i])
            continue;
        *ret = s->irqfd[i] = malloc(sizeof(**ret));
        **ret = (struct hv_irqfd){.owner = s, .fd = fd, .msi = *msi};
        return 0;
    }
    return -ENOSPC;
}

static inline int fake_irqfd_route(struct hv_irqfd *irq, const struct hv_msi *msi)
{
    irq->msi = *msi;
    irq->owner->routed++;
    return 0;
}

static inline void fake_irqfd_remove(struct hv_irqfd *irq)
{
    for (unsigned i = 0; i < FAKE_SHORTCUTS_MAX; i++) {
        if (irq->owner->irqfd[i] == irq)
            irq->owner->irqfd[i] = NULL;
    }
    free(irq);
}

static const struct hv_shortcut_ops fake_shortcut_ops = {
    .irqfd_add = fake_irqfd_add, .irqfd_route = fake_irqfd_route,
    .irqfd_remove = fake_irqfd_remove, .ioeventfd_add = fake_ioeventfd_add,
    .ioeventfd_remove = fake_ioeventfd_remove};

static const struct hv_ops fake_shortcuts_hv = {
    .name = "fake shortcuts", .shortcut = &fake_shortcut_ops, .irq_line = fake_irq_line,
    .msi = fake_msi};

/* Take the messages that wait in irqfds. Returns how many, and the last one in *ret. */
static inline unsigned fake_irqfds_take(struct fake_shortcuts *s, struct hv_msi *ret)
{
    unsigned count = 0;
    eventfd_t value;

    for (unsigned i = 0; i < FAKE_SHORTCUTS_MAX; i++) {
        if (!s->irqfd[i] || eventfd_read(s->irqfd[i]->fd, &value) < 0)
            continue;
        *ret = s->irqfd[i]->msi;
        count += (unsigned)value;
    }
    return count;
}

/* The guest writes at gpa: true if a bell rang. */
static inline bool fake_ring(struct fake_shortcuts *s, gpa_t gpa)
{
    for (unsigned i = 0; i < s->bell_count; i++) {
        if (s->bell[i].gpa == gpa)
            return eventfd_write(s->bell[i].fd, 1) == 0;
    }
    return false;
}

#endif
