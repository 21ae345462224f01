/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_library.h"

#include <dlfcn.h>

#include "failure.h"

struct vnc_library libvnc;

bool vnc_library_load(struct vz_error *err)
{
    void *library;
    void (*log_enable)(int enabled);
    struct vnc_library found;

    if (libvnc.rfbGetScreen)
        return true;
    library = dlopen("libvncserver.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "VNC needs LibVNCServer (Debian: libvncserver1): %.160s",
                          dlerror());
#define X(name)                                                                                    \
    *(void **)&found.name = dlsym(library, #name);                                                 \
    if (!found.name)                                                                               \
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "VNC: this LibVNCServer has no " #name "()");
    VNC_FUNCTIONS(X)
#undef X
    *(void **)&log_enable = dlsym(library, "rfbLogEnable");
    if (log_enable)
        log_enable(0);
    libvnc = found;
    return true;
}
