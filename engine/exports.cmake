# What a shared octet exports: functions that OCTET_API marks, and nothing that the standard library's templates leave behind.
# Included by engine/CMakeLists.txt.
target_link_options(octet PRIVATE $<TARGET_PROPERTY:octet_flags,INTERFACE_LINK_OPTIONS>)
include(CheckLinkerFlag)
set(script ${CMAKE_CURRENT_BINARY_DIR}/octet.map)
file(WRITE ${script} "OCTET_${PROJECT_VERSION_MAJOR} {\n  global: octet_*; extern \"C++\" { octet::v*; };\n  local: *;\n};\n")
check_linker_flag(CXX -Wl,--version-script=${script} OCTET_HAS_VERSION_SCRIPT)
if(OCTET_HAS_VERSION_SCRIPT)
  target_link_options(octet PRIVATE -Wl,--version-script=${script})
  set_property(TARGET octet PROPERTY LINK_DEPENDS ${script})
endif()
