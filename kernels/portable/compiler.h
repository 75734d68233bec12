// What the kernels ask of the compiler.
#ifndef OCTET_KERNELS_PORTABLE_COMPILER_H_
#define OCTET_KERNELS_PORTABLE_COMPILER_H_

// Emulated registers are memory anyway, and unrolled loops over them take the compiler minutes.
#ifdef OCTET_EMULATE_AVX512
#define OCTET_INLINE inline
#else
#define OCTET_INLINE inline __attribute__((always_inline))
#endif
#define OCTET_NOINLINE __attribute__((noinline))

// Loops over registers must vanish, or accumulators land in memory; others must stay, for the size
// of the code.
#if defined(OCTET_EMULATE_AVX512)
#define OCTET_UNROLL
#define OCTET_KEEP_LOOP
#elif defined(__clang__)
#define OCTET_UNROLL _Pragma("clang loop unroll(full)")
#define OCTET_KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define OCTET_UNROLL _Pragma("GCC unroll 16")
#define OCTET_KEEP_LOOP _Pragma("GCC unroll 1")
#endif

// Hides what a pointer or a number is: what depends on it is computed from here on, not ahead of a
// loop, where it would take a register.
#define OCTET_HIDE(x) asm volatile("" : "+r"(x))

#endif  // OCTET_KERNELS_PORTABLE_COMPILER_H_
