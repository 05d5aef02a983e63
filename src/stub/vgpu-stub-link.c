/*
 * vgpu-stub: the link to the daemon, as protocol/vm_link.h describes it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "vgpu-stub.h"

/*
 * Says once what went wrong: a chardev that reconnects would say it again
 * each second. A daemon that takes the VM ends the silence.
 */
static void G_GNUC_PRINTF(2, 3) vgpu_stub_complain(VgpuStub *s,
                                                   const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    if (g_strcmp0(text, s->complaint) != 0) {
        error_report("vgpu-stub: VM %" PRIu32 ": %s", s->vm_id, text);
        g_free(s->complaint);
        s->complaint = g_steal_pointer(&text);
    }
}

static void vgpu_stub_start_message(struct vgpu_vm_message *m, uint32_t type)
{
    memset(m, 0, sizeof(*m));
    m->magic = cpu_to_le32(VGPU_VM_LINK_MAGIC);
    m->version = cpu_to_le32(VGPU_VM_LINK_VERSION);
    m->type = cpu_to_le32(type);
    m->bytes = cpu_to_le32(sizeof(*m));
}

/*
 * Never waits: a daemon that reads nothing must not stop the VM. Returns false
 * when the message was not sent; no other may follow on this connection.
 */
static bool vgpu_stub_send(VgpuStub *s, const struct vgpu_vm_message *m,
                           int *fds, int count)
{
    int ret;

    if (!(s->status & VGPU_STATUS_CONNECTED)) {
        return false;
    }
    if (count && qemu_chr_fe_set_msgfds(&s->chr, fds, count) < 0) {
        vgpu_stub_complain(s, "the chardev passes no descriptors");
        qemu_chr_fe_disconnect(&s->chr);
        return false;
    }
    errno = 0;
    ret = qemu_chr_fe_write(&s->chr, (const uint8_t *)m, sizeof(*m));
    if (ret == sizeof(*m)) {
        return true;
    }
    if (ret >= 0 || errno == EAGAIN) {
        vgpu_stub_complain(s, "the daemon does not read: connection closed");
        qemu_chr_fe_disconnect(&s->chr);
    }
    /*
     * A broken connection is closed by the chardev itself, once what the
     * daemon said last (why it refuses the VM, perhaps) has been read.
     */
    return false;
}

static void vgpu_stub_introduce(VgpuStub *s)
{
    struct vgpu_vm_message m;
    const char *name = qemu_get_vm_name();
    int fds[2];
    uint32_t i;

    vgpu_stub_start_message(&m, VGPU_VM_HELLO);
    m.u.hello.vm = cpu_to_le32(s->vm_id);
    m.u.hello.channels = cpu_to_le32(s->channels);
    m.u.hello.memory_bytes = cpu_to_le64(s->shm_size);
    m.u.hello.device = cpu_to_le32(VGPU_VM_DEVICE_STUB);
    pstrcpy(m.u.hello.pool, sizeof(m.u.hello.pool), s->pool ? s->pool : "");
    pstrcpy(m.u.hello.name, sizeof(m.u.hello.name), name ? name : "");
    fds[0] = memory_region_get_fd(&s->memory);
    if (!vgpu_stub_send(s, &m, fds, 1)) {
        return;
    }

    for (i = 0; i < s->channels; i++) {
        vgpu_stub_start_message(&m, VGPU_VM_CHANNEL);
        m.u.channel.index = cpu_to_le32(i);
        fds[0] = event_notifier_get_fd(&s->channel[i].doorbell);
        fds[1] = event_notifier_get_fd(&s->channel[i].interrupt);
        if (!vgpu_stub_send(s, &m, fds, 2)) {
            return;
        }
    }
}

/* The guest's driver ends the sessions when it sees this. */
static void vgpu_stub_host_absent(VgpuStub *s)
{
    uint8_t *base = memory_region_get_ram_ptr(&s->memory);
    struct vgpu_device_page *page = (void *)(base + VGPU_DEVICE_PAGE_OFFSET);
    uint32_t i;

    qatomic_store_release(&page->host_state, cpu_to_le32(VGPU_HOST_ABSENT));
    for (i = 0; i < s->channels; i++) {
        event_notifier_set(&s->channel[i].interrupt);
    }
}

static void vgpu_stub_refused(VgpuStub *s, struct vgpu_vm_message *m)
{
    size_t last = sizeof(m->u.refused.text) - 1;

    m->u.refused.text[last] = '\0';
    s->status |= VGPU_STATUS_REFUSED;
    vgpu_stub_complain(s, "the daemon refuses it: %s", m->u.refused.text);
    /* Nothing follows; the chardev tries again later if it reconnects. */
    qemu_chr_fe_disconnect(&s->chr);
}

static void vgpu_stub_message(VgpuStub *s, struct vgpu_vm_message *m)
{
    uint32_t version = le32_to_cpu(m->version);

    if (le32_to_cpu(m->magic) != VGPU_VM_LINK_MAGIC ||
        le32_to_cpu(m->bytes) != sizeof(*m)) {
        vgpu_stub_complain(s, "what answers on the chardev is no vgpud");
        qemu_chr_fe_disconnect(&s->chr);
        return;
    }
    if (version >> 16 != VGPU_VM_LINK_VERSION >> 16) {
        vgpu_stub_complain(s, "the daemon speaks version %" PRIu32
                           ".%" PRIu32 ", the device %u.%u",
                           version >> 16, version & 0xffff,
                           VGPU_VM_LINK_VERSION >> 16,
                           VGPU_VM_LINK_VERSION & 0xffff);
        qemu_chr_fe_disconnect(&s->chr);
        return;
    }

    switch (le32_to_cpu(m->type)) {
    case VGPU_VM_READY:
        s->status |= VGPU_STATUS_READY;
        s->status &= ~VGPU_STATUS_REFUSED;
        g_clear_pointer(&s->complaint, g_free);
        break;
    case VGPU_VM_REFUSED:
        vgpu_stub_refused(s, m);
        break;
    default:
        /* A higher minor version may add messages. */
        break;
    }
}

static int vgpu_stub_can_read(void *opaque)
{
    VgpuStub *s = opaque;

    return sizeof(s->incoming) - s->incoming_bytes;
}

static void vgpu_stub_read(void *opaque, const uint8_t *buf, int size)
{
    VgpuStub *s = opaque;
    struct vgpu_vm_message message;

    assert(size <= vgpu_stub_can_read(s));
    memcpy((uint8_t *)&s->incoming + s->incoming_bytes, buf, size);
    s->incoming_bytes += size;
    if (s->incoming_bytes == sizeof(s->incoming)) {
        message = s->incoming;
        s->incoming_bytes = 0;
        vgpu_stub_message(s, &message);
    }
}

/*
 * CHR_EVENT_CLOSED may come from within a write, with the chardev's lock held:
 * nothing here may use the chardev then.
 */
static void vgpu_stub_event(void *opaque, QEMUChrEvent event)
{
    VgpuStub *s = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        s->incoming_bytes = 0;
        s->status |= VGPU_STATUS_CONNECTED;
        s->connects++;
        vgpu_stub_introduce(s);
        break;
    case CHR_EVENT_CLOSED:
        s->status &= ~(VGPU_STATUS_CONNECTED | VGPU_STATUS_READY);
        vgpu_stub_host_absent(s);
        break;
    case CHR_EVENT_BREAK:
    case CHR_EVENT_MUX_IN:
    case CHR_EVENT_MUX_OUT:
        break;
    }
}

bool vgpu_stub_link_check(VgpuStub *s, Error **errp)
{
    if (!qemu_chr_fe_backend_connected(&s->chr)) {
        error_setg(errp, "vgpu-stub: property 'chardev' is missing: name a "
                   "-chardev socket,path=...,reconnect=1 that leads to vgpud");
        return false;
    }
    if (!qemu_chr_has_feature(qemu_chr_fe_get_driver(&s->chr),
                              QEMU_CHAR_FEATURE_FD_PASS)) {
        error_setg(errp, "vgpu-stub: chardev '%s' can't pass descriptors: it "
                   "must be a Unix socket (-chardev socket,path=...)",
                   qemu_chr_fe_get_driver(&s->chr)->label);
        return false;
    }
    return true;
}

void vgpu_stub_link_init(VgpuStub *s)
{
    qemu_chr_fe_set_handlers(&s->chr, vgpu_stub_can_read, vgpu_stub_read,
                             vgpu_stub_event, NULL, s, NULL, true);
}

void vgpu_stub_link_exit(VgpuStub *s)
{
    qemu_chr_fe_set_handlers(&s->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             false);
    /* A socket that is still connecting would abort over it. */
    if (s->status & VGPU_STATUS_CONNECTED) {
        qemu_chr_fe_disconnect(&s->chr);
    }
    g_clear_pointer(&s->complaint, g_free);
}

void vgpu_stub_link_reset(VgpuStub *s)
{
    struct vgpu_vm_message m;

    vgpu_stub_start_message(&m, VGPU_VM_RESET);
    vgpu_stub_send(s, &m, NULL, 0);
}
