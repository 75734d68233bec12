// Classifies a gray square and prints the best class; with a file that is no model, the error.
#include <octet/octet.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#ifdef STANDARD
static_assert(__cplusplus == (STANDARD == 17 ? 201703L : 202002L), "octet changed the standard");
#endif

static int Fail(const std::string& problem) {
  std::fprintf(stderr, "%s\n", problem.c_str());
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (std::strcmp(octet_version(), OCTET_VERSION) != 0) return 4;
  auto model = octet::Model::Load(argv[1]);
  if (!model.ok()) return Fail(model.status().message());
  auto session = octet::Session::Create(*model);
  if (!session.ok()) return Fail(session.status().message());
  const std::vector<uint8_t> pixels(40 * 30 * 3, 128);
  auto top = (*session)->Classify({pixels.data(), 40, 30}, 1);
  if (!top.ok()) return Fail(top.status().message());
  std::printf("%s %.4f\n", top->front().label.c_str(),
              static_cast<double>(top->front().probability));
  return 0;
}
