// Work on items by several threads, with results in the items' order.
#ifndef OCTET_FORMATS_DATA_IN_ORDER_H_
#define OCTET_FORMATS_DATA_IN_ORDER_H_

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace octet {

/// Reads items one after the other, works on `workers` of them at a time and writes them one after
/// the other, all of it at once: while one thread reads, others work, and whoever has finished the
/// item that is next writes it and those behind it that are ready. Nobody waits for a slow item
/// until kAhead items for each worker are in front of it; so much is in memory at most.
template <typename Item>
class InOrder {
 public:
  struct Steps {
    /// False at the end, behind which it is not called. By one thread at a time.
    std::function<bool(Item*)> read;
    std::function<void(Item*, int worker)> work;  ///< By several, each with its own `worker`.
    std::function<bool(Item*)> write;             ///< False to stop. By one thread at a time.
  };

  /// Until the end or a stop; items behind one that stopped are lost. The calling thread is one of
  /// the workers; where the system refuses further ones, those that there are do it. What a step
  /// throws is thrown here, when the other threads have ended.
  static void Run(int workers, Steps steps) {
    InOrder run(workers, std::move(steps));
    std::vector<std::thread> threads;
    try {
      for (int w = 1; w < workers; ++w) threads.emplace_back([&run, w] { run.Work(w); });
    } catch (const std::system_error&) {
    } catch (...) {
      run.Stop(std::current_exception());
    }
    run.Work(0);
    for (std::thread& thread : threads) thread.join();
    if (run.exception_) std::rethrow_exception(run.exception_);
  }

 private:
  static constexpr size_t kAhead = 8;

  struct Slot {
    Item item;
    bool done = false;
  };

  InOrder(int workers, Steps steps)
      : steps_(std::move(steps)), slots_(kAhead * static_cast<size_t>(workers)) {}

  void Work(int worker) {
    try {
      while (Slot* slot = Read()) {
        steps_.work(&slot->item, worker);
        Write(slot);
      }
    } catch (...) {
      Stop(std::current_exception());
    }
  }

  /// The next item; null when there is none.
  Slot* Read() {
    const std::lock_guard<std::mutex> reading(reading_);
    std::unique_lock<std::mutex> lock(mutex_);
    room_.wait(lock, [&] { return stopped_ || ended_ || read_ < written_ + slots_.size(); });
    if (stopped_ || ended_) return nullptr;
    Slot* slot = &slots_[read_ % slots_.size()];
    lock.unlock();
    const bool more = steps_.read(&slot->item);
    lock.lock();
    ended_ = !more;
    if (ended_) return nullptr;
    ++read_;
    return slot;
  }

  void Write(Slot* slot) {
    std::unique_lock<std::mutex> lock(mutex_);
    slot->done = true;
    if (writing_) return;  // Whoever writes will come to it.
    writing_ = true;
    while (!stopped_ && written_ < read_ && slots_[written_ % slots_.size()].done) {
      Slot* next = &slots_[written_ % slots_.size()];
      lock.unlock();
      const bool go_on = steps_.write(&next->item);
      lock.lock();
      next->done = false;
      ++written_;
      if (!go_on) stopped_ = true;
      room_.notify_one();
    }
    writing_ = false;
    if (stopped_) room_.notify_all();
  }

  void Stop(std::exception_ptr exception) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!exception_) exception_ = std::move(exception);
    stopped_ = true;
    room_.notify_all();
  }

  const Steps steps_;
  std::vector<Slot> slots_;  ///< Item i is in slot i modulo their number.
  std::mutex reading_;       ///< Taken before mutex_.
  std::mutex mutex_;         ///< Of all below.
  std::condition_variable room_;
  size_t read_ = 0, written_ = 0;
  bool writing_ = false, stopped_ = false, ended_ = false;
  std::exception_ptr exception_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_IN_ORDER_H_
