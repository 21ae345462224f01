/* SPDX-License-Identifier: MIT */
/* What facts about the computer mean for virtual machines, in sentences: the findings of
 * <vz/host.h>. */
#ifndef VZ_HOST_HOST_JUDGE_H
#define VZ_HOST_HOST_JUDGE_H

#include <vz/host.h>

#include "host/host_facts.h"

#define HOST_FINDINGS_MAX 19

struct host_finding {
    enum vz_host_level level;
    const char *topic, *code; /* static strings */
    char text[768];
    char command[384];
};

struct host_findings {
    struct host_finding item[HOST_FINDINGS_MAX];
    unsigned count;
};

/* A pure function. */
void host_judge(const struct host_facts *f, struct host_findings *ret);

#endif
