// The tree of an HDF5 file of Keras weights, made in memory.
#ifndef OCTET_TESTS_UNIT_KERAS_TREE_H_
#define OCTET_TESTS_UNIT_KERAS_TREE_H_

#include <algorithm>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/import/keras/hdf5_reader.h"

namespace octet::testing {

class KerasTree {
 public:
  Hdf5Object& root() { return root_; }

  /// The object at "a/b/c" below `at`, made where it is not there.
  static Hdf5Object& Make(Hdf5Object& at, std::string_view path) {
    Hdf5Object* object = &at;
    while (!path.empty()) {
      const size_t end = std::min(path.find('/'), path.size());
      auto& child = object->children[std::string(path.substr(0, end))];
      if (child == nullptr) child = std::make_unique<Hdf5Object>();
      object = child.get();
      path.remove_prefix(std::min(end + 1, path.size()));
    }
    return *object;
  }

  Hdf5Object& Put(Hdf5Object& at, std::string_view path, std::vector<int64_t> shape,
                  std::vector<float> values) {
    Hdf5Object& object = Make(at, path);
    numbers_.push_back(std::move(values));
    object.is_dataset = true;
    object.dataset = {{Hdf5Type::Kind::kFloat, 4},
                      std::move(shape),
                      std::as_bytes(std::span(numbers_.back())),
                      ""};
    return object;
  }

  /// An attribute: one string, or a list of them.
  void Text(Hdf5Object& at, const std::string& name, const std::vector<std::string>& strings,
            bool list = true) {
    size_t size = 1;
    for (const std::string& s : strings) size = std::max(size, s.size());
    std::string& text = texts_.emplace_back();
    for (const std::string& s : strings) text += s + std::string(size - s.size(), '\0');
    at.attributes[name] = {
        {Hdf5Type::Kind::kString, static_cast<uint32_t>(size)},
        list ? std::vector<int64_t>{static_cast<int64_t>(strings.size())} : std::vector<int64_t>{},
        std::as_bytes(std::span(text.data(), text.size())),
        ""};
  }

 private:
  Hdf5Object root_;
  std::deque<std::vector<float>> numbers_;
  std::deque<std::string> texts_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_KERAS_TREE_H_
