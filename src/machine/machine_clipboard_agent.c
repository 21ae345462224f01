/* SPDX-License-Identifier: MIT */
/* The guest's end of a machine's clipboard: what its agent says, and hears. All of it on the machine's thread. */
#include <stdlib.h>

#include "base/error.h"
#include "device/agent_line.h"
#include "machine/channel_files.h"
#include "machine/machine_clipboard_impl.h"
#include "machine/machine_impl.h"

/* ---- The agent ------------------------------------------------------------------------------ */

/* The guest's pastes that have their answer. */
static void give_answers(struct vz_machine *m, struct spice_agent *agent)
{
    struct clipboard_paste *p;

    do {
        pthread_mutex_lock(&m->lock);
        TAILQ_FOREACH(p, &m->clipboard.pastes, link) {
            if (!p->owner)
                break;
        }
        if (p)
            TAILQ_REMOVE(&m->clipboard.pastes, p, link);
        pthread_mutex_unlock(&m->lock);
        if (p)
            spice_agent_give(agent, p->request, p->data, p->len);
        free(p);
    } while (p);
}

static void tell_offers(struct vz_machine *m, struct spice_agent *agent)
{
    for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++) {
        struct clipboard_offer o;

        pthread_mutex_lock(&m->lock);
        o = m->clipboard.offer[s];
        m->clipboard.offer[s].untold = false;
        pthread_mutex_unlock(&m->lock);
        if (o.untold)
            spice_agent_offer(agent, s, o.owner ? o.types : 0);
    }
}

/* Ask for the first one, unless that has been done; false: it failed, and is gone. */
static bool ask_first(struct vz_machine *m)
{
    struct machine_clipboard *k = &m->clipboard;
    struct clipboard_fetch *f;
    bool ask;

    pthread_mutex_lock(&m->lock);
    f = TAILQ_FIRST(&k->fetches);
    ask = f && !k->asked;
    k->asked = f;
    pthread_mutex_unlock(&m->lock);
    if (!ask || agent_line_ask(m->parts.slots, (enum spice_selection)f->selection, (enum spice_type)f->type) == 0)
        return true;
    pthread_mutex_lock(&m->lock);
    TAILQ_REMOVE(&k->fetches, f, link);
    k->asked = false;
    pthread_mutex_unlock(&m->lock);
    error_set(&f->err, 0, VZ_ERROR_INVALID_STATE, "the guest offers nothing of that type any more");
    clipboard_complete(f, NULL, 0);
    return false;
}

void machine_apply_clipboard(struct vz_machine *m)
{
    struct spice_agent *agent = agent_line_find(m->parts.slots);

    if (!agent)
        return;
    give_answers(m, agent);
    tell_offers(m, agent);
    while (!ask_first(m))
        ;
}

static void on_presence(struct vz_machine *m, bool there)
{
    struct vz_clipboard *c;

    pthread_mutex_lock(&m->lock);
    if (m->clipboard.there != there) {
        m->clipboard.there = there;
        LIST_FOREACH(c, &m->clipboard.parties, link) {
            c->tell_agent = true;
            clipboard_notify_locked(c);
        }
    }
    for (unsigned s = 0; there && s < CLIPBOARD_SELECTIONS; s++) /* it may be behind another port than the one before */
        m->clipboard.offer[s].untold = m->clipboard.offer[s].owner;
    pthread_mutex_unlock(&m->lock);
    if (there)
        machine_apply_clipboard(m);
    else
        machine_forget_files(m);
}

static void on_offered(struct vz_machine *m, unsigned s, unsigned types)
{
    const struct clipboard_offer guests = {.is_guest = types, .types = types};
    struct clipboard_pastes dropped = TAILQ_HEAD_INITIALIZER(dropped);

    pthread_mutex_lock(&m->lock);
    if (!m->clipboard.offer[s].untold || !m->clipboard.offer[s].owner) /* else ours comes behind it */
        clipboard_take_over_locked(m, s, &guests, &dropped);
    pthread_mutex_unlock(&m->lock);
    clipboard_cancel_pastes(&dropped);
    machine_apply_clipboard(m);
}

/* The guest's pastes end without a word. */
static void forget_pastes_locked(struct machine_clipboard *k)
{
    struct clipboard_paste *p, *next;

    for (p = TAILQ_FIRST(&k->pastes); p; p = next) {
        next = TAILQ_NEXT(p, link);
        if (p->fetch)
            continue;
        TAILQ_REMOVE(&k->pastes, p, link);
        free(p->data);
        free(p);
    }
}

static void on_wanted(struct vz_machine *m, const struct agent_event *e)
{
    const struct clipboard_offer *o = &m->clipboard.offer[e->selection];
    struct clipboard_paste *p = calloc(1, sizeof(*p));

    if (!p) {
        spice_agent_give(agent_line_find(m->parts.slots), e->request, NULL, 0);
        return;
    }
    pthread_mutex_lock(&m->lock);
    forget_pastes_locked(&m->clipboard); /* the agent waits for one at a time: the guest has gone since, and come back */
    *p = (struct clipboard_paste){.owner = o->owner, .selection = (enum vz_selection)e->selection,
                                  .type = (enum vz_clipboard_type)e->type, .id = ++m->clipboard.last_request,
                                  .request = e->request};
    TAILQ_INSERT_TAIL(&m->clipboard.pastes, p, link);
    if (!(o->types & BIT(e->type))) { /* it asks for what was on offer before */
        p->owner = NULL;
    } else if (p->owner && p->owner->kept[e->selection].data) {
        p->len = p->owner->kept[e->selection].len;
        p->data = clipboard_copy(p->owner->kept[e->selection].data, p->len);
        p->owner = NULL;
    } else if (p->owner) {
        clipboard_notify_locked(p->owner);
    }
    pthread_mutex_unlock(&m->lock);
    machine_apply_clipboard(m);
}

static const char *why_not(enum spice_failure why)
{
    switch (why) {
    case SPICE_TOO_LARGE: return "what the guest has copied is larger than 32 MiB";
    case SPICE_NO_CONTENT: return "the guest has it no more";
    default: return "the guest's agent does not send it: it is gone, or that is larger than 32 MiB";
    }
}

static void on_content(struct vz_machine *m, const struct agent_event *e)
{
    const bool no_memory = e->data || e->why == SPICE_NO_MEMORY; /* where there is no data in the end */
    char *data = e->data ? realloc(e->data, e->len + 1) : NULL;
    struct clipboard_fetch *f;

    if (data)
        data[e->len] = '\0';
    else
        free(e->data);
    pthread_mutex_lock(&m->lock);
    f = TAILQ_FIRST(&m->clipboard.fetches);
    if (f)
        TAILQ_REMOVE(&m->clipboard.fetches, f, link);
    m->clipboard.asked = false;
    pthread_mutex_unlock(&m->lock);
    if (f) {
        error_set(&f->err, 0, no_memory ? VZ_ERROR_NO_MEMORY : VZ_ERROR_GUEST, "%s",
                  no_memory ? "out of memory" : why_not(e->why));
        clipboard_complete(f, data, e->len);
    } else {
        free(data);
    }
    machine_apply_clipboard(m);
}

void machine_tell_clipboard(struct vz_machine *m, const struct agent_event *e)
{
    switch (e->what) {
    case AGENT_PRESENCE: on_presence(m, e->there); break;
    case AGENT_OFFERED: on_offered(m, e->selection, e->types); break;
    case AGENT_WANTED: on_wanted(m, e); break;
    case AGENT_CONTENT: on_content(m, e); break;
    case AGENT_FILE: machine_tell_file(m, e->file, e->news); break;
    }
}

/* ---- Of a machine --------------------------------------------------------------------------- */

void machine_init_clipboard(struct vz_machine *m)
{
    pthread_cond_init(&m->clipboard.calm, NULL);
    LIST_INIT(&m->clipboard.parties);
    TAILQ_INIT(&m->clipboard.fetches);
    TAILQ_INIT(&m->clipboard.pastes);
}

void machine_fini_clipboard(struct vz_machine *m)
{
    pthread_cond_destroy(&m->clipboard.calm);
}

void machine_forget_clipboard(struct vz_machine *m)
{
    struct machine_clipboard *k = &m->clipboard;
    const struct clipboard_offer none = {.types = 0};
    struct clipboard_pastes dropped = TAILQ_HEAD_INITIALIZER(dropped);
    struct clipboard_fetch *f;

    on_presence(m, false);
    pthread_mutex_lock(&m->lock);
    forget_pastes_locked(k);
    for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++) {
        if (k->offer[s].is_guest)
            clipboard_take_over_locked(m, s, &none, &dropped);
        k->offer[s].untold = k->offer[s].owner;
    }
    k->asked = false;
    pthread_mutex_unlock(&m->lock);
    do {
        pthread_mutex_lock(&m->lock);
        f = TAILQ_FIRST(&k->fetches);
        if (f)
            TAILQ_REMOVE(&k->fetches, f, link);
        pthread_mutex_unlock(&m->lock);
        if (f) {
            error_set(&f->err, 0, VZ_ERROR_GUEST, "the machine has stopped");
            clipboard_complete(f, NULL, 0);
        }
    } while (f);
}
