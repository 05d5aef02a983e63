#include "softgpu/ptx/builder.hpp"
namespace vgpu::softgpu::ptx {
bool decode_convert(Builder&, Words&) { return false; }
}  // namespace vgpu::softgpu::ptx
