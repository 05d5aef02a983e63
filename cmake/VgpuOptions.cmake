# Compiler options that every target of the project takes by linking vgpu_options.
add_library(vgpu_options INTERFACE)
target_compile_options(vgpu_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wcast-align -Werror -fno-omit-frame-pointer
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
target_include_directories(vgpu_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_include_directories(vgpu_options SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(vgpu_options INTERFACE Threads::Threads)
if(VGPU_SANITIZE)
  target_compile_options(vgpu_options INTERFACE -fsanitize=${VGPU_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(vgpu_options INTERFACE -fsanitize=${VGPU_SANITIZE})
  # GCC finds uninitialized variables in its own <regex> when it instruments it, and says of each fence that
  # ThreadSanitizer does not model it.
  target_compile_options(vgpu_options INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized;-Wno-tsan>)
endif()
# For what implements the driver API: programs are C and pass any number for an enumeration. To be linked behind
# vgpu_options, so that it stands behind -fsanitize= on the command line.
add_library(vgpu_unchecked_enums INTERFACE)
if(VGPU_SANITIZE)
  target_compile_options(vgpu_unchecked_enums INTERFACE -fno-sanitize=enum)
endif()
if(VGPU_FUZZ)
  target_compile_options(vgpu_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
