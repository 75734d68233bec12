#include "engine/src/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace octet {
namespace {

/// Counts what is done, and whether anything is at the wrong time.
class Counter : public StepWork {
 public:
  Counter(int steps, int parts, bool end_all)
      : parts_(parts),
        end_all_(end_all),
        calls_(static_cast<size_t>(steps * parts)),
        steps_(steps) {}

  void DoPart(size_t step, const StepPart& what) override {
    const int part = what.index;
    if (static_cast<int>(step) != now_.load() || part < 0 || part >= parts_) wrong_ = true;
    ++calls_[step * static_cast<size_t>(parts_) + static_cast<size_t>(part)];
    if (delay) delay(part);
    if (++done_ == parts_ && !end_all_ && static_cast<int>(step) + 1 < steps_) {
      done_ = 0;
      ++now_;
    }
  }
  void EndStep(size_t step) override {
    if (static_cast<int>(step) != now_.load() || done_ != parts_) wrong_ = true;
    done_ = 0;
    now_ = (now_ + 1) % steps_;
    ++ends;
  }

  /// Every part as often as that?
  bool EachDone(int times) const {
    for (const std::atomic<int>& c : calls_)
      if (c != times) return false;
    return !wrong_;
  }

  std::function<void(int part)> delay;
  std::atomic<int> ends{0};

 private:
  const int parts_;
  const bool end_all_;
  std::vector<std::atomic<int>> calls_;
  const int steps_;
  std::atomic<int> now_{0}, done_{0};
  std::atomic<bool> wrong_{false};
};

// Every part once a round, after all parts of the step before, whatever the threads' pace and
// number, of which some come from an earlier time.
TEST(StepSharing, DoesEveryPartOnceInOrder) {
  for (const bool end_all : {false, true}) {
    for (const int parts : {1, 2, 3, 5, 40}) {  // 40 take several lines of the cache.
      constexpr int kSteps = 7;
      Counter counter(kSteps, parts, end_all);
      StepSharing sharing(&counter, kSteps, parts, {.end_all = end_all});
      EXPECT_FALSE(sharing.IsOpen());
      std::atomic<bool> over{false};
      std::vector<std::thread> helpers;
      for (int i = 1; i < std::min(parts + 1, 5); ++i) {
        helpers.emplace_back([&, i] {
          while (!over) {
            if (sharing.IsOpen()) sharing.Participate(i % parts);
            if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
          }
        });
      }
      int rounds = 0;
      for (int run = 0; run < 60; ++run) {
        sharing.Begin(1 + run % 3);
        rounds += 1 + run % 3;
        sharing.Participate(0);
        EXPECT_TRUE(counter.EachDone(rounds)) << parts << " parts, run " << run;
        EXPECT_EQ(counter.ends, rounds * (end_all ? kSteps : 1));
      }
      over = true;
      for (std::thread& t : helpers) t.join();
    }
  }
}

TEST(StepSharing, OneThreadDoesWhatAnotherDoesNotBegin) {
  Counter counter(3, 2, false);
  StepSharing sharing(&counter, 3, 2, {});
  sharing.Begin(2);
  sharing.Participate(0);  // The second thread never comes.
  EXPECT_TRUE(counter.EachDone(2));
  EXPECT_FALSE(sharing.IsOpen());
}

// Long enough for those who wait to go to sleep.
TEST(StepSharing, WaitsForAPartThatHasBegun) {
  Counter counter(3, 2, false);
  counter.delay = [](int part) {
    if (part == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  StepSharing sharing(&counter, 3, 2, {});
  sharing.Begin(2);
  std::thread helper([&] { sharing.Participate(1); });
  sharing.Participate(0);
  EXPECT_TRUE(counter.EachDone(2));
  helper.join();
}

TEST(StepSharing, HasSeatsForAllButTheCaller) {
  Counter counter(1, 3, false);
  StepSharing sharing(&counter, 1, 3, {});
  EXPECT_TRUE(sharing.Enter());
  EXPECT_TRUE(sharing.Enter());
  EXPECT_FALSE(sharing.Enter());
  sharing.Leave();
  EXPECT_EQ(sharing.helpers(), 1);
  EXPECT_TRUE(sharing.Enter());
}

/// Notes what the parts of its steps are, and takes as long for each as `delay` says.
class Parts : public StepWork {
 public:
  explicit Parts(int parts) : last(static_cast<size_t>(parts)) {}
  void DoPart(size_t, const StepPart& part) override {
    last[static_cast<size_t>(part.index)] = part;
    if (delay) std::this_thread::sleep_for(delay(part));
  }
  void EndStep(size_t) override {}
  /// One behind the other, and nothing but the whole.
  void ExpectWhole() const {
    uint32_t at = 0;
    for (const StepPart& part : last) {
      EXPECT_EQ(part.begin, at);
      EXPECT_GE(part.end, part.begin);
      at = part.end;
    }
    EXPECT_EQ(at, StepPart::kWhole);
  }

  std::vector<StepPart> last;
  std::function<std::chrono::microseconds(const StepPart&)> delay;
};

TEST(StepSharing, PartsAreAWholeWhateverTheirShares) {
  for (const int parts : {1, 2, 3, 7, 1000}) {
    Parts work(parts);
    StepSharing sharing(&work, 1, parts, {});
    std::vector<float> shares(static_cast<size_t>(parts), 1.0f);
    for (int run = 0; run < 3; ++run) {
      sharing.Begin(1);
      sharing.Participate(0);
      work.ExpectWhole();
      if (run == 0) {
        for (int i = 0; i < parts; ++i) {
          const StepPart equal = StepPart::Of(i, parts);
          EXPECT_NEAR(work.last[static_cast<size_t>(i)].end, equal.end, 1);
        }
      }
      shares[0] *= 1e6f;
      sharing.SetShares(shares);
    }
  }
}

// The thread of the second part is three times slower. Its part becomes small, and large again when
// it is not.
TEST(StepSharing, PartsFollowTheTimeTheyTake) {
  Parts work(2);
  std::atomic<bool> slow{true}, over{false};
  work.delay = [&](const StepPart& part) {
    return std::chrono::microseconds(int64_t{part.end - part.begin} *
                                     (part.index == 1 && slow ? 12000 : 4000) / StepPart::kWhole);
  };
  StepSharing sharing(&work, 4, 2, {.balance = true});
  std::thread helper([&] {
    while (!over) {
      if (sharing.IsOpen()) sharing.Participate(1);
    }
  });
  const auto second = [&](float from, float to) {
    for (int run = 0; run < 500; ++run) {
      sharing.Begin(1);
      sharing.Participate(0);
      const StepPart& part = work.last[1];
      const float size = static_cast<float>(part.end - part.begin) / StepPart::kWhole;
      if (size >= from && size <= to) return true;
    }
    return false;
  };
  EXPECT_TRUE(second(0.22f, 0.30f));  // A quarter would make both equal.
  slow = false;
  EXPECT_TRUE(second(0.46f, 0.54f));
  work.ExpectWhole();
  over = true;
  helper.join();
}

TEST(SplitRange, CutsAtMultiplesOfTheGrain) {
  int64_t begin, end, next = 0;
  for (int i = 0; i < 3; ++i) {
    SplitRange(22, 4, StepPart::Of(i, 3), &begin, &end);
    EXPECT_EQ(begin, next);
    EXPECT_TRUE(end % 4 == 0 || end == 22);
    next = end;
  }
  EXPECT_EQ(next, 22);
}

}  // namespace
}  // namespace octet
