# Installs the library, its headers, a CMake package (find_package(octet) gives octet::octet) and octet.pc. Included by
# engine/CMakeLists.txt. Components: runtime is what programs need that link a shared octet, development the rest, tools the
# programs (tools/install.cmake).
option(OCTET_INSTALL "Install the library, its headers and its CMake package" ${PROJECT_IS_TOP_LEVEL})
if(NOT OCTET_INSTALL)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(DIRECTORY include/octet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(TARGETS octet EXPORT octet_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/octet)
install(EXPORT octet_targets NAMESPACE octet:: FILE octetTargets.cmake DESTINATION ${package} COMPONENT development)

# What a C compiler does not link by itself.
set(runtime ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER runtime INCLUDE REGEX "^(std)?c[+][+]$")
# A project in C alone knows nothing of C++'s standards, and its linker nothing of the runtime.
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/octetConfig.cmake
"include(\${CMAKE_CURRENT_LIST_DIR}/octetTargets.cmake)
get_property(octet_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if(NOT CXX IN_LIST octet_languages)
  set_property(TARGET octet::octet PROPERTY INTERFACE_COMPILE_FEATURES)
  get_target_property(octet_type octet::octet TYPE)
  if(octet_type STREQUAL STATIC_LIBRARY)
    set_property(TARGET octet::octet APPEND PROPERTY INTERFACE_LINK_LIBRARIES ${runtime} m)
    get_target_property(octet_configurations octet::octet IMPORTED_CONFIGURATIONS)
    foreach(octet_configuration IN LISTS octet_configurations)
      set_property(TARGET octet::octet PROPERTY IMPORTED_LINK_INTERFACE_LANGUAGES_\${octet_configuration} C)
    endforeach()
  endif()
endif()
")
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/octetConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/octetConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/octetConfigVersion.cmake
        DESTINATION ${package} COMPONENT development)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE THIRD_PARTY_NOTICES DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)

# For those who do not use CMake. What an archive needs, its users always link.
file(RELATIVE_PATH to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(flags "")
set(public " ${OCTET_KEEP_IN} -pthread -l${runtime} -lm")
set(private "")
if(BUILD_SHARED_LIBS)
  set(flags " -DOCTET_SHARED")
  set(private "\nLibs.private: -l${runtime} -lm")
  set(public "")
endif()
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/octet.pc
"prefix=\${pcfiledir}/${to_prefix}
Name: octet
Description: Inference of residual image classifiers
Version: ${PROJECT_VERSION}
Cflags: -I\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}${flags}
Libs: -L\${prefix}/${CMAKE_INSTALL_LIBDIR} -loctet${public}${private}
")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/octet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
