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

template <typename F>
CUresult with_memory(CUmemGenericAllocationHandle handle, F&& f) noexcept {
  return guarded([&]() -> CUresult {
    PhysicalMemory* memory = state().physical.find(handle);
    return memory ? f(*memory) : CUDA_ERROR_INVALID_VALUE;
  });
}

/// The executor keeps its handle as long as anything may ask for it: while the program has it, or it is mapped, from
/// where the program may get it again.
CUresult let_go(u64 handle, PhysicalMemory& memory) {
  if (memory.references.load() != 0 || memory.mappings.load() != 0) return CUDA_SUCCESS;
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
    minted.object->references = 1;
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
    u32 references = memory.references.load();
    do {
      if (references == 0) return CUDA_ERROR_INVALID_VALUE;
    } while (!memory.references.compare_exchange_weak(references, references - 1));
    return let_go(handle, memory);
  });
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* out, void* address) {
  return guarded([&]() -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    const auto mapped = state().allocations.find(reinterpret_cast<u64>(address));
    if (!mapped || mapped->kind != Allocation::Kind::mapped) return CUDA_ERROR_INVALID_VALUE;
    PhysicalMemory* memory = state().physical.find(mapped->physical);
    if (!memory) return CUDA_ERROR_INVALID_VALUE;
    memory->references.fetch_add(1);
    *out = mapped->physical;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return with_memory(handle, [&](PhysicalMemory& memory) -> CUresult {
    if (flags != 0 || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result =
        ask<call::cuMemMap>(any_context_index(), {Pointer{pointer}, bytes, offset, AllocationHandle{handle}});
    if (result != CUDA_SUCCESS) return result;
    memory.mappings.fetch_add(1);
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
      PhysicalMemory* memory = s.physical.find(mapping.physical);
      if (!memory) continue;
      memory->mappings.fetch_sub(1);
      let_go(mapping.physical, *memory);
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
