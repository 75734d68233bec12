// Shapes of at most four dimensions, and arithmetic that cannot overflow unnoticed.
#ifndef OCTET_FORMATS_BASE_SHAPE_H_
#define OCTET_FORMATS_BASE_SHAPE_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>

namespace octet {

/// a * b, or false when the product does not fit.
inline bool CheckedMul(int64_t a, int64_t b, int64_t* out) {
  return !__builtin_mul_overflow(a, b, out);
}
inline bool CheckedAdd(int64_t a, int64_t b, int64_t* out) {
  return !__builtin_add_overflow(a, b, out);
}

inline constexpr int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
inline constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Dimensions, outermost first. Activations are NHWC (rank 4) or NC (rank 2) with N = 1 standing
/// for "any batch".
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t d : dims) dims_[rank_++] = d;
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  void push_back(int64_t d) { dims_[rank_++] = d; }
  int64_t back() const { return dims_[rank_ - 1]; }

  /// Number of elements; -1 when a dimension is negative or the product exceeds 2^62.
  int64_t num_elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) {
      if (dims_[i] < 0 || !CheckedMul(n, dims_[i], &n) || n > (int64_t{1} << 62)) return -1;
    }
    return n;
  }

  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i) {
      if (dims_[i] != o.dims_[i]) return false;
    }
    return true;
  }

  /// "[1,56,56,64]".
  std::string ToString() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) {
      if (i > 0) s += ',';
      s += std::to_string(dims_[i]);
    }
    return s + "]";
  }

 private:
  int rank_ = 0;
  std::array<int64_t, kMaxRank> dims_{};
};

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_SHAPE_H_
