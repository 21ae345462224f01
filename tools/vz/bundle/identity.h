/* SPDX-License-Identifier: MIT */
/* A machine that was made by copying another one, or an image, is to become one of its own: its
 * guest's name, and all else that guests keep of who they are. Only the guest can do that, so until
 * its agent has done it a file in the folder (BUNDLE_IDENTITY) says what is to be done. */
#ifndef VZ_TOOLS_IDENTITY_H
#define VZ_TOOLS_IDENTITY_H

#define IDENTITY_MACS_MAX 1024

#include "bundle/bundle.h"

struct identity {
    char hostname[BUNDLE_NAME_MAX + 1]; /* "": it keeps its own */
    char macs[IDENTITY_MACS_MAX]; /* "FROM TO FROM TO ...": of network cards; "": they stay */
    bool all; /* machine-id and host keys too; they are the same as another machine's */
};

/* What a guest of a machine of this name is called: hosts have no '_', and '.' means a domain. */
void identity_host_name(const char *name, char ret[BUNDLE_NAME_MAX + 1]);
/* The guest's name is to become that; all: and all else; macs: and its cards' addresses, if it goes on (NULL: not). -1 and err. */
int identity_ask(const struct bundle *b, const char *name, bool all, const char *macs, struct vz_error *err);
/* Is there something to do? ret may be NULL. A file that is none is taken for no wishes. */
bool identity_load(const struct bundle *b, struct identity *ret);
/* The guest has it. -1 and err. */
int identity_done(const struct bundle *b, struct vz_error *err);

#endif
