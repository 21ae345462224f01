/* SPDX-License-Identifier: MIT */
/* A 16550A serial port (National PC16550D data sheet, sections in brackets).
 *
 * There is no baud rate: a byte is sent as soon as the host takes it. While it does not, the
 * transmitter is busy (THRE clear), and that is how a slow host slows the guest down. The line is
 * always connected (CTS, DSR, DCD). OUT2 does not gate the interrupt, as guests made for virtual
 * machines expect. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "char/char.h"
#include "chipset/chipset.h"
#include "loop/loop.h"

#define FIFO_SIZE 16

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR, REG_COUNT };

enum { IER_RDA = 0x01, IER_THRE = 0x02, IER_RLS = 0x04, IER_MSR = 0x08, IER_MASK = 0x0f };
enum { IIR_NONE = 0x01, IIR_MSR = 0x00, IIR_THRE = 0x02, IIR_RDA = 0x04, IIR_RLS = 0x06,
       IIR_TIMEOUT = 0x0c, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_CLEAR_TX = 0x04, FCR_KEPT = 0xc9 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10,
       MCR_MASK = 0x1f };
enum { LSR_DR = 0x01, LSR_OE = 0x02, LSR_THRE = 0x20, LSR_TEMT = 0x40 };
enum { MSR_DELTA = 0x0f, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

struct uart {
    struct device dev;
    struct bus_range range;
    struct irq_line line;
    struct char_dev *host;
    struct loop_timer *timer; /* receive timeout */

    uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
    uint8_t rx[FIFO_SIZE], tx[FIFO_SIZE]; /* the oldest first */
    uint8_t rx_count, tx_count;
    bool overrun;         /* LSR_OE */
    bool thre_pending;    /* the THRE interrupt is wanted and not yet seen in IIR */
    bool timeout_pending;
    bool starved;         /* the host was told that there is no room */
    bool to_be_loaded;    /* what it heard now would be lost */
};

static unsigned fifo_size(const struct uart *u)
{
    return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct uart *u)
{
    static const uint8_t level[4] = {1, 4, 8, 14};

    return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* [table 5: interrupt identification, highest priority first] */
static uint8_t pending_id(const struct uart *u)
{
    if ((u->ier & IER_RLS) && u->overrun)
        return IIR_RLS;
    if ((u->ier & IER_RDA) && u->rx_count >= trigger_level(u))
        return IIR_RDA;
    if ((u->ier & IER_RDA) && u->timeout_pending)
        return IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MSR) && (u->msr & MSR_DELTA))
        return IIR_MSR;
    return IIR_NONE;
}

static void update_irq(struct uart *u)
{
    irq_line_set(&u->line, pending_id(u) != IIR_NONE);
}

/* The modem inputs: from our own outputs in loopback [8.6], else a line that is up. */
static void update_msr(struct uart *u)
{
    uint8_t in = MSR_CTS | MSR_DSR | MSR_DCD, old = u->msr, changed;

    if (u->mcr & MCR_LOOP)
        in = (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
    changed = (old ^ in) & 0xf0;
    if (changed & MSR_RI & in)
        changed &= (uint8_t)~MSR_RI; /* TERI tells of the trailing edge only */
    u->msr = (uint8_t)(in | (old & MSR_DELTA) | changed >> 4);
}

/* A byte's time on the wire, by the programmed divisor: 10 bits at 115200 / divisor baud. */
static uint64_t byte_ns(const struct uart *u)
{
    unsigned divisor = u->dll | u->dlm << 8;

    return (divisor ? divisor : 1) * (10 * NS_PER_SEC / 115200);
}

/* [8.4.2: the timeout is four byte times after the last byte or the last read] */
static void arm_timeout(struct uart *u)
{
    if ((u->fcr & FCR_ENABLE) && u->rx_count && !u->timeout_pending)
        loop_timer_arm(u->timer, clock_mono_ns() + 4 * byte_ns(u));
    else
        loop_timer_disarm(u->timer);
}

static void on_timeout(void *arg)
{
    struct uart *u = arg;

    device_lock(&u->dev);
    if ((u->fcr & FCR_ENABLE) && u->rx_count) {
        u->timeout_pending = true;
        update_irq(u);
    }
    device_unlock(&u->dev);
}

static void rx_push(struct uart *u, uint8_t byte)
{
    if (u->rx_count >= fifo_size(u)) {
        u->overrun = true;
        return;
    }
    u->rx[u->rx_count++] = byte;
}

static uint8_t rx_pop(struct uart *u)
{
    uint8_t byte = u->rx[0];

    u->timeout_pending = false;
    if (!u->rx_count)
        return 0;
    u->rx_count--;
    memmove(u->rx, u->rx + 1, u->rx_count);
    arm_timeout(u);
    if (u->starved && u->rx_count <= fifo_size(u) / 2) {
        u->starved = false;
        char_accept_input(u->host);
    }
    return byte;
}

static void rx_clear(struct uart *u)
{
    u->rx_count = 0;
    u->timeout_pending = false;
    loop_timer_disarm(u->timer);
    u->starved = false;
    char_accept_input(u->host);
}

static void tx_flush(struct uart *u)
{
    size_t n = char_write(u->host, u->tx, u->tx_count);

    u->tx_count = (uint8_t)(u->tx_count - n);
    memmove(u->tx, u->tx + n, u->tx_count);
    if (!u->tx_count)
        u->thre_pending = true;
}

static void tx_push(struct uart *u, uint8_t byte)
{
    u->thre_pending = false;
    if (u->mcr & MCR_LOOP) {
        rx_push(u, byte);
        arm_timeout(u);
        u->thre_pending = true;
        return;
    }
    /* A guest that does not look at THRE overwrites the newest byte, as the hardware lets it. There
     * may be more than fit, of before a reset, which switches the FIFO off. */
    if (u->tx_count >= fifo_size(u))
        u->tx_count--;
    u->tx[u->tx_count++] = byte;
    tx_flush(u);
}

static void write_fcr(struct uart *u, uint8_t v)
{
    bool toggled = (u->fcr ^ v) & FCR_ENABLE;

    if (toggled || (v & FCR_CLEAR_RX))
        rx_clear(u);
    if ((toggled || (v & FCR_CLEAR_TX)) && u->tx_count) {
        u->tx_count = 0;
        u->thre_pending = true;
    }
    u->fcr = v & FCR_ENABLE ? v & FCR_KEPT : 0;
}

static void write_ier(struct uart *u, uint8_t v)
{
    /* Enabling the THRE interrupt with an empty transmitter raises it at once; drivers probe
     * for chips that do not. */
    if ((v & ~u->ier & IER_THRE) && !u->tx_count)
        u->thre_pending = true;
    u->ier = v & IER_MASK;
}

static void write_mcr(struct uart *u, uint8_t v)
{
    bool was_loop = u->mcr & MCR_LOOP;

    u->mcr = v & MCR_MASK;
    update_msr(u);
    if (was_loop && !(v & MCR_LOOP))
        char_accept_input(u->host);
}

static void uart_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct uart *u = container_of(r, struct uart, range);
    uint8_t v = (uint8_t)value;
    bool dlab = u->lcr & LCR_DLAB;

    switch (off) {
    case REG_DATA:
        if (dlab)
            u->dll = v;
        else
            tx_push(u, v);
        break;
    case REG_IER:
        if (dlab)
            u->dlm = v;
        else
            write_ier(u, v);
        break;
    case REG_IIR_FCR: write_fcr(u, v); break;
    case REG_LCR: u->lcr = v; break;
    case REG_MCR: write_mcr(u, v); break;
    case REG_SCR: u->scr = v; break;
    default: break; /* LSR and MSR are for reading */
    }
    update_irq(u);
}

static uint8_t read_iir(struct uart *u)
{
    uint8_t id = pending_id(u);

    if (id == IIR_THRE)
        u->thre_pending = false;
    return id | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart *u)
{
    uint8_t v = (u->rx_count ? LSR_DR : 0) | (u->overrun ? LSR_OE : 0) |
                (u->tx_count ? 0 : LSR_THRE | LSR_TEMT);

    u->overrun = false;
    return v;
}

static uint8_t read_reg(struct uart *u, uint64_t off)
{
    bool dlab = u->lcr & LCR_DLAB;
    uint8_t v;

    switch (off) {
    case REG_DATA: return dlab ? u->dll : rx_pop(u);
    case REG_IER: return dlab ? u->dlm : u->ier;
    case REG_IIR_FCR: return read_iir(u);
    case REG_LCR: return u->lcr;
    case REG_MCR: return u->mcr;
    case REG_LSR: return read_lsr(u);
    case REG_MSR:
        v = u->msr;
        u->msr &= (uint8_t)~MSR_DELTA;
        return v;
    default: return u->scr;
    }
}

static uint64_t uart_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct uart *u = container_of(r, struct uart, range);
    uint8_t v = read_reg(u, off);

    update_irq(u);
    return v;
}

static void on_writable(void *arg)
{
    struct uart *u = arg;

    device_lock(&u->dev);
    if (u->tx_count)
        tx_flush(u);
    update_irq(u);
    device_unlock(&u->dev);
}

static size_t on_room(void *arg)
{
    struct uart *u = arg;
    size_t room;

    device_lock(&u->dev);
    room = u->to_be_loaded || u->mcr & MCR_LOOP || u->rx_count >= fifo_size(u) ? 0 : fifo_size(u) - u->rx_count;
    u->starved = !room;
    device_unlock(&u->dev);
    return room;
}

static void on_receive(void *arg, const uint8_t *data, size_t len)
{
    struct uart *u = arg;

    device_lock(&u->dev);
    for (size_t i = 0; i < len; i++)
        rx_push(u, data[i]);
    arm_timeout(u);
    update_irq(u);
    device_unlock(&u->dev);
}

static const struct char_client uart_client = {on_writable, on_room, on_receive};

static void uart_reset(struct device *dev)
{
    struct uart *u = container_of(dev, struct uart, dev);

    /* [table 1] Bytes the host has not taken yet are not the guest's to lose. */
    u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
    u->dll = 12; /* 9600 baud, what firmware would leave */
    u->dlm = 0;
    u->msr = 0;
    u->overrun = false;
    u->thre_pending = false;
    update_msr(u);
    u->msr &= (uint8_t)~MSR_DELTA;
    u->rx_count = 0;
    u->timeout_pending = false;
    loop_timer_disarm(u->timer);
    char_accept_input(u->host);
    update_irq(u);
}

static int uart_loaded(void *object, struct vz_error *err)
{
    struct uart *u = object;

    if (u->rx_count > fifo_size(u))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "uart: more bytes than the FIFO holds");
    u->to_be_loaded = false;
    arm_timeout(u);
    if (u->tx_count)
        tx_flush(u);
    char_accept_input(u->host);
    update_irq(u);
    return 0;
}

static const struct state_field uart_fields[] = {
    STATE_UINT_MAX(struct uart, ier, IER_MASK),
    STATE_UINT(struct uart, fcr),
    STATE_UINT(struct uart, lcr),
    STATE_UINT_MAX(struct uart, mcr, MCR_MASK),
    STATE_UINT(struct uart, msr),
    STATE_UINT(struct uart, scr),
    STATE_UINT(struct uart, dll),
    STATE_UINT(struct uart, dlm),
    STATE_BYTES(struct uart, rx),
    STATE_BYTES(struct uart, tx),
    STATE_UINT_MAX(struct uart, rx_count, FIFO_SIZE),
    STATE_UINT_MAX(struct uart, tx_count, FIFO_SIZE),
    STATE_BOOL(struct uart, overrun),
    STATE_BOOL(struct uart, thre_pending),
    STATE_BOOL(struct uart, timeout_pending),
    STATE_END,
};

static const struct state_desc uart_state = {
    .name = "uart", .version = 1, .fields = uart_fields, .loaded = uart_loaded};

static void uart_destroy(struct device *dev)
{
    struct uart *u = container_of(dev, struct uart, dev);

    char_attach(u->host, NULL, NULL);
    loop_timer_destroy(u->timer);
    device_fini(dev);
    free(u);
}

static const struct device_ops uart_ops = {
    .name = "uart", .reset_locked = uart_reset, .state = &uart_state, .destroy = uart_destroy};

void uart_set_line(struct uart *u, struct char_dev *line)
{
    char_attach(u->host, NULL, NULL);
    device_lock(&u->dev);
    u->host = line;
    device_unlock(&u->dev);
    char_attach(line, &uart_client, u);
    device_lock(&u->dev);
    if (u->tx_count)
        tx_flush(u);
    u->starved = false;
    char_accept_input(line);
    update_irq(u);
    device_unlock(&u->dev);
}

int uart_create(struct bus *bus, const struct uart_options *o, struct uart **ret)
{
    struct uart *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return -ENOMEM;
    u->host = o->line;
    u->to_be_loaded = o->restored;
    r = loop_timer_create(o->loop, on_timeout, u, &u->timer);
    if (!r)
        r = device_init(&u->dev, &uart_ops, bus, o->instance);
    if (r < 0) {
        loop_timer_destroy(u->timer);
        free(u);
        return r;
    }
    irq_line_init(&u->line, bus, o->gsi);
    char_attach(u->host, &uart_client, u);
    uart_reset(&u->dev);
    u->range = (struct bus_range){.dev = &u->dev, .base = o->port, .len = REG_COUNT,
                                  .max_size = 1, .read_locked = uart_read,
                                  .write_locked = uart_write};
    if (ret)
        *ret = u;
    return bus_add(bus, BUS_PORT, &u->range);
}
