// A plugin that classifies a gray square, by a copy of octet of its own.
#include <octet/octet.h>

#include <cstdint>
#include <cstdio>
#include <vector>

/// Writes the best class of `model_path`'s model, or the error; 0 for success.
extern "C" __attribute__((visibility("default"))) int Classify(const char* model_path, char* answer,
                                                               size_t size) {
  auto model = octet::Model::Load(model_path);
  if (!model.ok()) return std::snprintf(answer, size, "%s", model.status().message().c_str());
  auto session = octet::Session::Create(*model);
  if (!session.ok()) return std::snprintf(answer, size, "%s", session.status().message().c_str());
  const std::vector<uint8_t> pixels(40 * 30 * 3, 128);
  auto top = (*session)->Classify({pixels.data(), 40, 30}, 1);
  if (!top.ok()) return std::snprintf(answer, size, "%s", top.status().message().c_str());
  std::snprintf(answer, size, "%s %.4f", top->front().label.c_str(),
                static_cast<double>(top->front().probability));
  return 0;
}
