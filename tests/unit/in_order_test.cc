#include "formats/data/in_order.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace octet {
namespace {

struct Item {
  int number = -1, square = 0;
};

/// What is written of `count` items; `work` comes in addition.
std::vector<int> Squares(int workers, int count, const std::function<void(int number)>& work = {}) {
  int next = 0;
  std::vector<int> squares;
  InOrder<Item>::Run(workers, {.read =
                                   [&](Item* item) {
                                     EXPECT_LE(next, count) << "read behind the end";
                                     item->number = next;
                                     return next++ < count;
                                   },
                               .work =
                                   [&](Item* item, int) {
                                     if (work) work(item->number);
                                     item->square = item->number * item->number;
                                   },
                               .write =
                                   [&](Item* item) {
                                     squares.push_back(item->square);
                                     return true;
                                   }});
  return squares;
}

TEST(InOrderTest, WritesInTheOrderOfReading) {
  for (const int workers : {1, 2, 3, 8}) {
    for (const int count : {0, 1, 7, 100, 3000}) {
      std::vector<int> expected;
      for (int i = 0; i < count; ++i) expected.push_back(i * i);
      EXPECT_EQ(Squares(workers, count), expected);
      // Some take longer than others.
      EXPECT_EQ(Squares(workers, std::min(count, 100),
                        [](int i) {
                          std::this_thread::sleep_for(std::chrono::microseconds(i % 7 * 300));
                        }),
                std::vector<int>(expected.begin(), expected.begin() + std::min(count, 100)));
    }
  }
}

TEST(InOrderTest, EveryWorkerHasANumberOfItsOwn) {
  std::vector<std::atomic<int>> inside(4);
  std::atomic<int> used{0};
  int next = 0;
  InOrder<Item>::Run(4, {.read = [&](Item*) { return next++ < 400; },
                         .work =
                             [&](Item*, int worker) {
                               std::atomic<int>& mine = inside[static_cast<size_t>(worker)];
                               EXPECT_EQ(mine.fetch_add(1), 0);
                               used |= 1 << worker;
                               std::this_thread::sleep_for(std::chrono::microseconds(100));
                               --mine;
                             },
                         .write = [](Item*) { return true; }});
  EXPECT_EQ(used, 15);
}

TEST(InOrderTest, ReadsNoFurtherAheadThanItSays) {
  std::atomic<int> read{0}, written{0}, ahead{0};
  std::atomic<bool> slow{true};
  InOrder<Item>::Run(3, {.read =
                             [&](Item* item) {
                               ahead = std::max<int>(ahead, read - written);
                               item->number = read;
                               if (read > 20) slow = false;
                               return read++ < 500;
                             },
                         .work =
                             [&](Item* item, int) {
                               // The first one waits until others are far ahead.
                               while (item->number == 0 && slow) std::this_thread::yield();
                             },
                         .write =
                             [&](Item*) {
                               ++written;
                               return true;
                             }});
  EXPECT_EQ(written, 500);
  EXPECT_GT(ahead, 15);
  EXPECT_LE(ahead, 8 * 3);
}

TEST(InOrderTest, StopsWhenWritingSaysSo) {
  for (const int workers : {1, 4}) {
    int next = 0, written = 0;
    InOrder<Item>::Run(workers, {.read =
                                     [&](Item*) {
                                       ++next;
                                       return true;  // For ever.
                                     },
                                 .work = [](Item*, int) {},
                                 .write = [&](Item*) { return ++written < 50; }});
    EXPECT_EQ(written, 50);
    EXPECT_LE(next, 50 + 8 * workers);
  }
}

TEST(InOrderTest, PassesExceptionsOn) {
  for (const int workers : {1, 4}) {
    for (const int step : {0, 1, 2}) {
      int next = 0;
      const auto fail = [&](int here, int number) {
        if (here == step && number == 30) throw std::bad_alloc();
      };
      EXPECT_THROW(
          InOrder<Item>::Run(workers, {.read =
                                           [&](Item* item) {
                                             fail(0, item->number = next++);
                                             return true;
                                           },
                                       .work = [&](Item* item, int) { fail(1, item->number); },
                                       .write =
                                           [&](Item* item) {
                                             fail(2, item->number);
                                             return true;
                                           }}),
          std::bad_alloc);
    }
  }
}

}  // namespace
}  // namespace octet
