// The last rows of something that is gone through from the top.
#ifndef OCTET_ENGINE_SRC_PIXELS_ROW_RING_H_
#define OCTET_ENGINE_SRC_PIXELS_ROW_RING_H_

#include <algorithm>
#include <cstdint>

namespace octet {

/// Rows of which each is made once, in ascending order, and kept until `capacity` newer ones are.
/// The memory is the caller's.
template <typename T>
class RowRing {
 public:
  RowRing(void* memory, int64_t row_elements, int capacity)
      : rows_(static_cast<T*>(memory)), row_elements_(row_elements), capacity_(capacity) {}

  T* row(int y) const { return rows_ + (y % capacity_) * row_elements_; }

  /// Makes the rows of [begin, end) that are not there yet, by make(y, n): n rows from y on, at
  /// most `batch`. It may go beyond `end` to fill a batch, but never to `limit`. The capacity must
  /// be at least end - begin + batch - 1.
  template <typename Make>
  void Fill(int begin, int end, int limit, int batch, const Make& make) {
    next_ = std::max(next_, begin);
    while (next_ < end) {
      const int n = std::min(batch, limit - next_);
      make(next_, n);
      next_ += n;
    }
  }

 private:
  T* rows_;
  int64_t row_elements_;
  int capacity_;
  int next_ = 0;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_ROW_RING_H_
