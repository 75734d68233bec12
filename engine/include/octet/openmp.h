// Sessions on the host's OpenMP threads. Compiled in the host, with its compiler and its runtime,
// of which octet itself has none, so that there are never two of them.
//
//   octet::SessionOptions options;
//   options.num_threads = 4;
//   options.executor = octet::OpenMpExecutor();
//
// Whether OpenMP's threads spin between the runs, and for how long, is the host's to say
// (OMP_WAIT_POLICY). Inside a parallel region of the host's a session runs on the calling thread,
// unless nested regions are allowed.
#ifndef OCTET_OPENMP_H_
#define OCTET_OPENMP_H_

#include "octet/octet.h"

#if !defined(_OPENMP)
#error "octet/openmp.h: compile with OpenMP (-fopenmp)"
#endif

namespace octet {
inline namespace OCTET_ABI_NAMESPACE {

/// Thread-safe; may be shared by sessions.
inline Executor OpenMpExecutor() {
  Executor executor;
  executor.run = [](void*, int tasks, void (*task)(void* argument, int index), void* argument) {
#pragma omp parallel for num_threads(tasks) schedule(static, 1)
    for (int i = 0; i < tasks; ++i) task(argument, i);
  };
  return executor;
}

}  // namespace OCTET_ABI_NAMESPACE
}  // namespace octet

#endif  // OCTET_OPENMP_H_
