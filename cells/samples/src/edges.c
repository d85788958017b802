// edges IN.pgm|IN.ppm OUT.pgm [ROUNDS=1]
//
// Finds the edges in a picture: reads a binary PGM or PPM (P5 or P6, 8 bits), blurs it with a separable Gaussian
// (sigma 1.4, 9 taps), and writes the strength of its gradient (Sobel) as a PGM. All of that is done ROUNDS times.
// Prints the size, and the share of pixels that lie on an edge.
#include <ctype.h>
#include <math.h>

#include "input.h"

#define RADIUS 4
#define SIGMA 1.4f
#define EDGE 64

struct image {
  int width, height;
  float *pixels;
};

// The next number of a PNM header; comments run from '#' to the end of their line.
static long header_number(const unsigned char *bytes, size_t size, size_t *at, const char *path) {
  while (*at < size && (isspace(bytes[*at]) || bytes[*at] == '#')) {
    if (bytes[*at] == '#')
      while (*at < size && bytes[*at] != '\n') ++*at;
    else
      ++*at;
  }
  long value = 0;
  size_t digits = 0;
  while (*at < size && isdigit(bytes[*at]) && digits++ < 6) value = value * 10 + (bytes[(*at)++] - '0');
  if (digits == 0) fail(1, "%s: the header is damaged", path);
  return value;
}

// Colours become luma (ITU-R BT.601).
static struct image read_picture(const char *path) {
  size_t size, at = 2;
  unsigned char *bytes = read_whole(path, &size);
  if (size < 2 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) fail(1, "%s is not a binary PGM or PPM", path);
  int channels = bytes[1] == '6' ? 3 : 1;
  struct image image;
  image.width = (int)header_number(bytes, size, &at, path);
  image.height = (int)header_number(bytes, size, &at, path);
  long most = header_number(bytes, size, &at, path);
  at++;
  if (image.width < 1 || image.height < 1 || image.width > 16384 || image.height > 16384 || most != 255)
    fail(1, "%s: only 8-bit pictures up to 16384 x 16384", path);
  size_t count = (size_t)image.width * (size_t)image.height;
  if (size < at || (size - at) / channels < count) fail(1, "%s is cut short", path);
  image.pixels = allocate(count * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    const unsigned char *pixel = bytes + at + i * channels;
    image.pixels[i] = channels == 1 ? pixel[0] : 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
  }
  free(bytes);
  return image;
}

static int clamp(int value, int most) { return value < 0 ? 0 : value > most ? most : value; }

// One direction of the blur: along rows from `from` to `to`, which it writes transposed. Twice is the whole blur.
static void blur_rows(const float *from, float *to, int width, int height, const float *kernel) {
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      float sum = 0;
      for (int k = -RADIUS; k <= RADIUS; k++) sum += kernel[k + RADIUS] * from[y * width + clamp(x + k, width - 1)];
      to[x * height + y] = sum;
    }
  }
}

static void blur(const struct image *image, float *scratch, float *blurred) {
  float kernel[2 * RADIUS + 1], total = 0;
  for (int k = -RADIUS; k <= RADIUS; k++) total += kernel[k + RADIUS] = expf(-(float)(k * k) / (2 * SIGMA * SIGMA));
  for (int k = 0; k <= 2 * RADIUS; k++) kernel[k] /= total;
  blur_rows(image->pixels, scratch, image->width, image->height, kernel);
  blur_rows(scratch, blurred, image->height, image->width, kernel);
}

static float at(const struct image *image, int x, int y) {
  return image->pixels[clamp(y, image->height - 1) * image->width + clamp(x, image->width - 1)];
}

static unsigned char gradient(const struct image *image, int x, int y) {
  float dx = at(image, x + 1, y - 1) + 2 * at(image, x + 1, y) + at(image, x + 1, y + 1) -
             at(image, x - 1, y - 1) - 2 * at(image, x - 1, y) - at(image, x - 1, y + 1);
  float dy = at(image, x - 1, y + 1) + 2 * at(image, x, y + 1) + at(image, x + 1, y + 1) -
             at(image, x - 1, y - 1) - 2 * at(image, x, y - 1) - at(image, x + 1, y - 1);
  float strength = sqrtf(dx * dx + dy * dy);
  return strength > 255 ? 255 : (unsigned char)strength;
}

int main(int argc, char **argv) {
  if (argc < 3) fail(2, "usage: edges IN.pgm OUT.pgm [ROUNDS=1]");
  long rounds = number_argument(argc, argv, 3, 1, 100000, 1);
  struct image image = read_picture(argv[1]), blurred = image;
  size_t bytes = (size_t)image.width * (size_t)image.height * sizeof(float);
  float *scratch = allocate(bytes);
  blurred.pixels = allocate(bytes);
  unsigned char *row = allocate((size_t)image.width);
  long edges = 0;
  for (long round = 0; round < rounds; round++) {
    blur(&image, scratch, blurred.pixels);
    FILE *out = create(argv[2]);
    fprintf(out, "P5\n%d %d\n255\n", image.width, image.height);
    edges = 0;
    for (int y = 0; y < image.height; y++) {
      for (int x = 0; x < image.width; x++) {
        row[x] = gradient(&blurred, x, y);
        edges += row[x] >= EDGE;
      }
      fwrite(row, 1, (size_t)image.width, out);
    }
    finish(out, argv[2]);
  }
  double share = 100.0 * (double)edges / ((double)image.width * image.height);
  printf("%d x %d pixels, %ld rounds, %.2f %% on edges\n", image.width, image.height, rounds, share);
  return 0;
}
