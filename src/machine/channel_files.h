/* SPDX-License-Identifier: MIT */
/* Files that a viewer sends into the guest, by the messages of its channel (<vz/display_channel.h>) and the guest's SPICE
 * agent. Each has a thread that reads it: a file may be on a server that takes its time. */
#ifndef VZ_MACHINE_CHANNEL_FILES_H
#define VZ_MACHINE_CHANNEL_FILES_H

#include <stdbool.h>

#include <vz/display_channel.h>

#include "spice/spice_agent.h"

struct channel_files;
struct vz_machine;

/* socket: the channel's, which stays the caller's. NULL: no memory. */
struct channel_files *channel_files_new(struct vz_machine *m, int socket);
/* Those on their way do not arrive. NULL is fine. */
void channel_files_free(struct channel_files *c);

/* Messages of a viewer. fd: is taken; -1: none came. */
void channel_files_send(struct channel_files *c, const struct vz_channel_send_file *m, int fd);
void channel_files_cancel(struct channel_files *c, const struct vz_channel_cancel_file *m);

/* The machine's thread: what the agent says of one; and that it says nothing any more. */
void machine_tell_file(struct vz_machine *m, uint32_t id, enum spice_file_news news);
void machine_forget_files(struct vz_machine *m);

#endif
