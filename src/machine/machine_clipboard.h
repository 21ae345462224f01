/* SPDX-License-Identifier: MIT */
/* The clipboard of a machine: who offers what, and who waits for content. */
#ifndef VZ_MACHINE_MACHINE_CLIPBOARD_H
#define VZ_MACHINE_MACHINE_CLIPBOARD_H

#include <pthread.h>
#include <sys/queue.h>

#include <vz/clipboard.h>

struct agent_event;
struct clipboard_fetch;
struct clipboard_paste;
struct vz_machine;

#define CLIPBOARD_SELECTIONS 2u

/* The last offer of a selection. */
struct clipboard_offer {
    struct vz_clipboard *owner; /* NULL: nobody, or is_guest */
    bool is_guest;
    unsigned types;
    bool untold; /* the agent is to hear of it */
};

/* Under the machine's lock. */
struct machine_clipboard {
    pthread_cond_t calm; /* a callback has returned */
    LIST_HEAD(, vz_clipboard) parties;
    struct clipboard_offer offer[CLIPBOARD_SELECTIONS];
    bool there;
    TAILQ_HEAD(, clipboard_fetch) fetches; /* of the guest's content; the first one has been asked for, if any */
    bool asked;
    TAILQ_HEAD(, clipboard_paste) pastes;  /* of the parties' */
    uint64_t last_request;
    uint32_t number; /* of the machine's, for viewers to know it by; 0: not made yet */
};

void machine_init_clipboard(struct vz_machine *m);
void machine_fini_clipboard(struct vz_machine *m);
/* Its thread: what is on offer, to the agent; the agent is gone; it says something. */
void machine_apply_clipboard(struct vz_machine *m);
void machine_forget_clipboard(struct vz_machine *m);
void machine_tell_clipboard(struct vz_machine *m, const struct agent_event *e);

#endif
