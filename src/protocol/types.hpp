#pragma once
#include <array>
#include <cstdint>

/// The types that requests and replies are made of. Strong types, so that both sides know from the declaration alone
/// what a number means: how to translate it, how to check it, how to print it.
namespace vgpu::protocol {

using i32 = std::int32_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

/// An address of GPU memory, or of the arena: the same number in the guest and in its executor.
enum class Pointer : u64 {};

/// An offset from the start of the region; with a count of bytes beside it, it names data in the staging area or the
/// arena. kInline: the data is the record's tail instead.
enum class Offset : u64 {};
inline constexpr Offset kInline{~u64{0}};

/// An IEEE single in its bits.
enum class FloatBits : u32 {};

/// What a handle stands for.
enum class Kind : u32 {
  context = 1,
  stream,
  event,
  module_,
  library,
  function,
  kernel,
  pool,
  graph,
  graph_node,
  graph_exec,
  user_object,
  array,
  mipmapped_array,
  allocation,  ///< physical memory of cuMemCreate
  link,
  green_context,
};
inline constexpr u32 kKinds = static_cast<u32>(Kind::green_context);

/// Handles are minted in the guest and are indices of the executor's tables: no answer is needed to make one, and no
/// hash to find it. A program sees the number as its CUstream, CUevent …; it is never an address, but as aligned as
/// one: programs put marks of their own into a pointer's low bits (PyTorch's StreamId is odd for streams of its own
/// pool).
///   bit 45: always 1 · bits 40 to 44: Kind · bits 24 to 39: generation · bits 3 to 23: index, from 1 · bits 0 to 2: 0
template <Kind K>
struct Handle {
  u64 value;
  static constexpr Kind kind = K;
  static constexpr u64 kMark = u64{1} << 45;
  static constexpr u64 kPrefix = kMark | (u64{static_cast<u32>(K)} << 40);
  static constexpr u32 kMaxIndex = (1u << 21) - 1;
  static constexpr Handle make(u32 index, u16 generation) noexcept {
    return {kPrefix | (u64{generation} << 24) | (u64{index & kMaxIndex} << 3)};
  }
  constexpr bool well_formed() const noexcept {
    return (value >> 40) == (kPrefix >> 40) && (value & 7) == 0 && index() != 0;
  }
  constexpr u32 index() const noexcept { return static_cast<u32>(value >> 3) & kMaxIndex; }
  constexpr u16 generation() const noexcept { return static_cast<u16>(value >> 24); }
};

using ContextHandle = Handle<Kind::context>;
using StreamHandle = Handle<Kind::stream>;  ///< value 0: the legacy default stream of the record's context
using EventHandle = Handle<Kind::event>;
using ModuleHandle = Handle<Kind::module_>;
using LibraryHandle = Handle<Kind::library>;
using FunctionHandle = Handle<Kind::function>;
using KernelHandle = Handle<Kind::kernel>;
using PoolHandle = Handle<Kind::pool>;
using GraphHandle = Handle<Kind::graph>;
using GraphNodeHandle = Handle<Kind::graph_node>;
using GraphExecHandle = Handle<Kind::graph_exec>;
using UserObjectHandle = Handle<Kind::user_object>;
using ArrayHandle = Handle<Kind::array>;
using MipmappedArrayHandle = Handle<Kind::mipmapped_array>;
using AllocationHandle = Handle<Kind::allocation>;
using LinkHandle = Handle<Kind::link>;
using GreenContextHandle = Handle<Kind::green_context>;

/// A CUfunction or a CUkernel, where CUDA takes either.
struct CallableHandle {
  u64 value;
};

/// Live handles that an executor accepts, by kind: a guest can't make it hold more.
constexpr u32 handle_limit(Kind kind) noexcept {
  switch (kind) {
    case Kind::context:
      return 64;
    case Kind::stream:
      return 1u << 14;
    case Kind::event:
      return 1u << 20;
    case Kind::module_:
      return 1u << 16;
    case Kind::library:
      return 1u << 16;
    case Kind::function:
      return 1u << 20;
    case Kind::kernel:
      return 1u << 20;
    case Kind::pool:
      return 1u << 12;
    case Kind::graph:
    case Kind::graph_exec:
      return 1u << 16;
    case Kind::graph_node:
      return 1u << 20;
    case Kind::user_object:
      return 1u << 16;
    case Kind::array:
    case Kind::mipmapped_array:
      return 1u << 16;
    case Kind::allocation:
      return 1u << 20;
    case Kind::link:
      return 256;
    case Kind::green_context:
      return 64;
  }
  return 0;
}

/// Where a kernel's parameter lies in the packed buffer, in bytes.
struct ParameterLayout {
  u16 offset;
  u16 size;
};
inline constexpr u32 kInlineParameters = 50;

/// A CUtensorMap: only the GPU and its driver read it.
using TensorMapWords = std::array<u64, 16>;

/// What the descriptions of all kinds of tensor maps have in common (driver API, cuTensorMapEncodeTiled). Lists have
/// `rank` entries, strides one less; 0 beyond.
struct TensorDescription {
  static constexpr u32 kMaxRank = 5;
  /// Lists that the program gave at all, in `given`.
  enum List : u32 { kDimensions = 1, kStrides = 2, kElementStrides = 4, kBox = 8, kUpperCorner = 16 };
  static constexpr u32 kLists = 31;
  Pointer address;
  std::array<u64, kMaxRank> dimensions;
  std::array<u64, kMaxRank - 1> strides;  ///< in bytes
  std::array<u32, kMaxRank> element_strides;
  u32 given;
  u32 data_type;  ///< this and what follows: cuda.h's enumerations
  u32 rank;
  u32 interleave;
  u32 swizzle;
  u32 l2_promotion;
  u32 fill;
};
static_assert(sizeof(TensorDescription) == 128);
using TensorExtents = std::array<u32, TensorDescription::kMaxRank>;
/// Of the box of pixels of an im2col map: for all dimensions but channels and images.
using PixelCorner = std::array<i32, TensorDescription::kMaxRank - 2>;

/// One side of a copy of rows and planes. Distances are bytes.
struct CopySide {
  enum Kind : u32 { kDevice, kRegion, kArray };
  u64 base;        ///< of the first byte: a Pointer or an Offset; or the value of an ArrayHandle
  u64 x, y, z;     ///< where the copy begins in an array: byte, row, plane; 0 in memory
  u64 pitch;       ///< from row to row in memory
  u64 plane_rows;  ///< rows from plane to plane in memory
  u32 kind;
  u32 zero;
};
static_assert(sizeof(CopySide) == 56);
struct CopyExtent {
  u64 width;  ///< in bytes
  u64 height;
  u64 depth;
};

/// A CUDA_ARRAY3D_DESCRIPTOR.
struct ArrayShape {
  u64 width;
  u64 height;
  u64 depth;
  u32 format;  ///< CUarray_format
  u32 channels;
  u32 flags;  ///< CUDA_ARRAY3D_...
  u32 zero;
};

/// A CUDA_RESOURCE_DESC: what a texture or surface reads.
struct TextureResource {
  u32 type;  ///< CUresourcetype
  u32 format;
  u32 channels;
  u32 flags;
  u64 base;   ///< the value of an ArrayHandle or a MipmappedArrayHandle; or a Pointer
  u64 width;  ///< of linear memory: bytes; of pitched memory: texels
  u64 height;
  u64 pitch;
};

/// A CUDA_TEXTURE_DESC, floats in their bits.
struct TextureSampling {
  std::array<u32, 3> address_mode;
  u32 filter;
  u32 flags;
  u32 max_anisotropy;
  u32 mipmap_filter;
  FloatBits level_bias;
  FloatBits least_level;
  FloatBits greatest_level;
  std::array<u32, 4> border;
};

/// A CUDA_RESOURCE_VIEW_DESC.
struct TextureView {
  u64 width;
  u64 height;
  u64 depth;
  u32 format;
  u32 first_level;
  u32 last_level;
  u32 first_layer;
  u32 last_layer;
  u32 given;  ///< 0: the texture has no view
};

/// A CUdevResource. What the driver keeps in it stays with the executor, which knows it by its number.
struct DeviceResource {
  u32 number;  ///< from 1
  u32 type;    ///< CUdevResourceType
  u32 multiprocessors;
  u32 least_partition;
  u32 coscheduled_alignment;
  u32 zero;
};

/// The 64 bytes of a CUlaunchAttributeValue.
using AttributeValue = std::array<u64, 8>;

/// How the executor runs a call.
enum class Mode : u32 {
  async,     ///< no answer; a failure appears in vgpu_control.async_error
  sync,      ///< answered by the thread that reads the ring: quick calls only
  parked,    ///< answered when the work before it on the stream or event is done; nobody waits for it in between
  blocking,  ///< run by a worker thread and answered by it: may take as long as it likes
};

}  // namespace vgpu::protocol
