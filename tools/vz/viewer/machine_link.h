/* SPDX-License-Identifier: MIT */
/* How a window talks to the process of its machine (docs/control.md): requests whose answers come later, and events,
 * all on GLib's main loop. client.h is the same for commands, which wait. */
#ifndef VZ_TOOLS_MACHINE_LINK_H
#define VZ_TOOLS_MACHINE_LINK_H

#include <glib.h>
#include <jansson.h>

struct machine_link;

struct machine_link_ops {
    void (*event)(void *arg, const char *name, json_t *event);
    void (*gone)(void *arg); /* the process has ended, or makes no sense; nothing comes after it */
};

/* result: NULL, and error says why not. fd: came along, and is the callee's; -1: none, as always without _fd. */
typedef void machine_link_done(void *arg, json_t *result, int fd, const char *error);

/* fd, a connection to the control socket, is the link's from now on. */
struct machine_link *machine_link_new(int fd, const struct machine_link_ops *ops, void *arg);
void machine_link_free(struct machine_link *l);

/* params: taken; NULL: none. done may be NULL. What is not answered when the process ends is answered with an error. */
void machine_link_ask(struct machine_link *l, const char *method, json_t *params, machine_link_done *done, void *arg);

/* The same of a method that answers with a descriptor; one such question at a time. done is not NULL. */
void machine_link_ask_fd(struct machine_link *l, const char *method, json_t *params, machine_link_done *done,
                         void *arg);

#endif
