// Threads are made once and never again; what they share is found through a list that helpers hold
// a reference to, so that neither a run nor a helper takes a lock but after sessions came or went.
#include "engine/src/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "engine/src/float_environment.h"
#include "engine/src/guarded.h"
#include "engine/src/model_impl.h"
#include "formats/base/str_cat.h"

#if defined(_WIN32)
#include <process.h>
#else
#include <signal.h>
#include <unistd.h>
#endif

namespace octet {
namespace {

int64_t ProcessId() {
#if defined(_WIN32)
  return _getpid();
#else
  return getpid();
#endif
}

/// While it lives, threads are started that take none of the signals that a host has handlers for,
/// but for those that a thread brings on itself (a mapped file that was truncated is SIGBUS).
class BlockSignals {
 public:
#if defined(_WIN32)
  BlockSignals() {}
#else
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&all, own);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
#endif
};

/// 1 MiB instead of the usual 8, as limits of memory count addresses. The kernels need 64 KiB.
class HelperStack {
 public:
  HelperStack() {
    pthread_attr_init(&attributes_);
    pthread_attr_setstacksize(&attributes_, size_t{1} << 20);
  }
  ~HelperStack() { pthread_attr_destroy(&attributes_); }
  const pthread_attr_t* attributes() const { return &attributes_; }

 private:
  pthread_attr_t attributes_;
};

/// While it lives, the calling thread is kept from one processor, as far as it may use others.
/// Linux otherwise likes to wake a helper on its caller's, on which that goes on: the flower model,
/// 10 frames a second on two processors of an AMD EPYC Zen 3, int8, took 3.2 to 4.9 ms on two
/// threads, 2.9 with each on a processor of its own, 4.5 on one.
class StayAway {
 public:
#if defined(__linux__)
  explicit StayAway(int cpu) {
    const pthread_t self = pthread_self();
    // Fails on machines of more processors than a cpu_set_t has.
    if (cpu < 0 || cpu >= CPU_SETSIZE || pthread_getaffinity_np(self, sizeof(all_), &all_) != 0 ||
        !CPU_ISSET(cpu, &all_) || CPU_COUNT(&all_) == 1)
      return;
    others_ = all_;
    CPU_CLR(cpu, &others_);
    stays_ = pthread_setaffinity_np(self, sizeof(others_), &others_) == 0;
  }
  ~StayAway() {
    cpu_set_t now;
    // The host may have said something else meanwhile.
    if (stays_ && pthread_getaffinity_np(pthread_self(), sizeof(now), &now) == 0 &&
        CPU_EQUAL(&now, &others_))
      pthread_setaffinity_np(pthread_self(), sizeof(all_), &all_);
  }
  static int Cpu() { return sched_getcpu(); }

 private:
  cpu_set_t all_, others_;
  bool stays_ = false;
#else
  explicit StayAway(int) {}
  static int Cpu() { return -1; }
#endif
};

void NameThread() {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "octet");
#endif
}

}  // namespace

ThreadPool::Impl::Impl(int threads) : owner_(ProcessId()) {
  const BlockSignals block;
  const HelperStack stack;
  helpers_.reserve(static_cast<size_t>(threads - 1));  // Their addresses stay.
  for (int i = 1; i < threads; ++i) {
    helpers_.push_back({this, i, {}});
    const auto help = [](void* helper) -> void* {
      static_cast<Helper*>(helper)->pool->Help(static_cast<Helper*>(helper)->index);
      return nullptr;
    };
    // A host's thread-local variables are in the stack, too, and may need more.
    const auto start = [&](const pthread_attr_t* attributes) {
      return pthread_create(&helpers_.back().thread, attributes, help, &helpers_.back());
    };
    // The system may have no more threads for this process; those that there are will do.
    int error = start(stack.attributes());
    if (error == EINVAL) error = start(nullptr);
    if (error != 0) {
      helpers_.pop_back();
      break;
    }
  }
}

ThreadPool::Impl::~Impl() {
  if (!IsOwner()) return;  // The threads are the parent's.
  ends_.store(true);
  calls_.fetch_add(1);
  calls_.notify_all();
  for (const Helper& h : helpers_) pthread_join(h.thread, nullptr);
}

bool ThreadPool::Impl::IsOwner() const { return ProcessId() == owner_; }

void ThreadPool::Impl::Add(const std::shared_ptr<StepSharing>& work) {
  if (!IsOwner()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  List list = *list_;
  std::erase_if(list, [](const std::shared_ptr<StepSharing>& w) { return w->retired(); });
  list.push_back(work);
  SetList(std::move(list));
}

void ThreadPool::Impl::Remove(StepSharing* work) {
  if (!IsOwner()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  work->Retire();
  try {
    List list = *list_;
    std::erase_if(list, [](const std::shared_ptr<StepSharing>& w) { return w->retired(); });
    SetList(std::move(list));
  } catch (const std::bad_alloc&) {
    // It stays in the list, where nobody finds it open, until the next change.
  }
}

void ThreadPool::Impl::SetList(List list) {
  list_ = std::make_shared<const List>(std::move(list));
  list_version_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const ThreadPool::Impl::List> ThreadPool::Impl::GetList() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return list_;
}

void ThreadPool::Impl::Call(int wanted) {
  caller_cpu_.store(StayAway::Cpu(), std::memory_order_relaxed);
  calls_.fetch_add(1, std::memory_order_seq_cst);
  wanted = std::min(wanted, sleepers_.load(std::memory_order_seq_cst));
  for (int i = 0; i < wanted; ++i) calls_.notify_one();
}

bool ThreadPool::Impl::HelpOnce(const List& list, int index, size_t* turn) {
  StepSharing* best = nullptr;
  size_t best_at = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const size_t at = (*turn + i) % list.size();
    StepSharing* work = list[at].get();
    if (!work->IsOpen() || work->helpers() >= work->parts() - 1) continue;
    if (best != nullptr && work->helpers() >= best->helpers()) continue;
    best = work;
    best_at = at;
  }
  if (best == nullptr || !best->Enter()) return false;
  best->Participate(index % best->parts());
  best->Leave();
  *turn = best_at + 1;
  return true;
}

void ThreadPool::Impl::Help(int index) {
  NameThread();
  const FloatEnvironment environment;
  std::shared_ptr<const List> list = GetList();
  uint32_t version = 0;
  size_t turn = static_cast<size_t>(index);
  for (;;) {
    // First: what changes later calls again.
    const uint32_t calls = calls_.load(std::memory_order_seq_cst);
    if (ends_.load(std::memory_order_seq_cst)) return;
    if (const uint32_t now = list_version_.load(std::memory_order_acquire); now != version) {
      version = now;
      list = GetList();
    }
    if (HelpOnce(*list, index, &turn)) continue;
    const auto called = [&] { return calls_.load(std::memory_order_seq_cst) != calls; };
    if (SpinUntil(called, kSpinTime)) continue;
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    {
      const StayAway from(caller_cpu_.load(std::memory_order_relaxed));
      calls_.wait(calls, std::memory_order_seq_cst);
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

ThreadPool::ThreadPool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ThreadPool::~ThreadPool() = default;

Result<std::shared_ptr<ThreadPool>> ThreadPool::Create(int num_threads) {
  return Guarded([&]() -> Result<std::shared_ptr<ThreadPool>> {
    if (num_threads < 1 || num_threads > kMaxThreads) {
      return InvalidArgument(
          StrCat("num_threads is ", num_threads, ", expected 1 to ", kMaxThreads));
    }
    auto impl = std::make_unique<Impl>(num_threads);
    return std::shared_ptr<ThreadPool>(new ThreadPool(std::move(impl)));
  });
}

int ThreadPool::num_threads() const { return impl_->num_threads(); }

Workforce::~Workforce() {
  if (pool_ == nullptr) return;
  for (const std::shared_ptr<StepSharing>& work : work_) Internals::Of(*pool_).Remove(work.get());
}

void Workforce::Add(std::shared_ptr<StepSharing> work) {
  work_.push_back(std::move(work));
  if (pool_ != nullptr) Internals::Of(*pool_).Add(work_.back());
}

// With as many threads as cores, and another program on one of them, one of the threads is mostly
// off its processor while the others wait for its part: up to 4 ms for a run of 3 ms. Then the
// calling thread does better by itself, for a while that is long against what it costs to find out
// that it is still so. Of n threads that wait for S in a run of T each works for T - S, so that one
// alone takes n (T - S): less if n S > (n - 1) T. One stall among several runs is no sign of it.
void Workforce::Judge(Clock::time_point begin, Clock::duration stalls, int threads) {
  constexpr Clock::duration kLongest = std::chrono::milliseconds(250);
  const Clock::time_point end = Clock::now();
  // Sums that forget half in five runs.
  recent_ += end - begin - recent_ / 8;
  recent_stalls_ += stalls - recent_stalls_ / 8;
  if (threads * recent_stalls_ < (threads - 1) * recent_) {
    pause_ -= pause_ / 4;
    return;
  }
  pause_ = std::max(std::min(2 * pause_, kLongest), 16 * stalls);
  alone_until_ = end + pause_;
  recent_ = recent_stalls_ = {};  // After it the first run is enough.
}

void Workforce::Do(StepSharing* work, int rounds) {
  if (pool_ != nullptr) {
    const Clock::time_point begin = Clock::now();
    work->Begin(rounds);
    Internals::Of(*pool_).Call(work->parts() - 1);
    work->Participate(0);
    Judge(begin, work->TakeStalls() / (work->parts() - 1), work->parts());
    return;
  }
  // Whatever the host's loop does, the rest is done here, so that the next rounds can begin.
  struct Rest {
    StepSharing* work;
    ~Rest() { work->Participate(0); }
  } rest{work};
  work->Begin(rounds);
  if (executor_.run == nullptr) return;
  const auto task = [](void* argument, int index) {
    const FloatEnvironment environment;
    auto* shared = static_cast<StepSharing*>(argument);
    shared->Participate(index % shared->parts());
  };
  executor_.run(executor_.context, work->parts(), task, work);
}

}  // namespace octet
