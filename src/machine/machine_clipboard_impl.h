/* SPDX-License-Identifier: MIT */
/* The clipboard from the inside: machine_clipboard.c, its parties and what they call; machine_clipboard_agent.c, the
 * guest's end. */
#ifndef VZ_MACHINE_MACHINE_CLIPBOARD_IMPL_H
#define VZ_MACHINE_MACHINE_CLIPBOARD_IMPL_H

#include "machine/events.h"
#include "machine/machine_clipboard.h"

/* Under the machine's lock, but for what is constant. */
struct vz_clipboard {
    LIST_ENTRY(vz_clipboard) link;
    struct vz_machine *machine;
    struct vz_clipboard_options o; /* constant */
    unsigned refs; /* the program's, and that of the event while it waits */
    bool freed, queued;
    bool calling;  /* its callbacks, */
    pthread_t caller;
    struct event event;
    bool tell_offered[CLIPBOARD_SELECTIONS], tell_lost[CLIPBOARD_SELECTIONS], tell_agent;
    struct {
        void *data; /* NULL: none */
        size_t len;
    } kept[CLIPBOARD_SELECTIONS];
};

/* Somebody waits for what a party offers. */
struct clipboard_paste {
    TAILQ_ENTRY(clipboard_paste) link;
    struct vz_clipboard *owner; /* NULL: it has its answer, which waits for the machine's thread */
    enum vz_selection selection;
    enum vz_clipboard_type type;
    uint64_t id;
    bool told;
    struct clipboard_fetch *fetch; /* another party's; NULL: the guest's, */
    uint64_t request;              /* by this number */
    void *data;
    size_t len;
};

/* A party waits for content. */
struct clipboard_fetch {
    TAILQ_ENTRY(clipboard_fetch) link;
    struct event event;
    struct vz_machine *machine;
    enum vz_selection selection;
    enum vz_clipboard_type type;
    vz_clipboard_fetched_fn *fn;
    void *arg;
    bool direct; /* of the waiting form: completed by whoever has the answer */
    void *data;  /* NULL: err */
    size_t len;
    struct vz_error err;
};

TAILQ_HEAD(clipboard_pastes, clipboard_paste);

/* A copy with a 0 behind it; NULL without memory. */
void *clipboard_copy(const void *data, size_t len);

/* A fetch is over, with data, which is taken, or the error that is in it. No lock held. */
void clipboard_complete(struct clipboard_fetch *f, void *data, size_t len);

/* Have a party's callbacks called for what it has to hear. */
void clipboard_notify_locked(struct vz_clipboard *c);

/* Another offer takes the place of what there was. Who waited for that has to be told without the lock: by
 * clipboard_cancel_pastes() of what was added to ret. */
void clipboard_take_over_locked(struct vz_machine *m, unsigned s, const struct clipboard_offer *offer,
                                struct clipboard_pastes *ret);
void clipboard_cancel_pastes(struct clipboard_pastes *list);

#endif
