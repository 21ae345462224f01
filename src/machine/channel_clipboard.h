/* SPDX-License-Identifier: MIT */
/* A viewer's part in the clipboard, by the messages of its channel (<vz/display_channel.h>). The channel's thread
 * brings what the viewer says; what the guest does is told by the thread that has the machine's events. */
#ifndef VZ_MACHINE_CHANNEL_CLIPBOARD_H
#define VZ_MACHINE_CHANNEL_CLIPBOARD_H

#include <sys/types.h>

#include <vz/display_channel.h>

struct channel_clipboard;

/* fd: the channel's socket, which stays the caller's. NULL: the machine shares none. */
struct channel_clipboard *channel_clipboard_new(struct vz_machine *m, int fd);
/* What the viewer had on offer is so no more. NULL is fine. */
void channel_clipboard_free(struct channel_clipboard *c);

/* The machine's: for HELLO. 0 of NULL. */
uint32_t channel_clipboard_number(const struct channel_clipboard *c);

/* Messages of a viewer. c: NULL is fine. fd: came along and stays the caller's; -1: none. */
void channel_clipboard_next(struct channel_clipboard *c, const struct vz_channel_next_copied *m);
void channel_clipboard_get(struct channel_clipboard *c, const struct vz_channel_get *m);
void channel_clipboard_copy(struct channel_clipboard *c, const struct vz_channel_copy *m);
void channel_clipboard_pasted(struct channel_clipboard *c, const struct vz_channel_pasted *m, int fd);

/* One message to the viewer, with fd, unless it is -1. Never waits; false: it did not go. Any thread. */
bool channel_send(int socket, const void *message, size_t len, int fd);

#endif
