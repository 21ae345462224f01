/* SPDX-License-Identifier: MIT */
/* What a VNC client types and points at, for the machine's first keyboard and first pointer that goes where it is
 * told. A machine without them hears nothing. */
#ifndef VZ_TOOLS_VNC_INPUT_H
#define VZ_TOOLS_VNC_INPUT_H

#include <stdbool.h>
#include <stdint.h>

struct vz_machine;

/* Of one client. Zero at first. */
struct vnc_input {
    uint8_t down[32]; /* bit per key of the HID page: those that this client holds */
    unsigned buttons; /* as RFB has them */
};

/* X's number of a symbol. The machine is sent the key that has it on an American keyboard; the client sends Shift and
 * the like as keys of their own. */
void vnc_input_key(struct vnc_input *in, struct vz_machine *m, bool down, uint32_t symbol);

/* RFC 6143, 7.5.5: buttons (a wheel's notches are buttons 4 to 7), and where on a screen of that size. */
void vnc_input_pointer(struct vnc_input *in, struct vz_machine *m, unsigned buttons, unsigned x, unsigned y,
                       unsigned width, unsigned height);

/* The client goes: what it holds is released. */
void vnc_input_release(struct vnc_input *in, struct vz_machine *m);

#endif
