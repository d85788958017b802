// A bit of everything that two processors might do differently: floating point, vectors, recursion, calls through
// pointers, conversions, files. Each round goes on from what the rounds before left; no NaN is ever printed.
//   mixed ROUNDS DEPTH FILE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasm_simd128.h>

static uint64_t digest = 0xcbf29ce484222325u;

static void mix(const void *data, size_t size) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < size; i++) digest = (digest ^ bytes[i]) * 0x100000001b3u;
}

static void mix_double(double value) { mix(&value, sizeof value); }

/* Calls through a table, so that the frames below are entered by their types. */
typedef double (*step_fn)(double, int);
static double descend(double x, int depth);
static double up(double x, int depth) { return descend(x * 1.0000001 + 1e-9, depth); }
static double down(double x, int depth) { return descend(x * 0.9999999 - 1e-9, depth); }
static double across(double x, int depth) { return descend(sqrt(x * x + 1e-6), depth); }
static step_fn const steps[] = {up, down, across};

/* Every frame holds a double, a float, an int64 and a vector over the call below it. */
static double descend(double x, int depth) {
  if (depth == 0) {
    double sum = 0;
    for (int i = 1; i < 200; i++) sum += sin(x * i) / i;
    return sum;
  }
  float kept = (float)x * 3.0f;
  int64_t count = (int64_t)(x * 1e6) ^ depth;
  v128_t lanes = wasm_f32x4_make(kept, kept + 1, kept + 2, (float)depth);
  double below = steps[depth % 3](x + 1.0 / depth, depth - 1);
  lanes = wasm_f32x4_add(lanes, wasm_f32x4_splat((float)below));
  mix(&lanes, sizeof lanes);
  mix(&count, sizeof count);
  return below + kept * 1e-3 + (double)(count % 7);
}

/* A blur in vectors of four floats, and sums in vectors of eight int16 with saturation. */
static void vectors(int round) {
  enum { N = 4096 };
  static float image[N + 8];
  static int16_t sound[N];
  for (int i = 0; i < N; i++) {
    image[i] = sinf((float)(i * (round + 1)) * 0.01f) * 100.0f;
    sound[i] = (int16_t)(i * 37 * (round + 3));
  }
  const v128_t third = wasm_f32x4_splat(1.0f / 3.0f);
  for (int i = 0; i < N; i += 4) {
    v128_t sum = wasm_f32x4_add(wasm_v128_load(image + i), wasm_v128_load(image + i + 1));
    sum = wasm_f32x4_mul(wasm_f32x4_add(sum, wasm_v128_load(image + i + 2)), third);
    wasm_v128_store(image + i, wasm_f32x4_pmax(sum, wasm_f32x4_neg(wasm_f32x4_sqrt(wasm_f32x4_abs(sum)))));
  }
  v128_t total = wasm_i16x8_splat(0);
  for (int i = 0; i < N; i += 8) {
    v128_t part = wasm_v128_load(sound + i);
    total = wasm_i16x8_add_sat(total, wasm_i16x8_shr(part, 2));
    total = wasm_i8x16_swizzle(total, wasm_i8x16_make(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  }
  mix(image, N * sizeof *image);
  mix(&total, sizeof total);
}

/* Conversions at and past their edges: saturating ones, rounding, subnormal numbers, signed zeroes. */
static void conversions(int round) {
  static const double edges[] = {0.0, -0.0, 0.5, 1.5, 2.5, -0.5, 4e-310, 3e9, -3e9, 1e19, -1e19, 1e300};
  for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
    double x = edges[i] * (1 + round * 1e-3);
    float f = (float)x;
    int32_t i32 = __builtin_wasm_trunc_saturate_s_i32_f64(x);
    uint64_t u64 = __builtin_wasm_trunc_saturate_u_i64_f64(x);
    double all[] = {rint(x), floor(x), ceil(x), trunc(x), f, fmin(x, -0.0), fmax(x, 0.0), copysign(1, x)};
    mix(all, sizeof all);
    mix(&i32, sizeof i32);
    mix(&u64, sizeof u64);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int rounds = atoi(argv[1]), depth = atoi(argv[2]);
  FILE *file = fopen(argv[3], "w+");
  if (file == NULL) return 1;
  double x = 1.25;
  for (int round = 0; round < rounds; round++) {
    x = fmod(fabs(descend(x, depth)), 10.0) + 0.5;
    vectors(round);
    conversions(round);
    mix_double(x);
    fprintf(file, "%d %.17g %016llx\n", round, x, (unsigned long long)digest);
    /* The line before, read again through the same descriptor. */
    char line[128] = "";
    long end = ftell(file);
    fseek(file, end > 64 ? end - 64 : 0, SEEK_SET);
    size_t got = fread(line, 1, sizeof line - 1, file);
    mix(line, got);
    fseek(file, 0, SEEK_END);
    printf("%d %a\n", round, x);
  }
  fclose(file);
  printf("%016llx\n", (unsigned long long)digest);
  return 0;
}
