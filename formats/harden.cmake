# Files of strangers are read here. What it costs in Session::Run of the flower model with AVX2, in instructions as callgrind
# counts them: int8 198,962,736 without and 198,978,282 with it (0.008 %), fp32 275,332,230 and 275,340,372 (0.003 %).
include(CheckCXXCompilerFlag)
include(CheckCXXSourceCompiles)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

target_compile_options(octet_flags INTERFACE -fstack-protector-strong)
check_cxx_compiler_flag(-fcf-protection OCTET_HAS_CF_PROTECTION)  # x86 only.
if(OCTET_HAS_CF_PROTECTION)
  target_compile_options(octet_flags INTERFACE -fcf-protection)
endif()
# It needs an optimizer, and sanitizers check the same better. Level 3 checks sizes known at run time, too; where compiler or
# C library have only level 2 they say so in a warning.
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
  check_cxx_source_compiles("#include <cstring>\nint main() { return 0; }" OCTET_HAS_FORTIFY_3)
  unset(CMAKE_REQUIRED_FLAGS)
  set(level 2)
  if(OCTET_HAS_FORTIFY_3)
    set(level 3)
  endif()
  target_compile_options(octet_flags INTERFACE "$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=${level}>")
endif()
if(CMAKE_SYSTEM_NAME MATCHES Linux)
  target_link_options(octet_flags INTERFACE -Wl,-z,relro,-z,now)
elseif(MINGW)
  target_link_libraries(octet_flags INTERFACE ssp)  # Where what these flags call is.
endif()
