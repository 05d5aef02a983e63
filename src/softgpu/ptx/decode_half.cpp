#include "softgpu/ptx/builder.hpp"
namespace vgpu::softgpu::ptx {
bool decode_half(Builder&, Words&) { return false; }
}  // namespace vgpu::softgpu::ptx
