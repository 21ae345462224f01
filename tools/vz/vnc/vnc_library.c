/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_library.h"

#include "tool_library.h"

struct vnc_library libvnc;

static const char *const names[] = {
#define X(name) #name,
    VNC_FUNCTIONS(X)
#undef X
};

bool vnc_library_load(struct vz_error *err)
{
    unsigned char nothing[16] = {0}; /* a challenge */
    char nowhere[] = "password";

    if (!tool_library_load(&(struct tool_library){.files = {"libvncserver.so.1"},
                                                  .needed = "VNC needs LibVNCServer (Debian: libvncserver1)",
                                                  .names = names,
                                                  .functions = &libvnc,
                                                  .count = sizeof(names) / sizeof(names[0])},
                           err))
        return false;
    libvnc.rfbLogEnable(0);
    libvnc.rfbEncryptBytes(nothing, nowhere); /* what encrypts for it looks around first, and may load more */
    return true;
}
