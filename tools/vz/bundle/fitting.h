/* SPDX-License-Identifier: MIT */
/* A saved state fits the disks as they were. The folder of a machine remembers how they were for each state that has left it, as
 * neither a copied state's nor a copied disk's own times would tell. */
#ifndef VZ_TOOLS_FITTING_H
#define VZ_TOOLS_FITTING_H

#include "bundle/bundle.h"

/* Of the state that is this file of the folder, once the machine is off. false and err. */
bool fitting_note(const struct bundle *b, const char *file, struct vz_error *err);

/* Are the disks as they were for the state at path, counted from the folder cwd? If not, false, and err says what differs. Of a
 * state that did not leave this folder it can only be told which is younger. */
bool fitting_check(const struct bundle *b, int cwd, const char *path, struct vz_error *err);

#endif
