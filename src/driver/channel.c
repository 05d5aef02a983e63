// SPDX-License-Identifier: GPL-2.0
/* Channels: taken by open(), given a session by CONNECT, free again when the host has let go of them. */
#include <linux/cred.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/uidgid.h>

#include "vgpu.h"

/* How long a CONNECT bears without a daemon. */
#define VGPU_ABSENCE_LIMIT (5 * HZ)
/* A daemon that comes back need not interrupt: it is looked for this often. */
#define VGPU_ABSENCE_STEP (HZ / 50 ?: 1)
/* And while a request waits for its answer, in case that an interrupt is lost. */
#define VGPU_ANSWER_STEP HZ

/* Takes a channel that is free; NULL: there is none. */
struct vgpu_channel *vgpu_channel_open(struct vgpu_device *vgpu)
{
	struct vgpu_channel *found = NULL;
	unsigned int i;

	vgpu_reap(vgpu);
	spin_lock_irq(&vgpu->lock);
	for (i = 0; i < vgpu->usable && !found; i++)
		if (vgpu->channels[i].state == VGPU_CHANNEL_FREE)
			found = &vgpu->channels[i];
	if (found) {
		found->state = VGPU_CHANNEL_TAKEN;
		found->requested = false;
	}
	spin_unlock_irq(&vgpu->lock);
	return found;
}

/* Publishes a request whose other fields are filled in. */
static void vgpu_submit_locked(struct vgpu_channel *channel, u32 type)
{
	struct vgpu_mailbox *mailbox = vgpu_mailbox(channel->vgpu, channel->index);

	WRITE_ONCE(mailbox->type, type);
	channel->request++;
	virt_store_release(&mailbox->request, channel->request);
	vgpu_ring_locked(channel->vgpu, channel->index);
}

static void vgpu_ask_open_locked(struct vgpu_channel *channel,
				 const struct vgpu_connect *connect)
{
	struct vgpu_mailbox *mailbox = vgpu_mailbox(channel->vgpu, channel->index);
	char name[sizeof(mailbox->process)] = {};

	strscpy(name, current->group_leader->comm, min(sizeof(name), sizeof(current->comm)));
	mailbox->features = connect->features;
	mailbox->pid = task_tgid_nr(current);
	mailbox->uid = from_kuid(&init_user_ns, current_uid());
	mailbox->version = connect->version;
	mailbox->zero = 0;
	memcpy(mailbox->process, name, sizeof(name));
	channel->requested = true;
	channel->epoch = channel->vgpu->epoch;
	vgpu_submit_locked(channel, VGPU_REQUEST_OPEN);
}

static bool vgpu_answered_locked(struct vgpu_channel *channel)
{
	return virt_load_acquire(&vgpu_mailbox(channel->vgpu, channel->index)->answered) ==
	       channel->request;
}

static void vgpu_take_answer_locked(struct vgpu_channel *channel,
				    struct vgpu_connect *connect)
{
	struct vgpu_device *vgpu = channel->vgpu;
	struct vgpu_mailbox *mailbox = vgpu_mailbox(vgpu, channel->index);
	u64 most = VGPU_ARENA_OFFSET + (u64)vgpu->granules * VGPU_ARENA_GRANULE;

	connect->result = READ_ONCE(mailbox->result);
	connect->reason = READ_ONCE(mailbox->reason);
	connect->session = READ_ONCE(mailbox->session);
	connect->vm = vgpu->vm;
	connect->region_bytes = min(READ_ONCE(mailbox->region_bytes), most);
	connect->doorbell_mappable = vgpu->doorbell_pages;
	memcpy(connect->text, mailbox->text, min(sizeof(connect->text), sizeof(mailbox->text)));
	connect->text[sizeof(connect->text) - 1] = '\0';
	if (!connect->result)
		channel->state = VGPU_CHANNEL_OPEN;
}

enum vgpu_step { VGPU_STEP_DONE, VGPU_STEP_NO_HOST, VGPU_STEP_ASKED };

/* Does what can be done for a CONNECT now. Negative: it failed. */
static int vgpu_connect_step(struct vgpu_channel *channel, struct vgpu_connect *connect, bool *asked)
{
	struct vgpu_device *vgpu = channel->vgpu;
	int step = VGPU_STEP_ASKED;

	spin_lock_irq(&vgpu->lock);
	vgpu_look_locked(vgpu);
	if (vgpu->gone) {
		step = -ENODEV;
	} else if (channel->state == VGPU_CHANNEL_OPEN || channel->state == VGPU_CHANNEL_LOST) {
		step = -EISCONN;
	} else if (!vgpu_host_usable_locked(vgpu)) {
		step = VGPU_STEP_NO_HOST;
	} else if (!*asked || channel->epoch != vgpu->epoch) {
		vgpu_ask_open_locked(channel, connect);
		*asked = true;
	} else if (vgpu_answered_locked(channel)) {
		vgpu_take_answer_locked(channel, connect);
		step = VGPU_STEP_DONE;
	}
	spin_unlock_irq(&vgpu->lock);
	return step;
}

/* Is there anything for vgpu_connect_step() to do? */
static bool vgpu_connect_news(struct vgpu_channel *channel, bool asked)
{
	struct vgpu_device *vgpu = channel->vgpu;
	bool news;

	spin_lock_irq(&vgpu->lock);
	vgpu_look_locked(vgpu);
	if (vgpu->gone)
		news = true;
	else if (!asked)
		news = vgpu_host_usable_locked(vgpu);
	else
		news = !vgpu_host_usable_locked(vgpu) || channel->epoch != vgpu->epoch ||
		       vgpu_answered_locked(channel);
	spin_unlock_irq(&vgpu->lock);
	return news;
}

/*
 * Returns 0 with the host's answer in *connect. A signal leaves the request
 * with the host: a newer one, at the latest the CLOSE, makes it void.
 */
int vgpu_channel_connect(struct vgpu_channel *channel, struct vgpu_connect *connect)
{
	struct vgpu_device *vgpu = channel->vgpu;
	unsigned long absent = 0, before;
	bool asked = false;
	long left;

	for (;;) {
		int step = vgpu_connect_step(channel, connect, &asked);

		switch (step) {
		case VGPU_STEP_DONE:
			return 0;
		case VGPU_STEP_NO_HOST:
			if (absent > VGPU_ABSENCE_LIMIT) {
				spin_lock_irq(&vgpu->lock);
				if (!vgpu->gone)
					strscpy(connect->text, vgpu_absence_locked(vgpu), sizeof(connect->text));
				spin_unlock_irq(&vgpu->lock);
				return -ENOTCONN;
			}
			before = jiffies;
			left = wait_event_interruptible_timeout(channel->wait, vgpu_connect_news(channel, false),
								VGPU_ABSENCE_STEP);
			absent += jiffies - before;
			break;
		case VGPU_STEP_ASKED:
			left = wait_event_interruptible_timeout(channel->wait, vgpu_connect_news(channel, true),
								VGPU_ANSWER_STEP);
			break;
		default:
			return step;
		}
		if (left < 0)
			return left;
	}
}

static bool vgpu_wait_over(struct vgpu_channel *channel, u32 slot, u32 ticket)
{
	struct vgpu_device *vgpu = channel->vgpu;
	bool over = true;

	spin_lock_irq(&vgpu->lock);
	if (!vgpu->gone && channel->state == VGPU_CHANNEL_OPEN) {
		u8 *area = vgpu_channel_area(vgpu, channel->index);
		struct vgpu_slot *slots = (struct vgpu_slot *)(area + VGPU_SLOTS_OFFSET);

		over = virt_load_acquire(&slots[slot].done) == ticket ||
		       READ_ONCE(((struct vgpu_control *)area)->state) == VGPU_STATE_ENDED;
	}
	spin_unlock_irq(&vgpu->lock);
	return over;
}

int vgpu_channel_wait(struct vgpu_channel *channel, const struct vgpu_wait *wait)
{
	struct vgpu_device *vgpu = channel->vgpu;
	ktime_t timeout = min_t(u64, wait->timeout_ns, KTIME_MAX);
	int result = 0;

	if (wait->slot >= VGPU_SLOT_COUNT)
		return -EINVAL;
	spin_lock_irq(&vgpu->lock);
	vgpu_look_locked(vgpu);
	if (vgpu->gone)
		result = -ENODEV;
	else if (channel->state == VGPU_CHANNEL_TAKEN)
		result = -ENOTCONN;
	spin_unlock_irq(&vgpu->lock);
	if (result)
		return result;
	result = wait_event_interruptible_hrtimeout(channel->wait,
						    vgpu_wait_over(channel, wait->slot, wait->ticket),
						    timeout);
	/* The time is relative: a restart by the kernel would begin it anew. */
	if (result == -ERESTARTSYS)
		return -EINTR;
	spin_lock_irq(&vgpu->lock);
	result = vgpu->gone ? -ENODEV : 0;
	spin_unlock_irq(&vgpu->lock);
	return result;
}

/* The channel's file is closed: its mappings are gone. Does not wait for the host. */
void vgpu_channel_close(struct vgpu_channel *channel)
{
	struct vgpu_device *vgpu = channel->vgpu;

	spin_lock_irq(&vgpu->lock);
	vgpu_look_locked(vgpu);
	channel->state = VGPU_CHANNEL_CLOSING;
	if (!vgpu->gone && channel->requested) {
		/* Of an older epoch, too: a daemon that was just starting may have taken the OPEN for its own. */
		channel->epoch = vgpu->epoch;
		vgpu_submit_locked(channel, VGPU_REQUEST_CLOSE);
	}
	spin_unlock_irq(&vgpu->lock);
	vgpu_reap(vgpu);
}

/* Frees the channels and extents that the host has let go of. May sleep. */
void vgpu_reap(struct vgpu_device *vgpu)
{
	unsigned int i;

	down_write(&vgpu->memory);
	for (i = 0; i < VGPU_MAX_CHANNELS && !vgpu->gone; i++) {
		struct vgpu_channel *channel = &vgpu->channels[i];
		bool free;

		spin_lock_irq(&vgpu->lock);
		free = channel->state == VGPU_CHANNEL_CLOSING &&
		       (!channel->requested || channel->epoch != vgpu->epoch ||
			vgpu_answered_locked(channel));
		spin_unlock_irq(&vgpu->lock);
		if (!free)
			continue;
		vgpu_extents_free_memory_held(channel);
		spin_lock_irq(&vgpu->lock);
		channel->state = VGPU_CHANNEL_FREE;
		spin_unlock_irq(&vgpu->lock);
	}
	up_write(&vgpu->memory);
}
