#include "executor/drain.hpp"

namespace vgpu::executor {

using protocol::u32;

namespace {

class DrainJob final : public Job {
 public:
  DrainJob(Session& session, std::vector<u32> contexts, std::shared_ptr<std::atomic<bool>> done)
      : session_(session), contexts_(std::move(contexts)), done_(std::move(done)) {}
  ~DrainJob() override { done_->store(true, std::memory_order_release); }
  void run(CurrentContext& current) noexcept override {
    for (u32 index : contexts_) {
      if (session_.contexts.find(index) == nullptr || current.set(index) != CUDA_SUCCESS) continue;
      const CUresult result = session_.synchronize(index);
      if (result != CUDA_SUCCESS) session_.note_fault(result, "cuCtxSynchronize");
    }
  }

 private:
  Session& session_;
  const std::vector<u32> contexts_;
  const std::shared_ptr<std::atomic<bool>> done_;
};

}  // namespace

void Drain::begin(std::vector<u32> contexts) {
  job_done_ = std::make_shared<std::atomic<bool>>(false);
  session_.workers.post(std::make_unique<DrainJob>(session_, std::move(contexts), job_done_));
}

}  // namespace vgpu::executor
