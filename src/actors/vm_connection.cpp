#include "actors/vm_connection.hpp"

#include <algorithm>
#include <caf/all.hpp>

#include "actors/connection.hpp"
#include "common/log.hpp"

namespace vgpu::daemon {
namespace {

using Self = vm_connection_actor::stateful_pointer<VmConnectionState>;
using Phase = VmConnectionState::Phase;
using Channel = VmConnectionState::Channel;

const char* device_text(vgpu_vm_device_kind kind) noexcept {
  return kind == VGPU_VM_DEVICE_IVSHMEM ? "ivshmem-doorbell" : "vgpu-stub";
}

bool any_session(const VmConnectionState& state) {
  return std::any_of(state.channels.begin(), state.channels.end(),
                     [](const Channel& channel) { return channel.guest != nullptr; });
}

void hang_up_all(const VmConnectionState& state) {
  for (const Channel& channel : state.channels)
    if (channel.guest != nullptr) channel.guest->hang_up();
}

/// Once no session is left: the end, or a new beginning.
void go_on_if_quiet(Self self) {
  VmConnectionState& state = self->state;
  if (any_session(state)) return;
  if (state.phase == Phase::ending) {
    state.link->close();
    if (state.memory != nullptr) {
      self->send(state.context->metrics, closed_atom_v, state.identity.vm, state.identity.pool);
      log::info("VM disconnected", {{"vm", state.identity.vm}, {"pool", state.identity.pool}});
    }
    self->quit();
  } else if (state.phase == Phase::resetting) {
    // The guest has forgotten all of it, too.
    state.memory->discard_all();
    for (Channel& channel : state.channels) channel.waiting.reset();
    state.memory->adopt();
    state.phase = Phase::ready;
  }
}

void begin_end(Self self) {
  if (self->state.phase == Phase::ending) return;
  self->state.phase = Phase::ending;
  self->send(self->state.listening, closed_atom_v, self->state.identity.vm);
  hang_up_all(self->state);
  go_on_if_quiet(self);
}

void begin_reset(Self self) {
  VmConnectionState& state = self->state;
  if (state.phase != Phase::ready && state.phase != Phase::resetting) return;
  if (state.phase == Phase::ready) {
    // A guest can ask for resets as fast as it rings: only what tells somebody something is logged.
    const bool news = ++state.resets == 1 || any_session(state);
    log::write(news ? log::Level::info : log::Level::debug, "VM's device is reset",
               {{"vm", state.identity.vm}, {"pool", state.identity.pool}, {"resets", state.resets}});
  }
  state.phase = Phase::resetting;
  hang_up_all(state);
  go_on_if_quiet(self);
}

/// Ends a connection that never became a VM's, and says why on both sides.
void refuse(Self self, ErrorCode code, const std::string& detail) {
  VmConnectionState& state = self->state;
  const ErrorInfo& info = error_info(code);
  const std::string text = detail.empty() ? info.text : info.text + (" (" + detail + ")");
  log::warn("VM refused", {{"vm", state.offer != nullptr ? state.offer->vm : 0},
                           {"pid", state.link->peer().pid},
                           {"uid", state.link->peer().uid},
                           {"reason", text}});
  self->send(state.context->metrics, refused_atom_v, static_cast<std::uint32_t>(info.reason));
  state.link->refuse(text);
  begin_end(self);
}

void open_session(Self self, std::uint32_t number, const VmMemory::Request& request) {
  VmConnectionState& state = self->state;
  Channel& channel = state.channels[number];
  const vm_connection_actor me = self;
  VmChannel::Callbacks callbacks;
  callbacks.welcome = [me, number, request = request.number](const protocol::Welcome& welcome) {
    caf::anon_send(me, welcome_atom_v, number, request, welcome);
  };
  callbacks.rearm_doorbell = [link = state.link, number] { link->rearm_doorbell(number); };
  channel.guest = std::make_shared<VmChannel>(state.memory, number, request, state.identity, std::move(callbacks));
  channel.connection = self->spawn<caf::monitored>(connection, state.context, GuestSocketPtr(channel.guest));
}

/// What is asked of a channel that has no session.
void serve(Self self, std::uint32_t number) {
  VmConnectionState& state = self->state;
  Channel& channel = state.channels[number];
  if (!channel.waiting || state.phase != Phase::ready) return;
  const VmMemory::Request request = *std::exchange(channel.waiting, std::nullopt);
  if (request.open) return open_session(self, number, request);
  state.memory->discard_granules(number);
  if (!state.memory->discard_channel(number))
    log::warn("a channel's memory could not be given back", {{"vm", state.identity.vm}, {"channel", number}});
  state.memory->answer_close(number, request.number);
}

/// Hands a ring on to the session, after a look at the mailbox and the guest's wish to be forgotten.
void handle_doorbell(Self self, std::uint32_t number, std::uint64_t rings) {
  VmConnectionState& state = self->state;
  if (state.memory == nullptr || number >= state.channels.size()) return;
  Channel& channel = state.channels[number];
  if (state.phase == Phase::ready) {
    if (state.memory->reset_wanted()) {
      begin_reset(self);
    } else if (auto request = state.memory->take_request(number)) {
      channel.waiting = std::move(request);
      if (channel.guest != nullptr)
        channel.guest->hang_up();
      else
        serve(self, number);
    }
  }
  if (channel.guest == nullptr || !channel.guest->ring(rings)) state.link->rearm_doorbell(number);
}

void handle_down(Self self, const caf::down_msg& down) {
  VmConnectionState& state = self->state;
  const auto found = std::find_if(state.channels.begin(), state.channels.end(), [&](const Channel& channel) {
    return channel.connection != nullptr && channel.connection->address() == down.source;
  });
  if (found == state.channels.end()) return;
  if (down.reason != caf::exit_reason::normal)
    log::error("a connection's actor failed", {{"error", self->system().render(down.reason)}});
  const auto number = static_cast<std::uint32_t>(found - state.channels.begin());
  found->guest = nullptr;
  found->connection = nullptr;
  state.memory->release_granules(number);
  // A ring that the session took and did not rearm for.
  state.link->rearm_doorbell(number);
  serve(self, number);
  go_on_if_quiet(self);
}

void take_offer(Self self) {
  VmConnectionState& state = self->state;
  std::string error;
  state.memory =
      VmMemory::create(std::move(state.offer->descriptors), state.identity.vm, state.offer->memory_bytes, error);
  if (state.memory == nullptr) return refuse(self, ErrorCode::vm_memory, error);
  state.channels.resize(state.memory->channels());
  state.memory->adopt();
  state.phase = Phase::ready;
  state.link->ready(state.memory);
  self->send(state.context->metrics, opened_atom_v, state.identity.vm, state.identity.pool);
  log::info("VM connected", {{"vm", state.identity.vm},
                             {"pool", state.identity.pool},
                             {"name", state.offer->name},
                             {"device", device_text(state.offer->device)},
                             {"pid", state.link->peer().pid},
                             {"uid", state.link->peer().uid},
                             {"channels", state.memory->channels()},
                             {"memory_mib", state.offer->memory_bytes >> 20}});
}

void handle_offer(Self self, const VmOfferPtr& offer) {
  VmConnectionState& state = self->state;
  if (state.phase != Phase::greeting) return;
  state.offer = offer;
  protocol::Hello claim;
  claim.vm = offer->vm;
  offer->pool.copy(claim.pool.data(), claim.pool.size() - 1);
  const auto identified = identify(*state.context->config(), state.link->peer(), state.context->own_uid, claim);
  if (const auto* refusal = std::get_if<Refusal>(&identified)) return refuse(self, refusal->code, refusal->detail);
  state.identity = std::get<Identity>(identified);
  state.phase = Phase::claiming;
  self->request(state.listening, caf::infinite, claim_atom_v, state.identity.vm)
      .then(
          [self](bool alone) {
            if (self->state.phase != Phase::claiming) return;
            if (alone) return take_offer(self);
            refuse(self, ErrorCode::vm_connected, "VM " + std::to_string(self->state.identity.vm));
          },
          [self](const caf::error&) { begin_end(self); });
}

void handle_hangup(Self self, const std::string& wrong) {
  if (!wrong.empty())
    log::warn("VM's device is dropped",
              {{"vm", self->state.identity.vm}, {"pid", self->state.link->peer().pid}, {"reason", wrong}});
  begin_end(self);
}

void start_link(Self self) {
  const vm_connection_actor me = self;
  VmLink::Handlers handlers;
  handlers.offer = [me](VmOfferPtr offer) { caf::anon_send(me, offer_atom_v, std::move(offer)); };
  handlers.reset = [me] { caf::anon_send(me, reset_atom_v); };
  handlers.hangup = [me](std::string wrong) { caf::anon_send(me, hangup_atom_v, std::move(wrong)); };
  handlers.doorbell = [me](std::uint32_t channel, std::uint64_t rings) {
    caf::anon_send(me, doorbell_atom_v, channel, rings);
  };
  self->state.link->start(std::move(handlers));
  self->delayed_send(self, self->state.context->deadlines.hello, overdue_atom_v);
}

}  // namespace

vm_connection_actor::behavior_type vm_connection(Self self, ContextPtr context, VmLinkPtr link,
                                                 listener_actor listening) {
  self->state.context = std::move(context);
  self->state.link = std::move(link);
  self->state.listening = std::move(listening);
  self->set_down_handler([self](const caf::down_msg& down) { handle_down(self, down); });
  start_link(self);
  return {
      [self](offer_atom, const VmOfferPtr& offer) { handle_offer(self, offer); },
      [self](doorbell_atom, std::uint32_t channel, std::uint64_t rings) { handle_doorbell(self, channel, rings); },
      [self](reset_atom) { begin_reset(self); },
      [self](hangup_atom, const std::string& wrong) { handle_hangup(self, wrong); },
      [self](welcome_atom, std::uint32_t channel, std::uint32_t request, const protocol::Welcome& welcome) {
        self->state.memory->answer_open(channel, request, welcome);
      },
      [self](overdue_atom) {
        if (self->state.phase == Phase::greeting) refuse(self, ErrorCode::hello_late, "");
      },
      [self](stop_atom) {
        for (const Channel& channel : self->state.channels)
          if (channel.connection != nullptr) self->send(channel.connection, stop_atom_v);
        begin_end(self);
      },
  };
}

}  // namespace vgpu::daemon
