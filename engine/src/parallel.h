// How threads share an inference: all go through the same steps in order and take parts of each.
// Who the threads are is thread_pool.h's business.
#ifndef OCTET_ENGINE_SRC_PARALLEL_H_
#define OCTET_ENGINE_SRC_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

namespace octet {

inline void PauseCpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spins until `over()` is true, for at most `limit`; whether it is.
template <typename F>
bool SpinUntil(F over, std::chrono::microseconds limit) {
  using Clock = std::chrono::steady_clock;
  constexpr int kPauses = 16;  // About half a microsecond: a clock costs 25 to 50 ns.
  for (int i = 0; i < kPauses; ++i) {
    if (over()) return true;
    PauseCpu();
  }
  const Clock::time_point begin = Clock::now();
  do {
    for (int i = 0; i < kPauses; ++i) {
      if (over()) return true;
      PauseCpu();
    }
  } while (Clock::now() - begin < limit);
  return over();
}

/// How long a thread spins before it gives its processor away. A layer of a small network takes
/// less, and so does the time between two inferences that follow each other.
inline constexpr std::chrono::microseconds kSpinTime{20};

/// What is shared.
class StepWork {
 public:
  /// Part `part` of step `step`, on any thread.
  virtual void DoPart(size_t step, int part) = 0;
  /// Once all parts of it are done and before any thread goes on, on one thread.
  virtual void EndStep(size_t step) = 0;

 protected:
  ~StepWork() = default;
};

/// Lets threads go through steps together, each of them in `parts` parts, in rounds: an inference
/// is as many as it has groups of images. A thread takes the part that it prefers first, so that it
/// finds in its cache what it wrote in the step before, then what others have not begun. A step
/// begins when all parts of the one before are done. So nobody ever waits for a thread but for one
/// that has begun a part: threads may come late, leave never or come not at all, and one that is
/// still here when a round is long over, as the system had taken it off its processor, finds that
/// nothing is left for it. That is why it may touch this object, which its owner keeps by a
/// shared_ptr, at any time, but `work` only for a part that it has claimed.
///
/// A claim is an exchange of the number of the round before for that of this one, so that nothing
/// needs to be reset and a late thread, with the number of an earlier round, cannot take one.
class StepSharing {
 public:
  /// `end_all`: EndStep is called for every step, else for the last one of a round only.
  StepSharing(StepWork* work, size_t steps, int parts, bool end_all)
      : work_(work),
        steps_(steps),
        parts_(parts),
        end_all_(end_all),
        lines_(LinesPerStep(parts)),
        words_(std::make_unique<Line[]>(steps * lines_)) {}

  /// Memory that an object takes beside itself.
  static int64_t Bytes(size_t steps, int parts) {
    return static_cast<int64_t>(steps * LinesPerStep(parts) * sizeof(Line));
  }

  int parts() const { return parts_; }

  /// By the owner: there are `rounds` more to do. All before are over.
  void Begin(int rounds) {
    const uint64_t begin = end_.load(std::memory_order_relaxed);
    RaiseProgress(begin);
    end_.store(begin + static_cast<uint64_t>(rounds) * steps_, std::memory_order_seq_cst);
  }

  /// Whether there is something for helpers to do, as far as this thread knows.
  bool IsOpen() const {
    return progress_.load(std::memory_order_acquire) < end_.load(std::memory_order_seq_cst);
  }

  /// Takes part until all rounds are over.
  void Participate(int preferred) {
    uint64_t at = progress_.load(std::memory_order_acquire);
    while (at < end_.load(std::memory_order_acquire)) {
      const uint64_t round = at / steps_;
      for (size_t step = at % steps_; step < steps_; ++step)
        DoStep(step, static_cast<uint32_t>(round + 1), round * steps_ + step + 1, preferred);
      at = std::max(progress_.load(std::memory_order_acquire), (round + 1) * steps_);
    }
  }

  /// Helpers beside the calling thread, of which there is use for parts - 1. Enter is false when
  /// there are as many already.
  int helpers() const { return helpers_.load(std::memory_order_relaxed); }
  bool Enter() {
    int now = helpers();
    while (now < parts_ - 1) {
      if (helpers_.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }
  void Leave() { helpers_.fetch_sub(1, std::memory_order_acq_rel); }

  /// How long threads have waited, since it was asked last, for parts that others had begun, but
  /// for kSpinTime each time: they had been taken off their processors, mostly.
  std::chrono::nanoseconds TakeStalls() {
    return std::chrono::nanoseconds(stalled_.exchange(0, std::memory_order_relaxed));
  }

  /// Its owner is about to go.
  void Retire() { retired_.store(true, std::memory_order_relaxed); }
  bool retired() const { return retired_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kWords = 16;
  static constexpr size_t kDone = 0, kSleepers = 1, kClaims = 2;
  /// A step's words are read and written together; those of two steps never.
  struct alignas(64) Line {
    std::atomic<uint32_t> words[kWords];
  };
  static size_t LinesPerStep(int parts) {
    return (kClaims + static_cast<size_t>(parts) + kWords - 1) / kWords;
  }
  std::atomic<uint32_t>& Word(size_t step, size_t i) {
    return words_[step * lines_ + i / kWords].words[i % kWords];
  }

  /// `id` is the round's number from 1 on, `next` the number of the step after this one.
  void DoStep(size_t step, uint32_t id, uint64_t next, int preferred) {
    const bool ends = end_all_ || step + 1 == steps_;
    // Done in all rounds so far, with one more for EndStep; it may overflow, as the rounds may.
    const uint32_t target = id * (static_cast<uint32_t>(parts_) + (ends ? 1 : 0));
    std::atomic<uint32_t>& done = Word(step, kDone);
    for (int i = 0; i < parts_; ++i) {
      const int part = preferred + i < parts_ ? preferred + i : preferred + i - parts_;
      std::atomic<uint32_t>& claim = Word(step, kClaims + static_cast<size_t>(part));
      uint32_t before = id - 1;
      if (claim.load(std::memory_order_relaxed) != before ||
          !claim.compare_exchange_strong(before, id, std::memory_order_relaxed))
        continue;
      work_->DoPart(step, part);
      uint32_t now = done.fetch_add(1, std::memory_order_acq_rel) + 1;
      if (ends && now == target - 1) {
        work_->EndStep(step);
        now = done.fetch_add(1, std::memory_order_seq_cst) + 1;
      }
      if (now != target) continue;
      RaiseProgress(next);
      if (Word(step, kSleepers).load(std::memory_order_seq_cst) != 0) done.notify_all();
    }
    const auto over = [&] {
      return static_cast<int32_t>(done.load(std::memory_order_seq_cst) - target) >= 0;
    };
    if (!SpinUntil(over, kSpinTime)) WaitLong(step, over);
  }

  /// The thread that is waited for may want this one's processor; when that does not help either it
  /// may take long.
  template <typename F>
  void WaitLong(size_t step, F over) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds kYieldTime{2};
    const Clock::time_point begin = Clock::now();
    while (!over() && Clock::now() - begin < kYieldTime) std::this_thread::yield();
    if (!over()) {
      std::atomic<uint32_t>& done = Word(step, kDone);
      std::atomic<uint32_t>& sleepers = Word(step, kSleepers);
      sleepers.fetch_add(1, std::memory_order_seq_cst);
      for (uint32_t now = done.load(); !over(); now = done.load()) done.wait(now);
      sleepers.fetch_sub(1, std::memory_order_seq_cst);
    }
    stalled_.fetch_add(std::chrono::nanoseconds(Clock::now() - begin).count(),
                       std::memory_order_relaxed);
  }

  void RaiseProgress(uint64_t to) {
    uint64_t now = progress_.load(std::memory_order_relaxed);
    while (now < to && !progress_.compare_exchange_weak(now, to, std::memory_order_acq_rel)) {
    }
  }

  StepWork* const work_;
  const size_t steps_;
  const int parts_;
  const bool end_all_;
  const size_t lines_;
  const std::unique_ptr<Line[]> words_;
  /// Steps of all rounds are numbered on. `progress_`: a step that has been reached, for those who
  /// come; it may lag behind. `end_`: the first that there is not.
  alignas(64) std::atomic<uint64_t> progress_{0};
  alignas(64) std::atomic<uint64_t> end_{0};
  std::atomic<int> helpers_{0};
  std::atomic<int64_t> stalled_{0};  ///< Nanoseconds.
  std::atomic<bool> retired_{false};
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
