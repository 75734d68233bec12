// Samples prepared on all cores, in order.
#ifndef OCTET_FORMATS_DATA_READ_AHEAD_H_
#define OCTET_FORMATS_DATA_READ_AHEAD_H_

#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <utility>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/dataset.h"

namespace octet {

/// Threads that prepare items: one for each core that the program may use.
inline int ReadAheadWorkers() { return omp_get_max_threads(); }

/// Reads a few items for each core one after the other, prepares them (decodes photos, makes
/// inputs) on all cores, and gives them one by one: the same items and errors in the same order as
/// without. Between windows no thread works on them, so that what the caller does with them has the
/// machine. Memory is bounded by the items of a window, of which as many photos are decoded at once
/// as there are cores: their pixels are in a worker's memory, which is used again and again, and
/// gone from the items that are given.
template <typename Item>  // A Sample, or derived from it.
class ReadAhead {
 public:
  /// False at the end; after an error it may go on with the next item. Called by Next's thread.
  using Read = std::function<Result<bool>(Item*)>;
  /// Called by several threads at once, each with another item and another `worker` below
  /// ReadAheadWorkers() and the number of items.
  using Prepare = std::function<Status(Item*, int worker)>;

  ReadAhead(Read read, Prepare prepare)
      : read_(std::move(read)),
        prepare_(std::move(prepare)),
        workers_(ReadAheadWorkers()),
        memory_(static_cast<size_t>(workers_)) {}

  /// The next item; false at the end. Errors: those of `read` and `prepare`; the next call goes on
  /// with the item behind.
  Result<bool> Next(Item* item) {
    if (next_ == window_.size()) FillWindow();
    Slot& slot = window_[next_++];
    if (slot.exception) std::rethrow_exception(slot.exception);
    if (!slot.status.ok()) return slot.status;
    if (slot.end) return false;
    *item = std::move(slot.item);
    return true;
  }

 private:
  static constexpr size_t kItemsPerWorker = 4;
  static constexpr size_t kWindowBytes = size_t{64} << 20;  ///< Once so much is read, no more is.

  struct Slot {
    Item item;
    Status status;
    std::exception_ptr exception;
    bool end = false;
  };

  void FillWindow() {
    window_.clear();
    next_ = 0;
    size_t bytes = 0;
    do {
      Slot& slot = window_.emplace_back();
      const Result<bool> more = read_(&slot.item);
      slot.status = more.ok() ? OkStatus() : more.status();
      slot.end = more.ok() && !*more;
      const Sample& read = slot.item;
      bytes += read.encoded.size() + read.image.rgb.size() + sizeof(float) * read.float_data.size();
    } while (!window_.back().end && bytes < kWindowBytes &&
             window_.size() < kItemsPerWorker * static_cast<size_t>(workers_));
    const int count = static_cast<int>(window_.size()) - (window_.back().end ? 1 : 0);
#pragma omp parallel for schedule(dynamic, 1) num_threads(std::clamp(count, 1, workers_))
    for (int i = 0; i < count; ++i) {
      Slot& slot = window_[static_cast<size_t>(i)];
      if (!slot.status.ok()) continue;
      try {
        const int worker = omp_get_thread_num();
        std::vector<uint8_t>& memory = memory_[static_cast<size_t>(worker)];
        std::vector<uint8_t>& rgb = slot.item.image.rgb;
        if (rgb.empty()) rgb.swap(memory);
        slot.status = prepare_(&slot.item, worker);
        memory = std::exchange(rgb, {});
      } catch (...) {  // No memory: none may leave the region.
        slot.exception = std::current_exception();
      }
    }
  }

  Read read_;
  Prepare prepare_;
  int workers_;
  std::vector<std::vector<uint8_t>> memory_;  ///< Of each worker's last image.
  std::vector<Slot> window_;
  size_t next_ = 0;
};

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_READ_AHEAD_H_
