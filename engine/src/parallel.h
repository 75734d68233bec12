// How threads share an inference: all go through the same steps in order and take parts of each.
// Who the threads are is thread_pool.h's business.
#ifndef OCTET_ENGINE_SRC_PARALLEL_H_
#define OCTET_ENGINE_SRC_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

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

/// A part of a step: one of so many, and what stretch of the whole it is, in units of 1 / kWhole.
struct StepPart {
  static constexpr uint32_t kWhole = uint32_t{1} << 16;
  int index = 0, count = 1;
  uint32_t begin = 0, end = kWhole;

  /// One of equal parts.
  static StepPart Of(int index, int count) {
    return {index, count, Cut(index, count), Cut(index + 1, count)};
  }
  bool is_last() const { return index == count - 1; }

 private:
  static uint32_t Cut(int index, int count) {
    const auto n = static_cast<uint32_t>(count);
    return (static_cast<uint32_t>(index) * kWhole + n / 2) / n;
  }
};

/// What is shared.
class StepWork {
 public:
  /// That part of step `step`, on any thread.
  virtual void DoPart(size_t step, const StepPart& part) = 0;
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
/// Processors differ, by their kind (large and small cores) or by what else they do. So where
/// Options::balance says so, what the parts of a step take of it follows the time that they took in
/// the steps before. On two cores of an AMD EPYC Zen 3, of which another process takes a quarter of
/// one, 50 us at a time, a ResNet-50 takes 0.85 times as long as with equal parts, in int8 and
/// fp32; without it as long (0.95 to 1.0).
///
/// A claim is an exchange of the number of the round before for that of this one, so that nothing
/// needs to be reset and a late thread, with the number of an earlier round, cannot take one.
class StepSharing {
 public:
  struct Options {
    bool end_all = false;  ///< EndStep is called for every step, else for the last of a round only.
    bool balance = false;  ///< Parts become larger and smaller, else they stay equal.
  };
  StepSharing(StepWork* work, size_t steps, int parts, const Options& options)
      : work_(work),
        steps_(steps),
        parts_(parts),
        options_(options),
        lines_(LinesPerStep(parts)),
        words_(std::make_unique<Line[]>(steps * lines_)),
        balance_(static_cast<size_t>(parts)) {
    SetShares(std::vector<float>(static_cast<size_t>(parts), 1.0f));
  }

  /// Memory that an object takes beside itself.
  static int64_t Bytes(size_t steps, int parts) {
    return static_cast<int64_t>(steps * LinesPerStep(parts) * sizeof(Line) +
                                static_cast<size_t>(parts) * sizeof(Balance));
  }

  int parts() const { return parts_; }

  /// How much parts take of a step, to each other. Not during rounds.
  void SetShares(const std::vector<float>& shares) {
    for (size_t i = 0; i < shares.size(); ++i) balance_[i].share = shares[i];
    Cut();
  }

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
  static constexpr int64_t kLongestPart = 1'000'000'000;  // ns
  /// Behind the claims of the parts are the times that they took, 0 where another thread than that
  /// which prefers a part did it.
  static constexpr size_t kDone = 0, kSleepers = 1, kClaims = 2;
  /// A step's words are read and written together; those of two steps never.
  struct alignas(64) Line {
    std::atomic<uint32_t> words[kWords];
  };
  static size_t LinesPerStep(int parts) {
    return (kClaims + 2 * static_cast<size_t>(parts) + kWords - 1) / kWords;
  }
  std::atomic<uint32_t>& Word(size_t step, size_t i) {
    return words_[step * lines_ + i / kWords].words[i % kWords];
  }

  /// `id` is the round's number from 1 on, `next` the number of the step after this one.
  void DoStep(size_t step, uint32_t id, uint64_t next, int preferred) {
    // Done in all rounds so far, with one more for what follows them; it may overflow, as the
    // rounds may.
    const uint32_t target = id * (static_cast<uint32_t>(parts_) + 1);
    std::atomic<uint32_t>& done = Word(step, kDone);
    for (int i = 0; i < parts_; ++i) {
      const int part = preferred + i < parts_ ? preferred + i : preferred + i - parts_;
      std::atomic<uint32_t>& claim = Word(step, kClaims + static_cast<size_t>(part));
      uint32_t before = id - 1;
      if (claim.load(std::memory_order_relaxed) != before ||
          !claim.compare_exchange_strong(before, id, std::memory_order_relaxed))
        continue;
      DoPart(step, part, i == 0);
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 != target - 1) continue;
      if (options_.balance) BalanceParts(step);
      if (options_.end_all || step + 1 == steps_) work_->EndStep(step);
      done.store(target, std::memory_order_seq_cst);
      RaiseProgress(next);
      if (Word(step, kSleepers).load(std::memory_order_seq_cst) != 0) done.notify_all();
    }
    const auto over = [&] {
      return static_cast<int32_t>(done.load(std::memory_order_seq_cst) - target) >= 0;
    };
    if (!SpinUntil(over, kSpinTime)) WaitLong(step, over);
  }

  void DoPart(size_t step, int part, bool preferred) {
    using Clock = std::chrono::steady_clock;
    const auto i = static_cast<size_t>(part);
    const StepPart what{part, parts_, balance_[i].begin.load(std::memory_order_relaxed),
                        balance_[i].end.load(std::memory_order_relaxed)};
    if (!options_.balance) return work_->DoPart(step, what);
    const Clock::time_point begin = Clock::now();
    work_->DoPart(step, what);
    const int64_t taken = std::chrono::nanoseconds(Clock::now() - begin).count();
    Word(step, kClaims + static_cast<size_t>(parts_) + i)
        .store(preferred ? static_cast<uint32_t>(std::clamp<int64_t>(taken, 1, kLongestPart)) : 0,
               std::memory_order_relaxed);
  }

  /// By one thread between two steps. Parts that took longer than others since it last came to a
  /// result become smaller, half as much as would have made all equal.
  void BalanceParts(size_t step) {
    constexpr float kLongEnough = 250e3f;  // ns a part: one step of a ResNet-50 on two threads.
    constexpr float kGain = 0.5f, kMostUneven = 1.5f;
    const auto taken = [&](int part) {
      return Word(step, kClaims + static_cast<size_t>(parts_ + part))
          .load(std::memory_order_relaxed);
    };
    for (int i = 0; i < parts_; ++i) {
      if (taken(i) == 0) return;  // A thread came late, which says nothing of its processor.
    }
    float sum = 0.0f;
    for (int i = 0; i < parts_; ++i)
      sum += balance_[static_cast<size_t>(i)].taken += static_cast<float>(taken(i));
    const auto n = static_cast<float>(parts_);
    const float mean = sum / n;
    if (mean < kLongEnough) return;
    for (Balance& b : balance_) {
      // A thread that was taken off its processor has an enormous time.
      const float ratio = std::clamp(mean / b.taken, 1.0f / kMostUneven, kMostUneven);
      b.share = std::clamp(b.share * (1.0f + kGain * (ratio - 1.0f)), 0.5f / n, 2.0f / n);
      b.taken = 0.0f;
    }
    Cut();
  }

  /// Parts by their shares, which add up to 1 from then on.
  void Cut() {
    float sum = 0.0f, until = 0.0f;
    for (const Balance& b : balance_) sum += b.share;
    uint32_t begin = 0;
    for (Balance& b : balance_) {
      b.share /= sum;
      until += b.share;
      const auto cut =
          static_cast<uint32_t>(std::lround(until * static_cast<float>(StepPart::kWhole)));
      const uint32_t end =
          &b == &balance_.back() ? StepPart::kWhole : std::min(cut, StepPart::kWhole);
      b.begin.store(begin, std::memory_order_relaxed);
      b.end.store(end, std::memory_order_relaxed);
      begin = end;
    }
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
  const Options options_;
  const size_t lines_;
  const std::unique_ptr<Line[]> words_;
  /// Written between steps, read by those who have claimed a part.
  struct Balance {
    std::atomic<uint32_t> begin, end;  ///< As in StepPart.
    float share = 0.0f, taken = 0.0f;  ///< Of the whole; ns since shares were last changed.
  };
  std::vector<Balance> balance_;
  /// Steps of all rounds are numbered on. `progress_`: a step that has been reached, for those who
  /// come; it may lag behind. `end_`: the first that there is not.
  alignas(64) std::atomic<uint64_t> progress_{0};
  alignas(64) std::atomic<uint64_t> end_{0};
  std::atomic<int> helpers_{0};
  std::atomic<int64_t> stalled_{0};  ///< Nanoseconds.
  std::atomic<bool> retired_{false};
};

/// Part `part` of [0, total), cut at multiples of `grain`.
inline void SplitRange(int64_t total, int64_t grain, const StepPart& part, int64_t* begin,
                       int64_t* end) {
  const int64_t grains = (total + grain - 1) / grain;
  const auto cut = [&](int64_t at) {
    return std::min(total, (grains * at + StepPart::kWhole / 2) / StepPart::kWhole * grain);
  };
  *begin = cut(part.begin);
  *end = cut(part.end);
}

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PARALLEL_H_
