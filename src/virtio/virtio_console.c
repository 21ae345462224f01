/* SPDX-License-Identifier: MIT */
/* The console device: see console.h. Sections of VIRTIO 1.2 in brackets.
 *
 * Output: a chain whose bytes the line did not all take is held until the line is writable; so a
 * slow host slows the guest down and nothing is lost. Input: a chain is held as the room that the
 * line asks for. */
#include "virtio/virtio_console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <string.h>

#include "base/error.h"
#include "base/le.h"
#include "char/char.h"

enum { CONTROL_RX = 2, CONTROL_TX = 3 };

/* Control messages owed to the guest, per port; sent from the lowest bit on. */
enum { OWE_ADD = 1, OWE_CONSOLE = 2, OWE_SIZE = 4, OWE_NAME = 8, OWE_OPEN = 16 };

struct port {
    struct console *console;
    unsigned index;
    struct char_dev *line;
    char name[CONSOLE_NAME_MAX + 1];
    bool is_console;
    struct virtq_chain *rx, *tx; /* held; or NULL */

    uint32_t tx_off;  /* bytes of the first request that the line has already */
    uint16_t cols, rows;
    uint8_t owed;
    bool guest_open;
    bool ready;       /* the guest knows the port */
};

struct console {
    struct virtio_dev dev;
    unsigned port_count;
    bool multiport;
    void (*opened)(void *arg, unsigned port, bool open);
    void *opened_arg;
    struct port port[CONSOLE_PORTS_MAX];
};

static struct console *to_console(struct virtio_dev *dev)
{
    return container_of(dev, struct console, dev);
}

/* Ports' queues: 0 and 1, then the control queues, then the other ports' [5.3.2]. */
static struct virtq *rx_queue(struct port *p)
{
    return &p->console->dev.queue[p->index ? 2 + 2 * p->index : 0];
}

static struct virtq *tx_queue(struct port *p)
{
    return rx_queue(p) + 1;
}

/* --- guest to host --- */

/* Returns false when the line is full. */
static bool send_chain(struct port *p, struct virtq_chain *c)
{
    size_t off = 0;

    for (unsigned i = 0; i < c->out_count; off += c->out[i++].iov_len) {
        size_t skip = p->tx_off > off ? p->tx_off - off : 0, len, taken;

        if (skip >= c->out[i].iov_len)
            continue;
        len = c->out[i].iov_len - skip;
        taken = p->line ? char_write(p->line, (uint8_t *)c->out[i].iov_base + skip, len) : len;
        p->tx_off = (uint32_t)(off + skip + taken);
        if (taken < len)
            return false;
    }
    return true;
}

static void port_send(struct port *p)
{
    struct virtq *q = tx_queue(p);

    while (p->tx || (p->tx = virtq_pop(q))) {
        if (!send_chain(p, p->tx))
            break;
        virtq_push(q, p->tx, 0);
        p->tx = NULL;
        p->tx_off = 0;
    }
    virtq_notify(q);
}

/* --- host to guest --- */

static bool takes_input(const struct port *p)
{
    return !p->console->multiport || (p->ready && (p->guest_open || p->is_console));
}

static size_t line_room(void *arg)
{
    struct port *p = arg;

    if (!p->rx && takes_input(p) && virtio_is_live(&p->console->dev))
        p->rx = virtq_pop(rx_queue(p));
    if (p->rx && !p->rx->in_len) { /* room for nothing: give it back */
        virtq_push(rx_queue(p), p->rx, 0);
        p->rx = NULL;
    }
    return p->rx ? p->rx->in_len : 0;
}

static void line_receive(void *arg, const uint8_t *data, size_t len)
{
    struct port *p = arg;
    struct virtq *q = rx_queue(p);

    if (!p->rx)
        return;
    virtq_push(q, p->rx, virtq_write(p->rx, 0, data, len));
    p->rx = NULL;
    virtq_notify(q);
}

static void line_writable(void *arg)
{
    struct port *p = arg;

    if (p->tx)
        port_send(p);
}

/* --- control messages [5.3.6.2] --- */

static size_t fill_message(const struct port *p, unsigned what, uint8_t *to)
{
    struct virtio_console_control *m = (struct virtio_console_control *)to;
    size_t len = sizeof(*m), name_len = strlen(p->name);

    m->id = p->index;
    m->value = 1;
    switch (what) {
    case OWE_ADD: m->event = VIRTIO_CONSOLE_PORT_ADD; break;
    case OWE_CONSOLE: m->event = VIRTIO_CONSOLE_CONSOLE_PORT; break;
    case OWE_OPEN:
        m->event = VIRTIO_CONSOLE_PORT_OPEN;
        m->value = p->line && char_is_open(p->line);
        break;
    case OWE_SIZE: /* older Linux swaps the two */
        m->event = VIRTIO_CONSOLE_RESIZE;
        store_le16(to + len, p->cols);
        store_le16(to + len + 2, p->rows);
        len += 4;
        break;
    default:
        m->event = VIRTIO_CONSOLE_PORT_NAME;
        memcpy(to + len, p->name, name_len);
        len += name_len;
    }
    return len;
}

static void send_owed(struct console *con)
{
    struct virtq *q = &con->dev.queue[CONTROL_RX];
    uint8_t m[sizeof(struct virtio_console_control) + CONSOLE_NAME_MAX];

    for (unsigned i = 0; con->multiport && i < con->port_count; i++) {
        struct port *p = &con->port[i];

        while (p->owed) {
            struct virtq_chain *c = virtq_pop(q);
            uint8_t what = p->owed & (uint8_t)-p->owed;

            if (!c)
                goto out;
            p->owed &= (uint8_t)~what;
            virtq_push(q, c, virtq_write(c, 0, m, fill_message(p, what, m)));
        }
    }
out:
    virtq_notify(q);
}

static void owe(struct port *p, unsigned what)
{
    if (!p->console->multiport || !p->ready)
        return;
    p->owed |= (uint8_t)what;
    if (virtio_is_live(&p->console->dev))
        send_owed(p->console);
}

static void guest_opens(struct port *p, bool open)
{
    if (p->guest_open == open)
        return;
    if (!open && virtio_is_live(&p->console->dev))
        port_send(p); /* what was written before, whose queue is another one */
    p->guest_open = open;
    if (p->console->opened)
        p->console->opened(p->console->opened_arg, p->index, open);
    if (open && p->line)
        char_accept_input(p->line);
}

static void on_control(struct console *con, const struct virtio_console_control *m)
{
    struct port *p = m->id < con->port_count ? &con->port[m->id] : NULL;

    if (m->event == VIRTIO_CONSOLE_DEVICE_READY && m->value) {
        for (unsigned i = 0; i < con->port_count; i++)
            con->port[i].owed |= OWE_ADD;
    } else if (p && m->event == VIRTIO_CONSOLE_PORT_READY && m->value) {
        p->ready = true;
        p->owed |= OWE_OPEN | (p->name[0] ? OWE_NAME : 0) | (p->is_console ? OWE_CONSOLE : 0) |
                   (p->is_console && p->cols ? OWE_SIZE : 0);
        if (p->line)
            char_accept_input(p->line);
    } else if (p && m->event == VIRTIO_CONSOLE_PORT_OPEN) {
        guest_opens(p, m->value);
    }
}

static void receive_control(struct console *con)
{
    struct virtq *q = &con->dev.queue[CONTROL_TX];
    struct virtio_console_control m;
    struct virtq_chain *c;

    while ((c = virtq_pop(q))) {
        if (virtq_read(c, 0, &m, sizeof(m)) == sizeof(m))
            on_control(con, &m);
        virtq_push(q, c, 0);
    }
    virtq_notify(q);
    send_owed(con);
}

/* --- the device --- */

static void console_kick(struct virtio_dev *dev, unsigned index)
{
    struct console *con = to_console(dev);
    unsigned port = index < 2 ? 0 : index / 2 - 1;

    if (con->multiport && index == CONTROL_RX)
        send_owed(con);
    else if (con->multiport && index == CONTROL_TX)
        receive_control(con);
    else if (index & 1)
        port_send(&con->port[port]);
    else if (con->port[port].line)
        char_accept_input(con->port[port].line);
}

static void console_drain(struct virtio_dev *dev)
{
    struct console *con = to_console(dev);

    for (unsigned i = 0; i < con->port_count; i++) {
        struct port *p = &con->port[i];

        if (p->rx)
            virtq_unpop(rx_queue(p), p->rx);
        if (p->tx)
            virtq_unpop(tx_queue(p), p->tx); /* tx_off stays */
        p->rx = p->tx = NULL;
    }
}

static void set_size(struct console *con)
{
    uint8_t size[4];

    store_le16(size, con->port[0].cols);
    store_le16(size + 2, con->port[0].rows);
    virtio_config_set(&con->dev, 0, size, sizeof(size));
}

static void console_reset(struct virtio_dev *dev)
{
    struct console *con = to_console(dev);

    for (unsigned i = 0; i < con->port_count; i++) {
        struct port *p = &con->port[i];

        p->owed = 0;
        p->tx_off = 0;
        p->ready = false;
        guest_opens(p, false);
    }
}

/* Linux reads the size of a single port's window when it is told of a change, and not before. */
static void console_start(struct virtio_dev *dev)
{
    static const uint8_t none[4];
    struct console *con = to_console(dev);

    if (con->multiport || !con->port[0].cols)
        return;
    virtio_config_set(dev, offsetof(struct virtio_console_config, cols), none, sizeof(none));
    set_size(con);
}

/* A byte for debugging, without queues [5.3.4: emerg_wr]. */
static void console_config_written(struct virtio_dev *dev)
{
    struct console *con = to_console(dev);
    uint8_t byte;

    virtio_config_get(dev, offsetof(struct virtio_console_config, emerg_wr), &byte, 1);
    if (con->port[0].line && byte && char_write(con->port[0].line, &byte, 1) == 0)
        return; /* no room: it is lost, as the register has no way to say so */
}

static void line_opened(void *arg, bool open)
{
    owe(arg, OWE_OPEN);
}

static const struct char_client line_client = {
    .writable = line_writable, .room = line_room, .receive = line_receive, .opened = line_opened};

void console_resize(struct virtio_dev *dev, unsigned port, uint16_t cols, uint16_t rows)
{
    struct console *con = to_console(dev);
    struct port *p = &con->port[port];

    p->cols = cols;
    p->rows = rows;
    if (!port)
        set_size(con);
    if (p->is_console)
        owe(p, OWE_SIZE);
}

void console_set_line(struct virtio_dev *dev, unsigned port, struct char_dev *line)
{
    struct port *p = &to_console(dev)->port[port];

    if (p->line)
        char_attach(p->line, NULL, NULL);
    p->line = line;
    if (line)
        char_attach(line, &line_client, p);
    owe(p, OWE_OPEN);
    if (p->tx)
        port_send(p);
}

bool console_is_open(const struct virtio_dev *dev, unsigned port)
{
    return container_of(dev, struct console, dev)->port[port].guest_open;
}

static int console_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    struct console *con = to_console(dev);
    const struct console_options *o = options;
    struct virtio_console_config *config = (struct virtio_console_config *)dev->config;

    if (!o->port_count || o->port_count > CONSOLE_PORTS_MAX || dev->queue_count != console_queues(o))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "a console has 1 to %u ports",
                         CONSOLE_PORTS_MAX);
    con->port_count = o->port_count;
    con->multiport = o->multiport;
    con->opened = o->opened;
    con->opened_arg = o->opened_arg;
    if (o->multiport)
        dev->features |= BIT(VIRTIO_CONSOLE_F_MULTIPORT);
    store_le32(&config->max_nr_ports, o->port_count);
    memset(&dev->config_wmask[offsetof(struct virtio_console_config, emerg_wr)], 0xff, 4);
    for (unsigned i = 0; i < o->port_count; i++) {
        struct port *p = &con->port[i];

        p->console = con;
        p->index = i;
        p->is_console = !o->multiport || o->port[i].console;
        if (o->port[i].name)
            strncpy(p->name, o->port[i].name, CONSOLE_NAME_MAX);
        console_set_line(dev, i, o->port[i].line);
    }
    con->port[0].cols = o->cols;
    con->port[0].rows = o->rows;
    set_size(con);
    return 0;
}

static void console_fini(struct virtio_dev *dev)
{
    struct console *con = to_console(dev);

    for (unsigned i = 0; i < con->port_count; i++) {
        if (con->port[i].line)
            char_attach(con->port[i].line, NULL, NULL);
    }
}

static const struct state_field port_state[] = {
    STATE_UINT(struct port, tx_off),
    STATE_UINT(struct port, cols),
    STATE_UINT(struct port, rows),
    STATE_UINT_MAX(struct port, owed, 31),
    STATE_BOOL(struct port, guest_open),
    STATE_BOOL(struct port, ready),
    STATE_END,
};

static const struct state_field console_state[] = {
    STATE_STRUCT_ARRAY(struct console, port, port_state),
    STATE_END,
};

const struct virtio_ops virtio_console_ops = {
    .name = "virtio-console", .id = VIRTIO_ID_CONSOLE, .class_code = 0x078000, .queues = 2,
    .queue_max = 128, .features = BIT(VIRTIO_CONSOLE_F_SIZE) | BIT(VIRTIO_CONSOLE_F_EMERG_WRITE),
    .config_len = sizeof(struct virtio_console_config), .size = sizeof(struct console),
    .init = console_init, .fini = console_fini, .start = console_start, .kick = console_kick,
    .drain = console_drain, .reset = console_reset, .config_written = console_config_written,
    .state = console_state, .state_version = 1,
};
