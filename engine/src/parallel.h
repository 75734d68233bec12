// One parallel region per inference; inside it, operators are separated by this barrier.
#ifndef OCTET_ENGINE_SRC_PARALLEL_H_
#define OCTET_ENGINE_SRC_PARALLEL_H_

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace octet {

/// A sense-counting barrier for the threads of one region. Waiters spin for about ten microseconds
/// (a layer of a small network takes less), then yield, so that an oversubscribed machine still
/// makes progress.
class SpinBarrier {
 public:
  /// Must be called before the region starts, by one thread.
  void Reset(int num_threads) {
    num_threads_ = num_threads;
    arrived_.store(0, std::memory_order_relaxed);
  }

  void Wait() {
    const uint32_t generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      generation_.store(generation + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins) {
      if (spins < kSpins) {
        Pause();
      } else {
        sched_yield();
      }
    }
  }

 private:
  static constexpr int kSpins = 2000;

  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  int num_threads_ = 1;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
};

/// Part `index` of `parts` nearly equal parts of [0, total), cut at multiples of `grain`.
inline void SplitRange(int64_t total, int64_t grain, int index, int parts, int64_t* begin,
                       int64_t* end) {
  const int64_t grains = (total + grain - 1) / grain;
  *begin = std::min(total, grains * index / parts * grain);
  *end = std::min(total, grains * (index + 1) / parts * grain);
}

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PARALLEL_H_
