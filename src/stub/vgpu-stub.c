/*
 * vgpu-stub: the PCI device by which a virtual machine reaches vgpud
 *
 * BAR0: registers and doorbells. BAR1: MSI-X. BAR2: memory that the guest
 * shares with the daemon and its executors. docs/device.md describes it,
 * protocol/device.h is its layout.
 *
 * The device only introduces guest and daemon to each other: doorbells and
 * interrupts are eventfds that the kernel (or QEMU's memory core) serves, and
 * the memory is mapped by both.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/memfd.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "hw/pci/msix.h"
#include "hw/qdev-properties-system.h"
#include "vgpu-stub.h"

QEMU_BUILD_BUG_ON(sizeof(((struct vgpu_vm_message *)0)->u) != 240);

static uint64_t vgpu_stub_registers_read(void *opaque, hwaddr addr,
                                         unsigned size)
{
    VgpuStub *s = opaque;

    switch (addr) {
    case VGPU_REG_MAGIC:
        return VGPU_MAGIC;
    case VGPU_REG_VERSION:
        return VGPU_DEVICE_VERSION;
    case VGPU_REG_FEATURES:
        return VGPU_DEVICE_FEATURE_DOORBELL_PAGES;
    case VGPU_REG_VM_ID:
        return s->vm_id;
    case VGPU_REG_CHANNELS:
        return s->channels;
    case VGPU_REG_SHM_LOW:
        return extract64(s->shm_size, 0, 32);
    case VGPU_REG_SHM_HIGH:
        return extract64(s->shm_size, 32, 32);
    case VGPU_REG_STATUS:
        return s->status;
    case VGPU_REG_CONNECTS:
        return s->connects;
    default:
        return 0;
    }
}

static void vgpu_stub_registers_write(void *opaque, hwaddr addr, uint64_t val,
                                      unsigned size)
{
    VgpuStub *s = opaque;
    uint64_t page = addr / VGPU_REG_PAGE_BYTES;

    /* Where no ioeventfd caught it: an 8-byte write under KVM, for one. */
    if (page >= 1 && page <= s->channels && addr % VGPU_REG_PAGE_BYTES == 0) {
        event_notifier_set(&s->channel[page - 1].doorbell);
        return;
    }
    qemu_log_mask(LOG_GUEST_ERROR,
                  "vgpu-stub: write to offset 0x%" HWADDR_PRIx
                  ", where there is nothing to write\n", addr);
}

static const MemoryRegionOps vgpu_stub_registers_ops = {
    .read = vgpu_stub_registers_read,
    .write = vgpu_stub_registers_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
    .impl = {
        .min_access_size = 4,
        .max_access_size = 4,
    },
};

static bool vgpu_stub_check_properties(VgpuStub *s, Error **errp)
{
    size_t pool_bytes = sizeof(((struct vgpu_vm_message *)0)->u.hello.pool);

    if (s->channels < 1 || s->channels > VGPU_MAX_CHANNELS) {
        error_setg(errp, "vgpu-stub: property 'channels' is %" PRIu32
                   " and must be 1 to %u", s->channels, VGPU_MAX_CHANNELS);
        return false;
    }
    if (!is_power_of_2(s->shm_size)) {
        error_setg(errp, "vgpu-stub: property 'shm-size' is %" PRIu64
                   " and must be a power of two", s->shm_size);
        return false;
    }
    if (s->shm_size < VGPU_MIN_MEMORY(s->channels)) {
        error_setg(errp, "vgpu-stub: property 'shm-size' is %" PRIu64
                   " MiB and %" PRIu32 " channels need at least %" PRIu64
                   " MiB", s->shm_size / MiB, s->channels,
                   pow2ceil(VGPU_MIN_MEMORY(s->channels)) / MiB);
        return false;
    }
    if (s->pool && strlen(s->pool) >= pool_bytes) {
        error_setg(errp, "vgpu-stub: property 'pool' is longer than %zu "
                   "characters", pool_bytes - 1);
        return false;
    }
    return vgpu_stub_link_check(s, errp);
}

/* On success the memory region owns the memfd. */
static bool vgpu_stub_init_memory(VgpuStub *s, Error **errp)
{
    Error *err = NULL;
    int fd;

    /* Nobody may truncate it under the others, nor add seals against them. */
    fd = qemu_memfd_create("vgpu-stub", s->shm_size, false, 0,
                           F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, errp);
    if (fd < 0) {
        return false;
    }
    memory_region_init_ram_from_fd(&s->memory, OBJECT(s), "vgpu-stub-memory",
                                   s->shm_size, RAM_SHARED, fd, 0, &err);
    if (err) {
        error_propagate(errp, err);
        close(fd);
        return false;
    }
    pci_register_bar(PCI_DEVICE(s), VGPU_STUB_BAR_MEMORY,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->memory);
    return true;
}

static void vgpu_stub_init_registers(VgpuStub *s)
{
    uint64_t bytes = pow2ceil((s->channels + 1) * VGPU_REG_PAGE_BYTES);

    memory_region_init_io(&s->registers, OBJECT(s), &vgpu_stub_registers_ops,
                          s, "vgpu-stub-registers", bytes);
    pci_register_bar(PCI_DEVICE(s), VGPU_STUB_BAR_REGISTERS,
                     PCI_BASE_ADDRESS_SPACE_MEMORY, &s->registers);
}

static void vgpu_stub_free_channels(VgpuStub *s, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        event_notifier_cleanup(&s->channel[i].doorbell);
        event_notifier_cleanup(&s->channel[i].interrupt);
    }
    g_clear_pointer(&s->channel, g_free);
}

static bool vgpu_stub_init_channels(VgpuStub *s, Error **errp)
{
    uint32_t i;
    int ret;

    s->channel = g_new0(VgpuStubChannel, s->channels);
    for (i = 0; i < s->channels; i++) {
        VgpuStubChannel *c = &s->channel[i];

        c->device = s;
        c->virq = -1;
        ret = event_notifier_init(&c->doorbell, false);
        if (ret == 0) {
            ret = event_notifier_init(&c->interrupt, false);
            if (ret < 0) {
                event_notifier_cleanup(&c->doorbell);
            }
        }
        if (ret < 0) {
            error_setg_errno(errp, -ret, "vgpu-stub: no eventfd for channel %"
                             PRIu32, i);
            vgpu_stub_free_channels(s, i);
            return false;
        }
    }
    return true;
}

static void vgpu_stub_connect_doorbells(VgpuStub *s, bool connect)
{
    void (*change)(MemoryRegion *, hwaddr, unsigned, bool, uint64_t,
                   EventNotifier *) =
        connect ? memory_region_add_eventfd : memory_region_del_eventfd;
    uint32_t i;

    memory_region_transaction_begin();
    for (i = 0; i < s->channels; i++) {
        change(&s->registers, VGPU_REG_DOORBELL(i), 4, false, 0,
               &s->channel[i].doorbell);
    }
    memory_region_transaction_commit();
}

static bool vgpu_stub_init_interrupts(VgpuStub *s, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    if (msix_init_exclusive_bar(pdev, s->channels, VGPU_STUB_BAR_MSIX,
                                errp) < 0) {
        return false;
    }
    if (!vgpu_stub_init_channels(s, errp)) {
        goto no_channels;
    }
    if (vgpu_stub_irq_init(s, errp) < 0) {
        goto no_irq;
    }
    return true;

no_irq:
    vgpu_stub_free_channels(s, s->channels);
no_channels:
    msix_uninit_exclusive_bar(pdev);
    return false;
}

static void vgpu_stub_realize(PCIDevice *pdev, Error **errp)
{
    VgpuStub *s = VGPU_STUB(pdev);

    if (!vgpu_stub_check_properties(s, errp)) {
        return;
    }

    /*
     * The blocker alone, and no vmstate marked unmigratable: QEMU would then
     * name the device and not the reason.
     */
    error_setg(&s->migration_blocker, "vgpu-stub: VM %" PRIu32 " can't be "
               "migrated or saved: what it has on the GPU stays on this host",
               s->vm_id);
    if (vgpu_compat_block_migration(&s->migration_blocker, errp) < 0) {
        return;
    }

    vgpu_stub_init_registers(s);
    if (!vgpu_stub_init_memory(s, errp) ||
        !vgpu_stub_init_interrupts(s, errp)) {
        vgpu_compat_unblock_migration(&s->migration_blocker);
        return;
    }
    vgpu_stub_connect_doorbells(s, true);
    vgpu_stub_link_init(s);
}

static void vgpu_stub_exit(PCIDevice *pdev)
{
    VgpuStub *s = VGPU_STUB(pdev);

    vgpu_stub_link_exit(s);
    vgpu_stub_connect_doorbells(s, false);
    vgpu_stub_irq_exit(s);
    vgpu_stub_free_channels(s, s->channels);
    msix_uninit_exclusive_bar(pdev);
    vgpu_compat_unblock_migration(&s->migration_blocker);
}

/*
 * The memory stays as it is: the guest's next driver starts over by
 * guest_reset, and the daemon by the message.
 */
static void vgpu_stub_reset(DeviceState *dev)
{
    vgpu_stub_irq_reset(VGPU_STUB(dev));
    vgpu_stub_link_reset(VGPU_STUB(dev));
}

VGPU_PROPERTIES vgpu_stub_properties[] = {
    DEFINE_PROP_CHR("chardev", VgpuStub, chr),
    DEFINE_PROP_UINT32("vm-id", VgpuStub, vm_id, 0),
    DEFINE_PROP_STRING("pool", VgpuStub, pool),
    DEFINE_PROP_SIZE("shm-size", VgpuStub, shm_size, 16 * GiB),
    DEFINE_PROP_UINT32("channels", VgpuStub, channels, VGPU_DEFAULT_CHANNELS),
    VGPU_PROPERTIES_END
};

static void vgpu_stub_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = vgpu_stub_realize;
    k->exit = vgpu_stub_exit;
    k->config_write = vgpu_stub_config_write;
    k->vendor_id = VGPU_PCI_VENDOR;
    k->device_id = VGPU_PCI_DEVICE;
    k->class_id = VGPU_PCI_CLASS;
    dc->desc = "A GPU of the host, by way of vgpud";
    vgpu_compat_set_reset(dc, vgpu_stub_reset);
    device_class_set_props(dc, vgpu_stub_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);

    object_class_property_set_description(klass, "chardev",
        "Unix socket that leads to vgpud (add reconnect=1 to it)");
    object_class_property_set_description(klass, "vm-id",
        "number by which vgpud knows the VM");
    object_class_property_set_description(klass, "pool",
        "pool to ask for; as vgpud's configuration says if there is none");
    object_class_property_set_description(klass, "shm-size",
        "bytes of memory shared with the host, a power of two; sparse");
    object_class_property_set_description(klass, "channels",
        "guest processes that can use the GPU at a time, 1 to 64");
}

static const TypeInfo vgpu_stub_info = {
    .name = TYPE_VGPU_STUB,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(VgpuStub),
    .class_init = vgpu_stub_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void vgpu_stub_register_types(void)
{
    type_register_static(&vgpu_stub_info);
}

type_init(vgpu_stub_register_types)
