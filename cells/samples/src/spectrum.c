// spectrum IN.wav OUT.csv|OUT.pgm [WINDOW=1024] [ROUNDS=1]
//
// Short-time Fourier transform of a recording: reads a 16-bit PCM WAV (channels are averaged; a file without a RIFF
// header is taken as raw 16-bit samples at 16 kHz), and for every Hann window of WINDOW samples, a quarter of a window
// apart, writes a row: as CSV its time, level and strongest frequency; as PGM its power spectrum, 100 dB from black to
// white. The transform is done ROUNDS times. Prints the number of windows and the strongest frequency overall.
#include <math.h>
#include <stdint.h>

#include "input.h"

#define RAW_RATE 16000
#define MAX_WINDOW 65536
#define RANGE_DB 100.0

struct sound {
  long rate;
  size_t count;
  double *samples;
};

static uint32_t little(const unsigned char *bytes, int count) {
  uint32_t value = 0;
  for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
  return value;
}

static struct sound read_sound(const char *path) {
  size_t size, start = 0, length;
  unsigned char *bytes = read_whole(path, &size);
  unsigned channels = 1;
  struct sound sound = {RAW_RATE, 0, NULL};
  length = size;
  if (size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WAVE", 4) == 0) {
    length = 0;
    for (size_t at = 12; at + 8 <= size;) {
      size_t chunk = little(bytes + at + 4, 4), left = size - at - 8;
      const unsigned char *body = bytes + at + 8;
      if (memcmp(bytes + at, "fmt ", 4) == 0 && chunk >= 16 && left >= 16) {
        if (little(body, 2) != 1 || little(body + 14, 2) != 16) fail(1, "%s: only 16-bit PCM", path);
        channels = little(body + 2, 2);
        sound.rate = (long)little(body + 4, 4);
      } else if (memcmp(bytes + at, "data", 4) == 0) {
        start = at + 8;
        // A writer that streamed did not know its length.
        length = chunk < left ? chunk : left;
        break;
      }
      if (chunk >= left) break;
      at += 8 + chunk + (chunk & 1);
    }
  }
  if (channels < 1 || channels > 64) fail(1, "%s: the header is damaged", path);
  sound.count = length / (2 * channels);
  sound.samples = allocate(sound.count * sizeof(double));
  for (size_t i = 0; i < sound.count; i++) {
    double sum = 0;
    for (unsigned c = 0; c < channels; c++) sum += (int16_t)little(bytes + start + 2 * (i * channels + c), 2);
    sound.samples[i] = sum / channels / 32768.0;
  }
  free(bytes);
  return sound;
}

// In-place radix-2 transform (Cooley and Tukey); `cosines` and `sines` hold one turn in `count` steps.
static void transform(double *re, double *im, size_t count, const double *cosines, const double *sines) {
  for (size_t i = 1, j = 0; i < count; i++) {
    size_t bit = count >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      double swap = re[i];
      re[i] = re[j], re[j] = swap;
      swap = im[i];
      im[i] = im[j], im[j] = swap;
    }
  }
  for (size_t length = 2; length <= count; length <<= 1) {
    size_t half = length / 2, step = count / length;
    for (size_t start = 0; start < count; start += length) {
      for (size_t k = 0; k < half; k++) {
        size_t a = start + k, b = a + half;
        double c = cosines[k * step], s = -sines[k * step];
        double r = re[b] * c - im[b] * s, i = re[b] * s + im[b] * c;
        re[b] = re[a] - r, im[b] = im[a] - i;
        re[a] += r, im[a] += i;
      }
    }
  }
}

static double decibels(double power) { return 10 * log10(power + 1e-12); }

int main(int argc, char **argv) {
  if (argc < 3) fail(2, "usage: spectrum IN.wav OUT.csv|OUT.pgm [WINDOW=1024] [ROUNDS=1]");
  size_t window = (size_t)number_argument(argc, argv, 3, 16, MAX_WINDOW, 1024);
  long rounds = number_argument(argc, argv, 4, 1, 100000, 1);
  if ((window & (window - 1)) != 0) fail(2, "spectrum: WINDOW must be a power of two");
  struct sound sound = read_sound(argv[1]);
  if (sound.count < window) fail(1, "%s is shorter than one window", argv[1]);

  double *table = allocate(5 * window * sizeof(double));
  double *hann = table, *cosines = table + window, *sines = cosines + window, *re = sines + window, *im = re + window;
  for (size_t i = 0; i < window; i++) {
    double angle = 2 * M_PI * (double)i / (double)window;
    cosines[i] = cos(angle), sines[i] = sin(angle);
    hann[i] = 0.5 - 0.5 * cosines[i];
  }

  size_t hop = window / 4, bins = window / 2, windows = (sound.count - window) / hop + 1;
  const char *dot = strrchr(argv[2], '.');
  int picture = dot != NULL && strcmp(dot, ".pgm") == 0;
  double *total = allocate(bins * sizeof(double));
  unsigned char *row = allocate(bins);
  for (long round = 0; round < rounds; round++) {
    FILE *out = create(argv[2]);
    if (picture) fprintf(out, "P5\n%zu %zu\n255\n", bins, windows);
    else fprintf(out, "seconds,level_db,peak_hz\n");
    memset(total, 0, bins * sizeof(double));
    for (size_t w = 0; w < windows; w++) {
      double level = 0;
      for (size_t i = 0; i < window; i++) {
        double sample = sound.samples[w * hop + i];
        level += sample * sample;
        re[i] = sample * hann[i], im[i] = 0;
      }
      transform(re, im, window, cosines, sines);
      size_t peak = 1;
      for (size_t k = 0; k < bins; k++) {
        re[k] = (re[k] * re[k] + im[k] * im[k]) * 16 / ((double)window * (double)window);
        total[k] += re[k];
        if (k > 0 && re[k] > re[peak]) peak = k;
        double shade = 255 * (1 + decibels(re[k]) / RANGE_DB);
        row[k] = shade < 0 ? 0 : shade > 255 ? 255 : (unsigned char)shade;
      }
      if (picture) fwrite(row, 1, bins, out);
      else
        fprintf(out, "%.4f,%.2f,%.1f\n", (double)(w * hop) / (double)sound.rate, decibels(level / (double)window),
                (double)peak * (double)sound.rate / (double)window);
    }
    finish(out, argv[2]);
  }
  size_t strongest = 1;
  for (size_t k = 2; k < bins; k++)
    if (total[k] > total[strongest]) strongest = k;
  printf("%zu windows of %zu samples at %ld Hz, strongest at %.1f Hz\n", windows, window, sound.rate,
         (double)strongest * (double)sound.rate / (double)window);
  return 0;
}
