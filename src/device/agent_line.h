/* SPDX-License-Identifier: MIT */
/* A line that ends in a SPICE agent's other side (spice/spice_agent.h): of console ports whose attachment says so. What the
 * agent has to say goes to the machine as an event of its slot. Loop thread, or while the loop does not run. */
#ifndef VZ_DEVICE_AGENT_LINE_H
#define VZ_DEVICE_AGENT_LINE_H

#include "device/device_kind.h"
#include "spice/spice_agent.h"

struct char_dev;
struct device_slots;

/* DEVICE_AGENT's: spice_agent_ops, one by one. */
struct agent_event {
    enum { AGENT_PRESENCE, AGENT_OFFERED, AGENT_WANTED, AGENT_CONTENT, AGENT_FILE } what;
    bool there;
    enum spice_selection selection;
    enum spice_type type;
    unsigned types;
    uint64_t request;
    uint8_t *data; /* the receiver's, for free() */
    size_t len;
    enum spice_failure why;
    uint32_t file;
    enum spice_file_news news;
};

/* 0 or -errno. */
int agent_line_create(struct device_slot *s, bool shares, struct char_dev **ret, struct vz_error *err) must_check;

/* The agent behind a line; NULL: it leads somewhere else. */
struct spice_agent *agent_line_agent(struct char_dev *line);

/* That of a machine; NULL: it has none. */
struct spice_agent *agent_line_find(struct device_slots *slots);

/* spice_agent_ask(), whose answer comes to an end: who sends nothing for AGENT_SILENCE_MS is gone. */
#define AGENT_SILENCE_MS 20000u
int agent_line_ask(struct device_slots *slots, enum spice_selection s, enum spice_type type) must_check;
/* The guest stands still, or goes on: that time does not count. Of a line that leads somewhere else: does nothing. */
void agent_line_rest(struct char_dev *line, bool rests);

#endif
