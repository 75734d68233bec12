// A small SavedModel that is mutated.
#ifndef OCTET_TESTS_FUZZ_SAVED_MODEL_SEED_H_
#define OCTET_TESTS_FUZZ_SAVED_MODEL_SEED_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "tests/unit/saved_model_builder.h"

namespace octet::testing {

/// The files of one model, in memory.
struct SavedModelFiles {
  SavedModelFiles() {
    const TfSavedModel model = SampleSavedModel(&bundle);
    // So that the object graph is read too.
    bundle.AddString("_CHECKPOINTABLE_OBJECT_GRAPH", Message([](auto& w) {
                       w.add_message(1, Message([](auto& object) {
                                       object.add_message(2, Message([](auto& attribute) {
                                                            attribute.add_string(2, "name");
                                                            attribute.add_string(3, "key");
                                                          }));
                                     }));
                     }));
    pb = Of(model.Serialize());
    index = Of(bundle.Index());
    data = Of(bundle.data());
  }
  static std::vector<uint8_t> Of(std::string_view text) { return {text.begin(), text.end()}; }
  BundleBuilder bundle;
  std::vector<uint8_t> pb, index, data;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_SAVED_MODEL_SEED_H_
