#include "softgpu/ptx/builder.hpp"
namespace vgpu::softgpu::ptx {
bool decode_warp(Builder&, Words&) { return false; }
}  // namespace vgpu::softgpu::ptx
