/* SPDX-License-Identifier: MIT */
/* What goes over a connection between host and agent: frames, and the fields in them
 * (docs/agent.md). Both sides are compiled with this file; neither trusts the other. */
#ifndef VZ_AGENT_AGENT_WIRE_H
#define VZ_AGENT_AGENT_WIRE_H

#include "agent/agent_bytes.h"

#define AGENT_PORT        30330u /* "vz" */
#define AGENT_VERSION     1u
#define AGENT_NAME        "vz-agent"
#define AGENT_HEADER_SIZE 12u
#define AGENT_FRAME_MAX   (1u << 20) /* payload: a command line of any length that Linux takes in practice */
#define AGENT_DATA_MAX    (32u << 10) /* of one DATA frame as we send them */
#define AGENT_WINDOW      (256u << 10) /* bytes of a stream that may be under way */
#define AGENT_STREAMS     3u /* of a channel, as a process': 0 to the agent, 1 and 2 from it */

enum agent_frame_type {
    AGENT_HELLO = 1,   /* both, first, channel 0: version, features */
    AGENT_REQUEST = 2, /* host: opens a channel with a number that is free */
    AGENT_DATA = 3,    /* both: bytes of a stream */
    AGENT_EOF = 4,     /* sender of a stream: it ends; receiver: it takes no more */
    AGENT_CREDIT = 5,  /* receiver of a stream: so many bytes more (le32) */
    AGENT_CONTROL = 6, /* host: fields that change what runs: a signal, a window's size */
    AGENT_END = 7,     /* agent: the request's result, the channel's last frame */
    AGENT_CLOSE = 8,   /* host: give it up; END comes all the same */
};

/* Numbers of fields. Unknown ones are passed over. A number is 8 bytes, little-endian; a text has no
 * NUL in it. */
enum agent_field_key {
    AGENT_F_NAME = 1,     /* text: what is asked for; in HELLO: AGENT_NAME */
    AGENT_F_VERSION = 2,  /* number */
    AGENT_F_FEATURE = 3,  /* text, repeated */
    AGENT_F_ERROR = 4,    /* number: Linux' errno; there is none in a good END */
    AGENT_F_TEXT = 5,     /* text for people */
    AGENT_F_STAGE = 6,    /* text: at what it failed: "user", "cwd", "exec", ... */
    AGENT_F_STATUS = 7,   /* number: exit status */
    AGENT_F_SIGNAL = 8,   /* number: that ended it, or to be sent */
    AGENT_F_PID = 9,      /* number */
    AGENT_F_ARG = 10,     /* text, repeated, in order */
    AGENT_F_ENV = 11,     /* text NAME=VALUE, repeated */
    AGENT_F_CWD = 12,     /* text */
    AGENT_F_USER = 13,    /* text: name or number, [:group] */
    AGENT_F_FLAGS = 14,   /* number: enum agent_flag */
    AGENT_F_ROWS = 15,    /* number */
    AGENT_F_COLUMNS = 16, /* number */
    AGENT_F_PATH = 17,    /* text */
    AGENT_F_TIME_NS = 18, /* number: since 1970, UTC */
    AGENT_F_TIMEOUT_MS = 19, /* number */
    AGENT_F_COUNT = 20,   /* number */
    AGENT_F_HOSTNAME = 21, /* text */
    AGENT_F_SEED = 22,    /* bytes: entropy */
    AGENT_F_ADDRESS = 23, /* text "eth0 10.0.2.15/24", repeated */
    AGENT_F_LOAD = 24,    /* number: load average of one minute times 100 */
    AGENT_F_MEMORY = 25,  /* number: bytes that the guest's kernel manages */
    AGENT_F_AVAILABLE = 26, /* number: bytes that programs could still get */
    AGENT_F_UPTIME_NS = 27, /* number */
    AGENT_F_SYSTEM = 28,  /* text: "Debian GNU/Linux 12 (bookworm)" */
    AGENT_F_KERNEL = 29,  /* text: "6.1.0-18-cloud-amd64" */
    AGENT_F_LISTENS = 30, /* text "tcp 0.0.0.0:80", repeated */
    AGENT_F_SKIPPED = 31, /* number: of things that could not be copied */
    AGENT_F_MACS = 32,    /* text "FROM TO FROM TO ..." */
};

enum agent_flag {
    AGENT_PTY = 1,     /* exec: a terminal instead of pipes */
    AGENT_NO_STDIN = 2, /* exec: standard input is empty */
    AGENT_DETACH = 4,  /* exec: END comes at once, nobody waits for it */
    AGENT_OWNERS = 8,  /* files: keep owners and set-id bits */
    AGENT_INTO = 16,   /* put: into the folder, which must be there; else: as that path */
    AGENT_CONTENTS = 32, /* get: what is in the folder, not the folder */
    AGENT_FOLLOW = 64, /* get: if it is a symbolic link, what it leads to */
    AGENT_REBOOT = 128, /* power: off, and on again */
    AGENT_MACHINE_ID = 256, /* identity: which of them */
    AGENT_HOST_KEYS = 512,
    AGENT_NETWORK = 1024,
};

struct agent_frame {
    uint8_t type, stream;
    uint32_t channel;
    const uint8_t *data;
    uint32_t len;
};

/* The frame at the front of what was received, pointing into it; then agent_frame_drop() it.
 * 1; 0: it is not all there; -EPROTO: no frame of ours. */
int agent_frame_next(const struct agent_bytes *in, struct agent_frame *ret) must_check;
void agent_frame_drop(struct agent_bytes *in, const struct agent_frame *f);
/* false: no memory. */
bool agent_frame_append(struct agent_bytes *out, uint8_t type, uint8_t stream, uint32_t channel,
                        const void *data, size_t len) must_check;
bool agent_frame_append_credit(struct agent_bytes *out, uint8_t stream, uint32_t channel,
                               uint32_t bytes) must_check;

/* ---- Fields --------------------------------------------------------------------------------- */

/* Writing: a failure is remembered, so that only the end has to be looked at. Starts as zero. */
struct agent_fields {
    struct agent_bytes b;
    bool failed;
};

void agent_put(struct agent_fields *f, uint16_t key, const void *data, size_t len);
void agent_put_text(struct agent_fields *f, uint16_t key, const char *text); /* NULL: nothing */
void agent_put_number(struct agent_fields *f, uint16_t key, uint64_t value);
void agent_fields_fini(struct agent_fields *f);

struct agent_field {
    uint16_t key;
    const uint8_t *data;
    uint32_t len;
};

/* Reading: *at starts as 0. False at the end, and where the rest is no field. */
bool agent_field_next(const uint8_t *data, size_t len, size_t *at, struct agent_field *ret);
/* Is all of it fields? */
bool agent_fields_sound(const uint8_t *data, size_t len);
/* The first one with this key, as a number; otherwise the default. */
uint64_t agent_get_number(const uint8_t *data, size_t len, uint16_t key, uint64_t otherwise);
/* The first one as a text for free(); NULL: none, a NUL in it, or no memory. */
char *agent_get_text(const uint8_t *data, size_t len, uint16_t key);
/* All texts with this key, in order, ended by NULL: one block for free(). NULL: no memory, or one has
 * a NUL in it. */
char **agent_get_texts(const uint8_t *data, size_t len, uint16_t key, size_t *ret_count);

#endif
