/* SPDX-License-Identifier: MIT */
/* The viewer's end of a display's channel (<vz/display_channel.h>): maps the memory, and checks what comes, since the
 * machine's process may be anything. No GTK in it. */
#ifndef VZ_GTK_VIEW_CHANNEL_H
#define VZ_GTK_VIEW_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <vz/display_channel.h>

struct view_channel {
    int fd; /* -1: closed */
    const uint8_t *memory;
    struct vz_channel_hello hello;
};

/* One message, of what is known and has been checked. */
union view_message {
    uint32_t kind;
    struct vz_channel_update update;
    struct vz_channel_cursor cursor;
    struct vz_channel_copied copied;
    struct vz_channel_got got;
    struct vz_channel_paste paste;
    struct vz_channel_file file;
};

enum view_received { VIEW_NOTHING, VIEW_MESSAGE, VIEW_OVER };

/* Waits for the first message, some seconds at most. fd is the channel's in any case. False: *ret is closed. */
bool view_channel_open(struct view_channel *ret, int fd);
void view_channel_close(struct view_channel *c); /* also one that is closed */

/* Never waits. What makes no sense is VIEW_OVER too. ret_fd: what came with a GOT, the caller's; else -1. */
enum view_received view_channel_receive(struct view_channel *c, union view_message *ret, int *ret_fd);
/* A message of the viewer's. What cannot be sent since the other end does not read is lost; false then. */
bool view_channel_send(struct view_channel *c, const void *message, size_t len);
/* The same with a descriptor, which stays the caller's. */
bool view_channel_send_fd(struct view_channel *c, const void *message, size_t len, int fd);
/* Has the other end so much to read yet, as while its machine is being saved, that what can be left out should be? What
 * is pressed and released has room then. */
bool view_channel_is_behind(const struct view_channel *c);

#endif
