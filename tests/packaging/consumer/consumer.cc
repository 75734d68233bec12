// Classifies a gray square and prints the best class; with a file that is no model, the error.
#include <octet/octet.h>

#include <cstdio>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto model = octet::Model::Load(argv[1]);
  if (!model.ok()) return std::fprintf(stderr, "%s\n", model.status().message().c_str()), 1;
  auto session = octet::Session::Create(*model);
  if (!session.ok()) return std::fprintf(stderr, "%s\n", session.status().message().c_str()), 1;
  const std::vector<uint8_t> pixels(40 * 30 * 3, 128);
  auto top = (*session)->Classify({pixels.data(), 40, 30}, 1);
  if (!top.ok()) return std::fprintf(stderr, "%s\n", top.status().message().c_str()), 1;
  std::printf("%s %.4f\n", top->front().label.c_str(),
              static_cast<double>(top->front().probability));
  return 0;
}
