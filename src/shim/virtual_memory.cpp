// Virtual memory: the executor reserves, creates and maps; what is mapped where is known here too.
#include "shim/location.hpp"
#include "shim/memory.hpp"
#include "shim/refuse_as.hpp"

namespace vgpu::shim {
namespace {

using protocol::AllocationHandle;

u32 flags_of(const CUmemAllocationProp& properties) noexcept {
  return u32{properties.allocFlags.compressionType} | u32{properties.allocFlags.gpuDirectRDMACapable} << 8 |
         u32{properties.allocFlags.usage} << 16;
}

/// Memory that may be exported is made, as programs ask for it whether or not they will export; only the export itself
/// is refused.
CUresult check(const CUmemAllocationProp& properties) {
  if (properties.type != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  constexpr u32 kFiles = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  if ((static_cast<u32>(properties.requestedHandleTypes) & ~kFiles) != 0)
    return refuse_as("cuMemCreate", "memory for a fabric or for another system's handles");
  return check_device_location(properties.location, "cuMemCreate");
}

// What PhysicalMemory::holders counts.
constexpr u64 kHandle = 1;
constexpr u64 kMapping = u64{1} << 32;
constexpr u64 kHandles = kMapping - 1;

/// Adds a holder while one of `such` is left. False: there is none, the memory is gone or going.
bool hold(PhysicalMemory& memory, u64 holder, u64 such) noexcept {
  u64 holders = memory.holders.load();
  do {
    if ((holders & such) == 0) return false;
  } while (!memory.holders.compare_exchange_weak(holders, holders + holder));
  return true;
}

/// The program's own handles only: memory that it released is no longer named, even while it is mapped.
template <typename F>
CUresult with_memory(CUmemGenericAllocationHandle handle, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    PhysicalMemory* memory = state().physical.find(handle);
    return memory && (memory->holders.load() & kHandles) != 0 ? f(*memory) : CUDA_ERROR_INVALID_VALUE;
  });
}

/// The executor keeps its handle as long as anything may ask for it: while the program has it, or it is mapped, from
/// where the program may get it again. `left`: the holders that are left.
CUresult let_go(u64 handle, u64 left) {
  if (left != 0) return CUDA_SUCCESS;
  const CUresult result = ask<call::cuMemRelease>(0, {AllocationHandle{handle}});
  state().physical.release(handle);
  return result;
}

}  // namespace
}  // namespace vgpu::shim

using namespace vgpu::shim;

CUresult cuMemAddressReserve(CUdeviceptr* out, size_t bytes, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags) {
  return guarded([&]() -> CUresult {
    if (!out || flags != 0 || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    call::cuMemAddressReserve::Reply reply{};
    const CUresult result =
        ask<call::cuMemAddressReserve>(any_context_index(), {bytes, alignment, Pointer{hint}}, &reply);
    if (result == CUDA_SUCCESS) *out = static_cast<CUdeviceptr>(reply.pointer);
    return result;
  });
}

CUresult cuMemAddressFree(CUdeviceptr pointer, size_t bytes) {
  return guarded([&] { return ask<call::cuMemAddressFree>(any_context_index(), {Pointer{pointer}, bytes}); });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* out, size_t bytes, const CUmemAllocationProp* properties,
                     unsigned long long flags) {
  return guarded([&]() -> CUresult {
    if (!out || !properties || flags != 0 || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = check(*properties);
    if (result != CUDA_SUCCESS) return result;
    State& s = state();
    const auto minted = s.physical.mint();
    if (!minted.object) return CUDA_ERROR_OUT_OF_MEMORY;
    minted.object->properties = *properties;
    minted.object->holders = kHandle;
    result = ask<call::cuMemCreate>(any_context_index(),
                                    {minted.handle, bytes, properties->location.id, flags_of(*properties)});
    if (result != CUDA_SUCCESS) {
      s.physical.release(minted.handle.value);
      return result;
    }
    *out = minted.handle.value;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return with_memory(handle, [&](PhysicalMemory& memory) -> CUresult {
    u64 holders = memory.holders.load();
    do {
      if ((holders & kHandles) == 0) return CUDA_ERROR_INVALID_VALUE;
    } while (!memory.holders.compare_exchange_weak(holders, holders - kHandle));
    return let_go(handle, holders - kHandle);
  });
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* out, void* address) {
  return guarded([&]() -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    const auto mapped = state().allocations.find(reinterpret_cast<u64>(address));
    if (!mapped || mapped->kind != Allocation::Kind::mapped) return CUDA_ERROR_INVALID_VALUE;
    PhysicalMemory* memory = state().physical.find(mapped->physical);
    if (!memory || !hold(*memory, kHandle, ~u64{0})) return CUDA_ERROR_INVALID_VALUE;
    *out = mapped->physical;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return with_memory(handle, [&](PhysicalMemory& memory) -> CUresult {
    // Held first, that a release in another thread finds the mapping.
    if (flags != 0 || bytes == 0 || !hold(memory, kMapping, kHandles)) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result =
        ask<call::cuMemMap>(any_context_index(), {Pointer{pointer}, bytes, offset, AllocationHandle{handle}});
    if (result != CUDA_SUCCESS) {
      static_cast<void>(let_go(handle, memory.holders.fetch_sub(kMapping) - kMapping));
      return result;
    }
    Allocation mapping{pointer, bytes, Allocation::Kind::mapped, 0, memory.properties.location.id, 0, pointer, 0, 0, 0};
    mapping.physical = handle;
    state().allocations.add(mapping);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes) {
  return guarded([&]() -> CUresult {
    State& s = state();
    // A range may hold several mappings, each of them whole. Forgotten first: another thread may map there at once.
    const std::vector<Allocation> gone = s.allocations.remove_range(pointer, bytes, Allocation::Kind::mapped);
    CUresult result = ask<call::cuMemUnmap>(any_context_index(), {Pointer{pointer}, bytes});
    for (const Allocation& mapping : gone) {
      if (result != CUDA_SUCCESS) {
        s.allocations.add(mapping);
        continue;
      }
      if (PhysicalMemory* memory = s.physical.find(mapping.physical))
        static_cast<void>(let_go(mapping.physical, memory->holders.fetch_sub(kMapping) - kMapping));
    }
    return result;
  });
}

CUresult cuMemSetAccess(CUdeviceptr pointer, size_t bytes, const CUmemAccessDesc* descriptions, size_t count) {
  return guarded([&]() -> CUresult {
    if (!descriptions || count == 0 || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i)
      if (const CUresult result = check_device_location(descriptions[i].location, "cuMemSetAccess");
          result != CUDA_SUCCESS)
        return result;
    for (size_t i = 0; i < count; ++i) {
      const CUresult result = ask<call::cuMemSetAccess>(
          any_context_index(),
          {Pointer{pointer}, bytes, descriptions[i].location.id, static_cast<u32>(descriptions[i].flags)});
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr pointer) {
  return guarded([&]() -> CUresult {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = check_device_location(*location, "cuMemGetAccess");
    if (result != CUDA_SUCCESS) return result;
    call::cuMemGetAccess::Reply reply{};
    result = ask<call::cuMemGetAccess>(any_context_index(), {Pointer{pointer}, location->id, 0}, &reply);
    if (result == CUDA_SUCCESS) *flags = reply.flags;
    return result;
  });
}

CUresult cuMemGetAllocationGranularity(size_t* bytes, const CUmemAllocationProp* properties,
                                       CUmemAllocationGranularity_flags option) {
  return guarded([&]() -> CUresult {
    if (!bytes || !properties) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = check(*properties);
    if (result != CUDA_SUCCESS) return result;
    call::cuMemGetAllocationGranularity::Reply reply{};
    result = ask<call::cuMemGetAllocationGranularity>(
        any_context_index(), {properties->location.id, flags_of(*properties), static_cast<u32>(option), 0}, &reply);
    if (result == CUDA_SUCCESS) *bytes = reply.bytes;
    return result;
  });
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties, CUmemGenericAllocationHandle handle) {
  return with_memory(handle, [&](const PhysicalMemory& memory) -> CUresult {
    if (!properties) return CUDA_ERROR_INVALID_VALUE;
    *properties = memory.properties;
    return CUDA_SUCCESS;
  });
}
