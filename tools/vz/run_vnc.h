/* SPDX-License-Identifier: MIT */
/* What `vz run` does of --vnc. */
#ifndef VZ_TOOLS_RUN_VNC_H
#define VZ_TOOLS_RUN_VNC_H

#include "cli.h"

struct vnc_process;
struct vz_config;
struct vz_machine;

/* A display and what goes with it, where --vnc or --view was given and there is none. False after cli_error(). */
bool run_vnc_prepare(const struct given *given, struct vz_config *config);
/* Serve, and have it said where; *ret NULL without --vnc. name: the machine's, for clients. False after cli_error(). */
bool run_vnc_start(const struct given *given, struct vz_machine *m, const char *name, struct vnc_process **ret);

#endif
