/*
 * vgpu-stub: interrupts
 *
 * One reader at a time takes what the daemon writes to a channel's eventfd:
 * KVM while the vector is unmasked and irqfds are to be had, QEMU's main loop
 * otherwise. The main loop's msix_notify() keeps a masked vector pending.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "vgpu-stub.h"

static void vgpu_stub_interrupt(void *opaque)
{
    VgpuStubChannel *c = opaque;

    if (event_notifier_test_and_clear(&c->interrupt)) {
        msix_notify(PCI_DEVICE(c->device), c - c->device->channel);
    }
}

static void vgpu_stub_main_loop_reads(VgpuStubChannel *c, bool reads)
{
    qemu_set_fd_handler(event_notifier_get_fd(&c->interrupt),
                        reads ? vgpu_stub_interrupt : NULL, NULL, c);
}

static int vgpu_stub_add_irqfd(PCIDevice *pdev, VgpuStubChannel *c,
                               unsigned vector, MSIMessage msg)
{
    int ret;

    if (c->virq < 0) {
        KVMRouteChange change = kvm_irqchip_begin_route_changes(kvm_state);

        ret = kvm_irqchip_add_msi_route(&change, vector, pdev);
        if (ret < 0) {
            return ret;
        }
        kvm_irqchip_commit_route_changes(&change);
        c->virq = ret;
    } else {
        /* The guest may have given the vector another message meanwhile. */
        ret = kvm_irqchip_update_msi_route(kvm_state, c->virq, msg, pdev);
        if (ret < 0) {
            return ret;
        }
        kvm_irqchip_commit_routes(kvm_state);
    }
    return kvm_irqchip_add_irqfd_notifier_gsi(kvm_state, &c->interrupt, NULL,
                                              c->virq);
}

static int vgpu_stub_vector_use(PCIDevice *pdev, unsigned vector,
                                MSIMessage msg)
{
    VgpuStubChannel *c = &VGPU_STUB(pdev)->channel[vector];

    if (!kvm_msi_via_irqfd_enabled() || c->irqfd) {
        return 0;
    }
    /* What was written before is not lost: KVM looks when it takes over. */
    vgpu_stub_main_loop_reads(c, false);
    if (vgpu_stub_add_irqfd(pdev, c, vector, msg) < 0) {
        /* KVM is out of routes. The main loop is slower and always works. */
        vgpu_stub_main_loop_reads(c, true);
        return 0;
    }
    c->irqfd = true;
    return 0;
}

/* Vectors that are not in use are released, too. */
static void vgpu_stub_vector_release(PCIDevice *pdev, unsigned vector)
{
    VgpuStubChannel *c = &VGPU_STUB(pdev)->channel[vector];

    if (!c->irqfd) {
        return;
    }
    kvm_irqchip_remove_irqfd_notifier_gsi(kvm_state, &c->interrupt, c->virq);
    c->irqfd = false;
    vgpu_stub_main_loop_reads(c, true);
}

/* The guest reads pending bits: what the main loop has yet to read counts. */
static void vgpu_stub_vector_poll(PCIDevice *pdev, unsigned start,
                                  unsigned end)
{
    VgpuStub *s = VGPU_STUB(pdev);
    unsigned vector;

    for (vector = start; vector < MIN(end, s->channels); vector++) {
        if (msix_is_masked(pdev, vector) &&
            event_notifier_test_and_clear(&s->channel[vector].interrupt)) {
            msix_set_pending(pdev, vector);
        }
    }
}

int vgpu_stub_irq_init(VgpuStub *s, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    uint32_t i;
    int ret;

    for (i = 0; i < s->channels; i++) {
        msix_vector_use(pdev, i);
        vgpu_stub_main_loop_reads(&s->channel[i], true);
    }
    ret = msix_set_vector_notifiers(pdev, vgpu_stub_vector_use,
                                    vgpu_stub_vector_release,
                                    vgpu_stub_vector_poll);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "vgpu-stub: MSI-X can't be watched");
        for (i = 0; i < s->channels; i++) {
            vgpu_stub_main_loop_reads(&s->channel[i], false);
        }
    }
    return ret;
}

/* QEMU releases no vector when the guest disables MSI-X as a whole. */
static void vgpu_stub_irq_release_disabled(VgpuStub *s)
{
    uint32_t i;

    if (msix_enabled(PCI_DEVICE(s))) {
        return;
    }
    for (i = 0; i < s->channels; i++) {
        vgpu_stub_vector_release(PCI_DEVICE(s), i);
    }
}

void vgpu_stub_config_write(PCIDevice *pdev, uint32_t addr, uint32_t val,
                            int len)
{
    pci_default_write_config(pdev, addr, val, len);
    vgpu_stub_irq_release_disabled(VGPU_STUB(pdev));
}

/*
 * QEMU's own reset of MSI-X, which follows, disables it and does not take note
 * that it is masked by that: a vector that the guest then unmasked would be
 * taken into use, for which QEMU aborts. Disabled before, it is noted.
 */
void vgpu_stub_irq_reset(VgpuStub *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    vgpu_stub_config_write(pdev, pdev->msix_cap + PCI_MSIX_FLAGS, 0, 2);
}

void vgpu_stub_irq_exit(VgpuStub *s)
{
    uint32_t i;

    msix_unset_vector_notifiers(PCI_DEVICE(s));
    for (i = 0; i < s->channels; i++) {
        vgpu_stub_main_loop_reads(&s->channel[i], false);
        if (s->channel[i].virq >= 0) {
            kvm_irqchip_release_virq(kvm_state, s->channel[i].virq);
        }
    }
}
