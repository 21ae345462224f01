/* SPDX-License-Identifier: MIT */
/* libslirp, loaded for the first machine with a network card. Linked it would bring GLib and PCRE to each start of
 * every program that makes virtual machines. */
#ifndef VZ_NET_SLIRP_LIBRARY_H
#define VZ_NET_SLIRP_LIBRARY_H

#include <libslirp.h>

#include "base/compiler.h"
#include "base/error.h"

/* What is used of it, without the slirp_ before. */
#define SLIRP_FUNCTIONS(X)                                                                           \
    X(add_hostxfwd) X(cleanup) X(handle_timer) X(input) X(new) X(pollfds_fill) X(pollfds_poll)       \
    X(remove_hostxfwd)

struct slirp_library {
#define X(name) __typeof__(slirp_##name) *name;
    SLIRP_FUNCTIONS(X)
#undef X
};

/* All of it NULL before slirp_library_load() returned 0, the same for ever after. */
extern struct slirp_library libslirp;

/* See late_library_load(). */
int slirp_library_load(struct vz_error *err) must_check;

#endif
