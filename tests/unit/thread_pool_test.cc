// Threads of sessions: octet's own, shared ones, and the host's; what becomes of them when the
// system refuses some, in child processes, and when they are not wanted any more.
#include "engine/src/thread_pool.h"

#include <dirent.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "octet/openmp.h"
#include "tests/small_network.h"
#if defined(__SANITIZE_THREAD__)
#define OCTET_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OCTET_TSAN
#endif
#endif
#if defined(OCTET_TEST_TBB) && !defined(OCTET_TSAN)
#include <tbb/parallel_for.h>
#endif

namespace {
// Threads that may still be started; -1 for any number.
std::atomic<int> threads_left{-1};
}  // namespace

#ifndef OCTET_TSAN
// In front of the C library's: a system that has no more threads.
extern "C" __attribute__((visibility("default"))) int pthread_create(
    pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  if (threads_left == 0) return EAGAIN;
  if (threads_left > 0) --threads_left;
  static const auto real =
      reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return real(thread, attributes, start, argument);
}
#endif

namespace octet {
namespace {

using testing::SmallNetwork;

class ThreadPoolTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = new std::shared_ptr<const Model>(*ModelFromGraph(SmallNetwork(Precision::kInt8)));
    input_ = new std::vector<uint8_t>;
    for (size_t i = 0; i < (*model_)->Describe().inputs[0].num_bytes(); ++i)
      input_->push_back(static_cast<uint8_t>(i * 7 + i / 13));
    expected_ = new std::vector<uint8_t>(Answer(Make(1).get()));
  }

  static std::unique_ptr<Session> Make(const SessionOptions& options,
                                       const std::shared_ptr<const Model>& model = *model_) {
    Result<std::unique_ptr<Session>> session = Session::Create(model, options);
    EXPECT_TRUE(session.ok()) << session.status().message();
    return session.ok() ? std::move(*session) : nullptr;
  }
  static std::unique_ptr<Session> Make(int num_threads, std::shared_ptr<ThreadPool> pool = nullptr,
                                       Executor executor = {}) {
    SessionOptions options;
    options.num_threads = num_threads;
    options.pool = std::move(pool);
    options.executor = executor;
    return Make(options);
  }

  static std::vector<uint8_t> Answer(Session* session) {
    std::vector<uint8_t> output((*model_)->Describe().outputs[0].num_bytes());
    const void* in = input_->data();
    void* out = output.data();
    const Status status = session->Run(&in, &out);
    if (!status.ok()) ADD_FAILURE() << status.message();
    return output;
  }
  static bool Right(Session* session) { return Answer(session) == *expected_; }

  /// What /proc says of threads by the name that octet's have: the line that begins with `key`.
  /// A joined thread is listed a moment longer: ask for its end with Eventually.
  static std::vector<std::string> OctetThreads(const std::string& key) {
    std::vector<std::string> found;
    DIR* tasks = opendir("/proc/self/task");
    for (dirent* entry = tasks ? readdir(tasks) : nullptr; entry; entry = readdir(tasks)) {
      std::ifstream status(std::string("/proc/self/task/") + entry->d_name + "/status");
      bool octets = false;
      for (std::string line; std::getline(status, line);) {
        if (line == "Name:\toctet") octets = true;
        if (octets && line.rfind(key + ":", 0) == 0) found.push_back(line.substr(key.size() + 2));
      }
    }
    if (tasks) closedir(tasks);
    return found;
  }

  /// Until `condition` holds; false after ten seconds.
  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  static std::shared_ptr<const Model>* model_;
  static std::vector<uint8_t>*input_, *expected_;
};
std::shared_ptr<const Model>* ThreadPoolTest::model_;
std::vector<uint8_t>*ThreadPoolTest::input_, *ThreadPoolTest::expected_;

TEST_F(ThreadPoolTest, AnyNumberOfThreadsGivesTheSameBits) {
  for (int threads = 1; threads <= 9; ++threads) {
    const auto session = Make(threads);
    EXPECT_EQ(session->num_threads(), threads);
    for (int run = 0; run < 50; ++run) ASSERT_TRUE(Right(session.get())) << threads;
  }
}

// Parts of an operator become uneven where threads are.
TEST_F(ThreadPoolTest, PartsOfAnySizeGiveTheSameBits) {
  for (const Precision precision : {Precision::kFp32, Precision::kFp16, Precision::kBf16,
                                    Precision::kHybrid, Precision::kInt8, Precision::kInt16x8}) {
    SCOPED_TRACE(PrecisionName(precision));
    const auto model = *ModelFromGraph(SmallNetwork(precision));
    std::vector<uint8_t> expected;
    for (int threads = 1; threads <= 4; ++threads) {
      SessionOptions options;
      options.num_threads = threads;
      options.max_batch = 3;
      const auto session = Make(options, model);
      ASSERT_NE(session, nullptr);
      std::vector<uint8_t> input(3 * model->Describe().inputs[0].num_bytes());
      for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint8_t>(i * 7 % 64);
      for (int turn = 0; turn < 6; ++turn) {
        if (threads > 1) {
          std::vector<float> shares;
          for (int i = 0; i < threads; ++i)
            shares.push_back(static_cast<float>(1 + (i + turn) % threads * turn * turn));
          Internals::Of(*session).sharing->SetShares(shares);
        }
        std::vector<uint8_t> output(3 * model->Describe().outputs[0].num_bytes());
        const void* in = input.data();
        void* out = output.data();
        ASSERT_TRUE(session->Run(&in, &out, 3).ok());
        if (expected.empty()) expected = output;
        ASSERT_EQ(output, expected) << threads << " threads, turn " << turn;
      }
    }
  }
}

TEST_F(ThreadPoolTest, ThreadsEndWithTheSession) {
  if (access("/proc/self/task", R_OK) != 0) GTEST_SKIP() << "no /proc";
  EXPECT_TRUE(Eventually([] { return OctetThreads("State").empty(); }));
  {
    const auto one = Make(1);
    EXPECT_TRUE(Right(one.get()));
    EXPECT_TRUE(Eventually([] { return OctetThreads("State").empty(); }));
    const auto four = Make(4);
    EXPECT_TRUE(Eventually([] { return OctetThreads("State").size() == 3; }));
  }
  EXPECT_TRUE(Eventually([] { return OctetThreads("State").empty(); }));
}

// An idle session costs nothing, and the host's signals stay the host's.
TEST_F(ThreadPoolTest, HelpersSleepAndTakeNoSignals) {
  if (access("/proc/self/task", R_OK) != 0) GTEST_SKIP() << "no /proc";
  const auto session = Make(3);
  EXPECT_TRUE(Right(session.get()));
  EXPECT_TRUE(Eventually([] {
    const std::vector<std::string> states = OctetThreads("State");
    int asleep = 0;
    for (const std::string& s : states) asleep += s[0] == 'S';
    return states.size() == 2 && asleep == 2;
  }));
  for (const std::string& blocked : OctetThreads("SigBlk"))
    EXPECT_TRUE(std::stoull(blocked, nullptr, 16) >> (SIGUSR1 - 1) & 1) << blocked;
}

#if defined(__linux__)
// So that they do not wake up where it goes on. What the host says of its processors is theirs too.
TEST_F(ThreadPoolTest, HelpersSleepAwayFromTheirCaller) {
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
  if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "one processor";
  const auto allowed = [](pid_t thread) {
    cpu_set_t set;
    CPU_ZERO(&set);
    EXPECT_EQ(sched_getaffinity(thread, sizeof(set), &set), 0);
    return set;
  };
  const auto equal = [](const cpu_set_t& a, const cpu_set_t& b) { return CPU_EQUAL(&a, &b) != 0; };
  const auto session = Make(2);
  std::vector<std::string> ids;  // It gets its name when it begins.
  ASSERT_TRUE(Eventually([&] { return (ids = OctetThreads("Pid")).size() == 1; }));
  const pid_t helper = std::stoi(ids[0]);
  int tried = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE && tried < 2; ++cpu) {
    if (!CPU_ISSET(cpu, &all)) continue;
    ++tried;
    cpu_set_t own, others = all;
    CPU_ZERO(&own);
    CPU_SET(cpu, &own);
    CPU_CLR(cpu, &others);
    ASSERT_EQ(sched_setaffinity(0, sizeof(own), &own), 0);
    // The helper may sleep while the caller comes here: it has seen this processor by the next run.
    EXPECT_TRUE(Eventually([&] {
      EXPECT_TRUE(Right(session.get()));
      return equal(allowed(helper), others);
    }));
  }
  // Where the host puts it, it stays; on a busy machine it may still be on its way to sleep.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(sched_setaffinity(helper, sizeof(one), &one), 0);
    for (int run = 0; run < 3; ++run) {
      EXPECT_TRUE(Right(session.get()));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (!equal(allowed(helper), one)) return false;
    }
    return true;
  }));
  sched_setaffinity(0, sizeof(all), &all);
}
#endif

TEST_F(ThreadPoolTest, RefusedThreadsAreDoneWithout) {
#ifdef OCTET_TSAN
  GTEST_SKIP() << "ThreadSanitizer has pthread_create";
#endif
  for (const int allowed : {0, 1, 3}) {
    threads_left = allowed;
    const auto session = Make(5);
    const auto pool = *ThreadPool::Create(3);
    threads_left = -1;
    EXPECT_EQ(session->num_threads(), allowed + 1);
    EXPECT_EQ(pool->num_threads(), 1);
    EXPECT_TRUE(Right(session.get()));
    EXPECT_TRUE(Right(Make(3, pool).get()));
  }
}

TEST_F(ThreadPoolTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(ThreadPool::Create(0).status().message(), "num_threads is 0, expected 1 to 1024");
  EXPECT_EQ(ThreadPool::Create(1025).status().code(), StatusCode::kInvalidArgument);
  SessionOptions options;
  options.num_threads = 2;
  options.pool = *ThreadPool::Create(2);
  options.executor = OpenMpExecutor();
  EXPECT_EQ(Session::Create(*model_, options).status().message(),
            "SessionOptions: found a pool and an executor, expected one of them");
}

TEST_F(ThreadPoolTest, SessionsTakeTurnsOnOnePool) {
  const auto pool = *ThreadPool::Create(3);
  EXPECT_EQ(pool->num_threads(), 3);
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 1; i <= 5; ++i) {
    sessions.push_back(Make(i, pool));
    EXPECT_EQ(sessions.back()->num_threads(), std::min(i, 3));
  }
  for (int run = 0; run < 100; ++run) {
    ASSERT_TRUE(Right(sessions[static_cast<size_t>(run) % sessions.size()].get()));
    // They come and go.
    if (run % 10 == 0) sessions[static_cast<size_t>(run / 10) % sessions.size()] = Make(3, pool);
  }
}

TEST_F(ThreadPoolTest, SessionsShareAPoolAtTheSameTime) {
  auto pool = *ThreadPool::Create(4);
  std::vector<std::thread> hosts;
  std::atomic<int> wrong{0};
  for (int host = 0; host < 6; ++host) {
    hosts.emplace_back([&, mine = pool] {
      for (int i = 0; i < 5; ++i) {
        const auto session = Make(3, mine);
        for (int run = 0; run < 20; ++run) wrong += !Right(session.get());
      }
    });
  }
  pool.reset();  // The sessions keep it.
  for (std::thread& t : hosts) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(ThreadPoolTest, SixteenHostThreadsWithSessionsOfTheirOwn) {
  std::vector<std::thread> hosts;
  std::atomic<int> wrong{0};
  for (int host = 0; host < 16; ++host) {
    hosts.emplace_back([&] {
      const auto session = Make(3);
      for (int run = 0; run < 30; ++run) wrong += !Right(session.get());
    });
  }
  for (std::thread& t : hosts) t.join();
  EXPECT_EQ(wrong, 0);
}

// A server that starts a thread for each request.
TEST_F(ThreadPoolTest, AnyThreadMayCall) {
  const auto session = Make(3);
  for (int request = 0; request < 50; ++request) {
    bool right = false;
    std::thread([&] { right = Right(session.get()); }).join();
    ASSERT_TRUE(right);
  }
  EXPECT_TRUE(Eventually([] { return OctetThreads("State").size() <= 2; }));
}

TEST_F(ThreadPoolTest, RunsInsideParallelRegions) {
#ifdef OCTET_TSAN
  GTEST_SKIP() << "ThreadSanitizer does not see how OpenMP's threads wait for each other";
#endif
  std::atomic<int> wrong{0};
#pragma omp parallel for num_threads(4)
  for (int i = 0; i < 8; ++i) {
    const auto own = Make(2), hosts = Make(2, nullptr, OpenMpExecutor());
    for (int run = 0; run < 10; ++run) wrong += !Right(own.get()) + !Right(hosts.get());
  }
  EXPECT_EQ(wrong, 0);
}

/// A child process that does what `body` says: whether it came to an end and found all right.
bool InChild(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(ThreadPoolTest, ChildrenMayUseAndMakeSessions) {
#ifdef OCTET_TSAN
  GTEST_SKIP() << "ThreadSanitizer does not follow children";
#endif
  const auto pool = *ThreadPool::Create(3);
  auto session = Make(3), shared = Make(3, pool), hosts = Make(2, nullptr, OpenMpExecutor());
  for (int run = 0; run < 20; ++run) {
    EXPECT_TRUE(run == 0 || (Right(session.get()) && Right(shared.get())));  // Or never before.
    EXPECT_TRUE(InChild([&] {
      bool right = true;
      for (int i = 0; i < 3; ++i) right = right && Right(session.get()) && Right(shared.get());
      const auto made = Make(3);
      right = right && made->num_threads() == 3 && Right(made.get());
      const auto on_parents_pool = Make(3, pool);
      right = right && on_parents_pool->num_threads() == 1 && Right(on_parents_pool.get());
      // A grandchild, and all of it goes.
      right = right && InChild([&] { return Right(session.get()) && Right(made.get()); });
      session.reset();
      shared.reset();
      return right;
    }));
  }
  EXPECT_TRUE(Right(session.get()) && Right(shared.get()) && Right(hosts.get()));
}

/// A host's loop, and how often it was called.
struct Loop {
  std::function<void(int tasks, const std::function<void(int)>& task)> run;
  int calls = 0;

  Executor executor() {
    Executor e;
    e.context = this;
    e.run = [](void* context, int tasks, void (*task)(void*, int), void* argument) {
      auto* loop = static_cast<Loop*>(context);
      ++loop->calls;
      loop->run(tasks, [=](int i) { task(argument, i); });
    };
    return e;
  }
};

/// One thread for each of a few, from which blocks are taken in order, as of Grand Central
/// Dispatch.
class Queue {
 public:
  explicit Queue(int workers) {
    for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Queue() {
    for (size_t i = 0; i < threads_.size(); ++i) Add({});
    for (std::thread& t : threads_) t.join();
  }
  void Apply(int tasks, const std::function<void(int)>& task) {
    std::atomic<int> left{tasks};
    std::promise<void> over;
    for (int i = 0; i < tasks; ++i) {
      Add([&, i] {
        task(i);
        if (--left == 0) over.set_value();
      });
    }
    over.get_future().wait();
  }

 private:
  void Add(std::function<void()> block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks_.push_back(std::move(block));
    more_.notify_one();
  }
  void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      more_.wait(lock, [&] { return !blocks_.empty(); });
      const std::function<void()> block = std::move(blocks_.front());
      blocks_.pop_front();
      lock.unlock();
      if (!block) return;
      block();
    }
  }

  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<std::function<void()>> blocks_;
  std::vector<std::thread> threads_;
};

TEST_F(ThreadPoolTest, RunsOnTheHostsThreads) {
  Queue queue(3);
  using Task = const std::function<void(int)>&;
  std::vector<std::pair<std::string, Loop>> loops;
  loops.push_back({"in order", {[](int tasks, Task task) {
                     for (int i = 0; i < tasks; ++i) task(i);
                   }}});
  loops.push_back({"backwards", {[](int tasks, Task task) {
                     for (int i = tasks; --i >= 0;) task(i);
                   }}});
  loops.push_back({"one is late", {[](int tasks, Task task) {
                     std::thread late([&] {
                       std::this_thread::sleep_for(std::chrono::milliseconds(5));
                       task(0);
                     });
                     for (int i = 1; i < tasks; ++i) task(i);
                     late.join();
                   }}});
  loops.push_back({"std::async", {[](int tasks, Task task) {
                     std::vector<std::future<void>> futures;
                     for (int i = 0; i < tasks; ++i)
                       futures.push_back(std::async(std::launch::async, task, i));
                   }}});
  loops.push_back({"a queue", {[&](int tasks, Task task) { queue.Apply(tasks, task); }}});
#if defined(OCTET_TEST_TBB) && !defined(OCTET_TSAN)
  loops.push_back({"oneTBB", {[](int tasks, Task task) { tbb::parallel_for(0, tasks, task); }}});
#endif
  // Beyond the contract: tasks are left out, or the loop fails.
  loops.push_back({"none", {[](int, Task) {}}});
  for (auto& [name, loop] : loops) {
    SCOPED_TRACE(name);
    for (const int threads : {1, 2, 5}) {
      const auto session = Make(threads, nullptr, loop.executor());
      EXPECT_EQ(session->num_threads(), threads);
      loop.calls = 0;
      for (int run = 0; run < 20; ++run) ASSERT_TRUE(Right(session.get()));
      EXPECT_EQ(loop.calls, threads == 1 ? 0 : 20);
    }
  }
#ifndef OCTET_TSAN  // It does not see how these threads wait for each other.
  const auto openmp = Make(3, nullptr, OpenMpExecutor());
  for (int run = 0; run < 20; ++run) ASSERT_TRUE(Right(openmp.get()));
#endif
}

TEST_F(ThreadPoolTest, AHostsLoopThatThrowsIsAnError) {
  bool fails = true;
  Loop loop{[&](int tasks, const std::function<void(int)>& task) {
    task(tasks - 1);
    if (fails) throw 1;
  }};
  const auto session = Make(3, nullptr, loop.executor());
  std::vector<uint8_t> output((*model_)->Describe().outputs[0].num_bytes());
  const void* in = input_->data();
  void* out = output.data();
  EXPECT_EQ(session->Run(&in, &out).code(), StatusCode::kInternal);
  fails = false;
  EXPECT_TRUE(Right(session.get()));
}

// However many groups of images a batch is computed in.
TEST_F(ThreadPoolTest, CallsTheHostsLoopOnceARun) {
  Loop loop{[](int tasks, const std::function<void(int)>& task) {
    for (int i = 0; i < tasks; ++i) task(i);
  }};
  SessionOptions options;
  options.num_threads = 2;
  options.executor = loop.executor();
  options.max_batch = 4096;
  const auto session = Make(options);
  ASSERT_GT(4096, 2 * Internals::Of(*session).group);
  std::vector<uint8_t> inputs, outputs(4096 * expected_->size()), all;
  for (int i = 0; i < 4096; ++i) {
    inputs.insert(inputs.end(), input_->begin(), input_->end());
    all.insert(all.end(), expected_->begin(), expected_->end());
  }
  const void* in = inputs.data();
  void* out = outputs.data();
  ASSERT_TRUE(session->Run(&in, &out, 4096).ok());
  EXPECT_TRUE(outputs == all);
  EXPECT_EQ(loop.calls, 1);
}

TEST_F(ThreadPoolTest, RunsAreCancelledFromOtherThreads) {
  for (const int threads : {1, 3}) {
    SessionOptions options;
    options.num_threads = threads;
    options.max_batch = 64;
    const auto session = Make(options);
    session->Cancel();  // Nothing to cancel.
    EXPECT_TRUE(Right(session.get()));
    std::vector<uint8_t> inputs(64 * input_->size()), outputs(64 * expected_->size());
    const void* in = inputs.data();
    void* out = outputs.data();
    std::atomic<bool> over{false};
    std::thread other([&] {
      while (!over) {
        session->Cancel();
        std::this_thread::yield();
      }
    });
    Status status;
    for (int i = 0; i < 100000 && status.ok(); ++i) status = session->Run(&in, &out, 64);
    over = true;
    other.join();
    EXPECT_EQ(status.code(), StatusCode::kCancelled);
    EXPECT_EQ(status.message(), "Session::Run: cancelled");
    EXPECT_TRUE(Right(session.get()));
  }
}

TEST_F(ThreadPoolTest, RunsEndAtTheirDeadline) {
  for (const int threads : {1, 3}) {
    const auto session = Make(threads);
    std::vector<uint8_t> output(expected_->size());
    const void* in = input_->data();
    void* out = output.data();
    RunOptions run;
    run.deadline = std::chrono::steady_clock::now();
    const Status status = session->Run(&in, &out, run);
    EXPECT_EQ(status.code(), StatusCode::kCancelled);
    EXPECT_EQ(status.message(), "Session::Run: the deadline has passed");
    run.deadline += std::chrono::hours(1);
    EXPECT_TRUE(session->Run(&in, &out, run).ok());
    EXPECT_EQ(output, *expected_);
  }
}

}  // namespace
}  // namespace octet
