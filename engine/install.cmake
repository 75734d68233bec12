# Installs the library, the two headers and a CMake package: find_package(octet) gives octet::octet. Included by
# engine/CMakeLists.txt. octet.h includes a few small headers of formats/; the installed one contains them instead, so that
# octet.h and octet_c.h are all there is.
option(OCTET_INSTALL "Install the library, its headers and its CMake package" ${PROJECT_IS_TOP_LEVEL})
if(NOT OCTET_INSTALL)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Replaces, once each, the project's own #include lines of `header` by the text of those files.
function(octet_splice_headers header out)
  file(READ ${header} text)
  set(done "")
  while(text MATCHES "#include \"(formats/[^\"]+)\"\n")
    set(name ${CMAKE_MATCH_1})
    set(body "")
    if(NOT name IN_LIST done)
      list(APPEND done ${name})
      file(READ ${PROJECT_SOURCE_DIR}/${name} body)
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name})
    endif()
    string(FIND "${text}" "#include \"${name}\"\n" at)
    string(LENGTH "#include \"${name}\"\n" length)
    string(SUBSTRING "${text}" 0 ${at} before)
    math(EXPR next "${at} + ${length}")
    string(SUBSTRING "${text}" ${next} -1 after)
    set(text "${before}${body}${after}")
  endwhile()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(WRITE ${out} "${text}")
endfunction()

octet_splice_headers(${CMAKE_CURRENT_SOURCE_DIR}/include/octet/octet.h ${CMAKE_CURRENT_BINARY_DIR}/installed/octet/octet.h)

install(FILES ${CMAKE_CURRENT_BINARY_DIR}/installed/octet/octet.h include/octet/octet_c.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/octet)
install(TARGETS octet_engine octet_kernels octet_formats EXPORT octet_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT octet_targets NAMESPACE octet:: FILE octetTargets.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/octet)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/octetConfig.cmake
"include(CMakeFindDependencyMacro)
find_dependency(OpenMP COMPONENTS CXX)
include(\${CMAKE_CURRENT_LIST_DIR}/octetTargets.cmake)
")
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/octetConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/octetConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/octetConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/octet)

# For those who do not use CMake.
file(RELATIVE_PATH to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(runtime ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER runtime INCLUDE REGEX "^(std)?c[+][+]$")
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/octet.pc
"prefix=\${pcfiledir}/${to_prefix}
Name: octet
Description: Inference of residual image classifiers
Version: ${PROJECT_VERSION}
Cflags: -I\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}
Libs: -L\${prefix}/${CMAKE_INSTALL_LIBDIR} -loctet -loctet_kernels -loctet_formats ${OpenMP_CXX_FLAGS} -l${runtime} -lm
")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/octet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
