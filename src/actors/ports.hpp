#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/driver_choice.hpp"
#include "actors/identity.hpp"
#include "actors/session_memory.hpp"
#include "actors/vm_accounts.hpp"
#include "actors/vm_memory.hpp"
#include "common/unique_fd.hpp"
#include "protocol/executor_link.hpp"
#include "protocol/session.hpp"
#include "protocol/vm_link.h"

/// What the actors see of sockets and processes. The real ones live on the thread of the io_context; tests give others.
/// Handlers are called on that thread and only send a message to an actor. Every method may be called from any thread
/// and returns at once. After close() no handler is called any more, and the handlers (with the actor handles that they
/// hold) are dropped.
namespace vgpu::daemon {

/// One guest process: the socket and the doorbell of one outside a VM, or a channel of a VM.
class GuestSocket {
 public:
  struct Handlers {
    std::function<void(std::vector<std::byte>)> message;
    std::function<void()> hangup;                 ///< closed or dead; nothing comes after it
    std::function<void(std::uint64_t)> doorbell;  ///< rings since the last call
  };

  virtual ~GuestSocket() = default;
  virtual const Peer& peer() const noexcept = 0;
  virtual const std::string& process() const noexcept = 0;  ///< name of the peer's program, as its kernel says
  /// Who the guest is, where that is known before it says Hello: a VM's processes.
  virtual std::optional<Identity> identity() const { return std::nullopt; }
  /// Memory for its session; `region_bytes` as configured, for those that have none yet. Null: `error` says why.
  virtual std::shared_ptr<SessionMemory> make_memory(std::uint64_t region_bytes, std::uint32_t session,
                                                     std::uint32_t vm, std::uint64_t features, std::string& error) {
    return SessionMemory::create(region_bytes, session, vm, features, error);
  }
  virtual void start(Handlers handlers) = 0;
  /// With the region's and doorbell's descriptors if `memory` is not null; watches the doorbell from then on.
  virtual void welcome(const protocol::Welcome& welcome, std::shared_ptr<SessionMemory> memory) = 0;
  /// Looks at the doorbell again. One call of the handler is under way at most: a guest that rings without end costs no
  /// more than one that rings as often as it is served.
  virtual void rearm_doorbell() = 0;
  /// What was sent before still goes out.
  virtual void close() = 0;
};
using GuestSocketPtr = std::shared_ptr<GuestSocket>;

/// What a VM's device said of itself, with its descriptors. Taken apart once, by the actor that gets it.
struct VmOffer {
  std::uint32_t vm = 0;
  std::uint64_t memory_bytes = 0;
  vgpu_vm_device_kind device = VGPU_VM_DEVICE_STUB;
  std::string pool;  ///< claimed; may be empty
  std::string name;  ///< as QEMU calls the VM; may be empty
  VmDescriptors descriptors;
};
using VmOfferPtr = std::shared_ptr<VmOffer>;

/// The connection of one VM's QEMU (or of its ivshmem server).
class VmLink {
 public:
  struct Handlers {
    std::function<void(VmOfferPtr)> offer;                       ///< the device is known whole; once
    std::function<void()> reset;                                 ///< the VM was reset
    std::function<void(std::string)> hangup;                     ///< closed, dead, or speaks nonsense (then: what)
    std::function<void(std::uint32_t, std::uint64_t)> doorbell;  ///< channel; rings since the last call
  };

  virtual ~VmLink() = default;
  virtual const Peer& peer() const noexcept = 0;
  virtual void start(Handlers handlers) = 0;
  /// Tells the device that its VM is taken, and watches its doorbells from then on.
  virtual void ready(std::shared_ptr<VmMemory> memory) = 0;
  /// Tells the device why it is not.
  virtual void refuse(const std::string& text) = 0;
  /// Looks at a channel's doorbell again: one call of the handler for each channel is under way at most.
  virtual void rearm_doorbell(std::uint32_t channel) = 0;
  /// What was sent before still goes out.
  virtual void close() = 0;
};
using VmLinkPtr = std::shared_ptr<VmLink>;

/// One operator's connection: lines of JSON, both ways.
class AdminClient {
 public:
  struct Handlers {
    std::function<void(std::string)> line;  ///< one, without its end; the next one comes after next()
    std::function<void()> hangup;           ///< gone, or dropped; nothing comes after it
  };

  virtual ~AdminClient() = default;
  virtual const Peer& peer() const noexcept = 0;
  virtual const std::vector<gid_t>& groups() const noexcept = 0;  ///< all that the peer is in
  virtual void start(Handlers handlers) = 0;
  virtual void next() = 0;
  /// Sends one line. A client that does not read is dropped.
  virtual void send(std::string line) = 0;
  /// What was sent before still goes out.
  virtual void close() = 0;
};
using AdminClientPtr = std::shared_ptr<AdminClient>;

/// How an executor process is to be started.
struct ExecutorSpec {
  std::uint32_t session = 0;
  std::uint32_t vm = 0;
  std::string pool;
  Driver driver;
  std::filesystem::path program;
  std::uint32_t spin_microseconds = 0;
  std::uint32_t watch = 0;  ///< bits of protocol::CallWatch
  bool log_json = false;
  std::shared_ptr<SessionMemory> memory;
  std::shared_ptr<const UniqueFd> images;  ///< folder of images; null: none
  std::uint64_t images_bytes = 0;          ///< at most so much in it
  VmPlacePtr place;                        ///< kept until the process is reaped
  std::uint64_t context_memory = 0;        ///< bytes that a context takes of the device
};

/// One executor process. The process is reaped, and its process group killed, whatever happens to this object.
class ExecutorProcess {
 public:
  struct Handlers {
    /// One event; the next one comes after resume().
    std::function<void(const protocol::ExecutorEvent&)> event;
    std::function<void()> link_closed;
    std::function<void(std::string)> exited;  ///< reaped; how it ended, for people. Nothing comes after it
  };

  virtual ~ExecutorProcess() = default;
  virtual pid_t pid() const noexcept = 0;
  virtual void send(const protocol::ExecutorCommand& command) = 0;
  virtual void resume() = 0;
  virtual void kill() = 0;
  /// Kills the process and drops the handlers.
  virtual void abandon() = 0;
};
using ExecutorProcessPtr = std::shared_ptr<ExecutorProcess>;

/// Starts a process. Null: `error` says why.
using StartExecutor =
    std::function<ExecutorProcessPtr(const ExecutorSpec&, ExecutorProcess::Handlers, std::string& error)>;

}  // namespace vgpu::daemon
