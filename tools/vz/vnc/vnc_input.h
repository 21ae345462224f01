/* SPDX-License-Identifier: MIT */
/* What a VNC client types and points at, for the machine's first keyboard and first pointer that goes where it is
 * told. A machine without them hears nothing. What a client holds is released when its channel is closed. */
#ifndef VZ_TOOLS_VNC_INPUT_H
#define VZ_TOOLS_VNC_INPUT_H

#include <stdbool.h>
#include <stdint.h>

struct view_channel;

/* Of one client. Zero at first. */
struct vnc_input {
    unsigned buttons; /* as RFB has them */
};

/* X's number of a symbol. The machine is sent the key that has it on an American keyboard; the client sends Shift and
 * the like as keys of their own. */
void vnc_input_key(struct view_channel *to, bool down, uint32_t symbol);

/* RFC 6143, 7.5.5: buttons (a wheel's notches are buttons 4 to 7), and where on a screen of that size. */
void vnc_input_pointer(struct vnc_input *in, struct view_channel *to, unsigned buttons, unsigned x, unsigned y,
                       unsigned width, unsigned height);

#endif
