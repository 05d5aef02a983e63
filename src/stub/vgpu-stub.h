/*
 * vgpu-stub: what the parts of the device share
 *
 * Everything here runs in QEMU's main thread or a vCPU thread, with the
 * big QEMU lock held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_VGPU_STUB_H
#define HW_MISC_VGPU_STUB_H

#include "vgpu-stub-compat.h"
#include "chardev/char-fe.h"
#include "qemu/event_notifier.h"
#include "qom/object.h"

#include "protocol/vm_link.h"

#define TYPE_VGPU_STUB "vgpu-stub"
OBJECT_DECLARE_SIMPLE_TYPE(VgpuStub, VGPU_STUB)

/* BAR2 is a 64-bit one and takes BAR3's place too. */
#define VGPU_STUB_BAR_REGISTERS 0
#define VGPU_STUB_BAR_MSIX 1
#define VGPU_STUB_BAR_MEMORY 2

typedef struct VgpuStubChannel {
    VgpuStub *device;
    /* The guest rings, the daemon reads. */
    EventNotifier doorbell;
    /* Daemon and executors write, the guest is interrupted. */
    EventNotifier interrupt;
    /* KVM's route for the vector, or -1 as long as it was never needed. */
    int virq;
    /* KVM reads @interrupt; if not, the main loop does. */
    bool irqfd;
} VgpuStubChannel;

struct VgpuStub {
    PCIDevice parent_obj;

    MemoryRegion registers;
    MemoryRegion memory;
    Error *migration_blocker;

    /* Allocated with the channels' notifiers; NULL before. */
    VgpuStubChannel *channel;

    /* The link to the daemon: vgpu-stub-link.c */
    struct vgpu_vm_message incoming;
    uint32_t incoming_bytes;
    uint32_t status;   /* VGPU_REG_STATUS */
    uint32_t connects; /* VGPU_REG_CONNECTS */
    /* The last complaint, so that a chardev that reconnects repeats none. */
    char *complaint;

    /* Properties */
    CharBackend chr;
    uint32_t vm_id;
    char *pool;
    uint64_t shm_size;
    uint32_t channels;
};

/*
 * Interrupts: from each channel's eventfd to its MSI-X vector.
 * vgpu_stub_irq_init() needs the notifiers and MSI-X itself.
 */
int vgpu_stub_irq_init(VgpuStub *s, Error **errp);
void vgpu_stub_irq_exit(VgpuStub *s);

/* What a reset does before QEMU resets MSI-X. */
void vgpu_stub_irq_reset(VgpuStub *s);

/* PCIDeviceClass.config_write: sees MSI-X being disabled. */
void vgpu_stub_config_write(PCIDevice *pdev, uint32_t addr, uint32_t val,
                            int len);

/* True if the chardev can carry the link; else @errp says what is wrong. */
bool vgpu_stub_link_check(VgpuStub *s, Error **errp);

/*
 * Takes the chardev into use; introduces the VM at once where it is already
 * connected. Everything else of the device must be ready.
 */
void vgpu_stub_link_init(VgpuStub *s);

/* Closes the connection, by which the daemon learns that the device is gone. */
void vgpu_stub_link_exit(VgpuStub *s);

/* Tells the daemon that the VM was reset. */
void vgpu_stub_link_reset(VgpuStub *s);

#endif
