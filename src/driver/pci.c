// SPDX-License-Identifier: GPL-2.0
/*
 * vgpu: guest driver of the PCI devices vgpu-stub and ivshmem-doorbell, through
 * which processes of this virtual machine use a GPU of its host.
 */
#include <linux/idr.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "vgpu.h"

#define VGPU_REGISTER_BAR 0
#define VGPU_MEMORY_BAR 2

static DEFINE_IDA(vgpu_ids);

void vgpu_device_release(struct kref *refs)
{
	struct vgpu_device *vgpu = container_of(refs, struct vgpu_device, refs);

	kvfree(vgpu->owners);
	kvfree(vgpu);
}

static irqreturn_t vgpu_interrupt(int irq, void *data)
{
	struct vgpu_channel *channel = data;
	struct vgpu_device *vgpu = channel->vgpu;
	unsigned long flags;

	spin_lock_irqsave(&vgpu->lock, flags);
	vgpu_look_locked(vgpu);
	channel->interrupts++;
	if (channel->state == VGPU_CHANNEL_CLOSING || !vgpu->attached)
		schedule_work(&vgpu->work);
	spin_unlock_irqrestore(&vgpu->lock, flags);
	wake_up_all(&channel->wait);
	return IRQ_HANDLED;
}

static void vgpu_work(struct work_struct *work)
{
	struct vgpu_device *vgpu = container_of(work, struct vgpu_device, work);

	vgpu_attach(vgpu);
	vgpu_reap(vgpu);
}

static struct vgpu_device *vgpu_device_new(struct pci_dev *pdev)
{
	struct vgpu_device *vgpu = kvzalloc(sizeof(*vgpu), GFP_KERNEL);
	unsigned int i;

	if (!vgpu)
		return NULL;
	kref_init(&vgpu->refs);
	vgpu->pdev = pdev;
	vgpu->ivshmem = pdev->vendor == VGPU_IVSHMEM_VENDOR;
	init_rwsem(&vgpu->memory);
	spin_lock_init(&vgpu->lock);
	mutex_init(&vgpu->files_lock);
	INIT_LIST_HEAD(&vgpu->files);
	INIT_WORK(&vgpu->work, vgpu_work);
	for (i = 0; i < VGPU_MAX_CHANNELS; i++) {
		vgpu->channels[i].vgpu = vgpu;
		vgpu->channels[i].index = i;
		init_waitqueue_head(&vgpu->channels[i].wait);
	}
	return vgpu;
}

/* Is this a device of ours? vgpu-stub has registers that say so, ivshmem only what lies in its memory. */
static int vgpu_identify(struct vgpu_device *vgpu)
{
	struct device *dev = &vgpu->pdev->dev;
	u32 magic, version, features, channels;

	if (vgpu->ivshmem) {
		magic = READ_ONCE(vgpu->page->magic);
		if (magic && magic != VGPU_MAGIC) {
			dev_info(dev, "this ivshmem device holds something else\n");
			return -ENODEV;
		}
		return 0;
	}
	magic = ioread32(vgpu->registers + VGPU_REG_MAGIC);
	version = ioread32(vgpu->registers + VGPU_REG_VERSION);
	features = ioread32(vgpu->registers + VGPU_REG_FEATURES);
	channels = ioread32(vgpu->registers + VGPU_REG_CHANNELS);
	if (magic != VGPU_MAGIC || version >> 16 != VGPU_DEVICE_VERSION >> 16) {
		dev_err(dev, "device version %#x (magic %#x) is not one that this driver knows\n", version, magic);
		return -ENODEV;
	}
	if (!channels || channels > VGPU_MAX_CHANNELS || vgpu->bar_bytes < VGPU_MIN_MEMORY(channels) ||
	    pci_resource_len(vgpu->pdev, VGPU_REGISTER_BAR) < VGPU_REG_DOORBELL(channels)) {
		dev_err(dev, "%u channels do not fit the device's memory\n", channels);
		return -ENODEV;
	}
	vgpu->page_channels = channels;
	vgpu->usable = min(channels, vgpu->vectors);
	vgpu->doorbell_pages = features & VGPU_DEVICE_FEATURE_DOORBELL_PAGES;
	return 0;
}

static int vgpu_map(struct vgpu_device *vgpu)
{
	struct pci_dev *pdev = vgpu->pdev;

	vgpu->registers_start = pci_resource_start(pdev, VGPU_REGISTER_BAR);
	vgpu->bar_start = pci_resource_start(pdev, VGPU_MEMORY_BAR);
	vgpu->bar_bytes = pci_resource_len(pdev, VGPU_MEMORY_BAR);
	if (vgpu->bar_bytes < VGPU_MIN_MEMORY(1) || pci_resource_len(pdev, VGPU_REGISTER_BAR) < 16)
		return -ENODEV;
	vgpu->registers = pci_iomap(pdev, VGPU_REGISTER_BAR, 0);
	if (!vgpu->registers)
		return -ENOMEM;
	/*
	 * All of it, in pages as large as can be: besides the driver's own
	 * accesses this settles the memory type. Pages of a BAR that nobody has
	 * mapped write-back would come to processes uncached.
	 */
	vgpu->bar = memremap(vgpu->bar_start, vgpu->bar_bytes, MEMREMAP_WB);
	if (!vgpu->bar) {
		pci_iounmap(pdev, vgpu->registers);
		return -ENOMEM;
	}
	vgpu->page = (struct vgpu_device_page *)(vgpu->bar + VGPU_DEVICE_PAGE_OFFSET);
	vgpu->table = (struct vgpu_granule *)(vgpu->bar + VGPU_GRANULES_OFFSET);
	vgpu->max_granules = min_t(u64, VGPU_MAX_GRANULES, vgpu->bar_bytes / VGPU_ARENA_GRANULE);
	vgpu->owners = kvzalloc(vgpu->max_granules, GFP_KERNEL);
	if (!vgpu->owners) {
		memunmap(vgpu->bar);
		pci_iounmap(pdev, vgpu->registers);
		return -ENOMEM;
	}
	return 0;
}

static void vgpu_unmap(struct vgpu_device *vgpu)
{
	memunmap(vgpu->bar);
	pci_iounmap(vgpu->pdev, vgpu->registers);
}

static void vgpu_free_interrupts(struct vgpu_device *vgpu, unsigned int count)
{
	while (count--)
		free_irq(pci_irq_vector(vgpu->pdev, count), &vgpu->channels[count]);
}

static int vgpu_request_interrupts(struct vgpu_device *vgpu)
{
	unsigned int i;
	int result;

	for (i = 0; i < vgpu->vectors; i++) {
		struct vgpu_channel *channel = &vgpu->channels[i];

		snprintf(channel->irq_name, sizeof(channel->irq_name), "%s-%u", vgpu->name, i);
		result = request_irq(pci_irq_vector(vgpu->pdev, i), vgpu_interrupt, 0, channel->irq_name, channel);
		if (result) {
			vgpu_free_interrupts(vgpu, i);
			return result;
		}
	}
	return 0;
}

static int vgpu_register(struct vgpu_device *vgpu)
{
	vgpu->misc.minor = MISC_DYNAMIC_MINOR;
	vgpu->misc.name = vgpu->name;
	vgpu->misc.fops = &vgpu_file_operations;
	vgpu->misc.parent = &vgpu->pdev->dev;
	vgpu->misc.mode = 0660;
	return misc_register(&vgpu->misc);
}

static int vgpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vgpu_device *vgpu;
	int result;

	/* Each channel has a vector of its own; ivshmem-plain, which has none, is not for us. */
	result = pci_msix_vec_count(pdev);
	if (result < 1)
		return -ENODEV;
	vgpu = vgpu_device_new(pdev);
	if (!vgpu)
		return -ENOMEM;
	vgpu->vectors = min_t(unsigned int, result, VGPU_MAX_CHANNELS);
	result = pci_enable_device_mem(pdev);
	if (result)
		goto put;
	result = pci_request_mem_regions(pdev, KBUILD_MODNAME);
	if (result)
		goto disable;
	result = vgpu_map(vgpu);
	if (result)
		goto release;
	result = vgpu_identify(vgpu);
	if (result)
		goto unmap;
	result = pci_alloc_irq_vectors(pdev, 1, vgpu->vectors, PCI_IRQ_MSIX);
	if (result < 0)
		goto unmap;
	vgpu->vectors = result;
	if (vgpu->usable)
		vgpu->usable = min(vgpu->usable, vgpu->vectors);
	result = ida_alloc(&vgpu_ids, GFP_KERNEL);
	if (result < 0)
		goto vectors;
	vgpu->id = result;
	snprintf(vgpu->name, sizeof(vgpu->name), "vgpu%d", vgpu->id);
	pci_set_master(pdev);
	result = vgpu_request_interrupts(vgpu);
	if (result)
		goto master;
	pci_set_drvdata(pdev, vgpu);
	vgpu_attach(vgpu);
	result = vgpu_register(vgpu);
	if (result)
		goto interrupts;
	dev_info(&pdev->dev, "%s: %llu MiB shared with the host, %u vectors\n", vgpu->name, vgpu->bar_bytes >> 20,
		 vgpu->vectors);
	return 0;

interrupts:
	vgpu_free_interrupts(vgpu, vgpu->vectors);
master:
	cancel_work_sync(&vgpu->work);
	pci_clear_master(pdev);
	ida_free(&vgpu_ids, vgpu->id);
vectors:
	pci_free_irq_vectors(pdev);
unmap:
	vgpu_unmap(vgpu);
release:
	pci_release_mem_regions(pdev);
disable:
	pci_disable_device(pdev);
put:
	kref_put(&vgpu->refs, vgpu_device_release);
	return result;
}

/* Lets the host end the sessions, if the device is still there to tell it. */
static void vgpu_tell_end_locked(struct vgpu_device *vgpu)
{
	if (vgpu->attached && !vgpu->gone && pci_device_is_present(vgpu->pdev))
		vgpu_announce_reset_locked(vgpu);
}

static void vgpu_remove(struct pci_dev *pdev)
{
	struct vgpu_device *vgpu = pci_get_drvdata(pdev);
	struct vgpu_file *file;

	/* No open() is under way after this, and none comes. */
	misc_deregister(&vgpu->misc);
	down_write(&vgpu->memory);
	spin_lock_irq(&vgpu->lock);
	vgpu_tell_end_locked(vgpu);
	vgpu->gone = true;
	spin_unlock_irq(&vgpu->lock);
	up_write(&vgpu->memory);
	vgpu_wake_all(vgpu);

	/* Faults give memory of the kernel from here on; what is mapped goes. */
	mutex_lock(&vgpu->files_lock);
	list_for_each_entry(file, &vgpu->files, link)
		unmap_mapping_range(file->mapping, 0, 0, 1);
	mutex_unlock(&vgpu->files_lock);

	vgpu_free_interrupts(vgpu, vgpu->vectors);
	cancel_work_sync(&vgpu->work);
	pci_clear_master(pdev);
	pci_free_irq_vectors(pdev);
	vgpu_unmap(vgpu);
	pci_release_mem_regions(pdev);
	pci_disable_device(pdev);
	ida_free(&vgpu_ids, vgpu->id);
	vgpu->pdev = NULL;
	kref_put(&vgpu->refs, vgpu_device_release);
}

/* The machine goes down or starts another kernel. */
static void vgpu_shutdown(struct pci_dev *pdev)
{
	struct vgpu_device *vgpu = pci_get_drvdata(pdev);

	spin_lock_irq(&vgpu->lock);
	vgpu_tell_end_locked(vgpu);
	spin_unlock_irq(&vgpu->lock);
}

static const struct pci_device_id vgpu_pci_ids[] = {
	{ PCI_DEVICE(VGPU_PCI_VENDOR, VGPU_PCI_DEVICE) },
	{ PCI_DEVICE(VGPU_IVSHMEM_VENDOR, VGPU_IVSHMEM_DEVICE) },
	{}
};
MODULE_DEVICE_TABLE(pci, vgpu_pci_ids);

static struct pci_driver vgpu_pci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = vgpu_pci_ids,
	.probe = vgpu_probe,
	.remove = vgpu_remove,
	.shutdown = vgpu_shutdown,
};
module_pci_driver(vgpu_pci_driver);

MODULE_DESCRIPTION("A GPU of the host for processes of this virtual machine");
MODULE_AUTHOR("The vgpu authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0");
