/* SPDX-License-Identifier: MIT */
/* A display for somebody who shows it in a window, in this process or in another: one socket over which the
 * picture's changes come, and keys, pointer and sizes go back. The pixels themselves are in shared memory, which
 * comes with the first message. VzMachineView (libvz-gtk) is the other end; so can be any program.
 *
 * The socket keeps messages apart (SOCK_SEQPACKET), and each is one of the structs below: it begins with its kind, a
 * uint32_t, and is as long as its struct. Both ends are on one host, so numbers are as it has them. A kind that one
 * does not know is to be skipped; the machine's end hangs up on one that is too short, or longer than any is.
 *
 *     machine                                  viewer
 *     HELLO, with the descriptor of the memory  ->
 *                                           <-  NEXT
 *     CURSOR where it has changed, UPDATE       ->      (at once, or when something has changed)
 *                                           <-  NEXT    (it has taken the pixels)
 *                                           <-  KEY, POINTER, TOUCHES, SIZE at any time
 *
 * So nothing ever piles up: what changes while the viewer is busy becomes one update. What a viewer holds down is
 * released when it goes, in whatever way.
 *
 * A viewer of a machine that shares its clipboard (<vz/clipboard.h>) has a part in it, if it likes:
 *
 *     machine                                  viewer
 *                                           <-  NEXT_COPIED
 *     COPIED                                    ->      (at once, or when the guest copies something else)
 *                                           <-  GET     (the guest's is pasted here)
 *     GOT, with a descriptor of the content     ->
 *                                           <-  COPY at any time (this is what is on offer here)
 *     PASTE                                     ->      (which the guest pastes)
 *                                           <-  PASTED, with a descriptor of the content
 *
 * Contents are files in memory (memfd_create()), read from their beginning; no others are taken. A viewer reads what it
 * gets at once: there are zeros in it when it has got eight others, or has gone. What a viewer has on offer is so no
 * more when it goes. One that asks and does not read the answers is hung up on.
 *
 * It can send files to such a guest's user, too, by the same agent:
 *
 *                                           <-  SEND_FILE, with a descriptor of it
 *     FILE now and then, and when it is over    ->
 *                                           <-  CANCEL_FILE, if it likes
 *
 * Up to 8 at a time, of all viewers. Those of one that goes do not arrive. */
#ifndef VZ_DISPLAY_CHANNEL_H
#define VZ_DISPLAY_CHANNEL_H

#include <vz/clipboard.h>
#include <vz/display.h>
#include <vz/error.h>
#include <vz/input.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The machine's end ---------------------------------------------------------------------- */

struct vz_display_channel;

/**
 * Serve one viewer of a live machine's display from now on, by a thread of its own. What is typed goes to the
 * machine's first keyboard; the pointer to the first pointing device of each kind.
 * @ret_fd  the viewer's end of the socket, the caller's: for another process, or for a widget in this one
 * Returns the channel, to be freed before the machine; or NULL with VZ_ERROR_DEVICE_NOT_FOUND,
 * VZ_ERROR_INVALID_STATE (not live), VZ_ERROR_INVALID, VZ_ERROR_NO_MEMORY or VZ_ERROR_IO (no descriptor). Any
 * thread. Since 0.4. */
VZ_PUBLIC struct vz_display_channel *vz_display_channel_new(struct vz_machine *machine, unsigned device,
                                                            unsigned display, int *ret_fd, struct vz_error *err);

/* Has the viewer gone, or the machine ended? Then there is nothing to do but to free it. Any thread. Since 0.4. */
VZ_PUBLIC bool vz_display_channel_is_over(const struct vz_display_channel *channel);

/* Hang up, and release what the viewer held down. Up to 2 s after the machine's end it waits for the viewer to take the last
 * picture: until it says NEXT, or goes. NULL is fine. Not from a delegate's call. Since 0.4. */
VZ_PUBLIC void vz_display_channel_free(struct vz_display_channel *channel);

/* ---- Messages ------------------------------------------------------------------------------- */

#define VZ_CHANNEL_VERSION 1

enum vz_channel_kind {
    VZ_CHANNEL_HELLO = 1, VZ_CHANNEL_UPDATE, VZ_CHANNEL_CURSOR, VZ_CHANNEL_COPIED, VZ_CHANNEL_GOT,
    VZ_CHANNEL_PASTE, VZ_CHANNEL_FILE, /* from the machine */
    VZ_CHANNEL_NEXT = 0x81, VZ_CHANNEL_KEY, VZ_CHANNEL_POINTER, VZ_CHANNEL_TOUCHES, VZ_CHANNEL_SIZE,
    VZ_CHANNEL_NEXT_COPIED, VZ_CHANNEL_GET, VZ_CHANNEL_COPY, VZ_CHANNEL_PASTED, VZ_CHANNEL_SEND_FILE,
    VZ_CHANNEL_CANCEL_FILE
};

/* What the machine has to be typed and pointed into. */
enum vz_channel_input {
    VZ_CHANNEL_HAS_KEYBOARD = 1, VZ_CHANNEL_HAS_POINTER = 2, /* that goes where it is told */
    VZ_CHANNEL_HAS_MOUSE = 4,                                /* that is moved: a mouse, or a trackpad */
    VZ_CHANNEL_HAS_TRACKPAD = 8
};

struct vz_channel_hello { /* the first message; the memory's descriptor, for reading, comes with it */
    uint32_t kind, version;
    uint64_t memory_size; /* bytes */
    uint32_t input;       /* of enum vz_channel_input */
    uint32_t display, display_count; /* which one this is, and of how many of its graphics device */
    uint32_t clipboard; /* 0: is not shared; else a number that all viewers of this machine have in common */
};

enum vz_channel_flags { VZ_CHANNEL_SHOWN = 1, VZ_CHANNEL_ENDED = 2 };

struct vz_channel_update {
    uint32_t kind, flags;   /* of enum vz_channel_flags */
    uint32_t width, height; /* pixels */
    uint32_t stride;        /* bytes from row to row */
    uint32_t damage_count;
    uint64_t offset;        /* of the picture in the memory, where it is shown; valid until NEXT */
    struct vz_display_rect damage[VZ_DAMAGE_MAX]; /* inside the picture */
};

struct vz_channel_cursor {
    uint32_t kind, visible;
    int32_t x, y;           /* of its upper left corner, on the display */
    uint32_t hot_x, hot_y, width, height; /* less than width and height, these up to VZ_CURSOR_SIDE_MAX */
    uint32_t pixels[VZ_CURSOR_SIDE_MAX * VZ_CURSOR_SIDE_MAX]; /* 0xAARRGGBB, premultiplied, width a row */
};

struct vz_channel_next {
    uint32_t kind;
};

struct vz_channel_key {
    uint32_t kind, key; /* as in vz_machine_send_key() */
    uint32_t down;
};

struct vz_channel_pointer { /* as struct vz_pointer_event, on this display */
    uint32_t kind;
    uint32_t relative; /* 1: for what is moved, and dx and dy count; 0: for what goes where it is told */
    uint32_t x, y;     /* 0..VZ_POINTER_MAX */
    int32_t dx, dy;
    uint32_t buttons;
    int32_t wheel, wheel_horizontal;
};

struct vz_channel_touches { /* as in vz_machine_send_touches() */
    uint32_t kind, count, pressed;
    struct {
        uint32_t id, x, y;
    } touch[VZ_TOUCHES_MAX];
};

struct vz_channel_size { /* as vz_machine_reconfigure_display() */
    uint32_t kind, width, height;
};

/* ---- The clipboard's. Selections and types as in <vz/clipboard.h> ---------------------------- */

struct vz_channel_next_copied {
    uint32_t kind;
    uint32_t others; /* 1: from now on also what other viewers and programs have on offer, as if it were the guest's */
};

struct vz_channel_copied {
    uint32_t kind;
    uint32_t agent; /* there is one in the guest */
    struct {
        uint32_t types;  /* bits of VZ_CLIPBOARD_BIT(); 0: it is not the guest who has copied last, if anybody has,
                          * nor one of the others */
        uint32_t serial; /* another one for each time it copies */
    } selection[2];
};

struct vz_channel_get { /* GOT is owed, in whatever order */
    uint32_t kind, selection, type;
    uint32_t serial; /* of COPIED: what was copied since is not wanted */
    uint64_t request; /* the viewer's number */
};

struct vz_channel_got {
    uint32_t kind;
    uint32_t there; /* 1: and a descriptor comes along; 0: it cannot be had */
    uint64_t request;
};

struct vz_channel_copy { /* as vz_clipboard_offer() */
    uint32_t kind, selection, types;
};

struct vz_channel_paste { /* PASTED is owed, now or later */
    uint32_t kind, selection, type, zero;
    uint64_t request; /* the machine's number */
};

struct vz_channel_pasted {
    uint32_t kind;
    uint32_t there; /* as of GOT */
    uint64_t request;
};

/* ---- Files ---------------------------------------------------------------------------------- */

#define VZ_CHANNEL_FILE_NAME_MAX 256 /* bytes, with the 0 */

struct vz_channel_send_file { /* a regular file comes along, which is sent as long as it is then */
    uint32_t kind, zero;
    uint64_t file; /* the viewer's number of it */
    char name[VZ_CHANNEL_FILE_NAME_MAX]; /* in the guest: UTF-8, without a slash */
};

struct vz_channel_cancel_file {
    uint32_t kind, zero;
    uint64_t file;
};

enum vz_channel_file_state {
    VZ_CHANNEL_FILE_GOES_ON,
    VZ_CHANNEL_FILE_ARRIVED, /* this and what follows: it is over */
    VZ_CHANNEL_FILE_CANCELLED,  /* by either side */
    VZ_CHANNEL_FILE_FAILED,     /* in the guest */
    VZ_CHANNEL_FILE_NO_SPACE,   /* there */
    VZ_CHANNEL_FILE_LOCKED,     /* its session is */
    VZ_CHANNEL_FILE_NO_SESSION, /* nobody has logged in there */
    VZ_CHANNEL_FILE_DISABLED,   /* the agent takes no files */
    VZ_CHANNEL_FILE_NO_AGENT,   /* there is none that does, or no more */
    VZ_CHANNEL_FILE_BUSY,       /* as many as may be are on their way */
    VZ_CHANNEL_FILE_BAD,        /* no regular file, no name for one, or it cannot be read to the end */
};

struct vz_channel_file {
    uint32_t kind, state; /* of enum vz_channel_file_state */
    uint64_t file, done, total; /* bytes */
};

#ifdef __cplusplus
}
#endif
#endif
