/* SPDX-License-Identifier: MIT */
/* The host's side of the guest's SPICE agent (spice-vdagent, or Windows' one): a shared clipboard and the sizes of
 * displays, spoken over a port of a console device. An engine without I/O: bytes of the guest go in, bytes for the guest
 * are taken out, and who uses it hears what the guest wants. Client: device/agent_line.c. Specification:
 * vd_agent_spec.h.
 *
 * On demand: who copies only says in which types there is content (an offer), and it travels when somebody pastes. Of
 * each selection there is one offer at a time, the guest's or the host's: the last one.
 *
 * The guest is not trusted. What it can make us keep is one content of at most SPICE_CONTENT_MAX bytes, and only when
 * that was asked for; what does not fit, or is no such message, is passed over.
 *
 * Threads: all of it on one, the loop's. */
#ifndef VZ_SPICE_SPICE_AGENT_H
#define VZ_SPICE_SPICE_AGENT_H

#include "base/compiler.h"

struct spice_agent;
struct state_desc;
struct vz_error;

#define SPICE_CONTENT_MAX ((size_t)32 << 20) /* bytes of one content, either way */
#define SPICE_REQUESTS_MAX 16u /* of the guest's, waiting at a time; more are not answered */
#define SPICE_MONITORS_MAX 16u
#define SPICE_FILES_MAX 8u         /* on their way at a time */
#define SPICE_FILE_NAME_MAX 255u   /* bytes */
#define SPICE_FILE_PIECE_MAX 65536u

enum spice_selection { SPICE_CLIPBOARD, SPICE_PRIMARY, SPICE_SELECTIONS };

/* As in the protocol; a set of them has bit BIT(type). */
enum spice_type { SPICE_TEXT = 1, SPICE_PNG, SPICE_BMP, SPICE_TIFF, SPICE_JPEG, SPICE_TYPES_END };
#define SPICE_TYPES_ALL 0x3eu

struct spice_monitor {
    uint32_t width, height; /* pixels */
    int32_t x, y;
};

/* Why there is no content. */
enum spice_failure {
    SPICE_NO_FAILURE,
    SPICE_NO_CONTENT, /* the guest has it no more */
    SPICE_TOO_LARGE,
    SPICE_GONE,       /* the agent */
    SPICE_NO_MEMORY,
};

/* What becomes of a file that is sent. */
enum spice_file_news {
    SPICE_FILE_GOES_ON,      /* spice_agent_file_data() is owed */
    SPICE_FILE_ARRIVED,      /* as all that follow, the last word of it */
    SPICE_FILE_CANCELLED,    /* by the guest */
    SPICE_FILE_FAILED,
    SPICE_FILE_NO_SPACE,
    SPICE_FILE_LOCKED,       /* the guest's session is */
    SPICE_FILE_NO_SESSION,   /* nobody has logged in there */
    SPICE_FILE_DISABLED,
    SPICE_FILE_GONE,         /* the agent is */
};

/* What its user hears, in the middle of a call to it; may call it again from inside, but to destroy it. */
struct spice_agent_ops {
    /* There is something to take. Often; cheap. */
    void (*output)(void *arg);
    /* There is an agent that has said what it can, or no more; also when it begins or ends to share. */
    void (*presence)(void *arg, bool there);
    /* The guest offers other content, in these types, in place of any offer of the host's; 0: its offer ends. */
    void (*offered)(void *arg, enum spice_selection s, unsigned types);
    /* The guest pastes what the host offers: spice_agent_give() is owed, once, before the next one comes. */
    void (*wanted)(void *arg, uint64_t request, enum spice_selection s, enum spice_type type);
    /* What spice_agent_ask() asked for: data is the user's, for free(); or NULL, and why not. */
    void (*content)(void *arg, uint8_t *data, size_t len, enum spice_failure why);
    /* Of a file that spice_agent_send_file() sends. */
    void (*file)(void *arg, uint32_t id, enum spice_file_news news);
};

/* shares: the clipboard. arg: for ops, which stay the caller's. NULL without memory. */
struct spice_agent *spice_agent_create(bool shares, const struct spice_agent_ops *ops, void *arg);
/* NULL is fine. Tells nobody. */
void spice_agent_destroy(struct spice_agent *a);

/* The guest opened or closed the port. All that it had said is forgotten, and content on its way fails. */
void spice_agent_open(struct spice_agent *a, bool open);
/* Bytes from the guest, any number. */
void spice_agent_put(struct spice_agent *a, const uint8_t *data, size_t len);
/* Up to max bytes for the guest; returns how many. */
size_t spice_agent_take(struct spice_agent *a, uint8_t *to, size_t max);

/* Is there an agent with which a clipboard is shared? */
bool spice_agent_is_there(const struct spice_agent *a);
/* What the guest offers now. */
unsigned spice_agent_types(const struct spice_agent *a, enum spice_selection s);

/* Offer other content of the host's from now on, also to an agent that comes later; types 0: none. Of the guest's own
 * offer the latter takes nothing away. */
void spice_agent_offer(struct spice_agent *a, enum spice_selection s, unsigned types);
/* Answer the guest's request, with data by malloc(), which is taken; NULL: there is none. At most SPICE_CONTENT_MAX
 * bytes. Text has lines that end with a newline, and gets the guest's. One that nobody waits for any more is dropped. */
void spice_agent_give(struct spice_agent *a, uint64_t request, void *data, size_t len);
/* Ask the guest for what it offers; content() follows, never from inside. 0; or -EBUSY: there is one under way;
 * -ENOENT: the guest offers no such thing. */
int spice_agent_ask(struct spice_agent *a, enum spice_selection s, enum spice_type type) must_check;
/* Nobody waits for it any more: content() does not come. */
void spice_agent_forget(struct spice_agent *a);
bool spice_agent_is_asking(const struct spice_agent *a);
/* How many bytes of the answer have come, for who wants to know whether it still comes. */
size_t spice_agent_progress(const struct spice_agent *a);

/* Which sizes the displays should have; kept for an agent that comes later. count <= SPICE_MONITORS_MAX. */
void spice_agent_monitors(struct spice_agent *a, const struct spice_monitor *monitor, unsigned count);

/* Send a file: the guest's agent puts it where its user finds it. id: not that of another one. 0; or -ENODEV: there is no
 * agent that takes any; -EBUSY: SPICE_FILES_MAX are on their way; -EINVAL: no name that a file may have (UTF-8, without
 * a slash, up to SPICE_FILE_NAME_MAX bytes). */
int spice_agent_send_file(struct spice_agent *a, uint32_t id, const char *name, uint64_t size) must_check;
/* The next of its content, up to SPICE_FILE_PIECE_MAX bytes by malloc(), which are taken; not 0 but of an empty file. Of
 * one that is on its way no more they are dropped, as what is more than its size. */
void spice_agent_file_data(struct spice_agent *a, uint32_t id, void *data, size_t len);
/* It is not to arrive: the guest is told, and nobody else. */
void spice_agent_cancel_file(struct spice_agent *a, uint32_t id);

/* What of it is saved; object: itself. A load finds it as it is when created. What the host had asked for or offered is
 * the host's of then: the guest's requests fail, and an offer that there is not any more is taken back. Files on their way
 * are not saved: the guest gets no more of them. */
extern const struct state_desc spice_agent_state;

#endif
