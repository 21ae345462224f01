/* SPDX-License-Identifier: MIT */
#include "sound/pipewire_library.h"

#include "base/late_library.h"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct pipewire_library libpipewire;

static const char *const names[] = {
#define X(name) "pw_" #name,
    PIPEWIRE_FUNCTIONS(X)
#undef X
};

/* Without arguments of a program's. */
static void init(void)
{
    libpipewire.init(NULL, NULL);
}

int pipewire_library_load(struct vz_error *err)
{
    static struct late_library library = {.file = "libpipewire-0.3.so.0",
                                          .needed = "the host's sound needs PipeWire (Debian: libpipewire-0.3-0)",
                                          .names = names,
                                          .functions = &libpipewire,
                                          .count = ARRAY_SIZE(names),
                                          .loaded = init,
                                          .lock = PTHREAD_MUTEX_INITIALIZER};

    return late_library_load(&library, err);
}
