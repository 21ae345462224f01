/* SPDX-License-Identifier: MIT */
/* A VNC client's part in the clipboard that a machine shares: text, as the protocol has it. What the client copies is
 * offered to the guest. What is copied there VNC cannot only offer: it is sent at once, so it is only sent to the client
 * that typed or pointed last; another one gets it when it does. */
#ifndef VZ_TOOLS_VNC_CLIPBOARD_H
#define VZ_TOOLS_VNC_CLIPBOARD_H

#include <stdbool.h>
#include <stddef.h>

#include <rfb/rfb.h>

#include "view_channel.h"

struct vnc_clipboard;
struct vnc_server;

/* Longer text stays where it is: LibVNCServer takes no more, either. */
#define VNC_TEXT_MAX ((size_t)1 << 20)

/* Of one client, whose thread calls these; channel is its own, and outlives it. NULL: the machine shares none, or no
 * memory. */
struct vnc_clipboard *vnc_clipboard_new(struct vnc_server *server, struct view_channel *channel);
void vnc_clipboard_free(struct vnc_clipboard *c); /* NULL is fine, here and below */

/* A message of the machine's, of the clipboard's or of others. fd: what came along, and stays the caller's; -1: none. */
void vnc_clipboard_take(struct vnc_clipboard *c, rfbClientPtr cl, const union view_message *m, int fd);
/* After whatever has happened. False: the machine does not hear everything just now, so once more soon. */
bool vnc_clipboard_serve(struct vnc_clipboard *c);

/* The client types or points. */
void vnc_clipboard_focus(struct vnc_clipboard *c);
/* The client has copied text, as UTF-8 or as Latin-1. */
void vnc_clipboard_copied(struct vnc_clipboard *c, const char *text, size_t len, bool latin1);

#endif
