/* The version of octet, for C and C++, and how its functions are exported. */
#ifndef OCTET_VERSION_H_
#define OCTET_VERSION_H_

/* Of these headers. */
#define OCTET_VERSION_MAJOR 0
#define OCTET_VERSION_MINOR 1
#define OCTET_VERSION_PATCH 0
#define OCTET_VERSION "0.1.0"

/* All C++ names are in this inline namespace of octet: a program that was compiled for another
 * version's C++ interface does not link or start, instead of taking one layout for another. */
#ifndef OCTET_ABI_NAMESPACE
#define OCTET_ABI_NAMESPACE v0_1
#endif

/* Functions that a shared library exports; those of a static one stay in what links it. For DLLs
 * OCTET_SHARED is defined by octet's CMake package and octet.pc. */
#if !defined(OCTET_SHARED)
#define OCTET_API
#elif !defined(_WIN32)
#define OCTET_API __attribute__((visibility("default")))
#elif defined(OCTET_BUILDING)
#define OCTET_API __declspec(dllexport)
#else
#define OCTET_API __declspec(dllimport)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* OCTET_VERSION of the library that runs. */
OCTET_API const char* octet_version(void);

#ifdef __cplusplus
}
#endif

#endif /* OCTET_VERSION_H_ */
