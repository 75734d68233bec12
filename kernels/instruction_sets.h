// Every instruction set, a row each; dispatch, tests and the table of README.md go by this list.
#ifndef OCTET_KERNELS_INSTRUCTION_SETS_H_
#define OCTET_KERNELS_INSTRUCTION_SETS_H_

// SET(name, symbol, built, native), better ones of a processor family behind:
//   name    in OCTET_ISA, messages and tests, and the namespace of its kernels;
//   symbol  k<symbol>Table is its KernelTable;
//   built   ALWAYS, on X86 or on ARM, or EMULATED: in plain C++, for tests;
//   native  whether this processor has it, by `const CpuFeatures& cpu`.
#define OCTET_INSTRUCTION_SETS(SET)                \
  SET(reference, Reference, ALWAYS, true)          \
  SET(emulated512, Emulated512, EMULATED, false)   \
  SET(sse2, Sse2, X86, true)                       \
  SET(avx2, Avx2, X86, cpu.avx2)                   \
  SET(avxvnni, AvxVnni, X86, cpu.avxvnni)          \
  SET(avx512vnni, Avx512Vnni, X86, cpu.avx512vnni) \
  SET(neon, Neon, ARM, true)                       \
  SET(neondot, NeonDot, ARM, cpu.neondot)          \
  SET(neoni8mm, NeonI8mm, ARM, cpu.neondot&& cpu.i8mm)

#endif  // OCTET_KERNELS_INSTRUCTION_SETS_H_
