# Debian packages by `cpack -G DEB`: liboctet0 (of a build with BUILD_SHARED_LIBS), liboctet-dev and octet-tools, a component each
# (install.cmake, tools/install.cmake). Included by the top CMakeLists.txt after everything is installed.
set(OCTET_DEB_MAINTAINER "octet <octet@octet.invalid>" CACHE STRING "Name and address in Debian packages")
set(soname liboctet${PROJECT_VERSION_MAJOR})
set(components development)
if(BUILD_SHARED_LIBS)
  list(APPEND components runtime)
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${soname} (= ${PROJECT_VERSION})")
endif()
if(OCTET_BUILD_TOOLS)
  list(APPEND components tools)
endif()
set(CPACK_COMPONENTS_ALL ${components})
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_VENDOR octet)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "inference of residual image classifiers")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${OCTET_DEB_MAINTAINER})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ${soname})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "inference of residual image classifiers, library
octet runs image classifiers like ResNet on CPUs, in float and in integers.
This package has the shared library.")
file(WRITE ${PROJECT_BINARY_DIR}/deb/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/deb/triggers)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME liboctet-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "inference of residual image classifiers, development files
octet runs image classifiers like ResNet on CPUs, in float and in integers.
This package has headers for C and C++, and what CMake and pkg-config read.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME octet-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "inference of residual image classifiers, programs
octet runs image classifiers like ResNet on CPUs, in float and in integers.
This package has the converter, the program that runs, evaluates and inspects
models, and the benchmark.")

# What Debian wants in every package is put there by a script that cpack runs.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/deb_stage.cmake)
set(CPACK_OCTET_NOTICES ${CMAKE_CURRENT_LIST_DIR}/THIRD_PARTY_NOTICES)
set(CPACK_OCTET_SONAME ${soname})
include(CPack)
