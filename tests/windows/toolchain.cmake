# Debian's MinGW-w64 for 64-bit Windows, with wine to run what it makes.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
# Debian's `wine` speaks of its 32-bit half, which is not needed.
find_program(OCTET_WINE NAMES wine64 wine PATHS /usr/lib/wine REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR env WINEPREFIX=${CMAKE_BINARY_DIR}/wine WINEDEBUG=-all DISPLAY= ${OCTET_WINE})
# Programs need no DLL. GCC spills vectors with aligned moves to stacks that Windows aligns to 16 bytes (GCC bug 54412): the
# assembler makes them unaligned ones.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(ZLIB_USE_STATIC_LIBS ON)
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libgomp.a OUTPUT_VARIABLE gomp OUTPUT_STRIP_TRAILING_WHITESPACE)
set(OpenMP_gomp_LIBRARY ${gomp} CACHE FILEPATH "")
foreach(language C CXX)
  set(CMAKE_${language}_FLAGS_INIT -Wa,-muse-unaligned-vector-move)
endforeach()

# The header-only libraries are those of the machine that builds, away from its C library's headers, which would come before MinGW's.
set(OCTET_HOST_HEADERS ${CMAKE_CURRENT_BINARY_DIR}/host_headers)
if(NOT EXISTS ${OCTET_HOST_HEADERS})
  file(MAKE_DIRECTORY ${OCTET_HOST_HEADERS}/include)
  foreach(header CLI flatbuffers nlohmann protozero stb xsimd xxhash.h)
    file(CREATE_LINK /usr/include/${header} ${OCTET_HOST_HEADERS}/include/${header} SYMBOLIC)
  endforeach()
  # Copies, as a package finds its headers from where it really is.
  file(COPY /usr/share/cmake/CLI11 /usr/share/cmake/nlohmann_json DESTINATION ${OCTET_HOST_HEADERS}/share/cmake)
endif()
set(CMAKE_FIND_ROOT_PATH ${OCTET_HOST_HEADERS} /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
foreach(what LIBRARY INCLUDE PACKAGE)
  set(CMAKE_FIND_ROOT_PATH_MODE_${what} ONLY)
endforeach()
