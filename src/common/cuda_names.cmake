# vgpu_cuda_names: the names by which calls that are not carried are counted (cuda_names.hpp), taken from the toolkit's
# headers.
set(names_dir ${CMAKE_CURRENT_BINARY_DIR}/generated)
set(names_generator ${PROJECT_SOURCE_DIR}/src/shim/generate)
file(MAKE_DIRECTORY ${names_dir})
list(GET CUDAToolkit_INCLUDE_DIRS 0 names_include)

add_custom_command(
  OUTPUT ${names_dir}/cuda_names.cpp
  COMMAND Python3::Interpreter -B ${names_generator}/generate.py names --include ${names_include}
    --compiler ${CMAKE_C_COMPILER} --out ${names_dir}
  DEPENDS ${names_generator}/generate.py ${names_generator}/headers.py ${names_generator}/table_names.py
    ${names_include}/cuda.h
  COMMENT "Generating the list of libcuda's names from the CUDA toolkit's headers"
  VERBATIM)

add_library(vgpu_cuda_names STATIC cuda_names_lookup.cpp ${names_dir}/cuda_names.cpp)
target_link_libraries(vgpu_cuda_names PUBLIC vgpu_options)
