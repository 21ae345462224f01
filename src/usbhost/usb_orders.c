/* SPDX-License-Identifier: MIT */
#include "usbhost/usb_orders.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "base/log.h"
#include "base/thread.h"
#include "usbhost/usb_walk.h"

enum { DT_CONFIG = 2, DT_INTERFACE = 4 };

/* ---- Interfaces ------------------------------------------------------------------------------ */

/* Which there are in a configuration: bit per number. */
static uint32_t interfaces_of(const struct usb_claim *c, uint8_t configuration)
{
    uint32_t found = 0;
    bool its = false;
    const uint8_t *d;
    size_t at = 0;

    while ((d = usb_walk(c->descriptors, c->descriptors_len, &at))) {
        if (d[1] == DT_CONFIG)
            its = d[0] >= 6 && configuration && d[5] == configuration;
        else if (its && d[1] == DT_INTERFACE && d[0] >= 4 && d[2] < USB_ORDERS_INTERFACES)
            found |= (uint32_t)BIT(d[2]);
    }
    return found;
}

static int refused(unsigned interface, int r, struct vz_error *err)
{
    return error_set(err, EBUSY, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE,
                     r == LIBUSB_ERROR_BUSY ? "another program of the host uses the USB device (interface %u: %s)"
                                            : "the USB device cannot be taken from the host (interface %u: %s)",
                     interface, libusb.error_name(r));
}

/* One by one and for good, as the host's drivers are not to come back whenever something is released for a moment. */
static int take_one(struct usb_claim *c, unsigned i, struct vz_error *err)
{
    int r = libusb.kernel_driver_active(c->handle, (int)i) == 1 ? libusb.detach_kernel_driver(c->handle, (int)i) : 1;

    if (!r)
        c->detached |= (uint32_t)BIT(i);
    if (r < 0 && r != LIBUSB_ERROR_NOT_FOUND)
        return refused(i, r, err);
    r = libusb.claim_interface(c->handle, (int)i);
    if (r < 0)
        return refused(i, r, err);
    c->claimed |= (uint32_t)BIT(i);
    return 0;
}

int usb_claim_take(struct usb_claim *c, struct vz_error *err)
{
    int r = 0;

    for (uint32_t left = interfaces_of(c, c->active) & ~c->claimed; !r && left; left &= left - 1)
        r = take_one(c, (unsigned)__builtin_ctz(left), err);
    return r;
}

static void release(struct usb_claim *c)
{
    for (; c->claimed; c->claimed &= c->claimed - 1)
        (void)libusb.release_interface(c->handle, __builtin_ctz(c->claimed));
}

/* ---- Orders --------------------------------------------------------------------------------- */

static enum usb_host_result result_of(int r)
{
    switch (r) {
    case LIBUSB_SUCCESS: return USB_HOST_OK;
    case LIBUSB_ERROR_NO_DEVICE: return USB_HOST_GONE;
    case LIBUSB_ERROR_PIPE: return USB_HOST_STALLED;
    default: return USB_HOST_FAILED;
    }
}

/* Where its configuration has changed with it, it is another device now, of which we have no descriptors. */
static enum usb_host_result reset(struct usb_claim *c)
{
    int r = libusb.reset_device(c->handle);

    if (r < 0)
        return r == LIBUSB_ERROR_NOT_FOUND ? USB_HOST_GONE : result_of(r);
    c->reset = true;
    return USB_HOST_OK;
}

static enum usb_host_result set_interface(struct usb_claim *c, unsigned interface, uint8_t alt)
{
    int r;

    if (interface >= USB_ORDERS_INTERFACES || !(c->claimed & BIT(interface)))
        return USB_HOST_STALLED;
    r = libusb.set_interface_alt_setting(c->handle, (int)interface, alt);
    if (!r)
        c->alt[interface] = alt;
    return result_of(r);
}

/* The host has given it the configuration again after the reset, which devices take for a reset of their own when it
 * comes once more; other settings are to be gone. */
static enum usb_host_result keep_configuration(struct usb_claim *c)
{
    enum usb_host_result result = USB_HOST_OK;

    for (unsigned i = 0; result == USB_HOST_OK && i < USB_ORDERS_INTERFACES; i++) {
        if (c->alt[i])
            result = set_interface(c, i, 0);
    }
    c->reset = result != USB_HOST_OK;
    return result;
}

/* Drivers of the host look at what comes with a new configuration. */
static enum usb_host_result set_configuration(struct usb_claim *c, uint8_t value)
{
    enum usb_host_result result;
    struct vz_error err;

    if (value && value == c->active && c->reset)
        return keep_configuration(c);
    release(c);
    result = result_of(libusb.set_configuration(c->handle, value ? value : -1));
    if (result != USB_HOST_OK)
        return result;
    c->active = value;
    c->reset = false;
    memset(c->alt, 0, sizeof(c->alt));
    if (usb_claim_take(c, &err) == 0)
        return USB_HOST_OK;
    log_warn("usb: %s", err.text);
    return USB_HOST_FAILED;
}

enum usb_host_result usb_claim_give_back(struct usb_claim *c)
{
    enum usb_host_result result = USB_HOST_OK;

    release(c);
    if (c->active != c->first) /* and so its drivers find it */
        result = result_of(libusb.set_configuration(c->handle, c->first ? c->first : -1));
    else if (c->used) /* else another program may have part of it */
        result = reset(c);
    for (; c->detached; c->detached &= c->detached - 1)
        (void)libusb.attach_kernel_driver(c->handle, __builtin_ctz(c->detached));
    c->active = c->first;
    return result;
}

enum usb_host_result usb_claim_order(struct usb_claim *c, const struct usb_host_order *o)
{
    c->used = c->used || o->kind != USB_HOST_GIVE_BACK;
    switch (o->kind) {
    case USB_HOST_RESET: return reset(c);
    case USB_HOST_SET_CONFIGURATION: return set_configuration(c, o->value);
    case USB_HOST_SET_INTERFACE: return set_interface(c, o->index, o->value);
    case USB_HOST_CLEAR_HALT: return result_of(libusb.clear_halt(c->handle, o->index));
    case USB_HOST_GIVE_BACK: return usb_claim_give_back(c);
    default: return USB_HOST_FAILED;
    }
}

/* ---- The thread ----------------------------------------------------------------------------- */

static struct usb_host_order *next(struct usb_orders *o)
{
    struct usb_host_order *order;

    pthread_mutex_lock(&o->lock);
    while (!o->stop && (!o->order || o->begun))
        pthread_cond_wait(&o->some, &o->lock);
    order = o->stop ? NULL : o->order;
    o->begun = true;
    pthread_mutex_unlock(&o->lock);
    return order;
}

static void *work(void *arg)
{
    struct usb_orders *o = arg;
    struct usb_host_order *order;

    while ((order = next(o))) {
        enum usb_host_result result = usb_claim_order(&o->claim, order);

        pthread_mutex_lock(&o->lock);
        order->result = result;
        o->over = true;
        pthread_mutex_unlock(&o->lock);
        loop_work_queue(o->loop, &o->work);
    }
    return NULL;
}

static void tell(void *arg)
{
    struct usb_orders *o = arg;
    struct usb_host_order *order = NULL;

    pthread_mutex_lock(&o->lock);
    if (o->over)
        order = o->order;
    if (order) {
        o->order = NULL;
        o->begun = o->over = false;
    }
    pthread_mutex_unlock(&o->lock);
    if (order)
        order->done(order, order->result);
}

void usb_orders_give(struct usb_orders *o, struct usb_host_order *order)
{
    pthread_mutex_lock(&o->lock);
    o->order = order;
    o->begun = o->over = false;
    pthread_cond_signal(&o->some);
    pthread_mutex_unlock(&o->lock);
}

int usb_orders_start(struct usb_orders *o, struct loop *loop)
{
    int r;

    o->loop = loop;
    o->work = (struct loop_work){.fn = tell, .arg = o};
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->some, NULL);
    r = thread_start(&o->thread, THREAD_USB, "vz-usb", work, o);
    o->running = !r;
    return r;
}

void usb_orders_stop(struct usb_orders *o)
{
    if (!o->running)
        return;
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_cond_signal(&o->some);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    loop_work_cancel(o->loop, &o->work);
    pthread_cond_destroy(&o->some);
    pthread_mutex_destroy(&o->lock);
    o->running = false;
}
