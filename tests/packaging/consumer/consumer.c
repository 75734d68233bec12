/* The same as consumer.cc, in C89. */
#include <octet/octet_c.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  static uint8_t pixels[40 * 30 * 3];
  octet_model* model = NULL;
  octet_session* session = NULL;
  char* error = NULL;
  int index = -1, count = 0;
  float probability = 0.0f, probabilities[5] = {0};
  octet_image image = {0};
  octet_status status;
  if (argc != 2) return 2;
  if (strcmp(octet_version(), OCTET_VERSION) != 0) return 4;
  memset(pixels, 128, sizeof(pixels));
  status = octet_model_load(argv[1], &model, &error);
  if (status == OCTET_OK) status = octet_session_create(model, 1, 1, &session, &error);
  image.pixels = pixels;
  image.width = 40;
  image.height = 30;
  if (status == OCTET_OK)
    status = octet_session_classify(session, &image, 1, &index, &probability, &count, &error);
  if (status == OCTET_OK)
    status = octet_session_classify_batch(session, &image, 1, probabilities, 5, &error);
  if (status == OCTET_OK && probabilities[index] != probability) return 3;
  if (status == OCTET_OK) {
    printf("%s %.4f\n", octet_model_label(model, index), (double)probability);
  } else {
    fprintf(stderr, "%s\n", error);
  }
  octet_free(error);
  octet_session_destroy(session);
  octet_model_destroy(model);
  return status == OCTET_OK ? 0 : 1;
}
