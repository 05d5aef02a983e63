// SPDX-License-Identifier: GPL-2.0
/*
 * The arena's granules. Who owns one is kept in memory of the kernel
 * (vgpu_device.owners); the table in BAR2 repeats it for the host's executors
 * and is believed for one thing only, `held`.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "vgpu.h"

static void vgpu_publish_owner(struct vgpu_device *vgpu, unsigned int granule, u16 owner)
{
	virt_store_release(&vgpu->table[granule].owner, owner);
}

/* The first run of free granules that is long enough, else the longest. Returns its length. */
static unsigned int vgpu_find_run(struct vgpu_device *vgpu, unsigned int wanted, unsigned int *first)
{
	unsigned int best = 0, length = 0, i;

	for (i = 0; i < vgpu->granules && best < wanted; i++) {
		length = vgpu->owners[i] ? 0 : length + 1;
		if (length > best) {
			best = length;
			*first = i + 1 - length;
		}
	}
	return best;
}

static void vgpu_set_run(struct vgpu_channel *channel, unsigned int first, unsigned int count, u8 owner)
{
	memset(channel->vgpu->owners + first, owner, count);
}

/* Zeroes granules that may hold another process's data; a removal of the device need not wait for all of them. */
static int vgpu_zero_run(struct vgpu_device *vgpu, unsigned int first, unsigned int count)
{
	unsigned int i;

	for (i = first; i < first + count; i++) {
		down_read(&vgpu->memory);
		if (vgpu->gone) {
			up_read(&vgpu->memory);
			return -ENODEV;
		}
		memset(vgpu->bar + vgpu->arena_offset + (u64)i * VGPU_ARENA_GRANULE, 0, VGPU_ARENA_GRANULE);
		up_read(&vgpu->memory);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

int vgpu_extent_take(struct vgpu_channel *channel, struct vgpu_extent *extent)
{
	struct vgpu_device *vgpu = channel->vgpu;
	u64 wanted = extent->bytes / VGPU_ARENA_GRANULE + !!(extent->bytes % VGPU_ARENA_GRANULE);
	unsigned int first = 0, count = 0, i;
	u8 owner = channel->index + 1;
	int result = 0;

	if (!wanted)
		return -EINVAL;
	vgpu_reap(vgpu);

	down_write(&vgpu->memory);
	if (vgpu->gone)
		result = -ENODEV;
	else if (READ_ONCE(channel->state) != VGPU_CHANNEL_OPEN)
		result = -ENOTCONN;
	else
		count = vgpu_find_run(vgpu, min_t(u64, wanted, vgpu->granules), &first);
	/* Until it is zeroed, other threads of the process must not map it either. */
	vgpu_set_run(channel, first, count, owner | VGPU_GRANULE_BUSY);
	channel->granules += count;
	up_write(&vgpu->memory);
	if (result)
		return result;
	if (!count)
		return -ENOMEM;

	result = vgpu_zero_run(vgpu, first, count);

	down_write(&vgpu->memory);
	if (!result && vgpu->gone)
		result = -ENODEV;
	if (result) {
		vgpu_set_run(channel, first, count, 0);
		channel->granules -= count;
	} else {
		vgpu_set_run(channel, first, count, owner);
		/*
		 * `held` stays: the channel's executor may just be looking
		 * whether a granule that went and came back is its own.
		 */
		for (i = first; i < first + count; i++)
			vgpu_publish_owner(vgpu, i, owner);
	}
	up_write(&vgpu->memory);
	extent->bytes = (u64)count * VGPU_ARENA_GRANULE;
	extent->offset = vgpu->arena_offset + (u64)first * VGPU_ARENA_GRANULE;
	return result;
}

/* With vgpu_device.memory: does all of this part of BAR2 belong to the channel? */
bool vgpu_extent_owned(struct vgpu_channel *channel, u64 offset, u64 bytes)
{
	struct vgpu_device *vgpu = channel->vgpu;
	u64 arena = (u64)vgpu->granules * VGPU_ARENA_GRANULE;
	u64 first, last, i;

	if (!bytes || offset < vgpu->arena_offset)
		return false;
	offset -= vgpu->arena_offset;
	if (offset >= arena || bytes > arena - offset)
		return false;
	first = offset / VGPU_ARENA_GRANULE;
	last = (offset + bytes - 1) / VGPU_ARENA_GRANULE;
	for (i = first; i <= last; i++)
		if (vgpu->owners[i] != channel->index + 1)
			return false;
	return true;
}

/* Takes the run from the host's sight, unless the host holds a part of it. */
static int vgpu_withdraw(struct vgpu_channel *channel, unsigned int first, unsigned int count)
{
	struct vgpu_device *vgpu = channel->vgpu;
	unsigned int i;
	int result = 0;

	for (i = first; i < first + count; i++)
		vgpu_publish_owner(vgpu, i, 0);
	/* An executor sets `held`, fences, looks at the owner. */
	virt_mb();
	for (i = first; i < first + count; i++)
		if (READ_ONCE(vgpu->table[i].held))
			result = -EBUSY;
	if (result)
		for (i = first; i < first + count; i++)
			vgpu_publish_owner(vgpu, i, channel->index + 1);
	return result;
}

int vgpu_extent_give(struct vgpu_file *file, const struct vgpu_extent *extent)
{
	struct vgpu_channel *channel = file->channel;
	struct vgpu_device *vgpu = file->vgpu;
	unsigned int first = 0, count = 0;
	int result = 0;

	down_write(&vgpu->memory);
	if (vgpu->gone) {
		result = -ENODEV;
	} else if (extent->offset % VGPU_ARENA_GRANULE ||
		   !vgpu_extent_owned(channel, extent->offset, extent->bytes)) {
		result = -EINVAL;
	} else {
		first = (extent->offset - vgpu->arena_offset) / VGPU_ARENA_GRANULE;
		count = DIV_ROUND_UP_ULL(extent->bytes, VGPU_ARENA_GRANULE);
		result = vgpu_withdraw(channel, first, count);
		if (!result)
			vgpu_set_run(channel, first, count, (channel->index + 1) | VGPU_GRANULE_BUSY);
	}
	up_write(&vgpu->memory);
	if (result)
		return result;

	/* Nobody can map it from here on; what is mapped goes before another channel can get it. */
	unmap_mapping_range(file->mapping, VGPU_MMAP_EXTENT + extent->offset, (u64)count * VGPU_ARENA_GRANULE, 1);

	down_write(&vgpu->memory);
	vgpu_set_run(channel, first, count, 0);
	channel->granules -= count;
	up_write(&vgpu->memory);
	return 0;
}

/* With vgpu_device.memory for writing: nothing of the channel is mapped or held any more. */
void vgpu_extents_free_memory_held(struct vgpu_channel *channel)
{
	struct vgpu_device *vgpu = channel->vgpu;
	unsigned int i;

	for (i = 0; i < vgpu->granules && channel->granules; i++) {
		if (vgpu->owners[i] != channel->index + 1)
			continue;
		vgpu->owners[i] = 0;
		/* What an executor that was killed has left. Others' marks go by themselves. */
		if (READ_ONCE(vgpu->table[i].held) == channel->index + 1)
			WRITE_ONCE(vgpu->table[i].held, 0);
		vgpu_publish_owner(vgpu, i, 0);
		channel->granules--;
	}
}
