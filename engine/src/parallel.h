// One parallel region per inference; inside it, threads share the work of one operator after the
// other.
#ifndef OCTET_ENGINE_SRC_PARALLEL_H_
#define OCTET_ENGINE_SRC_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

namespace octet {

/// Lets the threads of one region go through the same steps together, each step in as many parts as
/// there are threads. A thread takes its own part first, so that it finds in its cache what it
/// wrote in the step before, then what others have not begun: one that the system has taken off its
/// processor holds nobody up but with a part it has begun. A step begins when all parts of the one
/// before are done. Waiters spin for about ten microseconds (a layer of a small network takes
/// less), then yield.
class StepSharing {
 public:
  void Prepare(size_t steps, int max_threads) {
    max_threads_ = static_cast<size_t>(max_threads);
    done_ = std::make_unique<Done[]>(steps);
    claimed_ = std::make_unique<std::atomic<uint32_t>[]>(steps * max_threads_);
  }

  /// Memory that Prepare allocates.
  static int64_t Bytes(size_t steps, int max_threads) {
    return static_cast<int64_t>(
        steps * (sizeof(Done) + sizeof(uint32_t) * static_cast<size_t>(max_threads)));
  }

  /// By one thread, before any calls RunStep.
  void Begin(int threads) {
    threads_ = threads;
    ++run_;
    target_ += static_cast<uint64_t>(threads);
  }

  /// Calls `work(part)` for the parts that fall to this thread, and returns when all are done.
  template <typename F>
  void RunStep(size_t step, int thread, F work) {
    std::atomic<uint64_t>& done = done_[step].parts;
    for (int i = 0; i < threads_; ++i) {
      const int part = thread + i < threads_ ? thread + i : thread + i - threads_;
      std::atomic<uint32_t>& claimed = claimed_[step * max_threads_ + static_cast<size_t>(part)];
      if (claimed.load(std::memory_order_relaxed) == run_ ||
          claimed.exchange(run_, std::memory_order_relaxed) == run_)
        continue;
      work(part);
      done.fetch_add(1, std::memory_order_acq_rel);
    }
    for (int spins = 0; done.load(std::memory_order_acquire) < target_; ++spins) {
      if (spins < kSpins) {
        Pause();
      } else {
        std::this_thread::yield();
      }
    }
  }

 private:
  static constexpr int kSpins = 2000;

  /// Parts done in all runs so far, so that nothing needs to be reset between runs.
  struct alignas(64) Done {
    std::atomic<uint64_t> parts{0};
  };

  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  int threads_ = 1;
  size_t max_threads_ = 1;
  uint32_t run_ = 0;  ///< Claims bear its number.
  uint64_t target_ = 0;
  std::unique_ptr<Done[]> done_;
  std::unique_ptr<std::atomic<uint32_t>[]> claimed_;
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
