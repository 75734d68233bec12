// hello MODEL.octet PHOTO.ppm: the best classes of a binary PPM photo.
#include <octet/octet.h>

#include <cstdio>
#include <string>
#include <vector>

static int Fail(const std::string& problem) {
  std::fprintf(stderr, "hello: %s\n", problem.c_str());
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: hello MODEL.octet PHOTO.ppm\n");
    return 2;
  }
  std::FILE* file = std::fopen(argv[2], "rb");
  int width = 0, height = 0;
  if (file == nullptr || std::fscanf(file, "P6 %d %d 255", &width, &height) != 2 ||
      std::fgetc(file) == EOF || width < 1 || height < 1 || width > 32768 || height > 32768) {
    return Fail(std::string(argv[2]) + " is not a binary PPM file");
  }
  std::vector<unsigned char> rgb(static_cast<size_t>(width) * height * 3);
  if (std::fread(rgb.data(), 1, rgb.size(), file) != rgb.size())
    return Fail(std::string(argv[2]) + " is truncated");
  std::fclose(file);

  auto model = octet::Model::Load(argv[1]);
  if (!model.ok()) return Fail(model.status().message());
  auto session = octet::Session::Create(*model);
  if (!session.ok()) return Fail(session.status().message());
  auto top = (*session)->Classify({rgb.data(), width, height}, 3);
  if (!top.ok()) return Fail(top.status().message());
  for (const octet::Prediction& p : *top) {
    std::printf("%-12s %.3f\n", p.label.c_str(), static_cast<double>(p.probability));
  }
  return 0;
}
