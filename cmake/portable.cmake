# make_portable(TARGET ...): makes libraries that also run on Linux systems older than the build machine. The C++ standard library
# is linked into them, and glibc's functions are requested in their oldest version. So they do not share a C++ library with other
# code in the process, such as PyTorch or Julia. Does nothing on other systems, or without a static C++ library.
include(CheckLinkerFlag)

function(make_portable)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    return()
  endif()
  # libdl and libpthread are stubs since glibc 2.34; on older systems they hold the functions of older_glibc.c.
  set(flags -static-libstdc++ -Wl,--gc-sections -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map
            -Wl,--push-state,--no-as-needed -l:libdl.so.2 -l:libpthread.so.0 -Wl,--pop-state)
  check_linker_flag(CXX "${flags}" EIGENPAIR_CAN_BE_PORTABLE)
  if(NOT EIGENPAIR_CAN_BE_PORTABLE)
    message(STATUS "No static C++ library: these libraries run on systems as new as this one")
    return()
  endif()
  add_library(eigenpair_older_glibc OBJECT csrc/runtime/older_glibc.c)
  target_link_libraries(eigenpair_older_glibc PRIVATE eigenpair_options)
  foreach(target ${ARGN})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:eigenpair_older_glibc>)
    target_link_options(${target} PRIVATE ${flags})
  endforeach()
endfunction()
