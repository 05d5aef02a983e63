# vgpu_cuda_errors: names and texts of CUresult codes.
add_library(vgpu_cuda_errors STATIC cuda_errors.cpp)
target_link_libraries(vgpu_cuda_errors PUBLIC vgpu_options)
