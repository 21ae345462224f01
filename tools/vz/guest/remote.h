/* SPDX-License-Identifier: MIT */
/* A program in the guest in this process' place: its input and output are ours, signals that we get go
 * to it, and its end is ours. */
#ifndef VZ_TOOLS_REMOTE_H
#define VZ_TOOLS_REMOTE_H

#include <vz/agent.h>

/* As docker and its like have it. */
enum { EXIT_OURS = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNALED = 128 };

/* Before the process has other threads: signals that are passed on are blocked from now on. */
void remote_prepare(void);

/* The program's environment as --env has it, to env[REMOTE_ENV_MAX + 1]; with our TERM for a terminal. */
#define REMOTE_ENV_MAX 256u
struct given;
void remote_env(const struct given *given, bool terminal, const char **env);
void remote_env_free(const char **env);

/* Run it; where o has a terminal ours becomes raw meanwhile. Returns the exit status, after cli_error() where
 * it is not the program's own. name is the machine's. Once in a process. */
int remote_run(struct vz_agent *agent, struct vz_agent_exec_options *o, const char *name);

#endif
