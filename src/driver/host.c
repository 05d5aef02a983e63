// SPDX-License-Identifier: GPL-2.0
/*
 * What the device page says of the host: is a daemon there, is it the same one
 * as before, how is the memory laid out. All of it is read into private memory
 * and checked before use.
 *
 * Barriers are the virt_ ones: the other side is another machine's processor
 * even where this kernel runs on one.
 */
#include <linux/io.h>

#include "vgpu.h"

void vgpu_ring_locked(struct vgpu_device *vgpu, unsigned int channel)
{
	if (vgpu->ivshmem)
		iowrite32(VGPU_IVSHMEM_DAEMON_PEER << 16 | channel,
			  vgpu->registers + VGPU_IVSHMEM_DOORBELL);
	else
		iowrite32(1, vgpu->registers + VGPU_REG_DOORBELL(channel));
}

void vgpu_wake_all(struct vgpu_device *vgpu)
{
	unsigned int i;

	for (i = 0; i < VGPU_MAX_CHANNELS; i++)
		wake_up_all(&vgpu->channels[i].wait);
}

void vgpu_announce_reset_locked(struct vgpu_device *vgpu)
{
	vgpu->reset = READ_ONCE(vgpu->page->guest_reset) + 1;
	virt_store_release(&vgpu->page->guest_reset, vgpu->reset);
	vgpu_ring_locked(vgpu, 0);
}

/* Takes the layout over once it is there and right. Later changes of these fields are not looked at. */
static void vgpu_read_geometry_locked(struct vgpu_device *vgpu)
{
	struct vgpu_device_page *page = vgpu->page;
	u32 magic = READ_ONCE(page->magic);
	u32 version, channels;
	u64 memory, offset, arena;

	if (vgpu->geometry)
		return;
	if (magic != VGPU_MAGIC) {
		vgpu->trouble = magic ? "this VM's shared memory holds no vgpu device page" : NULL;
		return;
	}
	virt_rmb();
	version = READ_ONCE(page->version);
	channels = READ_ONCE(page->channels);
	memory = READ_ONCE(page->memory_bytes);
	offset = READ_ONCE(page->arena_offset);
	arena = READ_ONCE(page->arena_bytes);

	vgpu->trouble = "the host's layout of the shared memory makes no sense";
	if (version >> 16 != VGPU_VERSION_MAJOR) {
		vgpu->trouble = "the host's vgpud and this kernel's vgpu module are of versions that do not work together";
		return;
	}
	if (!channels || channels > VGPU_MAX_CHANNELS ||
	    (vgpu->page_channels && channels != vgpu->page_channels))
		return;
	if (memory > vgpu->bar_bytes || offset != VGPU_CHANNEL_OFFSET(channels) || offset > memory)
		return;
	if (!arena || arena % VGPU_ARENA_GRANULE || arena > memory - offset ||
	    arena / VGPU_ARENA_GRANULE > vgpu->max_granules)
		return;
	vgpu->trouble = NULL;
	vgpu->vm = READ_ONCE(page->vm);
	vgpu->page_channels = channels;
	vgpu->usable = min(channels, vgpu->vectors);
	vgpu->arena_offset = offset;
	vgpu->granules = arena / VGPU_ARENA_GRANULE;
	vgpu->geometry = true;
}

/* Tells a session's process that its session is over, unless the host has. */
static void vgpu_end_session_locked(struct vgpu_channel *channel)
{
	struct vgpu_control *control = vgpu_control(channel->vgpu, channel->index);

	if (READ_ONCE(control->state) != VGPU_STATE_ENDED) {
		WRITE_ONCE(control->end_reason, VGPU_END_DAEMON_STOPPED);
		WRITE_ONCE(control->end_result, VGPU_RESULT_UNAVAILABLE);
		virt_store_release(&control->state, VGPU_STATE_ENDED);
	}
	channel->state = VGPU_CHANNEL_LOST;
}

/*
 * Looks whether the host is another one than before or none, and ends the
 * sessions that went with it. Cheap; interrupt handlers call it.
 */
void vgpu_look_locked(struct vgpu_device *vgpu)
{
	bool ready, changed;
	unsigned int i;
	u32 epoch;

	if (vgpu->gone)
		return;
	vgpu_read_geometry_locked(vgpu);
	if (!vgpu->attached)
		return;
	/* The daemon changes the epoch before it says READY. */
	ready = virt_load_acquire(&vgpu->page->host_state) == VGPU_HOST_READY &&
		vgpu->geometry;
	epoch = READ_ONCE(vgpu->page->host_epoch);
	changed = epoch != vgpu->epoch || ready != vgpu->ready;
	vgpu->epoch = epoch;
	vgpu->ready = ready;
	if (!changed)
		return;
	for (i = 0; i < vgpu->usable; i++) {
		struct vgpu_channel *channel = &vgpu->channels[i];

		if (channel->state == VGPU_CHANNEL_OPEN &&
		    (!ready || channel->epoch != epoch))
			vgpu_end_session_locked(channel);
	}
	vgpu_wake_all(vgpu);
	schedule_work(&vgpu->work);
}

/* A daemon is there and has forgotten what was before this driver. */
bool vgpu_host_usable_locked(struct vgpu_device *vgpu)
{
	return vgpu->ready &&
	       virt_load_acquire(&vgpu->page->reset_done) == vgpu->reset;
}

/* What to look at where no daemon can be used; fits vgpu_connect.text. */
const char *vgpu_absence_locked(struct vgpu_device *vgpu)
{
	u32 status;

	if (vgpu->trouble)
		return vgpu->trouble;
	if (vgpu->ready)
		return "the host's vgpud does not answer this VM's driver: see its log";
	if (vgpu->ivshmem)
		return "the host's vgpud does not serve this VM: is it running, and its socket the one QEMU was given?";
	status = ioread32(vgpu->registers + VGPU_REG_STATUS);
	if (status & VGPU_STATUS_REFUSED)
		return "the host's vgpud refused this VM: QEMU's log says why";
	if (status & VGPU_STATUS_CONNECTED)
		return "the host's vgpud has not taken this VM yet: see its log";
	return "the host's vgpud does not serve this VM: is it running, and its socket the one QEMU was given?";
}

/*
 * Tells the host that this driver starts and knows of no session: once, at the
 * first sight of a device that is surely ours. May sleep. Returns whether the
 * number of channels is known.
 */
bool vgpu_attach(struct vgpu_device *vgpu)
{
	unsigned int i;
	bool known;

	down_write(&vgpu->memory);
	spin_lock_irq(&vgpu->lock);
	if (!vgpu->gone && !vgpu->attached) {
		vgpu_read_geometry_locked(vgpu);
		/* Memory behind ivshmem may be somebody else's until our magic is there: no write before that. */
		if (!vgpu->ivshmem || vgpu->geometry) {
			spin_unlock_irq(&vgpu->lock);
			memset(vgpu->table, 0, vgpu->max_granules * sizeof(*vgpu->table));
			spin_lock_irq(&vgpu->lock);
			for (i = 0; i < VGPU_MAX_CHANNELS; i++)
				vgpu->channels[i].request = READ_ONCE(vgpu_mailbox(vgpu, i)->request);
			vgpu->epoch = READ_ONCE(vgpu->page->host_epoch);
			vgpu_announce_reset_locked(vgpu);
			vgpu->attached = true;
		}
	}
	vgpu_look_locked(vgpu);
	known = vgpu->attached && vgpu->usable;
	spin_unlock_irq(&vgpu->lock);
	up_write(&vgpu->memory);
	return known;
}
