/* run_c MODEL.octet: the classes of a black and a white square, step by step: pixels become the
 * bytes of the input, a batch of two runs on two threads, the bytes of the output become numbers.
 */
#include <octet/octet_c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static octet_model* model = NULL;
static octet_session* session = NULL;
static void* in = NULL;
static void* out = NULL;
static float* scores = NULL;

static int Done(octet_status status, char* error) {
  if (status != OCTET_OK) fprintf(stderr, "run_c: %s\n", error != NULL ? error : "cannot do that");
  octet_free(error);
  free(scores);
  free(out);
  free(in);
  octet_session_destroy(session);
  octet_model_destroy(model);
  return status == OCTET_OK ? 0 : 1;
}

int main(int argc, char** argv) {
  static uint8_t pixels[64 * 64 * 3];
  octet_session_options* options = octet_session_options_create();
  octet_run_options* run = octet_run_options_create();
  octet_image image = {0};
  octet_tensor output;
  octet_const_buffer from;
  octet_buffer to;
  octet_status status;
  char* error = NULL;
  size_t in_bytes, out_bytes;
  int64_t classes, best, c;
  int i;
  if (argc != 2) {
    fprintf(stderr, "usage: run_c MODEL.octet\n");
    return 2;
  }
  status = octet_model_load(argv[1], &model, &error);
  if (status == OCTET_OK) {
    octet_session_options_set_num_threads(options, 2);
    octet_session_options_set_max_batch(options, 2);
    status = octet_session_create_with_options(model, options, &session, &error);
  }
  octet_session_options_destroy(options);
  if (status != OCTET_OK) return Done(status, error);

  octet_model_output(model, 0, &output);
  classes = output.shape[output.rank - 1];
  in_bytes = octet_model_input_bytes(model, 0);
  out_bytes = octet_model_output_bytes(model, 0);
  in = malloc(2 * in_bytes);
  out = malloc(2 * out_bytes);
  scores = malloc(2 * (size_t)classes * sizeof(float));
  if (in == NULL || out == NULL || scores == NULL || run == NULL)
    return Done(OCTET_OUT_OF_MEMORY, NULL);

  image.pixels = pixels;
  image.width = image.height = 64;
  for (i = 0; i < 2; ++i) {
    memset(pixels, i == 0 ? 0 : 255, sizeof(pixels));
    status = octet_session_preprocess(session, &image, (char*)in + i * in_bytes, &error);
    if (status != OCTET_OK) return Done(status, error);
  }
  from.data = in;
  from.bytes = 2 * in_bytes;
  to.data = out;
  to.bytes = 2 * out_bytes;
  octet_run_options_set_batch(run, 2);
  octet_run_options_set_timeout_ms(run, 60e3);
  status = octet_session_run_tensors(session, &from, 1, &to, 1, run, &error);
  octet_run_options_destroy(run);
  if (status != OCTET_OK) return Done(status, error);

  output.shape[0] = 2; /* Both images at once. */
  status = octet_tensor_to_floats(&output, out, scores);
  if (status != OCTET_OK) return Done(status, NULL);
  for (i = 0; i < 2; ++i) {
    const float* row = scores + i * classes;
    best = 0;
    for (c = 1; c < classes; ++c)
      if (row[c] > row[best]) best = c;
    printf("%s: class %d, %.3f\n", i == 0 ? "black" : "white", (int)best, (double)row[best]);
  }
  return Done(OCTET_OK, NULL);
}
