# Files for the use of the core in C, C++, Fortran or Julia: library, header, and files for CMake's find_package and for
# pkg-config. A wheel has them in the package's folder, other installations in the usual GNU folders. Both are relocatable.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
if(SKBUILD)
  set(library eigenpair)
  set(EIGENPAIR_INCLUDE_DIR eigenpair/include)
  set(package eigenpair/cmake)
  set(pkgconfig eigenpair/pkgconfig)
else()
  set(library ${CMAKE_INSTALL_LIBDIR})
  set(EIGENPAIR_INCLUDE_DIR ${CMAKE_INSTALL_INCLUDEDIR})
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/eigenpair)
  set(pkgconfig ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

target_include_directories(eigenpair PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/csrc/include>
                                            $<INSTALL_INTERFACE:${EIGENPAIR_INCLUDE_DIR}>)
install(TARGETS eigenpair EXPORT eigenpair LIBRARY DESTINATION ${library} RUNTIME DESTINATION ${library}
                                           ARCHIVE DESTINATION ${library})
install(FILES csrc/include/eigenpair.h DESTINATION ${EIGENPAIR_INCLUDE_DIR})

install(EXPORT eigenpair NAMESPACE eigenpair:: FILE eigenpair-config.cmake DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/eigenpair-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/eigenpair-config-version.cmake DESTINATION ${package})

file(RELATIVE_PATH to_library /${pkgconfig} /${library})
file(RELATIVE_PATH to_include /${pkgconfig} /${EIGENPAIR_INCLUDE_DIR})
configure_file(cmake/eigenpair.pc.in eigenpair.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/eigenpair.pc DESTINATION ${pkgconfig})
