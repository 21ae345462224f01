/* SPDX-License-Identifier: MIT */
/* LibVNCServer, loaded when the first server is asked for: vz starts without it. */
#ifndef VZ_TOOLS_VNC_LIBRARY_H
#define VZ_TOOLS_VNC_LIBRARY_H

#include <stdbool.h>

#include <rfb/rfb.h>
#include <rfb/rfbregion.h>

struct vz_error;

#define VNC_FUNCTIONS(X)                                                                           \
    X(rfbGetScreen) X(rfbInitServerWithPthreadsAndZRLE) X(rfbScreenCleanup) X(rfbNewClient)        \
    X(rfbProcessEvents) X(rfbMarkRectAsModified) X(rfbNewFramebuffer) X(rfbSetCursor)              \
    X(rfbMakeMaskFromAlphaSource) X(rfbCheckPasswordByList) X(rfbCloseClient)                      \
    X(rfbClientConnectionGone) X(rfbLogEnable) X(rfbSendServerCutText) X(rfbSendServerCutTextUTF8)      \
    X(rfbEncryptBytes) X(sraRgnEmpty)

struct vnc_library {
#define X(name) __typeof__(&name) name;
    VNC_FUNCTIONS(X)
#undef X
};

extern struct vnc_library libvnc;

/* Before anything of libvnc, and while everything can still be opened. False and err: it is not there. */
bool vnc_library_load(struct vz_error *err);

#endif
