/* hello_c MODEL.octet: what a model takes and gives, and the class of a gray square. */
#include <octet/octet_c.h>
#include <stdio.h>
#include <string.h>

static int Fail(char* error) {
  fprintf(stderr, "hello_c: %s\n", error != NULL ? error : "out of memory");
  octet_free(error);
  return 1;
}

int main(int argc, char** argv) {
  static uint8_t pixels[64 * 64 * 3];
  octet_model* model = NULL;
  octet_session* session = NULL;
  octet_tensor input;
  const octet_image image = {.pixels = pixels, .width = 64, .height = 64};
  char* error = NULL;
  int index = 0, found = 0;
  float probability = 0.0f;
  if (argc != 2) {
    fprintf(stderr, "usage: hello_c MODEL.octet\n");
    return 2;
  }
  if (octet_model_load(argv[1], &model, &error) != OCTET_OK) return Fail(error);
  octet_model_input(model, 0, &input);
  printf("%s: input %s, %d dimensions\n", octet_model_name(model), input.name, input.rank);
  if (octet_session_create(model, 1, 1, &session, &error) != OCTET_OK) return Fail(error);
  memset(pixels, 128, sizeof(pixels));
  if (octet_session_classify(session, &image, 1, &index, &probability, &found, &error) != OCTET_OK)
    return Fail(error);
  printf("gray: class %d (%s), probability %.3f\n", index,
         octet_model_label(model, index) != NULL ? octet_model_label(model, index) : "no label",
         probability);
  octet_session_destroy(session);
  octet_model_destroy(model);
  return 0;
}
