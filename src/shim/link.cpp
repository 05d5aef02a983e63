// Links: the host's driver links what the program adds; what comes out lives here until the link is destroyed.
#include <cstring>

#include "shim/context.hpp"
#include "shim/load.hpp"

using namespace vgpu::shim;

namespace {

template <typename F>
CUresult with_link(CUlinkState state_handle, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    Link* link = state().links.find(reinterpret_cast<u64>(state_handle));
    if (!link) return CUDA_ERROR_INVALID_HANDLE;
    std::lock_guard lock(link->mutex);
    return f(*link, vgpu::protocol::LinkHandle{reinterpret_cast<u64>(state_handle)});
  });
}

/// A transfer with `bytes` at its start, and the link's logs behind them.
class LinkTransfer {
 public:
  LinkTransfer(const Link& link, std::span<const std::byte> bytes)
      : options_(link.options),
        logs_at_((bytes.size() + 7) / 8 * 8),
        transfer_(logs_at_ + options_.info_log_bytes() + options_.error_log_bytes()) {
    if (transfer_.memory() && !bytes.empty()) std::memcpy(transfer_.memory(), bytes.data(), bytes.size());
  }
  bool taken() const noexcept { return transfer_.memory() != nullptr; }
  CUresult why() const noexcept { return transfer_.why(); }
  Offset data() const noexcept { return transfer_.offset(); }
  Offset logs() const noexcept { return Offset{static_cast<u64>(transfer_.offset()) + logs_at_}; }
  /// Success or not, the program gets the logs.
  template <typename Reply>
  void write_back(const Reply& reply) const {
    options_.write_back(transfer_.memory() + logs_at_, reply.info_log_written, reply.error_log_written,
                        reply.wall_time_ms);
  }

 private:
  const JitOptions& options_;
  u64 logs_at_;
  Transfer transfer_;
};

CUresult add(CUlinkState state_handle, CUjitInputType type, std::span<const std::byte> bytes, const char* name,
             unsigned count, CUjit_option* options, void** values) {
  return with_link(state_handle, [&](Link& link, auto handle) -> CUresult {
    JitOptions own;
    const CUresult result = own.read(count, options, values);
    if (result != CUDA_SUCCESS) return result;
    const auto numbers = std::as_bytes(own.numbers());
    std::vector<std::byte> tail(numbers.begin(), numbers.end());
    const auto text = bytes_of(name, name ? ::strnlen(name, vgpu::protocol::kMaxNameBytes) : 0);
    tail.insert(tail.end(), text.begin(), text.end());
    LinkTransfer transfer(link, bytes);
    if (!transfer.taken()) return transfer.why();
    call::cuLinkAddData::Reply reply{};
    const CUresult added = ask<call::cuLinkAddData>(any_context_index(),
                                                    {handle, transfer.data(), bytes.size(), transfer.logs(),
                                                     static_cast<u32>(type), static_cast<u32>(own.numbers().size())},
                                                    &reply, tail);
    transfer.write_back(reply);
    return added;
  });
}

}  // namespace

CUresult cuLinkCreate(unsigned int count, CUjit_option* options, void** values, CUlinkState* out) {
  return with_context([&](Context& context) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    const auto minted = state().links.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = minted.object->options.read(count, options, values);
    if (result == CUDA_SUCCESS) {
      const JitOptions& jit = minted.object->options;
      result = ask<call::cuLinkCreate>(
          context.index(),
          {minted.handle, jit.info_log_bytes(), jit.error_log_bytes(), static_cast<u32>(jit.numbers().size()), 0},
          nullptr, std::as_bytes(jit.numbers()));
    }
    if (result != CUDA_SUCCESS) {
      state().links.release(minted.handle.value);
      return result;
    }
    *out = reinterpret_cast<CUlinkState>(minted.handle.value);
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkAddData(CUlinkState state_handle, CUjitInputType type, void* data, size_t size, const char* name,
                       unsigned int count, CUjit_option* options, void** values) {
  if (!data || size == 0) return guarded([] { return CUDA_ERROR_INVALID_VALUE; });
  return add(state_handle, type, bytes_of(data, size), name, count, options, values);
}

CUresult cuLinkAddFile(CUlinkState state_handle, CUjitInputType type, const char* path, unsigned int count,
                       CUjit_option* options, void** values) {
  return guarded([&]() -> CUresult {
    std::vector<std::byte> memory;
    const CUresult result = read_file(path, memory);
    // The NUL behind a text belongs to it; other inputs are as long as their file.
    const std::size_t length = type == CU_JIT_INPUT_PTX || memory.empty() ? memory.size() : memory.size() - 1;
    return result == CUDA_SUCCESS
               ? add(state_handle, type, std::span(memory).first(length), path, count, options, values)
               : result;
  });
}

CUresult cuLinkComplete(CUlinkState state_handle, void** image, size_t* size) {
  return with_link(state_handle, [&](Link& link, auto handle) -> CUresult {
    if (!image) return CUDA_ERROR_INVALID_VALUE;
    const u32 context = any_context_index();
    call::cuLinkComplete::Reply reply{};
    {
      LinkTransfer transfer(link, {});
      if (!transfer.taken()) return transfer.why();
      const CUresult result = ask<call::cuLinkComplete>(context, {handle, transfer.logs()}, &reply);
      transfer.write_back(reply);
      if (result != CUDA_SUCCESS) return result;
    }
    Transfer linked(reply.image_bytes);
    if (!linked.memory()) return linked.why();
    const CUresult result = ask<call::vgpuLinkImage>(context, {handle, linked.offset(), reply.image_bytes});
    if (result != CUDA_SUCCESS) return result;
    link.image.assign(linked.memory(), linked.memory() + reply.image_bytes);
    *image = link.image.data();
    if (size) *size = link.image.size();
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkDestroy(CUlinkState state_handle) {
  return guarded([&]() -> CUresult {
    const u64 value = reinterpret_cast<u64>(state_handle);
    if (!state().links.find(value)) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult result = ask<call::cuLinkDestroy>(any_context_index(), {{value}});
    state().links.release(value);
    return result;
  });
}
