#include "engine/src/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace octet {
namespace {

// Every part once, after all parts of the step before, whatever the threads' pace and number.
TEST(StepSharing, DoesEveryPartOnceInOrder) {
  constexpr int kSteps = 7, kMaxThreads = 5, kRuns = 40;
  StepSharing sharing;
  sharing.Prepare(kSteps, kMaxThreads);
  for (int run = 0; run < kRuns; ++run) {
    const int threads = 1 + run % kMaxThreads;
    std::atomic<int> done[kSteps] = {};
    std::atomic<int> calls[kSteps][kMaxThreads] = {};
    std::atomic<bool> in_order{true};
    sharing.Begin(threads);
    std::vector<std::thread> team;
    for (int thread = 0; thread < threads; ++thread) {
      team.emplace_back([&, thread] {
        // A late thread must hold nobody up, and find its parts taken.
        if (run % 3 == 1 && thread == threads - 1)
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        for (int step = 0; step < kSteps; ++step) {
          sharing.RunStep(static_cast<size_t>(step), thread, [&](int part) {
            if (step > 0 && done[step - 1] != threads) in_order = false;
            ++calls[step][part];
            ++done[step];
          });
          if (done[step] != threads) in_order = false;  // Returned too early.
        }
      });
    }
    for (std::thread& t : team) t.join();
    EXPECT_TRUE(in_order) << "run " << run;
    for (int step = 0; step < kSteps; ++step) {
      for (int part = 0; part < kMaxThreads; ++part)
        EXPECT_EQ(calls[step][part], part < threads ? 1 : 0) << "run " << run << " step " << step;
    }
  }
}

TEST(StepSharing, OneThreadDoesWhatAnotherDoesNotBegin) {
  StepSharing sharing;
  sharing.Prepare(1, 2);
  sharing.Begin(2);
  int calls = 0;
  sharing.RunStep(0, 0, [&](int) { ++calls; });  // The second thread never comes.
  EXPECT_EQ(calls, 2);
}

TEST(SplitRange, CutsAtMultiplesOfTheGrain) {
  int64_t begin, end, next = 0;
  for (int i = 0; i < 3; ++i) {
    SplitRange(22, 4, i, 3, &begin, &end);
    EXPECT_EQ(begin, next);
    EXPECT_TRUE(end % 4 == 0 || end == 22);
    next = end;
  }
  EXPECT_EQ(next, 22);
}

}  // namespace
}  // namespace octet
