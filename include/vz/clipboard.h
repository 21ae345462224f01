/* SPDX-License-Identifier: MIT */
/* The clipboard that a program shares with a guest whose SPICE agent runs (vz_spice_agent_attachment_new()).
 *
 * A selection is what one side offers to the other: the guest, or a program, whoever copied last. An offer says only in
 * which types there is something; the content travels when it is pasted: a program fetches it from the guest, or provides
 * it when the guest wants it. There are two selections: the clipboard proper, and primary, which X's programs keep for
 * marked text and the middle button.
 *
 * A struct vz_clipboard is one party to it in a program: a window, a VNC client. A machine may have any number, in any
 * state; they outlive its runs, and what they offer is offered to an agent that comes later, too. What one offers, others
 * may fetch as well as the guest.
 *
 * Who shows a guest to a person should offer that person's clipboard, and take the guest's over, only while that person
 * is at it: a guest in the background has no business with either.
 *
 * Threads: any. Callbacks and completions come as events of the machine: <vz/machine.h>. They may call anything here but
 * the ..._wait() function. */
#ifndef VZ_CLIPBOARD_H
#define VZ_CLIPBOARD_H

#include <vz/console.h>
#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vz_clipboard;
struct vz_machine;

enum vz_selection {
    VZ_SELECTION_CLIPBOARD = 0,
    VZ_SELECTION_PRIMARY = 1,
};

enum vz_clipboard_type {
    VZ_CLIPBOARD_TEXT = 1, /* UTF-8 without a NUL at its end; lines end with a newline, whatever the guest's do. What a
                              guest says is text may be no UTF-8 */
    VZ_CLIPBOARD_PNG = 2,
    VZ_CLIPBOARD_BMP = 3,
    VZ_CLIPBOARD_TIFF = 4,
    VZ_CLIPBOARD_JPEG = 5,
};
/* In a set of types. */
#define VZ_CLIPBOARD_BIT(type) (1u << (type))

#define VZ_CLIPBOARD_MAX (32u << 20) /* bytes of one content; more is refused, either way */

/* All optional; arg is that of the options. */
struct vz_clipboard_options { /* start from VZ_CLIPBOARD_OPTIONS_INIT */
    size_t size;
    /* Something else is on offer from now on, by the guest or another party of the program; types 0: nothing is. If there
     * is an offer already when it is made, it is told so, too. */
    void (*offered)(void *arg, struct vz_clipboard *clipboard, enum vz_selection selection, unsigned types);
    /* Somebody pastes what this one offers: vz_clipboard_provide() is owed, now or later. */
    void (*wanted)(void *arg, struct vz_clipboard *clipboard, enum vz_selection selection,
                   enum vz_clipboard_type type, uint64_t request);
    /* What this one offered is on offer no more, since somebody else copied. */
    void (*lost)(void *arg, struct vz_clipboard *clipboard, enum vz_selection selection);
    /* There is an agent in the guest with which to share now, or no more. */
    void (*agent_changed)(void *arg, struct vz_clipboard *clipboard, bool there);
    void *arg;
};
#define VZ_CLIPBOARD_OPTIONS_INIT VZ_INIT_(struct vz_clipboard_options, )

/**
 * Take part in the clipboard of a machine.
 * @options  NULL: of one that only sets and fetches
 * Returns NULL with VZ_ERROR_DEVICE_NOT_FOUND (no port of its configuration leads to an agent), VZ_ERROR_UNSUPPORTED (the
 * clipboard is not shared), VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Free it before the machine. Since 0.4. */
VZ_PUBLIC struct vz_clipboard *vz_clipboard_new(struct vz_machine *machine, const struct vz_clipboard_options *options,
                                                struct vz_error *err);

/* What it offered is on offer no more. No callback begins after this, nor is one under way, unless this is called from it.
 * NULL is fine. Since 0.4. */
VZ_PUBLIC void vz_clipboard_free(struct vz_clipboard *clipboard);

struct vz_clipboard_state { /* start from VZ_CLIPBOARD_STATE_INIT */
    size_t size;
    bool agent;         /* is there an agent in the guest with which to share? */
    unsigned types[2];  /* what is on offer, by selection */
    bool is_guest[2];   /* by the guest */
    bool is_own[2];     /* by this one */
};
#define VZ_CLIPBOARD_STATE_INIT VZ_INIT_(struct vz_clipboard_state, )

/* What is on offer now. Returns 0, or -1 with VZ_ERROR_INVALID (a struct of an unknown size). Since 0.4. */
VZ_PUBLIC int vz_clipboard_get_state(struct vz_clipboard *clipboard, struct vz_clipboard_state *ret,
                                     struct vz_error *err);

/**
 * Offer something else, which wanted() is asked for when it is pasted. In any state of the machine.
 * @types  bits of VZ_CLIPBOARD_BIT(); 0: offer nothing more
 * Returns 0, or -1 with VZ_ERROR_INVALID. Since 0.4. */
VZ_PUBLIC int vz_clipboard_offer(struct vz_clipboard *clipboard, enum vz_selection selection, unsigned types,
                                 struct vz_error *err);

/**
 * Answer wanted(), once. It is no error that nobody waits for it any more.
 * @data, len  copied; NULL: it cannot be had
 * Returns 0, or -1 with VZ_ERROR_INVALID (more than VZ_CLIPBOARD_MAX) or VZ_ERROR_NO_MEMORY; who waits is told that there
 * is none. Since 0.4. */
VZ_PUBLIC int vz_clipboard_provide(struct vz_clipboard *clipboard, uint64_t request, const void *data, size_t len,
                                   struct vz_error *err);

/**
 * Offer content that is there already: a copy of it is kept, and provided whenever it is wanted, until something else is
 * offered.
 * Returns 0, or -1 with VZ_ERROR_INVALID (more than VZ_CLIPBOARD_MAX, no such type) or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC int vz_clipboard_set(struct vz_clipboard *clipboard, enum vz_selection selection, enum vz_clipboard_type type,
                               const void *data, size_t len, struct vz_error *err);

/* The end of vz_clipboard_fetch(): data, good until it returns; or NULL and err. */
typedef void vz_clipboard_fetched_fn(void *arg, const void *data, size_t len, const struct vz_error *err);

/**
 * Paste: get what is on offer, from the guest or whoever offers it. fn is called exactly once, as a completion, never from
 * inside, also after vz_clipboard_free():
 *   VZ_ERROR_INVALID_STATE  nothing of that type is on offer
 *   VZ_ERROR_GUEST          the agent has it no more, is gone, sends nothing for 20 s, or more than VZ_CLIPBOARD_MAX
 *   VZ_ERROR_CANCELLED      so is another party of the program
 *   VZ_ERROR_NO_MEMORY
 * The guest is asked for one content at a time; others wait. One that is paused answers when it goes on.
 * Returns 0; or -1, and fn is not called: VZ_ERROR_INVALID (no such type), or no memory. Since 0.4. */
VZ_PUBLIC int vz_clipboard_fetch(struct vz_clipboard *clipboard, enum vz_selection selection,
                                 enum vz_clipboard_type type, vz_clipboard_fetched_fn *fn, void *arg);

/* The same, and wait. Returns the content, with a 0 behind it, for free(); or NULL with an error above, on the event thread
 * VZ_ERROR_INVALID_STATE. Since 0.4. */
VZ_PUBLIC void *vz_clipboard_fetch_wait(struct vz_clipboard *clipboard, enum vz_selection selection,
                                        enum vz_clipboard_type type, size_t *ret_len, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
