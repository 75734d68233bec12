/* plugin_host MODEL PLUGIN...: loads the plugins with all their names visible to each other, prints
 * what each says of the model, unloads them, and says which are still there. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { kMaxPlugins = 4 };
typedef int Classify(const char* model, char* answer, size_t size);

static int IsMapped(const char* path) {
  static char line[4096];
  FILE* maps = fopen("/proc/self/maps", "r");
  int found = 0;
  if (maps == NULL) return -1;
  while (fgets(line, sizeof(line), maps) != NULL) found |= strstr(line, path) != NULL;
  fclose(maps);
  return found;
}

int main(int argc, char** argv) {
  void* plugins[kMaxPlugins];
  const int count = argc - 2;
  if (count < 1 || count > kMaxPlugins) return 2;
  for (int i = 0; i < count; ++i) {
    plugins[i] = dlopen(argv[i + 2], RTLD_NOW | RTLD_GLOBAL);
    if (plugins[i] == NULL) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
  }
  for (int i = 0; i < count; ++i) {
    char answer[200];
    Classify* classify = NULL;
    *(void**)&classify = dlsym(plugins[i], "Classify");
    if (classify == NULL || classify(argv[1], answer, sizeof(answer)) != 0) return 1;
    printf("%s\n", answer);
  }
  for (int i = 0; i < count; ++i) {
    if (IsMapped(argv[i + 2]) != 1) return 3;
    dlclose(plugins[i]);
    printf("%s\n", IsMapped(argv[i + 2]) == 0 ? "unloaded" : "still there");
  }
  return 0;
}
