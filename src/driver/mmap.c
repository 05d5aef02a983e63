// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings are filled by faults, never by mmap() itself: a mapping that mmap()
 * fills is not found by unmap_mapping_range() before mmap() has returned, and
 * would outlive a removal of the device that comes in between.
 */
#include <linux/fs.h>
#include <linux/mm.h>

#include "compat.h"
#include "vgpu.h"

/* A fault fills this much around it; a granule belongs to one channel, so one look at its owner is enough. */
#define VGPU_FAULT_WINDOW ((u64)VGPU_ARENA_GRANULE)

enum vgpu_part { VGPU_PART_CHANNEL, VGPU_PART_DOORBELL, VGPU_PART_EXTENT };

static enum vgpu_part vgpu_part_of(u64 offset)
{
	if (offset >= VGPU_MMAP_EXTENT)
		return VGPU_PART_EXTENT;
	return offset >= VGPU_MMAP_DOORBELL ? VGPU_PART_DOORBELL : VGPU_PART_CHANNEL;
}

static u64 vgpu_vma_offset(struct vm_area_struct *vma, unsigned long address)
{
	return ((u64)vma->vm_pgoff << PAGE_SHIFT) + (address - vma->vm_start);
}

static vm_fault_t vgpu_fault_gone(struct vgpu_file *file, struct vm_fault *vmf)
{
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	struct page *page = offset == VGPU_CONTROL_OFFSET ? file->ended_page : file->blank_page;

	/* Lives as long as the file, which the mapping holds. */
	return vmf_insert_pfn(vmf->vma, vmf->address & PAGE_MASK, page_to_pfn(page));
}

static vm_fault_t vgpu_fault_window(struct vgpu_file *file, struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct vgpu_device *vgpu = file->vgpu;
	unsigned long address = vmf->address & PAGE_MASK;
	u64 offset = vgpu_vma_offset(vma, address);
	u64 into_window = offset & (VGPU_FAULT_WINDOW - 1);
	unsigned long begin = address - min_t(u64, into_window, address - vma->vm_start);
	unsigned long end = address + min_t(u64, VGPU_FAULT_WINDOW - into_window, vma->vm_end - address);
	phys_addr_t physical;
	vm_fault_t result;

	switch (vgpu_part_of(offset)) {
	case VGPU_PART_DOORBELL:
		return vmf_insert_pfn(vma, address,
				      (vgpu->registers_start + VGPU_REG_DOORBELL(file->channel->index)) >> PAGE_SHIFT);
	case VGPU_PART_CHANNEL:
		physical = vgpu->bar_start + VGPU_CHANNEL_OFFSET(file->channel->index) + offset;
		break;
	default:
		if (!vgpu_extent_owned(file->channel, offset - VGPU_MMAP_EXTENT, PAGE_SIZE))
			return VM_FAULT_SIGBUS;
		physical = vgpu->bar_start + (offset - VGPU_MMAP_EXTENT);
		break;
	}
	/* The page that was asked for decides; the others only save faults. */
	result = vmf_insert_pfn(vma, address, physical >> PAGE_SHIFT);
	physical -= address - begin;
	for (; result == VM_FAULT_NOPAGE && begin < end; begin += PAGE_SIZE, physical += PAGE_SIZE)
		if (begin != address && vmf_insert_pfn(vma, begin, physical >> PAGE_SHIFT) != VM_FAULT_NOPAGE)
			break;
	return result;
}

static vm_fault_t vgpu_fault(struct vm_fault *vmf)
{
	struct vgpu_file *file = vmf->vma->vm_file->private_data;
	struct vgpu_device *vgpu = file->vgpu;
	vm_fault_t result;

	down_read(&vgpu->memory);
	result = vgpu->gone ? vgpu_fault_gone(file, vmf) : vgpu_fault_window(file, vmf);
	up_read(&vgpu->memory);
	return result;
}

static const struct vm_operations_struct vgpu_vm_operations = {
	.fault = vgpu_fault,
};

/* With vgpu_device.memory. */
static int vgpu_mmap_check(struct vgpu_file *file, u64 offset, u64 bytes)
{
	struct vgpu_device *vgpu = file->vgpu;
	enum vgpu_channel_state state = READ_ONCE(file->channel->state);

	if (vgpu->gone)
		return -ENODEV;
	/* The host clears the channel's area before it answers an OPEN. */
	if (state != VGPU_CHANNEL_OPEN && state != VGPU_CHANNEL_LOST)
		return -ENOTCONN;
	switch (vgpu_part_of(offset)) {
	case VGPU_PART_DOORBELL:
		if (!vgpu->doorbell_pages)
			return -ENXIO;
		return offset == VGPU_MMAP_DOORBELL && bytes == PAGE_SIZE ? 0 : -EINVAL;
	case VGPU_PART_CHANNEL:
		return offset < VGPU_CHANNEL_BYTES && bytes <= VGPU_CHANNEL_BYTES - offset ? 0 : -EINVAL;
	default:
		return vgpu_extent_owned(file->channel, offset - VGPU_MMAP_EXTENT, bytes) ? 0 : -EINVAL;
	}
}

int vgpu_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct vgpu_file *file = filp->private_data;
	struct vgpu_device *vgpu = file->vgpu;
	u64 offset = vgpu_vma_offset(vma, vma->vm_start);
	int result;

	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff > (U64_MAX >> (PAGE_SHIFT + 1)))
		return -EINVAL;
	down_read(&vgpu->memory);
	result = vgpu_mmap_check(file, offset, vma->vm_end - vma->vm_start);
	up_read(&vgpu->memory);
	if (result)
		return result;
	if (vgpu_part_of(offset) == VGPU_PART_DOORBELL)
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	/* VM_IO: madvise(MADV_DOFORK) would take VM_DONTCOPY away. */
	vgpu_vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &vgpu_vm_operations;
	return 0;
}
