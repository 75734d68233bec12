// Every instruction set, a row each; the build, dispatch, tests and the table of README.md go by
// this list.
#ifndef OCTET_KERNELS_INSTRUCTION_SETS_H_
#define OCTET_KERNELS_INSTRUCTION_SETS_H_

// SET(name, symbol, built, flags), better ones of a processor family behind:
//   name    in OCTET_ISA, messages and tests, and the namespace of its kernels, which are
//           FAMILY/name.cc and, where its pixels have kernels of their own, FAMILY/name_pixels.cc;
//   symbol  k<symbol>Table is its KernelTable, Has<symbol> in cpu_features.cc whether it runs here;
//   built   ALWAYS, on X86 or on ARM, or EMULATED: in plain C++, in programs of tests;
//   flags   of the compiler.
#define OCTET_INSTRUCTION_SETS(SET)                                                  \
  SET(reference, Reference, ALWAYS, "")                                              \
  SET(emulated512, Emulated512, EMULATED, "")                                        \
  SET(emulatedbf16, EmulatedBf16, EMULATED, "")                                      \
  SET(sse2, Sse2, X86, "")                                                           \
  SET(avx2, Avx2, X86, "-mavx2 -mfma -mf16c")                                        \
  SET(avxvnni, AvxVnni, X86, "-mavx2 -mfma -mf16c -mavxvnni")                        \
  SET(avx512vnni, Avx512Vnni, X86,                                                   \
      "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni " \
      "-mprefer-vector-width=512")                                                   \
  SET(avx512bf16, Avx512Bf16, X86,                                                   \
      "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni " \
      "-mavx512bf16 -mprefer-vector-width=512")                                      \
  SET(neon, Neon, ARM, "")                                                           \
  SET(neondot, NeonDot, ARM, "-march=armv8.2-a+dotprod")                             \
  SET(neoni8mm, NeonI8mm, ARM, "-march=armv8.2-a+dotprod+i8mm")                      \
  SET(neonbf16, NeonBf16, ARM, "-march=armv8.2-a+dotprod+i8mm+bf16")

#endif  // OCTET_KERNELS_INSTRUCTION_SETS_H_
