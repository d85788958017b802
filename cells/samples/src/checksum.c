// checksum [-n ROUNDS] FILE...
//
// Prints SHA-256 (FIPS 180-4), CRC-32 (IEEE 802.3) and size of each file. With -n the digests are those of the file
// repeated ROUNDS times. The file is read in pieces, so that its size does not matter.
#include <stdint.h>

#include "input.h"

#define PIECE 16384

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

struct digest {
  uint32_t state[8];
  uint64_t length;
  unsigned char block[64];
  uint32_t crc;
};

static uint32_t crc_table[256];

static uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void compress(uint32_t *state, const unsigned char *block) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  memcpy(v, state, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
    uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
    uint32_t t1 = v[7] + s1 + choice + K[i] + w[i];
    uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
    uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += t1;
    v[0] = t1 + s0 + majority;
  }
  for (int i = 0; i < 8; i++) state[i] += v[i];
}

static void start(struct digest *digest) {
  static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(digest->state, initial, sizeof initial);
  digest->length = 0;
  digest->crc = 0xffffffff;
}

static void update(struct digest *digest, const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    digest->crc = crc_table[(digest->crc ^ bytes[i]) & 255] ^ digest->crc >> 8;
    digest->block[digest->length++ & 63] = bytes[i];
    if ((digest->length & 63) == 0) compress(digest->state, digest->block);
  }
}

static void print(struct digest *digest, const char *path) {
  uint64_t bits = digest->length * 8;
  uint64_t bytes = digest->length;
  uint32_t crc = ~digest->crc;
  unsigned char byte = 0x80;
  do {
    update(digest, &byte, 1);
    byte = 0;
  } while ((digest->length & 63) != 56);
  for (int i = 7; i >= 0; i--) {
    byte = (unsigned char)(bits >> (8 * i));
    update(digest, &byte, 1);
  }
  for (int i = 0; i < 8; i++) printf("%08x", (unsigned)digest->state[i]);
  printf("  %08x  %llu  %s\n", (unsigned)crc, (unsigned long long)bytes, path);
}

static void read_into(struct digest *digest, const char *path) {
  static unsigned char piece[PIECE];
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(1, "cannot read %s: %s", path, strerror(errno));
  for (size_t got; (got = fread(piece, 1, PIECE, file)) > 0;) update(digest, piece, got);
  if (ferror(file)) fail(1, "cannot read %s: %s", path, strerror(errno));
  fclose(file);
}

int main(int argc, char **argv) {
  int first = argc > 1 && strcmp(argv[1], "-n") == 0 ? 3 : 1;
  if (argc <= first) fail(2, "usage: checksum [-n ROUNDS] FILE...");
  long rounds = first == 3 ? number_argument(argc, argv, 2, 1, 1000000, 1) : 1;
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
    crc_table[i] = c;
  }
  for (int i = first; i < argc; i++) {
    struct digest digest;
    start(&digest);
    for (long round = 0; round < rounds; round++) read_into(&digest, argv[i]);
    print(&digest, argv[i]);
  }
  return 0;
}
