#pragma once

namespace vgpu::softgpu::ptx {

class Builder;
class Words;

/// mbarrier.*: the barrier objects in shared memory. False: not its own.
bool decode_mbarrier(Builder& b, Words& w);

}  // namespace vgpu::softgpu::ptx
