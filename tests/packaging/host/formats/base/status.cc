#include "formats/base/status.h"

#include <vector>

namespace host {

std::string Classify(const char* model_path) {
  auto model = octet::Model::Load(model_path);
  if (!model.ok()) return model.status().message();
  auto session = octet::Session::Create(*model);
  if (!session.ok()) return session.status().message();
  const std::vector<uint8_t> pixels(40 * 30 * 3, 128);
  auto top = (*session)->Classify({pixels.data(), 40, 30}, 1);
  return top.ok() ? top->front().label : top.status().message();
}

}  // namespace host
