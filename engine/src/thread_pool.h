// The threads of octet's own: what stands behind octet::ThreadPool.
#ifndef OCTET_ENGINE_SRC_THREAD_POOL_H_
#define OCTET_ENGINE_SRC_THREAD_POOL_H_

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/parallel.h"

namespace octet {

/// That a session or a pool may be asked for.
inline constexpr int kMaxThreads = 1024;

/// Helpers look for shared work that is open and has a seat free, those with the fewest helpers
/// first and otherwise by turns; then they spin for kSpinTime, then sleep on a futex. A caller
/// never waits for one to come.
///
/// In a child process after a fork there are no helpers any more, which nobody notices: callers do
/// everything themselves. Only what takes the mutex or joins threads asks in which process it is.
class ThreadPool::Impl {
 public:
  /// `threads` with the callers', at least 1; as many helpers less as the system refuses.
  explicit Impl(int threads);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int num_threads() const { return IsOwner() ? static_cast<int>(helpers_.size()) + 1 : 1; }

  /// Helpers look at `work` from now on, until Remove. Not during its rounds.
  void Add(const std::shared_ptr<StepSharing>& work);
  void Remove(StepSharing* work);

  /// After Begin: `wanted` helpers that sleep are woken.
  void Call(int wanted);

 private:
  struct Helper {
    Impl* pool;
    int index;
    pthread_t thread;
  };
  using List = std::vector<std::shared_ptr<StepSharing>>;

  bool IsOwner() const;
  /// What a helper does, from the pool's beginning to its end.
  void Help(int index);
  /// Takes part in what is open; false when there is nothing. `turn` is where looking begins.
  bool HelpOnce(const List& list, int index, size_t* turn);
  std::shared_ptr<const List> GetList();
  void SetList(List list);

  const int64_t owner_;  ///< The process's id.
  std::vector<Helper> helpers_;
  std::mutex mutex_;  ///< Of `list_`.
  std::shared_ptr<const List> list_ = std::make_shared<const List>();
  /// Counts changes of `list_`.
  std::atomic<uint32_t> list_version_{0};
  /// Counts what may be news for helpers that found nothing.
  alignas(64) std::atomic<uint32_t> calls_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<int> caller_cpu_{-1};  ///< Where Call was last called.
  std::atomic<bool> ends_{false};
};

/// The threads of one session: the one that calls, with helpers of a pool or with tasks of the
/// host's executor.
class Workforce {
  using Clock = std::chrono::steady_clock;

 public:
  /// `pool` may be null, `executor` empty.
  Workforce(std::shared_ptr<ThreadPool> pool, Executor executor, int num_threads)
      : pool_(std::move(pool)), executor_(executor), num_threads_(num_threads) {}
  ~Workforce();
  Workforce(const Workforce&) = delete;
  Workforce& operator=(const Workforce&) = delete;

  int num_threads() const { return num_threads_; }
  /// Whether the calling thread does better without Do now, on work that is not cut into parts.
  bool is_alone() const { return Clock::now() < alone_until_; }

  /// Work that Do may be called for. It is kept until the end.
  void Add(std::shared_ptr<StepSharing> work);
  /// All of `rounds`; returns when they are over.
  void Do(StepSharing* work, int rounds);

 private:
  /// After rounds with helpers that began then, in which each of `threads` lost `stalls` by
  /// waiting: whether the next ones are better without.
  void Judge(Clock::time_point begin, Clock::duration stalls, int threads);

  const std::shared_ptr<ThreadPool> pool_;
  const Executor executor_;
  const int num_threads_;
  std::vector<std::shared_ptr<StepSharing>> work_;
  Clock::duration recent_ = std::chrono::milliseconds(20), recent_stalls_{};
  Clock::time_point alone_until_{};
  Clock::duration pause_{};  ///< The last one, less by each rounds without stalls since.
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_THREAD_POOL_H_
