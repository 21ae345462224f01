/* SPDX-License-Identifier: MIT */
/* Who shares the clipboard with the guest. The parties' offers and pastes are kept here, under the machine's lock, and
 * survive its runs; the agent, which is its thread's, hears of them by machine_apply_clipboard(). */
#include <vz/clipboard.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "machine/machine_clipboard_impl.h"
#include "machine/machine_impl.h"
#include "spice/spice_agent.h"

_Static_assert(VZ_CLIPBOARD_MAX == SPICE_CONTENT_MAX && CLIPBOARD_SELECTIONS == SPICE_SELECTIONS &&
               (int)VZ_CLIPBOARD_TEXT == SPICE_TEXT && (int)VZ_CLIPBOARD_JPEG == SPICE_JPEG &&
               (int)VZ_SELECTION_PRIMARY == SPICE_PRIMARY, "one is a copy of the other");

/* ---- Completions ---------------------------------------------------------------------------- */

static void call_fetched(struct event *e, void *machine)
{
    struct clipboard_fetch *f = container_of(e, struct clipboard_fetch, event);

    f->fn(f->arg, f->data, f->len, f->data ? NULL : &f->err);
    free(f->data);
    free(f);
}

/* With data, which is taken, or the error that is in it. No lock held. */
void clipboard_complete(struct clipboard_fetch *f, void *data, size_t len)
{
    f->data = data;
    f->len = len;
    f->event.fn = call_fetched;
    machine_complete(f->machine, &f->event, f->direct);
}

void *clipboard_copy(const void *data, size_t len)
{
    char *copy = malloc(len + 1);

    if (copy) {
        if (len)
            memcpy(copy, data, len);
        copy[len] = '\0';
    }
    return copy;
}

/* ---- Callbacks ------------------------------------------------------------------------------ */

static void unref_locked(struct vz_clipboard *c)
{
    if (--c->refs)
        return;
    for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++)
        free(c->kept[s].data);
    free(c);
}

static struct clipboard_paste *untold_paste_locked(struct vz_clipboard *c)
{
    struct clipboard_paste *p;

    TAILQ_FOREACH(p, &c->machine->clipboard.pastes, link) {
        if (p->owner == c && !p->told)
            return p;
    }
    return NULL;
}

/* One thing to tell. */
struct telling {
    enum { TELL_NOTHING, TELL_AGENT, TELL_LOST, TELL_OFFERED, TELL_WANTED } what;
    bool there;
    unsigned selection, types;
    struct clipboard_paste paste;
};

static struct telling next_telling_locked(struct vz_clipboard *c)
{
    const struct machine_clipboard *k = &c->machine->clipboard;
    struct clipboard_paste *p;

    if (c->tell_agent) {
        c->tell_agent = false;
        return (struct telling){.what = TELL_AGENT, .there = k->there};
    }
    for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++) {
        if (c->tell_lost[s]) {
            c->tell_lost[s] = false;
            return (struct telling){.what = TELL_LOST, .selection = s};
        }
        if (c->tell_offered[s]) {
            c->tell_offered[s] = false;
            return (struct telling){.what = TELL_OFFERED, .selection = s, .types = k->offer[s].types};
        }
    }
    p = untold_paste_locked(c);
    if (!p)
        return (struct telling){.what = TELL_NOTHING};
    p->told = true;
    return (struct telling){.what = TELL_WANTED, .paste = *p};
}

static void tell(struct vz_clipboard *c, const struct telling *t)
{
    const struct vz_clipboard_options *o = &c->o;
    enum vz_selection s = (enum vz_selection)t->selection;

    if (t->what == TELL_AGENT && o->agent_changed)
        o->agent_changed(o->arg, c, t->there);
    else if (t->what == TELL_LOST && o->lost)
        o->lost(o->arg, c, s);
    else if (t->what == TELL_OFFERED && o->offered)
        o->offered(o->arg, c, s, t->types);
    else if (t->what == TELL_WANTED && o->wanted)
        o->wanted(o->arg, c, t->paste.selection, t->paste.type, t->paste.id);
    else if (t->what == TELL_WANTED)
        vz_clipboard_provide(c, t->paste.id, NULL, 0, NULL);
}

/* False: there was nothing to tell. Lets go of the lock meanwhile. */
static bool tell_next_locked(struct vz_clipboard *c)
{
    const struct telling t = next_telling_locked(c);
    struct vz_machine *m = c->machine;

    if (t.what == TELL_NOTHING)
        return false;
    c->calling = true;
    c->caller = pthread_self();
    pthread_mutex_unlock(&m->lock);
    tell(c, &t);
    pthread_mutex_lock(&m->lock);
    c->calling = false;
    pthread_cond_broadcast(&m->clipboard.calm);
    return true;
}

/* One thing, and others come before the next: a guest that copies without end has something to tell each time. */
static void call_party(struct event *e, void *machine)
{
    struct vz_clipboard *c = container_of(e, struct vz_clipboard, event);
    struct vz_machine *m = machine;

    pthread_mutex_lock(&m->lock);
    if (!c->freed && tell_next_locked(c) && !c->freed) {
        events_push(&m->events, &c->event);
    } else {
        c->queued = false;
        unref_locked(c);
    }
    pthread_mutex_unlock(&m->lock);
}

void clipboard_notify_locked(struct vz_clipboard *c)
{
    if (c->queued || c->freed)
        return;
    c->queued = true;
    c->refs++;
    c->event.fn = call_party;
    events_push(&c->machine->events, &c->event);
}

/* All but its owner hear of an offer. */
static void tell_offer_locked(struct vz_machine *m, unsigned s)
{
    struct vz_clipboard *c;

    LIST_FOREACH(c, &m->clipboard.parties, link) {
        c->tell_offered[s] = c != m->clipboard.offer[s].owner;
        if (c->tell_offered[s])
            clipboard_notify_locked(c);
    }
}

/* ---- Offers --------------------------------------------------------------------------------- */

/* What waits for an owner of before will have nothing of it: the guest's wait for the machine's thread, others go to ret. */
static void drop_pastes_locked(struct vz_machine *m, const struct vz_clipboard *owner, unsigned s, struct clipboard_pastes *ret)
{
    struct clipboard_paste *p, *next;

    for (p = TAILQ_FIRST(&m->clipboard.pastes); p; p = next) {
        next = TAILQ_NEXT(p, link);
        if (p->owner != owner || p->selection != s)
            continue;
        p->owner = NULL;
        if (p->fetch) {
            TAILQ_REMOVE(&m->clipboard.pastes, p, link);
            TAILQ_INSERT_TAIL(ret, p, link);
        }
    }
}

void clipboard_cancel_pastes(struct clipboard_pastes *list)
{
    struct clipboard_paste *p;

    while ((p = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, p, link);
        error_set(&p->fetch->err, 0, VZ_ERROR_CANCELLED, "what was pasted is on offer no more");
        clipboard_complete(p->fetch, NULL, 0);
        free(p);
    }
}

void clipboard_take_over_locked(struct vz_machine *m, unsigned s, const struct clipboard_offer *offer, struct clipboard_pastes *ret)
{
    struct clipboard_offer *was = &m->clipboard.offer[s];
    struct vz_clipboard *c = was->owner;

    if (c) {
        drop_pastes_locked(m, c, s, ret);
        free(c->kept[s].data);
        c->kept[s].data = NULL;
    }
    *was = *offer;
    if (c && c != offer->owner) {
        c->tell_lost[s] = true;
        clipboard_notify_locked(c);
    }
    tell_offer_locked(m, s);
}

/* ---- What programs call --------------------------------------------------------------------- */

static bool is_selection(enum vz_selection s, struct vz_error *err)
{
    if ((unsigned)s < CLIPBOARD_SELECTIONS)
        return true;
    error_set(err, 0, VZ_ERROR_INVALID, "there is no selection %d", (int)s);
    return false;
}

static bool is_type(enum vz_clipboard_type type, struct vz_error *err)
{
    if (type >= VZ_CLIPBOARD_TEXT && type <= VZ_CLIPBOARD_JPEG)
        return true;
    error_set(err, 0, VZ_ERROR_INVALID, "there is no type %d of content", (int)type);
    return false;
}

static bool fits(const void *data, size_t len, struct vz_error *err)
{
    if (!data || len <= VZ_CLIPBOARD_MAX)
        return true;
    error_set(err, 0, VZ_ERROR_INVALID, "more than the 32 MiB that a clipboard takes");
    return false;
}

static bool has_agent(const struct vz_machine *m, struct vz_error *err)
{
    const struct vz_serial_attachment *a = config_spice_agent(m->config);

    if (!a)
        error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no port for a SPICE agent");
    else if (a->private)
        error_set(err, 0, VZ_ERROR_UNSUPPORTED, "the machine does not share its clipboard");
    return a && !a->private;
}

struct vz_clipboard *vz_clipboard_new(struct vz_machine *m, const struct vz_clipboard_options *options,
                                      struct vz_error *err)
{
    struct vz_clipboard_options o = VZ_CLIPBOARD_OPTIONS_INIT;
    struct vz_clipboard *c;

    if (!options_given(m, "machine", err) || options_copy(&o, sizeof(o), options, err) < 0 || !has_agent(m, err))
        return NULL;
    c = calloc(1, sizeof(*c));
    if (!c) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    *c = (struct vz_clipboard){.machine = m, .o = o, .refs = 1};
    pthread_mutex_lock(&m->lock);
    LIST_INSERT_HEAD(&m->clipboard.parties, c, link);
    c->tell_agent = m->clipboard.there;
    for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++)
        c->tell_offered[s] = m->clipboard.offer[s].types;
    clipboard_notify_locked(c);
    pthread_mutex_unlock(&m->lock);
    machine_wake(m);
    return c;
}

static int apply(struct vz_machine *m, void *arg, struct vz_error *err)
{
    machine_apply_clipboard(m);
    return 0;
}

/* The machine's thread sees to what has changed; not live: at the next start. */
static void pass_on(struct vz_machine *m)
{
    machine_wake(m); /* for events */
    machine_call(m, apply, NULL, NULL);
}

void vz_clipboard_free(struct vz_clipboard *c)
{
    const struct clipboard_offer none = {.untold = true};
    struct clipboard_pastes dropped = TAILQ_HEAD_INITIALIZER(dropped);
    struct vz_machine *m = c ? c->machine : NULL;

    if (!c)
        return;
    pthread_mutex_lock(&m->lock);
    c->freed = true;
    LIST_REMOVE(c, link);
    for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++) {
        if (m->clipboard.offer[s].owner == c)
            clipboard_take_over_locked(m, s, &none, &dropped);
    }
    while (c->calling && !pthread_equal(c->caller, pthread_self()))
        pthread_cond_wait(&m->clipboard.calm, &m->lock);
    unref_locked(c);
    pthread_mutex_unlock(&m->lock);
    clipboard_cancel_pastes(&dropped);
    pass_on(m);
}

int vz_clipboard_get_state(struct vz_clipboard *c, struct vz_clipboard_state *ret, struct vz_error *err)
{
    struct vz_clipboard_state is = VZ_CLIPBOARD_STATE_INIT;

    if (!options_given(c, "clipboard", err) || !options_given(ret, "state", err))
        return -1;
    pthread_mutex_lock(&c->machine->lock);
    is.agent = c->machine->clipboard.there;
    for (unsigned s = 0; s < CLIPBOARD_SELECTIONS; s++) {
        const struct clipboard_offer *o = &c->machine->clipboard.offer[s];

        is.types[s] = o->types;
        is.is_guest[s] = o->is_guest;
        is.is_own[s] = o->owner == c;
    }
    pthread_mutex_unlock(&c->machine->lock);
    return options_return(ret, ret->size, &is, sizeof(is), err) < 0 ? -1 : 0;
}

/* data: taken; NULL: wanted() has it. */
static int offer(struct vz_clipboard *c, enum vz_selection s, unsigned types, void *data, size_t len)
{
    struct clipboard_offer o = {.owner = types ? c : NULL, .types = types, .untold = true};
    struct clipboard_pastes dropped = TAILQ_HEAD_INITIALIZER(dropped);
    struct vz_machine *m = c->machine;

    pthread_mutex_lock(&m->lock);
    if (types || m->clipboard.offer[s].owner == c) {
        clipboard_take_over_locked(m, s, &o, &dropped);
        c->tell_lost[s] = false; /* it knows, or has another one now */
        c->kept[s].data = data;
        c->kept[s].len = len;
    }
    pthread_mutex_unlock(&m->lock);
    clipboard_cancel_pastes(&dropped);
    pass_on(m);
    return 0;
}

int vz_clipboard_offer(struct vz_clipboard *c, enum vz_selection s, unsigned types, struct vz_error *err)
{
    if (!options_given(c, "clipboard", err) || !is_selection(s, err))
        return -1;
    if (types & ~SPICE_TYPES_ALL) {
        error_set(err, 0, VZ_ERROR_INVALID, "there are no such types of content: %#x", types);
        return -1;
    }
    return offer(c, s, types, NULL, 0);
}

int vz_clipboard_set(struct vz_clipboard *c, enum vz_selection s, enum vz_clipboard_type type, const void *data,
                     size_t len, struct vz_error *err)
{
    void *copy;

    if (!options_given(c, "clipboard", err) || !options_given(data, "data", err) || !is_selection(s, err) ||
        !is_type(type, err) || !fits(data, len, err))
        return -1;
    copy = clipboard_copy(data, len);
    if (!copy) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return -1;
    }
    return offer(c, s, VZ_CLIPBOARD_BIT(type), copy, len);
}

static struct clipboard_paste *find_paste_locked(struct vz_clipboard *c, uint64_t id)
{
    struct clipboard_paste *p;

    TAILQ_FOREACH(p, &c->machine->clipboard.pastes, link) {
        if (p->owner == c && p->id == id)
            return p;
    }
    return NULL;
}

/* copy: taken. */
static void answer(struct vz_clipboard *c, uint64_t id, void *copy, size_t len)
{
    struct vz_machine *m = c->machine;
    struct clipboard_paste *p;
    struct clipboard_fetch *f = NULL;

    pthread_mutex_lock(&m->lock);
    p = find_paste_locked(c, id);
    if (p && p->fetch) {
        f = p->fetch;
        TAILQ_REMOVE(&m->clipboard.pastes, p, link);
        free(p);
    } else if (p) {
        p->owner = NULL;
        p->data = copy;
        p->len = len;
    }
    pthread_mutex_unlock(&m->lock);
    if (f) {
        error_set(&f->err, 0, VZ_ERROR_CANCELLED, "who offers it does not have it");
        clipboard_complete(f, copy, len);
    } else if (!p) {
        free(copy);
    } else {
        machine_call(m, apply, NULL, NULL);
    }
}

int vz_clipboard_provide(struct vz_clipboard *c, uint64_t request, const void *data, size_t len, struct vz_error *err)
{
    void *copy;
    bool ok;

    if (!options_given(c, "clipboard", err))
        return -1;
    ok = fits(data, len, err);
    copy = ok && data ? clipboard_copy(data, len) : NULL;
    answer(c, request, copy, copy ? len : 0);
    if (ok && data && !copy)
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
    return ok && (!data || copy) ? 0 : -1;
}

/* Where content comes from: what a party keeps, then *ret_copy; a party; or the guest, to which false leads. */
static bool from_party_locked(struct vz_machine *m, struct clipboard_fetch *f, struct clipboard_paste *p, void **ret_copy)
{
    struct vz_clipboard *owner = m->clipboard.offer[f->selection].owner;

    if (!owner)
        return false;
    if (owner->kept[f->selection].data) {
        f->len = owner->kept[f->selection].len;
        *ret_copy = clipboard_copy(owner->kept[f->selection].data, f->len);
        return true;
    }
    *p = (struct clipboard_paste){.owner = owner, .selection = f->selection, .type = f->type,
                                  .id = ++m->clipboard.last_request, .fetch = f};
    TAILQ_INSERT_TAIL(&m->clipboard.pastes, p, link);
    clipboard_notify_locked(owner);
    return true;
}

static void begin_fetch(struct vz_machine *m, struct clipboard_fetch *f, struct clipboard_paste *p)
{
    void *copy = NULL;
    bool there, party = false, kept = false;

    pthread_mutex_lock(&m->lock);
    there = m->clipboard.offer[f->selection].types & VZ_CLIPBOARD_BIT(f->type);
    if (there) {
        party = from_party_locked(m, f, p, &copy);
        kept = party && !p->owner;
        if (!party)
            TAILQ_INSERT_TAIL(&m->clipboard.fetches, f, link);
    }
    pthread_mutex_unlock(&m->lock);
    if (!party || kept)
        free(p);
    if (!there || kept) {
        error_set(&f->err, 0, there ? VZ_ERROR_NO_MEMORY : VZ_ERROR_INVALID_STATE, "%s",
                  there ? "out of memory" : "nothing of that type is on offer");
        clipboard_complete(f, copy, f->len);
        return;
    }
    pass_on(m);
}

static int fetch(struct vz_clipboard *c, const struct clipboard_fetch *what, struct vz_error *err)
{
    struct clipboard_fetch *f;
    struct clipboard_paste *p;

    if (!options_given(c, "clipboard", err) || !options_given(what->fn, "function", err) ||
        !is_selection(what->selection, err) || !is_type(what->type, err))
        return -1;
    f = malloc(sizeof(*f));
    p = calloc(1, sizeof(*p));
    if (!f || !p) {
        free(f);
        free(p);
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return -1;
    }
    *f = *what;
    f->machine = c->machine;
    begin_fetch(c->machine, f, p);
    return 0;
}

int vz_clipboard_fetch(struct vz_clipboard *c, enum vz_selection s, enum vz_clipboard_type type,
                       vz_clipboard_fetched_fn *fn, void *arg)
{
    return fetch(c, &(struct clipboard_fetch){.selection = s, .type = type, .fn = fn, .arg = arg}, NULL);
}

struct fetch_wait {
    struct waiter waiter;
    void *data;
    size_t len;
};

static void fetch_done(void *arg, const void *data, size_t len, const struct vz_error *err)
{
    static const struct vz_error no_memory = {VZ_ERROR_NO_MEMORY, "out of memory"};
    struct fetch_wait *w = arg;

    w->len = len;
    w->data = data ? clipboard_copy(data, len) : NULL;
    waiter_done(&w->waiter, w->data ? NULL : err ? err : &no_memory);
}

void *vz_clipboard_fetch_wait(struct vz_clipboard *c, enum vz_selection s, enum vz_clipboard_type type, size_t *ret_len,
                              struct vz_error *err)
{
    struct fetch_wait w = {.waiter = WAITER_INIT};

    if (!options_given(c, "clipboard", err) || !machine_can_wait(c->machine, err))
        return NULL;
    if (fetch(c, &(struct clipboard_fetch){.selection = s, .type = type, .fn = fetch_done, .arg = &w, .direct = true},
              err) < 0 ||
        waiter_wait(&w.waiter, err) < 0)
        return NULL;
    if (ret_len)
        *ret_len = w.len;
    return w.data;
}
